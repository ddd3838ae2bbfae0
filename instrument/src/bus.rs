//! The thread that speaks with the instrument: requests and polls, one after the other.

use std::io::{self, Write};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use labwire_home::{local_time_zone, present};
use labwire_service::{Notifier, Request, ServiceError, args};
use labwire_wire::visible;
use tokio::sync::oneshot;
use tracing::{debug, warn};

use crate::answer::Answer;
use crate::definition::{Definition, Poll};
use crate::session::{ExchangeError, OpenError, Outstanding, Session, nobody};
use crate::state::{Moment, SharedState, State};
use crate::value::Value;
use crate::waiting::{Next, NotQueued, Waiting};

/// The most requests that wait for the instrument.
const WAITING: usize = 1_000;

/// How often an idle connection is looked at.
const LOOK: Duration = Duration::from_secs(1);

/// The first wait between two attempts to connect. It doubles up to that of the file.
const FIRST_RETRY: Duration = Duration::from_millis(500);

/// A connection that has lasted this long was a good one, also if nothing was answered.
const STEADY: Duration = Duration::from_secs(1);

/// The most lines for people in [`TOLD_TIME`].
const MOST_TOLD: u32 = 20;

/// See [`MOST_TOLD`].
const TOLD_TIME: Duration = Duration::from_mins(1);

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

#[derive(Debug)]
struct Job {
    work: Work,
    request: Request,
    reply: oneshot::Sender<Result<Value, ServiceError>>,
}

/// The queue of the thread. When it is dropped, the thread closes the connection and ends.
#[derive(Debug)]
pub(crate) struct Bus {
    jobs: Arc<Waiting<Job>>,
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
        let mut outstanding = Outstanding::default();
        let (link, state) = match Session::open(&definition, nobody(), &mut outstanding, true) {
            Ok(session) => (Link::up(session), None),
            Err(error @ OpenError::Wrong { .. }) => return Err(io::Error::other(error.to_string())),
            Err(error) => {
                let why = error.to_string();
                (
                    Link::Down {
                        at: Instant::now() + FIRST_RETRY,
                        outstanding,
                    },
                    Some(why),
                )
            }
        };
        let jobs = Arc::new(Waiting::new(WAITING));
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
            jobs: Arc::clone(&jobs),
            state: Arc::clone(&state),
            link,
            notifier,
            opened: begin,
            has_worked: false,
            retry: FIRST_RETRY,
            told: Told {
                since: begin,
                lines: 0,
            },
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

    /// Queues work, behind all that the same client has queued before.
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
        let client = job.request.requester().to_owned();
        match self.jobs.push(&client, job) {
            Ok(()) => Ok(result),
            Err(NotQueued::Full { own }) => Err(ServiceError::new(
                "RuntimeError",
                format!(
                    "too many requests wait for the instrument, {own} of them of this client; nothing was sent: wait \
                     for replies before the next requests"
                ),
            )),
            Err(NotQueued::Closed) => Err(gone()),
        }
    }
}

