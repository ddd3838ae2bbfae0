//! One connection, from its first request to its last reply.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use labwire_device::{Confirmations, Connection, ConnectionReader, ReadError, Remains};
use labwire_wire::frames::json_string;
use labwire_wire::{Envelope, Line, Member, NOTIFICATION_UID, quoted};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, Sleep, sleep_until};
use tracing::{debug, error, info, warn};

use crate::attributes::DESCRIBE;
use crate::error::{RunError, ServiceError};
use crate::held::Held;
use crate::notifier::PUBLICATION_UID;
use crate::outbox::{Outbox, OutboxReceiver};
use crate::refusal_lines::RefusalLines;
use crate::refused_publications::RefusedPublications;
use crate::reply::{Reply, error_frame};
use crate::request::{Abandoned, Request};
use crate::sent::ReplyTo;
use crate::service::Service;
use crate::session::Session;
use crate::turn::{catch_panic, panicked};

/// The attribute that ends the service after its reply.
const SHUTDOWN: &str = "shutdown_service";

/// The attribute by which the manager confirms what it has read.
const RECEIVED: &str = "received";

/// The most bytes of requests in flight before reading stops. A single request may be larger.
const REQUEST_BYTES: usize = 64 * 1024 * 1024;

/// The most characters of a client's text in a log line.
const SHOWN: usize = 200;

/// How long the manager has to close the connection after the service's last frame.
const FAREWELL: Duration = Duration::from_secs(5);

/// The end of a connection.
pub(crate) enum End {
    /// The service was asked to shut down, and has disconnected from the manager.
    Orderly,
    /// The connection is lost. With a session, the service can return with what remains.
    Lost(RunError, Option<(labwire_device::Session, Remains)>),
}

/// The reason why no more requests are read.
enum Stopped {
    Asked,
    Lost(RunError),
}

pub(crate) struct Conversation<'a, S> {
    session: &'a Session<S>,
    /// The manager's name.
    manager: String,
    /// When to confirm what was received, if the manager keeps a session.
    confirmations: Option<Confirmations>,
    abandoned: Abandoned,
    /// The requests in flight. Each returns itself.
    requests: JoinSet<Request>,
    held: Held,
    held_bytes: usize,
    /// The last error from the manager, a possible reason why it closes the connection.
    told: Option<String>,
    refused: RefusedPublications,
    refusal_lines: RefusalLines,
    /// A channel through which a request shuts down the service after its reply.
    last_word: (mpsc::Sender<()>, mpsc::Receiver<()>),
}

impl<'a, S: Service> Conversation<'a, S> {
    pub(crate) fn new(session: &'a Session<S>) -> Self {
        Self {
            session,
            manager: String::new(),
            confirmations: None,
            abandoned: Abandoned::default(),
            requests: JoinSet::new(),
            held: Held::default(),
            held_bytes: 0,
            told: None,
            refused: RefusedPublications::default(),
            refusal_lines: RefusalLines::default(),
            last_word: mpsc::channel(1),
        }
    }

    /// Tells the requests in flight that their callers wait no longer. They are not interrupted: a
    /// method may be moving an instrument.
    pub(crate) fn abandon(&mut self) {
        std::mem::take(&mut self.abandoned).set();
        self.held.cancel_all();
    }

    /// Abandons the requests in flight for good: their replies are dropped.
    pub(crate) fn give_up(&mut self) {
        self.abandon();
        self.requests.detach_all();
    }

    /// Runs a connection until its end. Dropping the future drops all requests in flight. If the
    /// service can return to its session, they stay.
    pub(crate) async fn hold(
        &mut self,
        connection: Connection,
        (outbox, receiver): &mut (Outbox, OutboxReceiver),
    ) -> End {
        let outbox = &*outbox;
        let Connection {
            manager,
            session,
            mut reader,
            writer,
            ..
        } = connection;
        self.manager = manager;
        self.told = None;
        self.refusal_lines.forget();
        self.confirmations = None;
        if session.is_some() {
            receiver.keep();
            self.confirmations = Some(Confirmations::new(reader.received()));
        }
        let writing = receiver.write_to(writer);
        tokio::pin!(writing);
        let stopped = tokio::select! {
            stopped = self.read(&mut reader, outbox) => stopped,
            written = &mut writing => Stopped::Lost(self.broken(written, &mut reader, outbox).await),
        };
        if let Stopped::Lost(error) = stopped {
            // A line that is too long would come again.
            let returns = !matches!(error, RunError::Lost(ReadError::TooLong(_)));
            let back = session.filter(|_| returns);
            if back.is_none() {
                self.give_up();
            } else if !self.session.keeps_callers {
                self.abandon();
            }
            return End::Lost(error, back.map(|session| (session, reader.into_remains())));
        }
        let leaving = tokio::time::timeout(self.session.limits.grace, async {
            tokio::select! {
                () = self.finish(&mut reader, outbox) => {}
                written = &mut writing => return written,
            }
            writing.await
        });
        match leaving.await {
            Ok(Ok(())) => wait_for_the_end(&mut reader).await,
            Ok(Err(error)) => debug!("the connection was lost before the service had left: {error}"),
            Err(_) => warn!("some requests were not finished when the service ended"),
        }
        End::Orderly
    }

