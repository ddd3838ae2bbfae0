//! The task that owns a client's connection and its engine, and does the I/O.

use std::future::{Future, pending};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use labwire_device::{
    ConnectError, ConnectOptions, Connection, ConnectionReader, ConnectionWriter, Introduction, ReadError,
    Reconnector, Remains, Session, answer_question,
};
use labwire_wire::Line;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::sync::mpsc::error::TryRecvError;
use tokio::time::{Instant, Sleep};
use tracing::{debug, warn};

use crate::command::Command;
use crate::engine::{Answer, Arrival, Engine, Wish};
use crate::status::About;

/// The most frames to hand to the writer at once. More are not faster, and a frame that was handed
/// out counts as written.
const FRAMES: usize = 256;

/// The most commands to receive at once.
const COMMANDS: usize = 256;

/// The most buffered lines to handle before frames are written again.
const LINES: usize = 256;

/// How long to continue reading after a failed write, since the manager may have sent the reason;
/// and the time limit for closing.
const LAST_WORDS: Duration = Duration::from_secs(4);

/// The reason for the end of a connection that the manager has closed.
const CLOSED: &str = "the manager closed the connection";

/// Owns a client's connection and its engine until the client leaves, or the connection is lost and
/// is not made again.
///
/// Dropping the engine ends all requests. This covers a runtime that ends before the task has run
/// for the first time.
pub(crate) struct Driver {
    engine: Engine,
    commands: Commands,
    alarm: Alarm,
    options: ConnectOptions,
    introduction: Introduction,
}

/// A failed write. Reading continues until this time, since the manager may have sent the reason.
struct Broken {
    reason: String,
    until: Instant,
}

/// The end of reading.
enum Ended {
    /// The manager closed the connection.
    Closed,
    Failed(ReadError),
}

/// A connection that was lost, or is not used any more.
struct Lost {
    reason: String,
    /// The session, and what is needed to return to it, if that is possible.
    back: Option<(Session, Remains)>,
}

impl Lost {
    /// A connection to which nobody returns.
    fn finally(reason: impl Into<String>) -> Self {
        Self {
            reason: reason.into(),
            back: None,
        }
    }

    /// A connection with a session to return to, if it has one.
    fn returning(reason: impl Into<String>, session: Option<Session>, reader: ConnectionReader) -> Self {
        Self {
            reason: reason.into(),
            back: session.map(|session| (session, reader.into_remains())),
        }
    }
}

impl Driver {
    pub(crate) fn new(
        engine: Engine,
        commands: UnboundedReceiver<Command>,
        options: ConnectOptions,
        introduction: Introduction,
    ) -> Self {
        Self {
            engine,
            commands: Commands::new(commands),
            alarm: Alarm::default(),
            options,
            introduction,
        }
    }

    pub(crate) async fn run(mut self, connection: Connection) {
        let mut reconnector = Reconnector::new(&self.options, &self.introduction);
        if reconnector.is_none() && connection.session.is_some() {
            reconnector = Some(Reconnector::for_session(&self.options, &self.introduction));
        }
        let mut connection = Some(connection);
        loop {
            match (self.engine.wish(), &mut reconnector) {
                (Wish::Serve, _) => {
                    let Some(connection) = connection.take() else {
                        return;
                    };
                    let Lost { reason, back } = self.serve(connection).await;
                    // A `Disconnect` that was sent before the connection was lost prevents a
                    // reconnect.
                    self.commands.obey_sent(&mut self.engine);
                    self.engine.disconnected(&reason, back.is_some(), now());
                    if let (Some((session, remains)), Some(reconnector)) = (back, &mut reconnector) {
                        reconnector.return_to(session, remains);
                    }
                }
                (Wish::Reconnect, Some(reconnector)) => {
                    connection = self.come_back(reconnector).await;
                    if let Some(connection) = &connection {
                        let arrival = Arrival {
                            grace: connection.session.as_ref().map(Session::grace),
                            resumed: connection.resumed.clone(),
                            locks: kept_locks(connection),
                        };
                        self.engine.connected(About::new(connection), &arrival);
                    }
                }
                (Wish::Reconnect, None) | (Wish::End, _) => return,
            }
        }
    }

