//! A conversation with an instrument: one command after the other. Blocks its thread.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use crate::answer::Answer;
use crate::definition::{Definition, Identification};
use crate::encoding::escaped;
use crate::framing::{Arrived, Framing};
use crate::pattern::Pattern;
use crate::transport::{self, Port};
use crate::value::Value;

/// What passes between the computer and the instrument.
///
/// See the example of [`Trial`](crate::Trial).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Traced<'a> {
    /// Bytes that were sent.
    Sent(&'a [u8]),
    /// Bytes of an answer, with its line end.
    Received(&'a [u8]),
    /// Something else that happened, for people.
    Note(&'a str),
}

impl fmt::Display for Traced<'_> {
    /// Writes `>` before what was sent and `<` before what was received, with what is no text escaped.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sent(bytes) => write!(formatter, "> {}", escaped(bytes)),
            Self::Received(bytes) => write!(formatter, "< {}", escaped(bytes)),
            Self::Note(text) => write!(formatter, "  {text}"),
        }
    }
}

/// Hears of what passes.
pub(crate) type Listener = Box<dyn FnMut(Traced<'_>) + Send>;

/// Returns a listener that hears nothing.
pub(crate) fn nobody() -> Listener {
    Box::new(|_| {})
}

/// How long the line end of a block is waited for.
const LINE_END: Duration = Duration::from_millis(200);

/// How many further timeouts a late answer is waited for where nothing else can tell it.
const LATEST: u32 = 3;

/// How much is read at once.
const CHUNK: usize = 64 * 1024;

/// An open connection with the instrument that the file expects.
pub(crate) struct Session {
    port: Box<dyn Port>,
    definition: Arc<Definition>,
    listener: Listener,
    /// When the next command may be sent.
    ready_at: Instant,
    /// The answer to the identification query.
    identity: Option<String>,
}

/// Why an instrument cannot be used.
#[derive(Debug)]
pub(crate) enum OpenError {
    /// The connection cannot be opened.
    Unreachable(io::Error),
    /// Another instrument is connected.
    Wrong { answer: String, expected: String },
    /// It does not answer, or refuses a command with which it is initialised.
    Silent(ExchangeError),
}

impl fmt::Display for OpenError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreachable(error) => write!(formatter, "{error}"),
            Self::Wrong { answer, expected } => write!(
                formatter,
                "it is another instrument: it identifies itself as '{answer}', and '{expected}' is expected"
            ),
            Self::Silent(error) => write!(formatter, "{error}"),
        }
    }
}

/// Why a command has no value.
#[derive(Debug)]
pub(crate) enum ExchangeError {
    /// The connection was broken before anything was sent.
    NotSent(io::Error),
    /// The connection broke after the command was sent, or a part of it.
    Broken { command: String, source: io::Error },
    /// There was no answer in time.
    Timeout {
        command: String,
        limit: Duration,
        /// What the error queue contained.
        errors: Vec<String>,
        /// Whether a late answer could be told from the next one; otherwise the connection is closed.
        in_step: bool,
    },
    /// The instrument reports errors.
    Instrument { command: String, errors: Vec<String> },
    /// The answer has another form.
    Form {
        command: String,
        answer: String,
        why: String,
    },
    /// The end of the answer cannot be found.
    Endless { command: String, why: String },
    /// The command has a character that the instrument lacks.
    Character { command: String, character: char },
}

impl ExchangeError {
    /// Whether the connection cannot be used any more.
    pub(crate) fn ends_session(&self) -> bool {
        match self {
            Self::NotSent(_) | Self::Broken { .. } | Self::Endless { .. } => true,
            Self::Timeout { in_step, .. } => !in_step,
            Self::Instrument { .. } | Self::Form { .. } | Self::Character { .. } => false,
        }
    }

    /// Returns the kind of the error for clients.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::NotSent(_) | Self::Broken { .. } => "ConnectionError",
            Self::Timeout { .. } => "TimeoutError",
            Self::Instrument { .. } => "InstrumentError",
            Self::Form { .. } | Self::Endless { .. } => "AnswerError",
            Self::Character { .. } => "ValueError",
        }
    }
}

