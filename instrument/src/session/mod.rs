//! A conversation with an instrument: one command after the other. Blocks its thread.

mod error;
mod in_step;
mod outstanding;
#[cfg(test)]
mod tests;

use std::fmt;
use std::io;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use self::error::{endless, shown};
use self::in_step::Doubt;
use self::outstanding::Asked;
use crate::answer::Answer;
use crate::definition::{Connection, Definition};
use crate::encoding::escaped;
use crate::framing::{Arrived, Framing};
use crate::transport::{self, Port};
use crate::value::Value;

pub(crate) use error::{ExchangeError, OpenError};
pub(crate) use outstanding::Outstanding;

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
    outstanding: Outstanding,
    /// Whether the last exchange has left out what looked like the answer to an earlier query.
    has_left_out: bool,
    /// Where bytes are read into.
    chunk: Vec<u8>,
}

impl Session {
    /// Connects, checks which instrument it is, and sends the commands with which it is initialised.
    ///
    /// `outstanding` is what may still be answered from before; if this fails, also what was asked here. `is_first` is
    /// whether the program has just begun, as in [`identify`](Self::identify).
    pub(crate) fn open(
        definition: &Arc<Definition>,
        listener: Listener,
        outstanding: &mut Outstanding,
        is_first: bool,
    ) -> Result<Self, OpenError> {
        let port = transport::open(&definition.connection).map_err(OpenError::Unreachable)?;
        Self::begin(port, definition, listener, outstanding, is_first)
    }

    fn begin(
        port: Box<dyn Port>,
        definition: &Arc<Definition>,
        listener: Listener,
        outstanding: &mut Outstanding,
        is_first: bool,
    ) -> Result<Self, OpenError> {
        if port.forgets() {
            outstanding.forget();
        }
        let mut session = Self {
            port,
            definition: Arc::clone(definition),
            listener,
            ready_at: Instant::now(),
            identity: None,
            outstanding: std::mem::take(outstanding),
            has_left_out: false,
            chunk: vec![0; CHUNK],
        };
        match session.initialise(is_first) {
            Ok(()) => Ok(session),
            Err(error) => {
                *outstanding = session.outstanding;
                Err(error)
            }
        }
    }

    fn initialise(&mut self, is_first: bool) -> Result<(), OpenError> {
        let definition = Arc::clone(&self.definition);
        if let Some(identification) = &definition.identification {
            self.identity = Some(self.identify(identification, is_first)?);
        } else {
            self.leave_out_outstanding()?;
        }
        // Errors from before are not those of the next command.
        if definition.errors.as_ref().is_some_and(|queue| queue.after_each) {
            let left = self.read_errors("connecting").map_err(OpenError::Silent)?;
            if !left.is_empty() {
                self.note(&format!("left out errors from before: {}", left.join("; ")));
            }
        }
        for command in &definition.initialise {
            self.execute(command, None, definition.connection.timeout)
                .map_err(OpenError::Silent)?;
        }
        Ok(())
    }

    /// Closes the connection. Returns what may still be answered.
    pub(crate) fn close(self) -> Outstanding {
        self.outstanding
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
        let received = self.exchange(command, answer, limit);
        let received = received.map_err(|error| self.after(error, answer))?;
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
        value.map_err(|why| {
            let error = ExchangeError::Form {
                command: shown(command),
                answer: escaped(&received),
                why,
                in_step: false,
            };
            self.after(error, Some(answer))
        })
    }

    /// Reads the error queue until it is empty. `command` is what was done before.
    pub(crate) fn read_errors(&mut self, command: &str) -> Result<Vec<String>, ExchangeError> {
        let definition = Arc::clone(&self.definition);
        let Some(queue) = &definition.errors else {
            return Ok(Vec::new());
        };
        let (mut errors, text) = (Vec::new(), Answer::text());
        while errors.len() < queue.most {
            let answer = self.exchange(&queue.query, Some(&text), definition.connection.timeout);
            let answer = answer.map_err(|error| self.after(error.of(&queue.query, command), Some(&text)))?;
            let answer = definition.connection.encoding.decode(&answer).trim().to_owned();
            if queue.none.iter().any(|none| none.matches(&answer)) {
                return Ok(errors);
            }
            errors.push(escaped(answer.as_bytes()));
        }
        Ok(errors)
    }

    /// Makes sure after an error that the next answer is that of the next command. `answer` is the form of the answer
    /// that may still come.
    fn after(&mut self, mut error: ExchangeError, answer: Option<&Answer>) -> ExchangeError {
        let doubt = match &error {
            ExchangeError::Timeout { .. } => Doubt::Late,
            ExchangeError::Form { .. } => Doubt::Form,
            ExchangeError::Broken { .. } | ExchangeError::Endless { .. } => {
                self.outstanding.ask(Asked::Command(answer.cloned()));
                return error;
            }
            _ => return error,
        };
        if std::mem::take(&mut self.has_left_out) && doubt == Doubt::Late {
            // Nothing came behind it: it was probably the answer to this command, and the others were lost.
            self.outstanding.forget();
        } else {
            self.outstanding.ask(Asked::Command(answer.cloned()));
        }
        let is_in_step = self.synchronise(doubt);
        match &mut error {
            ExchangeError::Timeout { in_step, errors, .. } => {
                *in_step = is_in_step && self.read_errors_after_timeout(errors);
            }
            ExchangeError::Form { in_step, .. } => *in_step = is_in_step,
            _ => {}
        }
        error
    }

