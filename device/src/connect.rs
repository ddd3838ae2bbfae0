//! Connects to a manager and introduces the device.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use labwire_home::hostname;
use labwire_wire::{
    Envelope, Line, Member, RawString, SessionBegun, SessionResumed, array_elements, as_string, frames,
};
use tracing::debug;

use crate::client_certificate::refused;
use crate::connection::{Connection, ConnectionReader, ConnectionWriter};
use crate::dial::{Clock, Dialled, dial};
use crate::error::{ConnectError, ReadError};
use crate::introduction::{BINARY, Introduction, REGISTERED, RESUMED};
use crate::options::ConnectOptions;
use crate::presented::fetch;
use crate::questions::Question;
use crate::session::{Resumed, Return, Session};

/// How long a manager has to confirm that it has accepted a client. An older manager sends no
/// confirmation.
const CLIENT_TAKEN_IN: Duration = Duration::from_secs(1);

/// The same for a service: a manager may first ask the service that has the name whether it still
/// responds.
const SERVICE_TAKEN_IN: Duration = Duration::from_millis(2_500);

/// The longest line before the manager has asked for the identity, in bytes. Whatever answers at an
/// address must not fill the memory before it has shown that it is a manager.
const HANDSHAKE_LINE: usize = 64 * 1024;

/// How long a manager without TLS may be silent before it is asked for TLS.
const SILENCE: Duration = Duration::from_secs(1);

/// Connects to a manager, answers its questions and introduces the device.
///
/// Cancel safe: if the future is dropped early, the connection is closed. Only a certificate that
/// was saved on first use and the answers of a person are kept.
///
/// ```
/// use labwire_device::{ConnectOptions, Introduction, connect};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let manager = labwire_testing::TestManager::start().await;
/// let options = ConnectOptions::new().port(manager.port()).without_tls();
/// let connection = connect(&options, &Introduction::client("Ada")).await?;
/// assert!(connection.network_name.starts_with("Ada["));
/// assert!(connection.manager.starts_with("Manager["));
/// # Ok(())
/// # }
/// ```
pub async fn connect(
    options: &ConnectOptions,
    introduction: &Introduction,
) -> Result<Connection, ConnectError> {
    connect_or_return(options, introduction, None).await
}

/// Connects, and returns to a session if there is one to return to.
pub(crate) async fn connect_or_return(
    options: &ConnectOptions,
    introduction: &Introduction,
    back: Option<&Return>,
) -> Result<Connection, ConnectError> {
    let mut clock = Clock::start(options);
    let mut asked = false;
    loop {
        let dialled = dial(options, &mut clock).await?;
        let connected = introduce((options, introduction, back), &mut clock, dialled, &mut asked).await;
        match connected {
            // A person typed for longer than the manager waits. The answers are now known.
            Err(error) if asked && error.is_transient() => asked = false,
            Err(error @ ConnectError::Refused { .. }) if !error.is_transient() => {
                options.credentials.forget_asked();
                return Err(error);
            }
            connected => return connected,
        }
    }
}

async fn introduce(
    (options, introduction, back): (&ConnectOptions, &Introduction, Option<&Return>),
    clock: &mut Clock,
    dialled: Dialled,
    asked: &mut bool,
) -> Result<Connection, ConnectError> {
    let (reader, writer) = tokio::io::split(dialled.stream);
    let mut conversation = Conversation {
        options,
        reader: ConnectionReader::new(reader, options.read_limit.min(HANDSHAKE_LINE)),
        writer: ConnectionWriter::new(writer),
    };
    let identity = introduction.to_json(back.map(Return::request))?;
    let mut is_first = true;
    let manager = loop {
        let request = if std::mem::take(&mut is_first) {
            clock.limit(options, conversation.read_first()).await??
        } else {
            clock.limit(options, conversation.read()).await??
        };
        if request.attribute == "identity" {
            clock
                .limit(options, conversation.answer(&request.manager, &identity))
                .await??;
            break request.manager;
        }
        let Some(question) = Question::read(&request.attribute, &request.argument) else {
            return Err(not_a_manager(options, request.attribute.as_bytes()));
        };
        let answer = clock.stopped(options.credentials.answer(&question)).await?;
        *asked |= answer.asked;
        let answer = frames::json_string(&answer.text);
        clock
            .limit(options, conversation.answer(&request.manager, &answer))
            .await??;
    };
    conversation.reader.set_limit(options.read_limit);
    // Not limited by the clock: if less time than this were left, no connection to an older manager
    // would succeed.
    let patience = match back {
        Some(_) => options.timeout,
        None if introduction.is_service() => SERVICE_TAKEN_IN,
        None => CLIENT_TAKEN_IN,
    };
    let waiting = tokio::time::timeout(patience, conversation.read_registered(back));
    let taken_in = match waiting.await {
        Ok(taken_in) => taken_in?,
        Err(_) if back.is_some() => {
            return Err(ConnectError::TimedOut {
                address: options.address(),
                timeout: options.timeout,
                tls: options.tls,
            });
        }
        Err(_) => TakenIn::default(),
    };
    if taken_in.binary {
        conversation.reader.expect_buffers();
    }
    debug!("connected to {manager}");
    let network_name = taken_in
        .network_name
        .unwrap_or_else(|| format!("{}[{}:{}]", introduction.name(), hostname(), dialled.local_port));
    if taken_in.session.is_some() {
        let farewell = goodbye(introduction.name());
        conversation
            .writer
            .say_when_dropped(farewell, &conversation.reader);
    }
    Ok(Connection {
        network_name,
        manager,
        local_port: dialled.local_port,
        session: taken_in.session,
        resumed: taken_in.resumed,
        binary: taken_in.binary,
        reader: conversation.reader,
        writer: conversation.writer,
    })
}