impl fmt::Display for ExchangeError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotSent(source) => {
                write!(
                    formatter,
                    "the connection with the instrument is broken, and nothing was sent: {source}"
                )
            }
            Self::Broken { command, source } => write!(
                formatter,
                "the connection with the instrument broke after `{command}` was sent, which may have been executed: \
                 {source}"
            ),
            Self::Timeout {
                command,
                limit,
                errors,
                ..
            } => {
                let limit = limit.as_secs_f64();
                write!(
                    formatter,
                    "the instrument has not answered `{command}` within {limit} s; it may have been executed"
                )?;
                if !errors.is_empty() {
                    write!(formatter, "; it reports {}", errors.join("; "))?;
                }
                Ok(())
            }
            Self::Instrument { command, errors } => {
                write!(formatter, "{} (after `{command}`)", errors.join("; "))
            }
            Self::Form { command, answer, why } => {
                write!(
                    formatter,
                    "the answer '{answer}' to `{command}` cannot be read: {why}"
                )
            }
            Self::Endless { command, why } => {
                write!(formatter, "the answer to `{command}` cannot be read: {why}")
            }
            Self::Character { command, character } => write!(
                formatter,
                "`{command}` contains '{}', which the instrument lacks; nothing was sent",
                character.escape_debug()
            ),
        }
    }
}

impl Session {
    /// Connects, checks which instrument it is, and sends the commands with which it is initialised.
    ///
    /// `is_fresh` is whether no answer to an earlier command can be on its way: the first answer is then
    /// that of the identification.
    pub(crate) fn open(
        definition: &Arc<Definition>,
        listener: Listener,
        is_fresh: bool,
    ) -> Result<Self, OpenError> {
        let port = transport::open(&definition.connection).map_err(OpenError::Unreachable)?;
        let mut session = Self {
            port,
            definition: Arc::clone(definition),
            listener,
            ready_at: Instant::now(),
            identity: None,
        };
        if let Some(identification) = &definition.identification {
            // An answer that another program has asked for may still be on its way, too.
            let is_fresh = is_fresh && session.port.forgets();
            session.identity = Some(session.identify(identification, is_fresh)?);
        }
        let begin = |session: &mut Self| {
            // Errors from before are not those of the next command.
            if definition.errors.as_ref().is_some_and(|queue| queue.after_each) {
                let left = session.read_errors("connecting")?;
                if !left.is_empty() {
                    session.note(&format!("left out errors from before: {}", left.join("; ")));
                }
            }
            for command in &definition.initialise {
                session.execute(command, None, definition.connection.timeout)?;
            }
            Ok(())
        };
        begin(&mut session).map_err(OpenError::Silent)?;
        Ok(session)
    }

    /// Returns the answer to the identification query, if there is one.
    pub(crate) fn identity(&self) -> Option<&str> {
        self.identity.as_deref()
    }

    /// Sends a command, reads its answer if it has one, and the error queue if the file says so.
    pub(crate) fn execute(
        &mut self,
        command: &str,
        answer: Option<&Answer>,
        limit: Duration,
    ) -> Result<Value, ExchangeError> {
        let received = self.exchange(command, answer.map(Answer::framing), limit);
        let received = received.map_err(|error| self.after(error))?;
        if self
            .definition
            .errors
            .as_ref()
            .is_some_and(|queue| queue.after_each)
        {
            let errors = self.read_errors(command)?;
            if !errors.is_empty() {
                return Err(ExchangeError::Instrument {
                    command: shown(command),
                    errors,
                });
            }
        }
        let Some(answer) = answer else {
            return Ok(Value::Nothing);
        };
        let value = answer.parse(&received, self.definition.connection.encoding);
        value.map_err(|why| ExchangeError::Form {
            command: shown(command),
            answer: escaped(&received),
            why,
        })
    }

    /// Reads the error queue until it is empty. `command` is what was done before.
    pub(crate) fn read_errors(&mut self, command: &str) -> Result<Vec<String>, ExchangeError> {
        let definition = Arc::clone(&self.definition);
        let Some(queue) = &definition.errors else {
            return Ok(Vec::new());
        };
        let mut errors = Vec::new();
        while errors.len() < queue.most {
            let answer = self.exchange(&queue.query, Some(Framing::Line), definition.connection.timeout);
            let answer = answer.map_err(|error| self.after(error.of(&queue.query, command)))?;
            let answer = definition.connection.encoding.decode(&answer).trim().to_owned();
            if queue.none.iter().any(|none| none.matches(&answer)) {
                return Ok(errors);
            }
            errors.push(escaped(answer.as_bytes()));
        }
        Ok(errors)
    }

