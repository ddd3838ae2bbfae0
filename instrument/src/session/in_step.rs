//! Keeps in step with the instrument: the next answer must be that of the next command.

use std::io;
use std::time::{Duration, Instant};

use super::error::{ExchangeError, OpenError};
use super::outstanding::Asked;
use super::{CHUNK, LINE_END, Session, Traced};
use crate::definition::Identification;
use crate::encoding::escaped;
use crate::framing::Framing;
use crate::pattern::Pattern;

/// How many further timeouts a late answer is waited for where nothing else can tell it.
const LATEST: u32 = 3;

/// How long it takes to look whether something has come.
const MOMENT: Duration = Duration::from_millis(1);

/// Why the answer to the next command may be another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Doubt {
    /// A command was not answered in time.
    Late,
    /// An answer had another form, and may be that of another command.
    Form,
}

impl Session {
    /// Leaves out answers of earlier commands. Returns whether the next answer will be that of the next command.
    pub(super) fn synchronise(&mut self, doubt: Doubt) -> bool {
        if let Some(identification) = self.definition.identification.clone() {
            return self.identify(&identification, false).is_ok();
        }
        if self.port.forgets() {
            return false;
        }
        // Without a question of which the answer is known, the late answer is waited for.
        let timeout = self.definition.connection.timeout;
        let is_in_step = match doubt {
            Doubt::Late => self.leave_out(timeout * LATEST),
            Doubt::Form => self.port.drops_unread() || self.leave_out(timeout),
        };
        if is_in_step {
            self.outstanding.forget();
        }
        is_in_step
    }

    /// On a new connection that does not forget, without an identification: leaves out what may still come.
    pub(super) fn leave_out_outstanding(&mut self) -> Result<(), OpenError> {
        let timeout = self.definition.connection.timeout;
        let is_in_step = self.outstanding.is_empty() || self.port.drops_unread() || self.leave_out(timeout);
        if !is_in_step {
            let text = "it sends without being asked, or the connection is broken";
            return Err(OpenError::Unreachable(io::Error::other(text)));
        }
        self.outstanding.forget();
        Ok(())
    }

    /// Leaves out what comes within the limit, and what comes right behind it. Returns `false` if the connection is
    /// broken, or if bytes come without end.
    fn leave_out(&mut self, limit: Duration) -> bool {
        let begin = Instant::now();
        let (mut end, latest) = (begin + limit, begin + limit * LATEST + LINE_END);
        let mut scratch = vec![0; CHUNK];
        loop {
            let now = Instant::now();
            if now >= end || now >= latest {
                return now < latest;
            }
            match self.port.read(&mut scratch, end.min(latest) - now) {
                Ok(read) => {
                    (self.listener)(Traced::Received(&scratch[..read.length]));
                    self.note("left out: an answer that came too late");
                    end = Instant::now() + LINE_END;
                }
                Err(error) if error.kind() == io::ErrorKind::TimedOut => {}
                Err(_) => return false,
            }
        }
    }

    /// Asks which instrument it is, and returns its answer when the next one is that of the next command.
    ///
    /// `is_first` is whether the program has just begun: the instrument may be another one. Later, and where another
    /// program may have asked before, answers to earlier commands may come first, and are left out.
    pub(super) fn identify(
        &mut self,
        identification: &Identification,
        is_first: bool,
    ) -> Result<String, OpenError> {
        let limit = self.definition.connection.timeout;
        let is_fresh = is_first && self.port.forgets();
        if !self.port.forgets() && !self.port.drops_unread() {
            self.take_late(identification, MOMENT, &mut Vec::new())?;
        }
        let end = Instant::now() + limit;
        self.send(&identification.query).map_err(OpenError::Silent)?;
        self.outstanding.ask(Asked::Identification);
        let (mut bytes, mut last): (_, Option<String>) = (Vec::new(), None);
        loop {
            let left = end.saturating_duration_since(Instant::now());
            let received = self.receive(&identification.query, Framing::Line, left, &mut bytes);
            let answer = match (received, last) {
                (Ok(answer), _) => self.decoded(&answer),
                (Err(ExchangeError::Timeout { .. }), Some(answer)) => {
                    return Err(wrong(&answer, identification));
                }
                (Err(error), _) => return Err(OpenError::Silent(error.within(limit))),
            };
            if self.note_line(identification, &answer) {
                self.settle(identification, is_first, &mut bytes)?;
                return Ok(escaped(answer.as_bytes()));
            }
            // Blank lines say nothing about which instrument it is. One that sends lines without end keeps nobody
            // waiting.
            if is_fresh && !answer.is_empty() || Instant::now() >= end {
                return Err(wrong(&answer, identification));
            }
            self.note("left out: an answer that came too late");
            last = Some(answer);
        }
    }