    /// Returns the error after a failed write. First reads what has arrived, since the manager may
    /// have sent the reason.
    /// With a session, the requests among it are executed: the manager does not send them again.
    async fn broken(
        &mut self,
        written: std::io::Result<()>,
        reader: &mut ConnectionReader,
        outbox: &Outbox,
    ) -> RunError {
        let error = written
            .err()
            .unwrap_or_else(|| std::io::ErrorKind::BrokenPipe.into());
        let hear = async {
            while let Ok(Some(line)) = reader.next_line().await {
                if self.confirmations.is_some() {
                    self.take(line, outbox);
                } else if let Ok(envelope) = Envelope::scan(line.content()) {
                    self.hear_error(&line, &envelope);
                }
            }
        };
        // The reason is in transit already, or was never sent.
        let _ = tokio::time::timeout(Duration::from_millis(200), hear).await;
        match self.told.take() {
            Some(message) => RunError::Closed {
                message: Some(message),
            },
            None => RunError::Lost(error.into()),
        }
    }

    async fn read(&mut self, reader: &mut ConnectionReader, outbox: &Outbox) -> Stopped {
        let handle = self.session.handle.clone();
        let asked = handle.shutting_down();
        tokio::pin!(asked);
        let (mut alarm, mut untold) = (Alarm::default(), Alarm::default());
        loop {
            untold.set(self.refusal_lines.deadline());
            alarm.set(self.confirmations.as_ref().and_then(Confirmations::deadline));
            let limits = &self.session.limits;
            let under_way = self.requests.len();
            let has_room = under_way == 0 || (under_way < limits.queue && self.held_bytes < REQUEST_BYTES);
            tokio::select! {
                biased;
                () = &mut asked => return Stopped::Asked,
                Some(()) = self.last_word.1.recv() => return Stopped::Asked,
                Some(done) = self.requests.join_next() => {
                    match done {
                        Ok(request) => {
                            self.held_bytes -= request.length();
                            self.held.remove(&request);
                        }
                        // Panics of methods are caught, and the end of a runtime ends this task as
                        // well.
                        Err(error) => error!("a request ended without an answer: {error}"),
                    }
                }
                line = reader.next_line(), if has_room => match line {
                    Ok(Some(line)) => {
                        let counts = self.take(line, outbox);
                        self.confirm(reader.received(), u32::from(counts), outbox);
                    }
                    Ok(None) => return Stopped::Lost(self.closed()),
                    Err(ReadError::Io(error)) if error.kind() == std::io::ErrorKind::UnexpectedEof => {
                        return Stopped::Lost(self.closed());
                    }
                    Err(error) => return Stopped::Lost(RunError::Lost(error)),
                },
                () = alarm.ring() => self.confirm(reader.received(), 0, outbox),
                () = untold.ring() => if let Some(text) = self.refusal_lines.take() {
                    self.session.lines.write(text);
                },
            }
        }
    }

    /// Notes that so many lines were received, and confirms them if that is due.
    fn confirm(&mut self, position: u64, lines: u32, outbox: &Outbox) {
        if let Some(confirmations) = &mut self.confirmations {
            let now = Instant::now().into_std();
            confirmations.note(position, lines, now);
            if let Some(position) = confirmations.take(now) {
                outbox.confirm(position);
            }
        }
    }

    fn closed(&mut self) -> RunError {
        RunError::Closed {
            message: self.told.take(),
        }
    }