    /// Makes sure after a timeout that the next answer is that of the next command.
    fn after(&mut self, error: ExchangeError) -> ExchangeError {
        let ExchangeError::Timeout { command, limit, .. } = error else {
            return error;
        };
        let in_step = self.synchronise();
        let mut errors = Vec::new();
        if in_step && let Some(queue) = self.definition.errors.clone().filter(|queue| queue.after_each) {
            while errors.len() < queue.most {
                let limit = self.definition.connection.timeout;
                let Ok(answer) = self.exchange(&queue.query, Some(Framing::Line), limit) else {
                    return ExchangeError::Timeout {
                        command,
                        limit,
                        errors,
                        in_step: false,
                    };
                };
                let answer = self
                    .definition
                    .connection
                    .encoding
                    .decode(&answer)
                    .trim()
                    .to_owned();
                if queue.none.iter().any(|none| none.matches(&answer)) {
                    break;
                }
                errors.push(escaped(answer.as_bytes()));
            }
        }
        ExchangeError::Timeout {
            command,
            limit,
            errors,
            in_step,
        }
    }

    /// Discards a late answer. Returns whether the next answer will be that of the next command.
    fn synchronise(&mut self) -> bool {
        let definition = Arc::clone(&self.definition);
        if let Some(identification) = &definition.identification {
            return self.identify(identification, false).is_ok();
        }
        if self.port.forgets() {
            return false;
        }
        // Without a question of which the answer is known, the late answer is waited for.
        let mut end = Instant::now() + definition.connection.timeout * LATEST;
        let mut scratch = vec![0; CHUNK];
        loop {
            match self
                .port
                .read(&mut scratch, end.saturating_duration_since(Instant::now()))
            {
                Ok(read) => {
                    (self.listener)(Traced::Received(&scratch[..read.length]));
                    self.note("left out: an answer that came too late");
                    end = end.min(Instant::now() + LINE_END);
                }
                Err(error) => return error.kind() == io::ErrorKind::TimedOut,
            }
            if Instant::now() >= end {
                return true;
            }
        }
    }

    /// Asks which instrument it is. Unless `is_fresh`, answers to earlier commands may come first, and are
    /// left out.
    fn identify(&mut self, identification: &Identification, is_fresh: bool) -> Result<String, OpenError> {
        let definition = Arc::clone(&self.definition);
        let limit = definition.connection.timeout;
        let end = Instant::now() + limit;
        let mut last: Option<String> = None;
        self.send(&identification.query).map_err(OpenError::Silent)?;
        let mut bytes = Vec::new();
        loop {
            let left = end.saturating_duration_since(Instant::now());
            let answer = self.receive(&identification.query, Framing::Line, left, &mut bytes);
            let answer = match (answer, last) {
                (Ok(answer), _) => answer,
                (Err(ExchangeError::Timeout { .. }), Some(answer)) => {
                    return Err(wrong(&answer, identification));
                }
                (
                    Err(ExchangeError::Timeout {
                        command,
                        errors,
                        in_step,
                        ..
                    }),
                    None,
                ) => {
                    return Err(OpenError::Silent(ExchangeError::Timeout {
                        command,
                        limit,
                        errors,
                        in_step,
                    }));
                }
                (Err(error), _) => return Err(OpenError::Silent(error)),
            };
            let answer = definition.connection.encoding.decode(&answer).trim().to_owned();
            if identification
                .expect
                .iter()
                .any(|pattern| pattern.matches(&answer))
            {
                return Ok(escaped(answer.as_bytes()));
            }
            if is_fresh {
                return Err(wrong(&answer, identification));
            }
            self.note("left out: an answer that came too late");
            last = Some(answer);
        }
    }

    /// Sends a command and reads its answer, if it has one, without its line end.
    fn exchange(
        &mut self,
        command: &str,
        framing: Option<Framing>,
        limit: Duration,
    ) -> Result<Vec<u8>, ExchangeError> {
        self.send(command)?;
        match framing {
            None => Ok(Vec::new()),
            Some(framing) => self.receive(command, framing, limit, &mut Vec::new()),
        }
    }

    fn send(&mut self, command: &str) -> Result<(), ExchangeError> {
        let definition = Arc::clone(&self.definition);
        let connection = &definition.connection;
        let mut bytes =
            connection
                .encoding
                .encode(command)
                .map_err(|character| ExchangeError::Character {
                    command: command.to_owned(),
                    character,
                })?;
        bytes.extend(&connection.write_end);
        thread::sleep(self.ready_at.saturating_duration_since(Instant::now()));
        let discarded = self.port.discard().map_err(ExchangeError::NotSent)?;
        if discarded > 0 {
            self.note(&format!("left out {discarded} bytes that nothing had asked for"));
        }
        (self.listener)(Traced::Sent(&bytes));
        let sent = self.port.write(&bytes, connection.timeout);
        self.ready_at = Instant::now() + connection.pause;
        sent.map_err(|source| ExchangeError::Broken {
            command: shown(command),
            source,
        })
    }

