//! The valid range of each limit.

use std::fmt;
use std::io;
use std::time::Duration;

use labwire_wire::MAX_DEPTH;
use thiserror::Error;

use crate::budget::Budgets;
use crate::config::Limits;
#[cfg(doc)]
use crate::sessions::SessionLimits;

/// The shortest and the longest time for most limits.
const TIMES: (Duration, Duration) = (Duration::from_millis(100), Duration::from_hours(1));

/// The shortest and the longest idle time before a keep-alive probe. Linux's maximum is a little
/// more.
const KEEPALIVE: (Duration, Duration) = (Duration::from_secs(1), Duration::from_hours(9));

/// The shortest and the longest line or queue, in bytes. The shortest has room for an identity, or
/// for a request with some arguments. A line is contiguous in memory, so one peer can make the
/// manager allocate the longest.
const LINES: (usize, usize) = (1024, 16 << 30);

/// The fewest and the most bytes of buffers that are converted. Each takes a second or two of a
/// processor.
const CONVERTED: (usize, usize) = (0, 1 << 30);

/// The smallest and the largest budget, in bytes. The largest exceeds any computer's memory.
const BUDGETS: (usize, usize) = (64 * 1024, usize::MAX >> 8);

/// The shortest and the longest grace period that a peer may ask for.
const GRACE: (Duration, Duration) = (Duration::from_secs(1), Duration::from_hours(24));

/// The fewest and the most bytes that are kept for one peer.
const KEPT: (usize, usize) = (1024, 1 << 30);

/// The fewest and the most connections. The most exceeds any computer's file descriptors.
const CONNECTIONS: (usize, usize) = (1, 1_000_000);

/// A member of [`Limits`] or of its [`Budgets`]. Displayed as the member's name, for example
/// `budgets.lines`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Limit {
    /// [`Limits::handshake`].
    Handshake,
    /// [`Limits::handshake_line`].
    HandshakeLine,
    /// [`Limits::identity_line`].
    IdentityLine,
    /// [`Limits::line`].
    Line,
    /// [`Limits::line_stall`].
    LineStall,
    /// [`Limits::convert`].
    Convert,
    /// [`Limits::nesting`].
    Nesting,
    /// [`Limits::queue`].
    Queue,
    /// [`Limits::stall`].
    Stall,
    /// [`Limits::patience`].
    Patience,
    /// [`Limits::connections`].
    Connections,
    /// [`Limits::unidentified`].
    Unidentified,
    /// [`Limits::unidentified_per_address`].
    UnidentifiedPerAddress,
    /// [`Limits::in_flight_per_client`].
    InFlightPerClient,
    /// [`Budgets::lines`].
    BudgetLines,
    /// [`Budgets::queues`].
    BudgetQueues,
    /// [`Budgets::identities`].
    BudgetIdentities,
    /// [`Budgets::in_flight`].
    BudgetInFlight,
    /// [`Budgets::sessions`].
    BudgetSessions,
    /// [`SessionLimits::grace`].
    SessionGrace,
    /// [`SessionLimits::kept`].
    SessionKept,
    /// [`SessionLimits::away`].
    Away,
    /// [`Limits::login_failures`].
    LoginFailures,
    /// [`Limits::login_penalty`].
    LoginPenalty,
    /// [`Limits::login_penalty_address`].
    LoginPenaltyAddress,
    /// [`Limits::login_penalty_user`].
    LoginPenaltyUser,
    /// [`Limits::drain`].
    Drain,
    /// [`Limits::keepalive`].
    Keepalive,
}

impl fmt::Display for Limit {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Handshake => "handshake",
            Self::HandshakeLine => "handshake_line",
            Self::IdentityLine => "identity_line",
            Self::Line => "line",
            Self::LineStall => "line_stall",
            Self::Convert => "convert",
            Self::Nesting => "nesting",
            Self::Queue => "queue",
            Self::Stall => "stall",
            Self::Patience => "patience",
            Self::Connections => "connections",
            Self::Unidentified => "unidentified",
            Self::UnidentifiedPerAddress => "unidentified_per_address",
            Self::InFlightPerClient => "in_flight_per_client",
            Self::BudgetLines => "budgets.lines",
            Self::BudgetQueues => "budgets.queues",
            Self::BudgetIdentities => "budgets.identities",
            Self::BudgetInFlight => "budgets.in_flight",
            Self::BudgetSessions => "budgets.sessions",
            Self::SessionGrace => "sessions.grace",
            Self::SessionKept => "sessions.kept",
            Self::Away => "sessions.away",
            Self::LoginFailures => "login_failures",
            Self::LoginPenalty => "login_penalty",
            Self::LoginPenaltyAddress => "login_penalty_address",
            Self::LoginPenaltyUser => "login_penalty_user",
            Self::Drain => "drain",
            Self::Keepalive => "keepalive",
        })
    }
}