    /// Finishes the requests in flight, then disconnects from the manager. If the connection is
    /// lost meanwhile, marks the requests as abandoned: their replies cannot be delivered.
    async fn finish(&mut self, reader: &mut ConnectionReader, outbox: &Outbox) {
        loop {
            tokio::select! {
                done = self.requests.join_next() => if done.is_none() {
                    break;
                },
                // New requests are dropped: the manager answers them when the service has
                // disconnected.
                line = reader.next_line() => if let Ok(Some(line)) = line {
                    self.hear_cancellation(&line);
                } else {
                    self.abandoned.set();
                    self.held.cancel_all();
                    outbox.end();
                    return;
                },
            }
        }
        let name = json_string(self.session.handle.name());
        let farewell = format!("{{\"attribute\":\"__disconnect__\",\"service\":{name}}}\r\n");
        // An error means that the connection is already lost.
        let _ = outbox.force(vec![farewell.into()]);
        outbox.end();
    }

    /// Handles a line from the manager. Returns whether it is one to confirm soon.
    fn take(&mut self, line: Line, outbox: &Outbox) -> bool {
        let envelope = match Envelope::scan(line.content()) {
            Ok(envelope) => envelope,
            Err(error) => {
                warn!("the manager sent what is no frame: {error}");
                return true;
            }
        };
        let uid = envelope.uid_or_empty(line.content());
        if envelope.has_result() && uid == *PUBLICATION_UID {
            self.hear_about_publication(&line, &envelope);
            return true;
        }
        if self.hear_error(&line, &envelope) {
            return true;
        }
        let is_of_manager = envelope.is_string(line.content(), Member::Requester, &self.manager);
        if is_of_manager && self.held.cancel(&line, &envelope) {
            return true;
        }
        let request = Request::read(line, &envelope, &self.abandoned, &self.session.handle, outbox);
        let Some(request) = request else {
            warn!("the manager sent a frame that is no request");
            return true;
        };
        if request.requester() == self.manager && request.uid().is_empty() {
            if let Some(position) = confirmed_by(&request) {
                outbox.confirmed(position);
                return false;
            }
            debug!(
                "{} says {}({})",
                self.manager,
                request.attribute(),
                request.args_json()
            );
            return true;
        }
        if *request.typed_uid() == *NOTIFICATION_UID {
            // An older manager would pass the reply on as a notification with the client's content.
            warn!(
                "{} uses the uid of notifications, which is reserved",
                request.requester()
            );
            return true;
        }
        self.execute(request, outbox);
        true
    }

    /// Handles the manager's answer to what the service has published.
    fn hear_about_publication(&mut self, line: &Line, envelope: &Envelope) {
        let content = line.content();
        if envelope.raw(content, Member::Error) == Some(b"true") {
            let message = envelope.string(content, Member::Message).ok().flatten();
            let message = message.unwrap_or_default();
            if let Some(text) = self.refused.note(&message, Instant::now().into_std()) {
                warn!("{text}");
            }
            if let Some(text) = self.refusal_lines.of_publication(&message) {
                self.session.lines.write(text);
            }
        }
    }

    /// Handles the manager's request to stop a request, if the line is one.
    fn hear_cancellation(&self, line: &Line) {
        if let Ok(envelope) = Envelope::scan(line.content())
            && envelope.is_string(line.content(), Member::Requester, &self.manager)
        {
            self.held.cancel(line, &envelope);
        }
    }

    /// Notes an error from the manager. Returns `false` if the frame is none.
    fn hear_error(&mut self, line: &Line, envelope: &Envelope) -> bool {
        let content = line.content();
        if envelope.raw(content, Member::Error) != Some(b"true") {
            return false;
        }
        let message = envelope.string(content, Member::Message).ok().flatten();
        let message = message.unwrap_or_default().into_owned();
        warn!("the manager says: {message}");
        self.refusal_lines.note_error(&message, Instant::now().into_std());
        self.told = Some(message);
        true
    }