    /// Reads an answer. What has arrived behind it stays in `bytes`.
    fn receive(
        &mut self,
        command: &str,
        framing: Framing,
        limit: Duration,
        bytes: &mut Vec<u8>,
    ) -> Result<Vec<u8>, ExchangeError> {
        let definition = Arc::clone(&self.definition);
        let connection = &definition.connection;
        let mut end = Instant::now() + limit;
        let (mut is_message, mut looked) = (false, 0);
        let mut chunk = vec![0; CHUNK];
        loop {
            let arrived = framing.look(
                bytes,
                looked,
                &connection.read_end,
                is_message,
                connection.max_answer,
            );
            looked = bytes.len();
            let but_the_end = match arrived {
                Arrived::Whole(range) => return Ok(self.take(bytes, range.end)),
                Arrived::Partly => None,
                Arrived::AllButTheEnd(range) => {
                    end = end.min(Instant::now() + LINE_END);
                    Some(range.end)
                }
                Arrived::TooLong => {
                    let why = format!("it is longer than {} bytes (max_answer)", connection.max_answer);
                    return Err(endless(command, why));
                }
                Arrived::Wrong(why) => return Err(endless(command, why.to_owned())),
            };
            let left = end.saturating_duration_since(Instant::now());
            let read = if left.is_zero() {
                Err(io::ErrorKind::TimedOut.into())
            } else {
                self.port.read(&mut chunk, left)
            };
            match (read, but_the_end) {
                (Ok(read), _) => {
                    bytes.extend(&chunk[..read.length]);
                    is_message = read.is_message;
                }
                (Err(error), Some(whole)) if error.kind() == io::ErrorKind::TimedOut => {
                    return Ok(self.take(bytes, whole));
                }
                (Err(error), _) if error.kind() == io::ErrorKind::TimedOut => {
                    if !bytes.is_empty() {
                        (self.listener)(Traced::Received(bytes));
                    }
                    return Err(ExchangeError::Timeout {
                        command: shown(command),
                        limit,
                        errors: Vec::new(),
                        in_step: false,
                    });
                }
                (Err(source), _) => {
                    return Err(ExchangeError::Broken {
                        command: shown(command),
                        source,
                    });
                }
            }
        }
    }

    /// Takes an answer of this length and its line end from the bytes that have arrived.
    fn take(&mut self, bytes: &mut Vec<u8>, length: usize) -> Vec<u8> {
        let end = &self.definition.connection.read_end;
        let has_end = bytes[length..].starts_with(end);
        let rest = bytes.split_off(if has_end { length + end.len() } else { length });
        let mut answer = std::mem::replace(bytes, rest);
        (self.listener)(Traced::Received(&answer));
        answer.truncate(length);
        self.ready_at = Instant::now() + self.definition.connection.pause;
        answer
    }

    /// Looks whether the idle connection is there. Discards what nothing had asked for.
    pub(crate) fn look(&mut self) -> io::Result<()> {
        self.port.discard().map(|_| ())
    }

    fn note(&mut self, text: &str) {
        (self.listener)(Traced::Note(text));
    }
}

impl ExchangeError {
    /// Returns the error of a query that followed a command.
    fn of(self, query: &str, command: &str) -> Self {
        let told = format!("{query}` after `{}", shown(command));
        match self {
            Self::Broken { source, .. } => Self::Broken {
                command: told,
                source,
            },
            Self::NotSent(source) => Self::Broken {
                command: shown(command),
                source,
            },
            Self::Timeout {
                limit,
                errors,
                in_step,
                ..
            } => Self::Timeout {
                command: told,
                limit,
                errors,
                in_step,
            },
            other => other,
        }
    }
}

/// Returns a command for people.
fn shown(command: &str) -> String {
    escaped(command.as_bytes())
}

fn endless(command: &str, why: String) -> ExchangeError {
    ExchangeError::Endless {
        command: shown(command),
        why,
    }
}

fn wrong(answer: &str, identification: &Identification) -> OpenError {
    let patterns: Vec<_> = identification.expect.iter().map(Pattern::text).collect();
    OpenError::Wrong {
        answer: escaped(answer.as_bytes()),
        expected: patterns.join("' or '"),
    }
}
