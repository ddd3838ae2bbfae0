//! The thread that speaks with the instrument: requests and polls, one after the other.

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use labwire_home::{local_time_zone, present};
use labwire_service::{Notifier, Request, ServiceError, args};
use labwire_wire::visible;
use tokio::sync::oneshot;
use tracing::{debug, warn};

use crate::answer::Answer;
use crate::definition::{Definition, Poll};
use crate::session::{ExchangeError, OpenError, Session, nobody};
use crate::state::{Moment, SharedState, State};
use crate::value::Value;

/// The most requests that wait for the instrument.
const WAITING: usize = 1_000;

/// How often an idle connection is looked at.
const LOOK: Duration = Duration::from_secs(1);

/// The first wait between two attempts to connect. It doubles up to that of the file.
const FIRST_RETRY: Duration = Duration::from_millis(500);

/// What is to be done with the instrument.
#[derive(Debug)]
pub(crate) enum Work {
    /// A command, and how its answer is read.
    Command {
        text: String,
        answer: Option<Answer>,
        limit: Duration,
    },
    /// Read the error queue.
    Errors,
}

struct Job {
    work: Work,
    request: Request,
    reply: oneshot::Sender<Result<Value, ServiceError>>,
}

/// The queue of the thread. When it is dropped, the thread closes the connection and ends.
#[derive(Debug)]
pub(crate) struct Bus {
    jobs: SyncSender<Job>,
    state: Arc<SharedState>,
    address: String,
}

impl Bus {
    /// Connects, and starts the thread. Blocks while it connects.
    ///
    /// # Errors
    /// If another instrument is connected, or the thread cannot be started. One that cannot be reached is
    /// tried again.
    pub(crate) fn start(definition: Arc<Definition>, notifier: Notifier) -> io::Result<Self> {
        let name = definition.name.clone();
        let (link, state) = match Session::open(&definition, nobody(), true) {
            Ok(session) => (Link::up(session), None),
            Err(error @ OpenError::Wrong { .. }) => return Err(io::Error::other(error.to_string())),
            Err(error) => {
                let why = error.to_string();
                (
                    Link::Down {
                        retry: FIRST_RETRY,
                        at: Instant::now() + FIRST_RETRY,
                    },
                    Some(why),
                )
            }
        };
        let (jobs, queue) = sync_channel(WAITING);
        let address = definition.address();
        let state = Arc::new(SharedState::new(match (&link, state) {
            (Link::Up(session), _) => ready(session),
            (Link::Down { .. }, why) => {
                let why = why.unwrap_or_default();
                tell(
                    &name,
                    &format!("the instrument at {address} is not reachable: {why}; trying again"),
                );
                State::unreachable(why)
            }
        }));
        let begin = Instant::now();
        let thread = BusThread {
            due: definition.polls.iter().map(|_| begin).collect(),
            failing: vec![false; definition.polls.len()],
            definition,
            queue,
            state: Arc::clone(&state),
            link,
            notifier,
        };
        thread::Builder::new()
            .name("instrument".to_owned())
            .spawn(move || thread.run())?;
        Ok(Self { jobs, state, address })
    }

    pub(crate) fn state(&self) -> State {
        self.state.get()
    }

    pub(crate) fn shared(&self) -> Arc<SharedState> {
        Arc::clone(&self.state)
    }

    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    /// Puts work into the queue, behind all that was put there before.
    ///
    /// # Errors
    /// If the instrument is not reachable, or too many requests wait.
    pub(crate) fn begin(
        &self,
        work: Work,
        request: Request,
    ) -> Result<oneshot::Receiver<Result<Value, ServiceError>>, ServiceError> {
        if let Some(refusal) = self.state().refusal(&self.address) {
            return Err(ServiceError::new("ConnectionError", refusal));
        }
        let (reply, result) = oneshot::channel();
        let job = Job { work, request, reply };
        match self.jobs.try_send(job) {
            Ok(()) => Ok(result),
            Err(TrySendError::Full(_)) => Err(ServiceError::new(
                "RuntimeError",
                format!("{WAITING} requests wait for the instrument already; nothing was sent"),
            )),
            Err(TrySendError::Disconnected(_)) => Err(gone()),
        }
    }
}

/// The error for a thread that has ended.
pub(crate) fn gone() -> ServiceError {
    ServiceError::new(
        "RuntimeError",
        "the thread of the instrument has ended; start the service again",
    )
}

enum Link {
    Up(Box<Session>),
    Down {
        /// The wait after the next attempt.
        retry: Duration,
        /// When the next attempt is due.
        at: Instant,
    },
}

impl Link {
    fn up(session: Session) -> Self {
        Self::Up(Box::new(session))
    }
}

fn ready(session: &Session) -> State {
    State::Ready {
        since: Moment::now(),
        identity: session.identity().map(str::to_owned),
    }
}

struct BusThread {
    definition: Arc<Definition>,
    queue: Receiver<Job>,
    state: Arc<SharedState>,
    link: Link,
    notifier: Notifier,
    /// When each poll is due.
    due: Vec<Instant>,
    /// Which polls have failed the last time.
    failing: Vec<bool>,
}