    /// Uses a connection until it ends or the engine no longer wants it. Returns the reason.
    async fn serve(&mut self, connection: Connection) -> Lost {
        let Connection {
            mut reader,
            mut writer,
            session,
            ..
        } = connection;
        let mut answering = Answering(None);
        let mut broken: Option<Broken> = None;
        while self.engine.wish() == Wish::Serve {
            if writer.is_idle() {
                // Frames of these commands are written with the same system call.
                self.commands.obey_sent(&mut self.engine);
                fill(&mut writer, &mut self.engine);
            }
            if let Some(question) = self.engine.poll_question() {
                answering = Answering(Some(Box::pin(answer(self.options.clone(), question))));
            }
            self.alarm.set(self.engine.next_deadline());
            tokio::select! {
                written = writer.write_pushed(), if !writer.is_idle() && broken.is_none() => match written {
                    Ok(()) => self.engine.frames_written(now()),
                    Err(error) => broken = Some(Broken {
                        reason: format!("the connection was lost: {error}"),
                        until: Instant::now() + LAST_WORDS,
                    }),
                },
                () = self.commands.obey(&mut self.engine) => {}
                line = reader.next_line() => match self.take_lines(&mut reader, line) {
                    Ok(()) => {}
                    Err(Ended::Closed) => {
                        close(&mut writer).await;
                        return Lost::returning(CLOSED, session, reader);
                    }
                    Err(Ended::Failed(error @ ReadError::TooLong(_))) => {
                        // The line would come again. The writer says goodbye when it is dropped.
                        return Lost::finally(describe(&error));
                    }
                    Err(Ended::Failed(error)) => return Lost::returning(describe(&error), session, reader),
                },
                answer = answering.next() => self.engine.handle_answer(answer),
                reason = heard(&mut broken), if broken.is_some() => {
                    return Lost::returning(reason, session, reader);
                }
                () = self.alarm.ring() => self.engine.handle_timeout(now()),
            }
        }
        close(&mut writer).await;
        Lost::finally("the client does not use the connection any more")
    }

    /// Handles a line, and those that are buffered behind it.
    fn take_lines(
        &mut self,
        reader: &mut ConnectionReader,
        first: Result<Option<Line>, ReadError>,
    ) -> Result<(), Ended> {
        // A command that was sent before the line arrived takes effect first. Otherwise a new
        // reader could miss a notification.
        self.commands.obey_sent(&mut self.engine);
        let line = first.map_err(Ended::Failed)?.ok_or(Ended::Closed)?;
        let now = now();
        self.engine.handle_line(line, now);
        for _ in 1..LINES {
            let Some(line) = reader.buffered_line().map_err(Ended::Failed)? else {
                break;
            };
            self.engine.handle_line(line, now);
        }
        self.engine.handle_received(reader.received(), now);
        Ok(())
    }

    /// Connects again. Returns `None` if the manager refuses permanently or the client disconnects.
    async fn come_back(&mut self, reconnector: &mut Reconnector) -> Option<Connection> {
        while self.engine.wish() == Wish::Reconnect {
            let has_session = self.engine.keeps_session();
            if !has_session {
                reconnector.discard_session();
            }
            let connecting = reconnector.reconnect();
            tokio::pin!(connecting);
            while self.engine.wish() == Wish::Reconnect && self.engine.keeps_session() == has_session {
                self.alarm.set(self.engine.next_deadline());
                tokio::select! {
                    connected = &mut connecting => match connected {
                        Ok(connection) => return Some(connection),
                        Err(error) => {
                            warn!("the connection was lost and cannot be made again: {error}");
                            if self.options.backoff().is_some() {
                                self.engine.close(&error.to_string());
                            } else {
                                self.engine.cannot_return(&why_not_back(&error));
                            }
                        }
                    },
                    () = self.commands.obey(&mut self.engine) => {}
                    () = self.alarm.ring() => self.engine.handle_timeout(now()),
                }
            }
        }
        None
    }
}

/// Returns the services on which the manager keeps a lock for the client.
fn kept_locks(connection: &Connection) -> Vec<Arc<str>> {
    let locks = connection.session.as_ref().map(Session::locks);
    locks
        .into_iter()
        .flatten()
        .map(|service| Arc::from(service.as_str()))
        .collect()
}

/// Hands the next frames to the writer, which has written those before them.
fn fill(writer: &mut ConnectionWriter, engine: &mut Engine) {
    for _ in 0..FRAMES {
        let Some(frame) = engine.poll_frame() else {
            return;
        };
        writer.push(frame);
    }
}

/// Closes the writing side, unless a frame is only partly written.
async fn close(writer: &mut ConnectionWriter) {
    if writer.is_idle() {
        // The connection is dropped next, whatever closing returns.
        let _ = tokio::time::timeout(LAST_WORDS, writer.close()).await;
    }
}

/// Waits until the time for the manager's last words is over. Returns the reason.
async fn heard(broken: &mut Option<Broken>) -> String {
    match broken {
        Some(Broken { reason, until }) => {
            tokio::time::sleep_until(*until).await;
            std::mem::take(reason)
        }
        None => pending().await,
    }
}

fn now() -> std::time::Instant {
    Instant::now().into_std()
}

/// Formats the reason why the client cannot return to its session.
fn why_not_back(error: &ConnectError) -> String {
    if error.has_no_session() {
        "the manager was restarted, or the time of the session is over".to_owned()
    } else {
        error.to_string()
    }
}