impl Drop for Bus {
    fn drop(&mut self) {
        self.jobs.close();
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
        /// When the next attempt is due.
        at: Instant,
        /// What may still be answered.
        outstanding: Outstanding,
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

/// Why work has no result.
enum Failed {
    /// The connection was closed, and nothing was sent.
    NotSent(ServiceError),
    Other(ServiceError),
}

impl Failed {
    fn into_error(self) -> ServiceError {
        match self {
            Self::NotSent(error) | Self::Other(error) => error,
        }
    }
}

/// How many lines were told.
struct Told {
    since: Instant,
    lines: u32,
}

struct BusThread {
    definition: Arc<Definition>,
    jobs: Arc<Waiting<Job>>,
    state: Arc<SharedState>,
    link: Link,
    /// When it was opened.
    opened: Instant,
    /// Whether the instrument has answered a command since.
    has_worked: bool,
    /// The wait before the next attempt to connect, if the last connection was no good one.
    retry: Duration,
    told: Told,
    notifier: Notifier,
    /// When each poll is due.
    due: Vec<Instant>,
    /// Which polls have failed the last time.
    failing: Vec<bool>,
}

impl Drop for BusThread {
    fn drop(&mut self) {
        self.jobs.abandon();
    }
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
            match self.jobs.next(wake) {
                Next::One(job) => self.serve(job),
                Next::Nothing => self.look(),
                Next::Closed => return,
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

    /// Executes work. If the connection turns out to be closed before anything was sent, as after a while without
    /// commands, it is opened again first, once.
    fn work(&mut self, work: &Work) -> Result<Value, ServiceError> {
        self.try_work(work).or_else(|error| match error {
            Failed::NotSent(error) => {
                if let Link::Down { at, .. } = &self.link
                    && *at <= Instant::now()
                {
                    self.connect();
                    return self.try_work(work).map_err(Failed::into_error);
                }
                Err(error)
            }
            Failed::Other(error) => Err(error),
        })
    }

    fn try_work(&mut self, work: &Work) -> Result<Value, Failed> {
        let Link::Up(session) = &mut self.link else {
            let refusal = self
                .state
                .get()
                .refusal(&self.definition.address())
                .unwrap_or_default();
            return Err(Failed::Other(ServiceError::new("ConnectionError", refusal)));
        };
        let done = match work {
            Work::Command { text, answer, limit } => {
                let done = session.execute(text, answer.as_ref(), *limit);
                self.has_worked |= has_answered(&done) && answer.is_some();
                done
            }
            Work::Errors => session
                .read_errors("errors()")
                .map(|errors| Value::List(errors.into_iter().map(Value::Text).collect())),
        };
        done.map_err(|error| {
            self.end_session_after(&error);
            let failed = ServiceError::new(error.kind(), error.to_string());
            match error {
                ExchangeError::NotSent(_) => Failed::NotSent(failed),
                _ => Failed::Other(failed),
            }
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

    /// Closes the connection, and connects again: at once if it was a good one. An instrument that accepts connections
    /// and closes them is tried with waits that double, as one that accepts none.
    fn lose(&mut self, why: &str) {
        self.tell(&format!("{why}; connecting to the instrument again"));
        self.state.set(State::unreachable(why));
        let now = Instant::now();
        let down = Link::Down {
            at: now,
            outstanding: Outstanding::default(),
        };
        let outstanding = match std::mem::replace(&mut self.link, down) {
            Link::Up(session) => session.close(),
            Link::Down { outstanding, .. } => outstanding,
        };
        let at = if self.has_worked || self.opened.elapsed() >= STEADY {
            self.retry = FIRST_RETRY;
            now
        } else {
            now + self.next_wait()
        };
        self.link = Link::Down { at, outstanding };
    }

    /// Returns the wait before the next attempt to connect. The one after that is twice as long.
    fn next_wait(&mut self) -> Duration {
        let longest = self.definition.connection.retry;
        let wait = self.retry.min(longest);
        self.retry = (self.retry * 2).min(longest);
        wait
    }

    fn connect(&mut self) {
        let Link::Down { outstanding, .. } = &mut self.link else {
            return;
        };
        let mut outstanding = std::mem::take(outstanding);
        match Session::open(&self.definition, nobody(), &mut outstanding, false) {
            Ok(session) => {
                let identity = session.identity().unwrap_or("it does not identify itself");
                self.tell(&format!("the instrument is reachable: {identity}"));
                self.state.set(ready(&session));
                self.link = Link::up(session);
                self.opened = Instant::now();
                self.has_worked = false;
            }
            Err(error) => {
                debug!("cannot connect: {error}");
                if let State::Unreachable { since, why } = self.state.get() {
                    let told = error.to_string();
                    if told != why {
                        self.tell(&format!("the instrument is not reachable: {told}"));
                    }
                    self.state.set(State::Unreachable { since, why: told });
                }
                self.link = Link::Down {
                    at: Instant::now() + self.next_wait(),
                    outstanding,
                };
            }
        }
    }

    /// Tells people what has happened. A connection that comes and goes all the time does not fill their log.
    fn tell(&mut self, event: &str) {
        let now = Instant::now();
        if now.duration_since(self.told.since) >= TOLD_TIME {
            self.told = Told { since: now, lines: 0 };
        }
        self.told.lines += 1;
        match self.told.lines {
            MOST_TOLD => {
                let time = TOLD_TIME.as_secs();
                let event = format!("{event}; further lines within {time} s after the first are left out");
                tell(&self.definition.name, &event);
            }
            lines if lines < MOST_TOLD => tell(&self.definition.name, event),
            _ => debug!("{event}"),
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
        let done = session.execute(&poll.text, Some(&poll.answer), limit);
        self.has_worked |= has_answered(&done);
        match done {
            Ok(value) => {
                if std::mem::take(&mut self.failing[index]) {
                    self.tell(&format!("the poll '{}' succeeds again", poll.name));
                }
                self.publish(poll, &value);
            }
            Err(error) => {
                if !std::mem::replace(&mut self.failing[index], true) {
                    self.tell(&format!("the poll '{}' failed: {error}", poll.name));
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

/// Whether the instrument has answered a query.
fn has_answered(done: &Result<Value, ExchangeError>) -> bool {
    matches!(
        done,
        Ok(_) | Err(ExchangeError::Instrument { .. } | ExchangeError::Form { .. })
    )
}

/// Writes a line for people to standard error, as the service does about its manager.
fn tell(service: &str, event: &str) {
    warn!("{event}");
    let now = present().to_zoned(local_time_zone());
    let time = now.strftime("%Y-%m-%d %H:%M:%S");
    // There is no other place to report that standard error cannot be written.
    let _ = writeln!(io::stderr(), "{time} {}: {}", visible(service), visible(event));
}