/// A limit that is out of its range. Both ends belong to the range.
///
/// ```
/// use std::time::Duration;
/// use labwire_manager::{Limit, LimitError, Limits};
///
/// let limits = Limits { stall: Duration::ZERO, ..Limits::default() };
/// let error = limits.check().unwrap_err();
/// assert!(matches!(error, LimitError::Time { limit: Limit::Stall, .. }));
/// assert_eq!(error.to_string(), "the limit `stall` can be 100ms to 3600s, it cannot be 0ns");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum LimitError {
    /// A time is too short or too long.
    #[error("the limit `{limit}` can be {least:?} to {most:?}, it cannot be {value:?}")]
    Time {
        /// The limit.
        limit: Limit,
        /// The rejected value.
        value: Duration,
        /// The shortest valid time.
        least: Duration,
        /// The longest valid time.
        most: Duration,
    },
    /// A number of bytes is too small or too large.
    #[error("the limit `{limit}` can be {least} to {most} bytes, it cannot be {value}")]
    Bytes {
        /// The limit.
        limit: Limit,
        /// The rejected value, in bytes.
        value: usize,
        /// The fewest valid bytes.
        least: usize,
        /// The most valid bytes.
        most: usize,
    },
    /// Another number is too small or too large.
    #[error("the limit `{limit}` can be {least} to {most}, it cannot be {value}")]
    Count {
        /// The limit.
        limit: Limit,
        /// The rejected value.
        value: usize,
        /// The smallest valid number.
        least: usize,
        /// The largest valid number.
        most: usize,
    },
}

impl Limits {
    /// Checks that each limit is in its valid range. [`Manager::bind`](crate::Manager::bind) and
    /// [`Manager::from_listeners`](crate::Manager::from_listeners) do so too. Both ends of a range
    /// are valid:
    ///
    /// | limits | range |
    /// |---|---|
    /// | `handshake`, `line_stall`, `stall`, `patience` | 100 ms to 1 hour |
    /// | `login_penalty`, `login_penalty_address` | 100 ms to 1 hour |
    /// | `login_penalty_user` | 0 to 1 minute |
    /// | `drain` | 0 to 1 hour |
    /// | `keepalive` | 1 s to 9 hours |
    /// | `handshake_line`, `identity_line`, `line`, `queue` | 1 KiB to 16 GiB |
    /// | `convert` | 0 to 1 GiB |
    /// | `nesting` | 4 to 1,024 |
    /// | `connections`, `unidentified`, `unidentified_per_address` | 1 to 1,000,000 |
    /// | `in_flight_per_client` | 1 to 10,000,000 |
    /// | `login_failures` | 1 to 1,000 |
    /// | `budgets.lines`, `budgets.queues`, `budgets.identities` | 64 KiB to `usize::MAX >> 8` |
    /// | `budgets.in_flight` | 1,000 to 1,000,000,000 |
    /// | `budgets.sessions` | 64 KiB to `usize::MAX >> 8` |
    /// | `sessions.grace` | 1 s to 1 day |
    /// | `sessions.kept` | 1 KiB to 1 GiB |
    /// | `sessions.away` | 0 to 1,000,000 |
    ///
    /// # Errors
    /// Returns the first limit that is out of range, in the order of the members.
    pub fn check(&self) -> Result<(), LimitError> {
        let Self {
            handshake,
            handshake_line,
            identity_line,
            line,
            line_stall,
            convert,
            nesting,
            queue,
            stall,
            patience,
            connections,
            unidentified,
            unidentified_per_address,
            in_flight_per_client,
            budgets,
            sessions,
            login_failures,
            login_penalty,
            login_penalty_address,
            login_penalty_user,
            drain,
            keepalive,
        } = *self;
        let login_failures = usize::try_from(login_failures).unwrap_or(usize::MAX);
        time(Limit::Handshake, handshake, TIMES)?;
        bytes(Limit::HandshakeLine, handshake_line, LINES)?;
        bytes(Limit::IdentityLine, identity_line, LINES)?;
        bytes(Limit::Line, line, LINES)?;
        time(Limit::LineStall, line_stall, TIMES)?;
        bytes(Limit::Convert, convert, CONVERTED)?;
        count(Limit::Nesting, nesting, (4, MAX_DEPTH))?;
        bytes(Limit::Queue, queue, LINES)?;
        time(Limit::Stall, stall, TIMES)?;
        time(Limit::Patience, patience, TIMES)?;
        count(Limit::Connections, connections, CONNECTIONS)?;
        count(Limit::Unidentified, unidentified, CONNECTIONS)?;
        count(
            Limit::UnidentifiedPerAddress,
            unidentified_per_address,
            CONNECTIONS,
        )?;
        count(Limit::InFlightPerClient, in_flight_per_client, (1, 10_000_000))?;
        check_budgets(budgets)?;
        time(Limit::SessionGrace, sessions.grace, GRACE)?;
        bytes(Limit::SessionKept, sessions.kept, KEPT)?;
        count(Limit::Away, sessions.away, (0, CONNECTIONS.1))?;
        count(Limit::LoginFailures, login_failures, (1, 1_000))?;
        time(Limit::LoginPenalty, login_penalty, TIMES)?;
        time(Limit::LoginPenaltyAddress, login_penalty_address, TIMES)?;
        let penalties = (Duration::ZERO, Duration::from_mins(1));
        time(Limit::LoginPenaltyUser, login_penalty_user, penalties)?;
        time(Limit::Drain, drain, (Duration::ZERO, TIMES.1))?;
        time(Limit::Keepalive, keepalive, KEEPALIVE)
    }
}