    /// After an answer to the identification query: waits for those that may still come, of the same query before.
    fn settle(
        &mut self,
        identification: &Identification,
        is_first: bool,
        bytes: &mut Vec<u8>,
    ) -> Result<(), OpenError> {
        let limit = self.definition.connection.timeout;
        if self.port.drops_unread() {
            self.outstanding.forget();
            return Ok(());
        }
        let out_of_step = || OpenError::Silent(ExchangeError::late(&identification.query, limit));
        if self.outstanding.is_empty() {
            // Where a connection does not begin anew, another program may have asked.
            return if is_first && !self.port.forgets() {
                self.take_late(identification, LINE_END, bytes)
            } else {
                Ok(())
            };
        }
        // A new connection takes less time than waiting.
        if self.port.forgets() {
            return Err(out_of_step());
        }
        self.take_late(identification, limit, bytes)?;
        // Of a command whose answer may still come, the next identification tells whether it was lost. Those of
        // identification queries were probably lost; if they come all the same, each can be told.
        if self.outstanding.is_only_identifications() {
            Ok(())
        } else {
            Err(out_of_step())
        }
    }

    /// Leaves out the answers that come, until none has come for a while or no other can come.
    fn take_late(
        &mut self,
        identification: &Identification,
        quiet: Duration,
        bytes: &mut Vec<u8>,
    ) -> Result<(), OpenError> {
        let is_expected = !self.outstanding.is_empty();
        // One that sends without being asked is not waited for.
        let end = Instant::now() + self.definition.connection.timeout * LATEST;
        loop {
            let left = end.saturating_duration_since(Instant::now()).min(quiet);
            if left.is_zero() {
                return Ok(());
            }
            let answer = match self.receive(&identification.query, Framing::Line, left, bytes) {
                Ok(answer) => self.decoded(&answer),
                Err(ExchangeError::Timeout { .. }) => return Ok(()),
                Err(error) => return Err(OpenError::Silent(error)),
            };
            self.note_line(identification, &answer);
            self.note("left out: an answer that came too late");
            if is_expected && self.outstanding.is_empty() {
                return Ok(());
            }
        }
    }

    /// Whether the answer to a command is that of an identification query before it. Another answer means that none
    /// of those comes any more.
    pub(super) fn is_late_identification(&mut self, answer: &[u8]) -> bool {
        if self.outstanding.is_empty() {
            return false;
        }
        let line = self.decoded(answer);
        let definition = std::sync::Arc::clone(&self.definition);
        let identification = definition.identification.as_ref();
        let is_it = identification.is_some_and(|identification| self.note_line(identification, &line));
        if is_it {
            self.note("left out: an answer that came too late");
        } else {
            self.outstanding.forget();
        }
        is_it
    }

    /// Notes a line that has come, unless it is blank. Returns whether it identifies the instrument.
    fn note_line(&mut self, identification: &Identification, line: &str) -> bool {
        if line.is_empty() {
            return false;
        }
        let identifies = identification.expect.iter().any(|pattern| pattern.matches(line));
        let encoding = self.definition.connection.encoding;
        self.outstanding.answer(line, identifies, encoding);
        identifies
    }

    fn decoded(&self, answer: &[u8]) -> String {
        let encoding = self.definition.connection.encoding;
        encoding.decode(answer).trim().to_owned()
    }
}

fn wrong(answer: &str, identification: &Identification) -> OpenError {
    let patterns: Vec<_> = identification.expect.iter().map(Pattern::text).collect();
    OpenError::Wrong {
        answer: escaped(answer.as_bytes()),
        expected: patterns.join("' or '"),
    }
}
