//! Keeps in step with the instrument: the next answer must be that of the next command.

use std::io;
use std::time::{Duration, Instant};

use super::error::{ExchangeError, OpenError};
use super::outstanding::Asked;
use super::{CHUNK, LINE_END, Session, Traced};
use crate::answer::Answer;
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
    /// Returns what a command asked whose answer has not come, for a definition with an identification.
    pub(super) fn asked(&self, answer: Option<&Answer>) -> Asked {
        let (Some(answer), Some(identification)) = (answer, &self.definition.identification) else {
            return Asked::Other;
        };
        let encoding = self.definition.connection.encoding;
        let reads = |text: &str| answer.parse(text.as_bytes(), encoding).is_ok();
        // A pattern that a single digit fits stands for anything.
        let expects_anything = identification.expect.iter().any(|pattern| pattern.matches("1"));
        if expects_anything || self.identity.as_deref().is_none_or(reads) {
            Asked::LooksLikeIt
        } else {
            Asked::Other
        }
    }

    /// Leaves out answers of earlier commands. Returns whether the next answer will be that of the next command.
    pub(super) fn synchronise(&mut self, doubt: Doubt) -> bool {
        if let Some(identification) = self.definition.identification.clone() {
            return self.identify(&identification, false).is_ok();
        }
        let timeout = self.definition.connection.timeout;
        match doubt {
            Doubt::Late if self.port.forgets() => false,
            // Without a question of which the answer is known, the late answer is waited for.
            Doubt::Late => self.leave_out(timeout * LATEST),
            Doubt::Form => self.port.drops_unread() || self.leave_out(LINE_END),
        }
    }

    /// Leaves out what comes within the limit, and what comes right behind it. Returns `false` if the connection is
    /// broken.
    fn leave_out(&mut self, limit: Duration) -> bool {
        let mut end = Instant::now() + limit;
        let mut scratch = vec![0; CHUNK];
        loop {
            let left = end.saturating_duration_since(Instant::now());
            match self.port.read(&mut scratch, left) {
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
            let identifies = fits(identification, &answer);
            self.outstanding.answer(identifies);
            if identifies {
                self.settle(identification, is_first, &mut bytes)?;
                return Ok(escaped(answer.as_bytes()));
            }
            if is_fresh {
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
        }
        let quiet = match &self.outstanding {
            none if none.is_empty() => {
                if !is_first || self.port.forgets() || self.port.drops_unread() {
                    return Ok(());
                }
                // Another program may have asked.
                LINE_END
            }
            // A new connection takes less time than waiting.
            _ if self.port.forgets() => {
                let command = identification.query.clone();
                return Err(OpenError::Silent(ExchangeError::late(&command, limit)));
            }
            identifications if identifications.is_only_identifications() => limit,
            _ => limit * LATEST,
        };
        self.take_late(identification, quiet, bytes)?;
        // The others were probably lost.
        self.outstanding.keep_identifications();
        Ok(())
    }

    /// Whether the answer to a command is that of an identification query before it. Another answer means that none
    /// of those comes any more.
    pub(super) fn is_late_identification(&mut self, answer: &[u8]) -> bool {
        if self.outstanding.is_empty() {
            return false;
        }
        let answer = self.decoded(answer);
        let identification = self.definition.identification.as_ref();
        let is_it = identification.is_some_and(|identification| fits(identification, &answer));
        if is_it {
            self.outstanding.answer(true);
            self.note("left out: an answer that came too late");
        } else {
            self.outstanding.forget();
        }
        is_it
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
        let end = Instant::now() + quiet.max(self.definition.connection.timeout) * LATEST;
        while Instant::now() < end {
            let answer = match self.receive(&identification.query, Framing::Line, quiet, bytes) {
                Ok(answer) => self.decoded(&answer),
                Err(ExchangeError::Timeout { .. }) => break,
                Err(error) => return Err(OpenError::Silent(error)),
            };
            self.outstanding.answer(fits(identification, &answer));
            self.note("left out: an answer that came too late");
            if is_expected && self.outstanding.is_empty() {
                break;
            }
        }
        Ok(())
    }

    fn decoded(&self, answer: &[u8]) -> String {
        self.definition
            .connection
            .encoding
            .decode(answer)
            .trim()
            .to_owned()
    }
}

fn fits(identification: &Identification, answer: &str) -> bool {
    identification
        .expect
        .iter()
        .any(|pattern| pattern.matches(answer))
}

fn wrong(answer: &str, identification: &Identification) -> OpenError {
    let patterns: Vec<_> = identification.expect.iter().map(Pattern::text).collect();
    OpenError::Wrong {
        answer: escaped(answer.as_bytes()),
        expected: patterns.join("' or '"),
    }
}
