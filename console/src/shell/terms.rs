//! The terms of a lock, as they are typed after its service: `ttl=60 wait=10 reason="a text"`.

use std::time::Duration;

use labwire_client::{Lock, LockOptions};

use super::split::{Word, bare_name};
use crate::failure::Failure;
use crate::output::one_line;
use crate::seconds::Seconds;

/// The terms of a lock.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Terms {
    /// The time after which the lock ends if it cannot be renewed.
    ttl: Option<Seconds>,
    /// The time for which it is waited for.
    wait: Option<Seconds>,
    /// Why it is held, for others.
    reason: Option<String>,
}

impl Terms {
    /// Adds a term. Returns `false` if the word is none.
    ///
    /// # Errors
    /// If it has no value, or one that makes no sense.
    pub(super) fn add(&mut self, word: &Word<'_>) -> Result<bool, Failure> {
        let Some((name, value)) = word.typed.split_once('=').filter(|_| !word.is_quoted()) else {
            return Ok(false);
        };
        let time = || {
            let time = value.parse::<Seconds>();
            time.map_err(|error| Failure::Usage(format!("{name}={}: {error}", one_line(value))))
        };
        match &*name.to_ascii_lowercase() {
            "ttl" => self.ttl = Some(time()?),
            "wait" => self.wait = Some(time()?),
            "reason" => {
                let reason = bare_name(value).ok_or_else(|| {
                    Failure::Usage("reason needs a text, as in reason=\"calibration until 4 pm\"".to_owned())
                });
                self.reason = Some(reason?);
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// Returns whether there are none.
    pub(super) fn are_none(&self) -> bool {
        *self == Self::default()
    }

    /// Returns the time for which the lock is waited for.
    pub(super) fn wait(&self) -> Duration {
        self.wait.map_or(Duration::ZERO, Seconds::duration)
    }

    /// Returns the options of the lock.
    pub(super) fn options(&self, kind: Lock) -> LockOptions {
        let mut options = LockOptions::new(kind).wait(self.wait());
        if let Some(ttl) = self.ttl {
            options = options.ttl(ttl.duration());
        }
        if let Some(reason) = &self.reason {
            options = options.reason(reason);
        }
        options
    }
}