fn check_budgets(budgets: Budgets) -> Result<(), LimitError> {
    let Budgets {
        lines,
        queues,
        identities,
        in_flight,
        sessions,
    } = budgets;
    bytes(Limit::BudgetLines, lines, BUDGETS)?;
    bytes(Limit::BudgetQueues, queues, BUDGETS)?;
    bytes(Limit::BudgetIdentities, identities, BUDGETS)?;
    bytes(Limit::BudgetSessions, sessions, BUDGETS)?;
    count(Limit::BudgetInFlight, in_flight, (1_000, 1_000_000_000))
}

fn time(limit: Limit, value: Duration, (least, most): (Duration, Duration)) -> Result<(), LimitError> {
    let is_in_range = (least..=most).contains(&value);
    is_in_range.then_some(()).ok_or(LimitError::Time {
        limit,
        value,
        least,
        most,
    })
}

fn bytes(limit: Limit, value: usize, (least, most): (usize, usize)) -> Result<(), LimitError> {
    let is_in_range = (least..=most).contains(&value);
    is_in_range.then_some(()).ok_or(LimitError::Bytes {
        limit,
        value,
        least,
        most,
    })
}

fn count(limit: Limit, value: usize, (least, most): (usize, usize)) -> Result<(), LimitError> {
    let is_in_range = (least..=most).contains(&value);
    is_in_range.then_some(()).ok_or(LimitError::Count {
        limit,
        value,
        least,
        most,
    })
}

/// The error of [`Manager::bind`](crate::Manager::bind) and
/// [`Manager::from_listeners`](crate::Manager::from_listeners).
#[derive(Debug, Error)]
pub enum BindError {
    /// A limit is out of range. No socket was bound.
    #[error(transparent)]
    Limit(#[from] LimitError),
    /// The operating system refused a socket or the routing thread, for example because the port is
    /// in use.
    #[error(transparent)]
    Io(#[from] io::Error),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_in_their_ranges_and_so_are_both_ends_of_a_range() {
        assert_eq!(Limits::default().check(), Ok(()));
        for handshake in [TIMES.0, TIMES.1] {
            let limits = Limits {
                handshake,
                ..Limits::default()
            };
            assert_eq!(limits.check(), Ok(()));
        }
    }

    #[test]
    fn a_limit_out_of_its_range_is_named() {
        let limits = Limits {
            nesting: 3,
            connections: 0,
            ..Limits::default()
        };
        let error = limits.check().unwrap_err();
        assert_eq!(
            error.to_string(),
            "the limit `nesting` can be 4 to 1024, it cannot be 3"
        );
        let budgets = Budgets {
            lines: 1,
            ..Budgets::default()
        };
        let limits = Limits {
            budgets,
            ..Limits::default()
        };
        let error = limits.check().unwrap_err();
        assert!(
            error
                .to_string()
                .starts_with("the limit `budgets.lines` can be 65536 to ")
        );
    }

    #[tokio::test]
    async fn a_manager_with_a_limit_out_of_its_range_is_not_made() {
        let folder = tempfile::tempdir().unwrap();
        let database = folder.path().join("manager.sqlite3");
        let settings = crate::Settings {
            authentication: crate::Authentication::None { open: false },
            roles: false,
            limits: Limits {
                line: 0,
                ..Limits::default()
            },
            store: labwire_store::Store::open(&database, &labwire_store::StoreOptions::default()).unwrap(),
            recording: crate::Recording::Nothing,
            tls: None,
            certificates: None,
            log: crate::LogControl::none(),
        };
        let made = crate::Manager::bind(Some("127.0.0.1"), 0, settings).await;
        let error = made.map(|_| ()).unwrap_err();
        assert!(
            matches!(
                error,
                BindError::Limit(LimitError::Bytes {
                    limit: Limit::Line,
                    ..
                })
            ),
            "{error}"
        );
    }
}