impl BusThread {
    /// Serves until the service is gone.
    fn run(mut self) {
        loop {
            let now = Instant::now();
            let wake = match &self.link {
                Link::Down { at, .. } if *at <= now => {
                    self.connect();
                    continue;
                }
                Link::Down { at, .. } => *at,
                Link::Up(_) if self.state.polls() => {
                    // One poll between two requests at most, so that neither keeps the other waiting.
                    self.poll(now);
                    let due = self.due.iter().copied().min();
                    let look = Instant::now() + LOOK;
                    due.map_or(look, |due| due.min(look))
                }
                Link::Up(_) => now + LOOK,
            };
            match self
                .queue
                .recv_timeout(wake.saturating_duration_since(Instant::now()))
            {
                Ok(job) => self.serve(job),
                Err(RecvTimeoutError::Timeout) => self.look(),
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    fn serve(&mut self, job: Job) {
        let result = if job.request.is_abandoned() || job.reply.is_closed() {
            Err(ServiceError::new(
                "CancelledError",
                "nobody waits for the reply; nothing was sent",
            ))
        } else if job.request.cancellation().is_cancelled() {
            Err(job.request.cancellation().error())
        } else {
            self.work(&job.work)
        };
        // The client may have gone.
        let _ = job.reply.send(result);
    }

    fn work(&mut self, work: &Work) -> Result<Value, ServiceError> {
        let Link::Up(session) = &mut self.link else {
            let refusal = self
                .state
                .get()
                .refusal(&self.definition.address())
                .unwrap_or_default();
            return Err(ServiceError::new("ConnectionError", refusal));
        };
        let done = match work {
            Work::Command { text, answer, limit } => session.execute(text, answer.as_ref(), *limit),
            Work::Errors => session
                .read_errors("errors()")
                .map(|errors| Value::List(errors.into_iter().map(Value::Text).collect())),
        };
        done.map_err(|error| {
            self.end_session_after(&error);
            ServiceError::new(error.kind(), error.to_string())
        })
    }

    /// Closes the connection if an error means that it cannot be used any more.
    fn end_session_after(&mut self, error: &ExchangeError) {
        if error.ends_session() {
            self.lose(&error.to_string());
        } else {
            debug!("{error}");
        }
    }

    /// Closes the connection, and connects again at once.
    fn lose(&mut self, why: &str) {
        tell(
            &self.definition.name,
            &format!("{why}; connecting to the instrument again"),
        );
        self.state.set(State::unreachable(why));
        self.link = Link::Down {
            retry: FIRST_RETRY,
            at: Instant::now(),
        };
    }

    fn connect(&mut self) {
        let Link::Down { retry, .. } = self.link else {
            return;
        };
        match Session::open(&self.definition, nobody(), false) {
            Ok(session) => {
                let identity = session.identity().unwrap_or("it does not identify itself");
                tell(
                    &self.definition.name,
                    &format!("the instrument is reachable: {identity}"),
                );
                self.state.set(ready(&session));
                self.link = Link::up(session);
            }
            Err(error) => {
                debug!("cannot connect: {error}");
                if let State::Unreachable { since, why } = self.state.get() {
                    let told = error.to_string();
                    if told != why {
                        tell(
                            &self.definition.name,
                            &format!("the instrument is not reachable: {told}"),
                        );
                    }
                    self.state.set(State::Unreachable { since, why: told });
                }
                let longest = self.definition.connection.retry;
                self.link = Link::Down {
                    retry: (retry * 2).min(longest),
                    at: Instant::now() + retry.min(longest),
                };
            }
        }
    }

    /// Notices that an idle connection is broken.
    fn look(&mut self) {
        if let Link::Up(session) = &mut self.link
            && let Err(error) = session.look()
        {
            self.lose(&format!("the connection with the instrument is broken: {error}"));
        }
    }

    /// Executes the poll that is due for the longest time, if one is.
    fn poll(&mut self, now: Instant) {
        let next = (0..self.due.len()).min_by_key(|index| self.due[*index]);
        let Some(index) = next.filter(|index| self.due[*index] <= now) else {
            return;
        };
        let definition = Arc::clone(&self.definition);
        let poll = &definition.polls[index];
        // One that is late is not made up for.
        self.due[index] = (self.due[index] + poll.every).max(now);
        let Link::Up(session) = &mut self.link else {
            return;
        };
        let limit = poll.timeout.unwrap_or(definition.connection.timeout);
        match session.execute(&poll.text, Some(&poll.answer), limit) {
            Ok(value) => {
                if std::mem::take(&mut self.failing[index]) {
                    tell(
                        &definition.name,
                        &format!("the poll '{}' succeeds again", poll.name),
                    );
                }
                self.publish(poll, &value);
            }
            Err(error) => {
                if !std::mem::replace(&mut self.failing[index], true) {
                    tell(
                        &definition.name,
                        &format!("the poll '{}' failed: {error}", poll.name),
                    );
                }
                self.end_session_after(&error);
            }
        }
        // A poll that takes longer than its interval must not keep all requests waiting.
        self.due[index] = self.due[index].max(Instant::now());
    }

    fn publish(&self, poll: &Poll, value: &Value) {
        let notified = match &poll.answer.unit {
            Some(unit) => self.notifier.notify(args![poll.name, value, unit = unit]),
            None => self.notifier.notify(args![poll.name, value]),
        };
        let published = poll.topic.as_ref().map_or(Ok(()), |topic| {
            if poll.retain {
                self.notifier.publish_retained(topic, value)
            } else {
                self.notifier.publish(topic, value)
            }
        });
        // While the manager is not there, nobody hears of it.
        for error in [notified.err(), published.err()].into_iter().flatten() {
            debug!("the poll '{}' is not heard: {error}", poll.name);
        }
    }
}

/// Writes a line for people to standard error, as the service does about its manager.
fn tell(service: &str, event: &str) {
    warn!("{event}");
    let now = present().to_zoned(local_time_zone());
    let time = now.strftime("%Y-%m-%d %H:%M:%S");
    // There is no other place to report that standard error cannot be written.
    let _ = writeln!(io::stderr(), "{time} {}: {}", visible(service), visible(event));
}