/// Returns the frame by which a device leaves.
pub(crate) fn goodbye(name: &str) -> Bytes {
    let name = frames::json_string(name);
    format!("{{\"attribute\":\"__disconnect__\",\"service\":{name}}}\r\n").into()
}

/// A request of the manager.
struct ManagerRequest {
    manager: String,
    attribute: String,
    argument: String,
    kwargs: Vec<u8>,
}

/// What the manager has said when it accepted the device: nothing if it is an older one.
#[derive(Default)]
struct TakenIn {
    network_name: Option<String>,
    session: Option<Session>,
    resumed: Option<Resumed>,
    /// Whether the manager has the feature `binary`.
    binary: bool,
}

struct Conversation<'a> {
    options: &'a ConnectOptions,
    reader: ConnectionReader,
    writer: ConnectionWriter,
}

impl Conversation<'_> {
    async fn next_line(&mut self) -> Result<Line, ConnectError> {
        let address = || self.options.address();
        match self.reader.next_line().await {
            Ok(Some(line)) => Ok(line),
            Ok(None) => Err(ConnectError::Closed { address: address() }),
            Err(ReadError::Io(error)) if error.kind() == std::io::ErrorKind::UnexpectedEof => {
                Err(ConnectError::Closed { address: address() })
            }
            Err(ReadError::Io(error)) if refused(&error).is_some() => Err(ConnectError::CertificateRefused {
                address: address(),
                reason: refused(&error).unwrap_or_default(),
            }),
            Err(ReadError::Io(error) | ReadError::Vanished(error)) => Err(ConnectError::Unreachable {
                address: address(),
                reason: Arc::new(error),
            }),
            Err(ReadError::TooLong(_)) => Err(not_a_manager(self.options, self.reader.unfinished())),
        }
    }

    async fn read(&mut self) -> Result<ManagerRequest, ConnectError> {
        let line = self.next_line().await?;
        read_request(&line).map_err(|refusal| self.refused(&line, refusal))
    }

    /// Waits for the first request. A manager with TLS sends none, since it waits for this side, so
    /// one that stays silent is asked for TLS on another connection.
    async fn read_first(&mut self) -> Result<ManagerRequest, ConnectError> {
        let options = self.options;
        let mut reading = std::pin::pin!(self.read());
        if options.tls {
            return reading.await;
        }
        let patience = SILENCE.min(options.timeout / 4);
        if let Ok(read) = tokio::time::timeout(patience, &mut reading).await {
            return read;
        }
        let answers_tls = async {
            // Anything but TLS is for the first connection to find out.
            if fetch(options).await.is_err() {
                std::future::pending::<()>().await;
            }
        };
        tokio::select! {
            biased;
            read = reading => read,
            () = answers_tls => Err(ConnectError::TlsExpected { address: options.address() }),
        }
    }

    fn refused(&self, line: &Line, message: Option<String>) -> ConnectError {
        match message {
            Some(message) => ConnectError::Refused { message },
            None => not_a_manager(self.options, line.content()),
        }
    }

    async fn answer(&mut self, manager: &str, result: &str) -> Result<(), ConnectError> {
        let frame = frames::result(manager, "", result.as_bytes());
        self.writer
            .write(&[frame])
            .await
            .map_err(|error| ConnectError::Unreachable {
                address: self.options.address(),
                reason: Arc::new(error),
            })
    }

    /// Returns the name under which the manager has accepted the device, and its session. They are
    /// `None` if the manager sends no confirmation.
    async fn read_registered(&mut self, back: Option<&Return>) -> Result<TakenIn, ConnectError> {
        let line = self.next_line().await?;
        match (read_request(&line), back) {
            (Ok(request), _) if request.attribute == REGISTERED => {
                self.reader.count_from(0);
                Ok(TakenIn {
                    network_name: Some(request.argument),
                    session: SessionBegun::from_kwargs(&request.kwargs).map(Session::begun),
                    resumed: None,
                    binary: knows_binary(&request.kwargs),
                })
            }
            (Ok(request), Some(back)) if request.attribute == RESUMED => {
                let resumed = SessionResumed::from_kwargs(&request.kwargs);
                let resumed = resumed.ok_or_else(|| not_a_manager(self.options, line.content()))?;
                self.reader.count_from(resumed.from);
                self.reader.prepend(back.unhandled(resumed.from));
                Ok(TakenIn {
                    network_name: Some(request.argument),
                    session: Some(back.session.resumed(&resumed)),
                    resumed: Some(Resumed {
                        received: resumed.received,
                        lost: resumed.from.saturating_sub(back.remains.received),
                        in_flight: resumed.in_flight,
                    }),
                    binary: knows_binary(&request.kwargs),
                })
            }
            (Err(Some(message)), _) => Err(ConnectError::Refused { message }),
            // An older manager, whose first request is already for the device.
            (Ok(_) | Err(None), _) => {
                self.reader.give_back(line);
                Ok(TakenIn::default())
            }
        }
    }
}