    fn execute(&mut self, request: Request, outbox: &Outbox) {
        self.held_bytes += request.length();
        self.held.add(&request);
        info!(
            "{} requested {} [{} under way]",
            request.requester(),
            shown(request.attribute()),
            self.requests.len() + 1
        );
        let answer = self.answer(&request);
        let (outbox, last_word) = (outbox.clone(), self.last_word.0.clone());
        self.requests.spawn(async move {
            let result = match answer {
                Answer::Now(result) => result,
                Answer::Later(future) => catch_panic(future).await,
            };
            request.latest().end();
            let ends = result.is_ok() && request.attribute() == SHUTDOWN;
            let frame = match result {
                Ok(reply) => {
                    reply.into_frame(request.requester(), request.typed_uid(), outbox.takes_buffers())
                }
                Err(error) => {
                    warn!(
                        "{} failed: {}",
                        shown(request.attribute()),
                        shown(&error.to_string())
                    );
                    vec![error_frame(&error, request.requester(), request.typed_uid())]
                }
            };
            let reply_to = ReplyTo {
                requester: request.requester().to_owned(),
                uid: request.typed_uid().clone(),
            };
            if outbox.reply(frame, reply_to).await.is_err() {
                debug!("the reply to {} comes too late", request.requester());
            }
            if ends {
                // If the channel is full, the service is already shutting down.
                let _ = last_word.try_send(());
            }
            request
        });
    }

    fn answer(
        &self,
        request: &Request,
    ) -> Answer<impl Future<Output = Result<Reply, ServiceError>> + use<S>> {
        let attribute = request.attribute();
        if attribute.starts_with('_') {
            warn!(
                "{} requested the private {}",
                request.requester(),
                shown(attribute)
            );
            let error = ServiceError::new("PermissionError", "Cannot request a private attribute");
            return Answer::Now(Err(error));
        }
        if attribute == DESCRIBE && !self.session.describes_itself {
            let described = request
                .bind(&[])
                .map(|_| Reply::from_json(self.session.described.as_str()));
            return Answer::Now(described);
        }
        let service = Arc::clone(&self.session.service);
        let request = request.clone();
        match catch_unwind(AssertUnwindSafe(move || service.call(request))) {
            Ok(future) => Answer::Later(future),
            Err(panic) => {
                error!("a service must not panic when it is called");
                Answer::Now(Err(panicked(panic.as_ref())))
            }
        }
    }
}

/// Returns the position that the manager confirms with a request of its own, if it is that.
fn confirmed_by(request: &Request) -> Option<u64> {
    if request.attribute() != RECEIVED {
        return None;
    }
    let position = request.args_json().trim().strip_prefix('[')?.strip_suffix(']')?;
    position.trim().parse().ok()
}

/// A timer that rings at the time that was set first.
#[derive(Default)]
struct Alarm {
    /// Created when the timer is set for the first time.
    sleep: Option<Pin<Box<Sleep>>>,
    is_set: bool,
}

impl Alarm {
    fn set(&mut self, at: Option<std::time::Instant>) {
        let Some(at) = at.map(Instant::from_std).filter(|_| !self.is_set) else {
            return;
        };
        self.is_set = true;
        match &mut self.sleep {
            Some(sleep) => sleep.as_mut().reset(at),
            None => self.sleep = Some(Box::pin(sleep_until(at))),
        }
    }

    /// Waits until the timer rings, perhaps too early; for ever if it is not set. Cancel safe.
    async fn ring(&mut self) {
        match (&mut self.sleep, self.is_set) {
            (Some(sleep), true) => {
                sleep.await;
                self.is_set = false;
            }
            _ => std::future::pending().await,
        }
    }
}

/// Formats a client's text for the log: on one line, and truncated.
fn shown(text: &str) -> String {
    let end = text.char_indices().nth(SHOWN).map_or(text.len(), |(end, _)| end);
    let dots = if end < text.len() { "…" } else { "" };
    format!("{}{dots}", quoted(&text[..end]))
}

enum Answer<F> {
    Now(Result<Reply, ServiceError>),
    Later(F),
}

/// Waits until the manager has closed the connection, so that it has removed the service when this
/// one ends.
async fn wait_for_the_end(reader: &mut ConnectionReader) {
    let closed = async { while let Ok(Some(_)) = reader.next_line().await {} };
    if tokio::time::timeout(FAREWELL, closed).await.is_err() {
        debug!("the manager keeps the connection of a service that has left");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_log_shows_what_a_client_wrote_on_one_line_and_shortened() {
        assert_eq!(shown("read\n\u{1b}[2J"), "'read\\n\\x1b[2J'");
        assert_eq!(shown(&"é".repeat(SHOWN + 1)).chars().count(), SHOWN + 3);
    }
}