    /// Reads the error queue after a command that was not answered. Returns `false` if it is not answered either.
    fn read_errors_after_timeout(&mut self, errors: &mut Vec<String>) -> bool {
        let definition = Arc::clone(&self.definition);
        let Some(queue) = definition.errors.as_ref().filter(|queue| queue.after_each) else {
            return true;
        };
        let connection = &definition.connection;
        let text = Answer::text();
        while errors.len() < queue.most {
            let Ok(answer) = self.exchange(&queue.query, Some(&text), connection.timeout) else {
                self.outstanding.ask(Asked::Command(Some(text)));
                return false;
            };
            let answer = connection.encoding.decode(&answer).trim().to_owned();
            if queue.none.iter().any(|none| none.matches(&answer)) {
                break;
            }
            errors.push(escaped(answer.as_bytes()));
        }
        true
    }

    /// Sends a command and reads its answer, if it has one, without its line end.
    fn exchange(
        &mut self,
        command: &str,
        answer: Option<&Answer>,
        limit: Duration,
    ) -> Result<Vec<u8>, ExchangeError> {
        self.send(command)?;
        self.has_left_out = false;
        let Some(answer) = answer else {
            return Ok(Vec::new());
        };
        let (mut rest, end) = (Vec::new(), Instant::now() + limit);
        loop {
            let left = end.saturating_duration_since(Instant::now());
            let received = self.receive(command, answer.framing(), left, &mut rest);
            let received = received.map_err(|error| error.within(limit))?;
            if self.is_blank_before(&received, &rest, answer) {
                self.note("left out: a blank line");
                continue;
            }
            if !self.is_late_identification(&received) {
                self.check_rest(command, (&received, &rest), answer)?;
                return Ok(received);
            }
            self.has_left_out = true;
        }
    }

    /// Whether a line is blank and stands before an answer: one that cannot be blank, or that has come.
    fn is_blank_before(&self, line: &[u8], rest: &[u8], answer: &Answer) -> bool {
        let encoding = self.definition.connection.encoding;
        line.trim_ascii().is_empty()
            && (!rest.trim_ascii().is_empty() || answer.parse(b"", encoding).is_err())
    }

    /// Fails if another line has come with an answer that may be the answer, too: the first one may be late.
    fn check_rest(
        &mut self,
        command: &str,
        (received, rest): (&[u8], &[u8]),
        answer: &Answer,
    ) -> Result<(), ExchangeError> {
        let rest = rest.trim_ascii_start();
        if rest.is_empty() {
            return Ok(());
        }
        let connection = &self.definition.connection;
        let end = &connection.read_end;
        let length = rest.windows(end.len().max(1)).position(|window| window == end);
        let second = length.map(|length| &rest[..length]);
        // What an instrument with an output queue sends at once is one answer.
        let may_be_it =
            |line: &[u8]| !self.port.drops_unread() && answer.parse(line, connection.encoding).is_ok();
        if !second.is_some_and(may_be_it) {
            self.note(&format!("left out {} bytes behind the answer", rest.len()));
            return Ok(());
        }
        Err(ExchangeError::Form {
            command: shown(command),
            answer: escaped(received),
            why: format!(
                "'{}' came with it, and which of them is the answer cannot be told (a prompt behind each answer belongs to \
                 read_end)",
                escaped(rest.trim_ascii_end())
            ),
            in_step: false,
        })
    }

    fn send(&mut self, command: &str) -> Result<(), ExchangeError> {
        let definition = Arc::clone(&self.definition);
        let connection = &definition.connection;
        let bytes = bytes_of(command, connection)?;
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
                Arrived::Whole { answer, with_end } => return Ok(self.take(bytes, answer, with_end)),
                Arrived::Partly => None,
                Arrived::AllButTheEnd(answer) => {
                    end = end.min(Instant::now() + LINE_END);
                    Some(answer)
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
                self.port.read(&mut self.chunk, left)
            };
            match (read, but_the_end) {
                (Ok(read), _) => {
                    bytes.extend(&self.chunk[..read.length]);
                    is_message = read.is_message;
                }
                (Err(error), Some(whole)) if error.kind() == io::ErrorKind::TimedOut => {
                    let all = bytes.len();
                    return Ok(self.take(bytes, whole, all));
                }
                (Err(error), _) if error.kind() == io::ErrorKind::TimedOut => {
                    if !bytes.is_empty() {
                        (self.listener)(Traced::Received(bytes));
                    }
                    return Err(ExchangeError::late(command, limit));
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

    /// Takes an answer of this length from the bytes that have arrived, with its line end the first `with_end` of them.
    fn take(&mut self, bytes: &mut Vec<u8>, length: usize, with_end: usize) -> Vec<u8> {
        let rest = bytes.split_off(with_end);
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

/// Returns a command as it is sent, with its end.
///
/// # Errors
/// [`ExchangeError::Character`] and [`ExchangeError::EndsBefore`].
pub(crate) fn bytes_of(command: &str, connection: &Connection) -> Result<Vec<u8>, ExchangeError> {
    let encoded = connection.encoding.encode(command);
    let mut bytes = encoded.map_err(|character| ExchangeError::Character {
        command: command.to_owned(),
        character,
    })?;
    let (length, end) = (bytes.len(), &connection.write_end);
    bytes.extend(end);
    // Also one that begins in the command: the instrument would take the rest for another command.
    if bytes.windows(end.len().max(1)).position(|window| window == end) != Some(length) {
        return Err(ExchangeError::EndsBefore {
            command: shown(command),
            end: escaped(end),
        });
    }
    Ok(bytes)
}