/// Returns whether the manager says, in the keyword arguments of its first frame, that it has the
/// feature `binary`.
fn knows_binary(keywords: &[u8]) -> bool {
    #[derive(serde::Deserialize)]
    struct Keywords {
        features: Vec<String>,
    }

    let keywords = serde_json::from_slice::<Keywords>(keywords);
    keywords.is_ok_and(|keywords| keywords.features.iter().any(|feature| feature == BINARY))
}

/// Parses a request of the manager. Fails with the message of a refusal, or with `None` for any
/// other line.
fn read_request(line: &Line) -> Result<ManagerRequest, Option<String>> {
    let content = line.content();
    let envelope = Envelope::scan(content).map_err(|_| None)?;
    let text = |member| {
        let value = envelope.raw(content, member).and_then(as_string);
        value
            .and_then(RawString::decode)
            .map(std::borrow::Cow::into_owned)
    };
    if envelope.raw(content, Member::Error) == Some(b"true") {
        return Err(Some(text(Member::Message).unwrap_or_default()));
    }
    let argument = envelope
        .raw(content, Member::Args)
        .and_then(|args| array_elements(args).ok()?.first().copied())
        .and_then(as_string)
        .and_then(RawString::decode);
    Ok(ManagerRequest {
        manager: text(Member::Requester).ok_or(None)?,
        attribute: text(Member::Attribute).ok_or(None)?,
        argument: argument.unwrap_or_default().into_owned(),
        kwargs: envelope.raw(content, Member::Kwargs).unwrap_or_default().to_vec(),
    })
}

fn not_a_manager(options: &ConnectOptions, sent: &[u8]) -> ConnectError {
    let sent = &sent[..sent.len().min(60)];
    ConnectError::NotAManager {
        address: options.address(),
        sent: String::from_utf8_lossy(sent).into_owned(),
    }
}

/// Answers a question of the manager on a connection in use: it asks for credentials before a
/// request that is reserved for administrators. Returns the frame with the answer, or `None` if the
/// line is no such question.
///
/// May take as long as a person takes to type.
///
/// ```
/// use labwire_device::{ConnectOptions, Introduction, answer_question, connect};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let users = [("ada", "engine", true)];
/// # let manager = labwire_testing::TestManager::builder().users(&users).start().await;
/// let options = ConnectOptions::new().username("ada").password("engine");
/// # let options = options.port(manager.port()).without_tls();
/// let mut connection = connect(&options, &Introduction::client("Ada")).await?;
/// let request = r#"{"service":"Manager","attribute":"stats","args":[],"kwargs":{},"uid":"1"}"#;
/// connection.writer.write(&[format!("{request}\r\n").into()]).await?;
///
/// let mut answered = 0;
/// let reply = loop {
///     let line = connection.reader.next_line().await?.expect("the manager is still there");
///     match answer_question(&options, &line).await {
///         Some(answer) => connection.writer.write(&[answer?]).await?,
///         None => break line,
///     }
///     answered += 1;
/// };
/// // It has asked for a username and for a password.
/// assert_eq!(answered, 2);
/// assert!(String::from_utf8_lossy(reply.content()).contains(r#""uid":"1""#));
/// # Ok(())
/// # }
/// ```
pub async fn answer_question(
    options: &ConnectOptions,
    line: &Line,
) -> Option<Result<bytes::Bytes, ConnectError>> {
    let request = read_request(line).ok()?;
    let question = Question::read(&request.attribute, &request.argument)?;
    Some(match options.credentials.answer(&question).await {
        Ok(answer) => {
            let text = frames::json_string(&answer.text);
            Ok(frames::result(&request.manager, "", text.as_bytes()))
        }
        Err(error) => Err(error.into()),
    })
}