/// Formats the reason why reading has failed.
fn describe(error: &ReadError) -> String {
    match error {
        // Without the goodbye of TLS, as a manager ends that is stopped.
        ReadError::Io(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => CLOSED.to_owned(),
        ReadError::Io(error) => format!("the connection to the manager was lost: {error}"),
        ReadError::Vanished(_) | ReadError::TooLong(_) => error.to_string(),
    }
}

/// Answers a question of the manager. A person may have to type the answer.
async fn answer(options: ConnectOptions, question: Line) -> Answer {
    match answer_question(&options, &question).await {
        Some(Ok(frame)) => Answer::Frame(frame),
        Some(Err(ConnectError::NoAnswer(missing))) => Answer::Missing(missing),
        Some(Err(error)) => {
            warn!("the manager's question cannot be answered: {error}");
            Answer::Nothing
        }
        None => {
            debug!("the manager sent a request that means nothing to a client");
            Answer::Nothing
        }
    }
}

/// The receiving end of the handles' commands.
struct Commands {
    receiver: UnboundedReceiver<Command>,
    batch: Vec<Command>,
    /// Whether all handles are dropped and the engine was notified.
    is_deserted: bool,
}

impl Commands {
    fn new(receiver: UnboundedReceiver<Command>) -> Self {
        Self {
            receiver,
            batch: Vec::new(),
            is_deserted: false,
        }
    }

    /// Waits for commands and passes them to the engine. Disconnects once all handles are dropped.
    ///
    /// Cancel safe: no command is lost.
    async fn obey(&mut self, engine: &mut Engine) {
        if self.is_deserted {
            return pending().await;
        }
        let count = self.receiver.recv_many(&mut self.batch, COMMANDS).await;
        let now = now();
        for command in self.batch.drain(..) {
            engine.handle_command(command, now);
        }
        if count == 0 {
            self.is_deserted = true;
            engine.handle_command(Command::Disconnect, now);
        }
    }

    /// Passes the commands to the engine that were sent already.
    fn obey_sent(&mut self, engine: &mut Engine) {
        loop {
            match self.receiver.try_recv() {
                Ok(command) => engine.handle_command(command, now()),
                Err(TryRecvError::Empty) => return,
                Err(TryRecvError::Disconnected) => {
                    self.is_deserted = true;
                    return engine.handle_command(Command::Disconnect, now());
                }
            }
        }
    }
}

/// The future that answers a question, if there is one.
struct Answering(Option<Pin<Box<dyn Future<Output = Answer> + Send>>>);

impl Answering {
    /// Waits for the answer; for ever if there is no question.
    async fn next(&mut self) -> Answer {
        match &mut self.0 {
            Some(answer) => {
                let answer = answer.await;
                self.0 = None;
                answer
            }
            None => pending().await,
        }
    }
}

/// The driver's timer.
#[derive(Default)]
struct Alarm {
    /// Created when the timer is set for the first time.
    sleep: Option<Pin<Box<Sleep>>>,
    set: Option<Instant>,
}

impl Alarm {
    /// Sets the timer, unless it is already set to an earlier time. It may fire too early, never
    /// too late: resetting it on every reply would cost more.
    fn set(&mut self, at: Option<std::time::Instant>) {
        let Some(at) = at.map(Instant::from_std) else {
            return;
        };
        if self.set.is_some_and(|set| set <= at) {
            return;
        }
        self.set = Some(at);
        match &mut self.sleep {
            Some(sleep) => sleep.as_mut().reset(at),
            None => self.sleep = Some(Box::pin(tokio::time::sleep_until(at))),
        }
    }

    /// Waits until the timer rings; for ever if it is not set. Cancel safe.
    async fn ring(&mut self) {
        match (&mut self.sleep, self.set) {
            (Some(sleep), Some(_)) => {
                sleep.await;
                self.set = None;
            }
            _ => pending().await,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Error, ErrorKind};

    use super::*;

    #[test]
    fn a_manager_that_has_gone_without_a_goodbye_has_closed_the_connection() {
        let of_tls = Error::new(
            ErrorKind::UnexpectedEof,
            "peer closed connection without sending TLS close_notify: https://docs.rs/rustls",
        );
        assert_eq!(
            describe(&ReadError::Io(of_tls)),
            "the manager closed the connection"
        );
        let reset = describe(&ReadError::Io(ErrorKind::ConnectionReset.into()));
        assert!(
            reset.starts_with("the connection to the manager was lost: "),
            "{reset}"
        );
    }

    #[test]
    fn a_session_that_is_gone_is_told_in_words_of_people() {
        let refused = |message: &str| ConnectError::Refused {
            message: message.to_owned(),
        };
        let gone = "KeyError: there is no session with this secret: register without it";
        assert_eq!(
            why_not_back(&refused(gone)),
            "the manager was restarted, or the time of the session is over"
        );
        assert!(why_not_back(&refused("ValueError: wrong")).contains("ValueError: wrong"));
    }
}
