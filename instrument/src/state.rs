//! Whether the instrument can be used, as the service tells it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use jiff::Timestamp;
use labwire_home::{local_time_zone, present};

use crate::value::Value;

/// A moment of both clocks: the time of day may be set, durations must not change with it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Moment {
    time: Timestamp,
    instant: Instant,
}

impl Moment {
    pub(crate) fn now() -> Self {
        Self {
            time: present(),
            instant: Instant::now(),
        }
    }

    /// Returns the time with its offset from UTC, as in `2026-11-28 09:12:40 +01:00`.
    fn told(self) -> String {
        let time = self.time.to_zoned(local_time_zone());
        time.strftime("%Y-%m-%d %H:%M:%S %:z").to_string()
    }
}

/// Whether the instrument can be used.
#[derive(Clone, Debug)]
pub(crate) enum State {
    Ready { since: Moment, identity: Option<String> },
    Unreachable { since: Moment, why: String },
}

impl State {
    pub(crate) fn unreachable(why: impl Into<String>) -> Self {
        Self::Unreachable {
            since: Moment::now(),
            why: why.into(),
        }
    }

    /// Returns why a request is refused now, for people. `None` if it is not.
    pub(crate) fn refusal(&self, address: &str) -> Option<String> {
        match self {
            Self::Ready { .. } => None,
            Self::Unreachable { since, why } => Some(format!(
                "the instrument at {address} is not reachable since {} ({} s): {why}; nothing was sent, and it is tried \
                 again",
                since.told(),
                since.instant.elapsed().as_secs()
            )),
        }
    }

    /// Returns it as the method `instrument` answers it.
    pub(crate) fn value(&self, address: &str) -> Value {
        let text = |text: &str| Value::Text(text.to_owned());
        let (reachable, since, identity, why) = match self {
            Self::Ready { since, identity } => (true, since, identity.as_deref(), None),
            Self::Unreachable { since, why } => (false, since, None, Some(why.as_str())),
        };
        let fields = [
            ("address", text(address)),
            ("reachable", Value::Boolean(reachable)),
            ("since", text(&since.told())),
            ("identity", identity.map_or(Value::Nothing, text)),
            ("reason", why.map_or(Value::Nothing, text)),
        ];
        Value::Fields(
            fields
                .into_iter()
                .map(|(name, value)| (name.to_owned(), value))
                .collect(),
        )
    }
}

/// The state, shared between the thread of the instrument and the service.
#[derive(Debug)]
pub(crate) struct SharedState {
    state: Mutex<State>,
    polls: AtomicBool,
}

impl SharedState {
    pub(crate) fn new(state: State) -> Self {
        Self {
            state: Mutex::new(state),
            polls: AtomicBool::new(false),
        }
    }

    /// Lets the polls begin.
    pub(crate) fn begin_polls(&self) {
        self.polls.store(true, Ordering::Release);
    }

    /// Whether the polls have begun.
    pub(crate) fn polls(&self) -> bool {
        self.polls.load(Ordering::Acquire)
    }

    pub(crate) fn set(&self, state: State) {
        *self.state.lock().unwrap_or_else(PoisonError::into_inner) = state;
    }

    pub(crate) fn get(&self) -> State {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
