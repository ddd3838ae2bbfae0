//! What is meant: the settings of a manager, checked before anything is bound.

use std::fmt;
use std::time::Duration;

use labwire_wire::MAX_DEPTH;

use crate::budget::Budgets;

/// How long a line may be that is typed, or that asks the manager itself for something. Nobody types more, and
/// what the manager reads it takes apart, which costs many times a line's length.
pub(crate) const MANAGERS_LINE: usize = 64 * 1024;

/// How a manager decides who may connect. There is one way at most.
#[derive(Clone, PartialEq, Eq)]
pub enum Authentication {
    /// Nothing is asked. Only the manager's own computer is served, unless it is `open` to everyone.
    None {
        /// Whether peers on other computers are admitted too.
        open: bool,
    },
    /// Every peer must know the manager's password.
    Password(String),
    /// Every peer must log in as a user of the database.
    Login,
    /// Every peer's computer must be in the table of trusted hostnames.
    Hostname,
}

impl fmt::Debug for Authentication {
    /// Leaves the password out: settings are logged.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None { open } => formatter.debug_struct("None").field("open", open).finish(),
            Self::Password(_) => formatter.write_str("Password(…)"),
            Self::Login => formatter.write_str("Login"),
            Self::Hostname => formatter.write_str("Hostname"),
        }
    }
}

/// What one peer, or all of them together, may use up. [`check`](Self::check) tells the range of each limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// From the accepted connection to the accepted identity, TLS and authentication included.
    pub handshake: Duration,
    /// The longest line until the peer has authenticated, in bytes.
    pub handshake_line: usize,
    /// The longest line of a peer that has authenticated, or needs not, until its identity is accepted, in bytes. It is
    /// `handshake_line` if that is more.
    pub identity_line: usize,
    /// The longest line afterwards, in bytes.
    pub line: usize,
    /// How long a line may not grow before its end has come. What has come of it is thrown away then.
    pub line_stall: Duration,
    /// How deep arrays and objects of a line may be nested, the outermost object included. More than 1,024 are
    /// not read, whatever stands here.
    pub nesting: usize,
    /// How much may wait to be written to one peer, in bytes. Replies that a client asked for may take four times as
    /// much, so that a client that does not read does not hold up its services. One larger frame is taken when nothing
    /// waits.
    pub queue: usize,
    /// How long a peer may read nothing while others wait for room in its queue, before it is disconnected. A peer
    /// from a network where that happened within the last minutes has half as long, a quarter, and so on.
    pub stall: Duration,
    /// In what time a peer must read 1 MiB (or its whole queue, if that is shorter) while others wait for room in its
    /// queue, before it is disconnected.
    pub patience: Duration,
    /// Connections in all. Who comes after them is told so, or waits in the operating system's queue.
    pub connections: usize,
    /// Connections that have not identified themselves.
    pub unidentified: usize,
    /// The same, of one address.
    pub unidentified_per_address: usize,
    /// Requests of one client that wait for their reply.
    pub in_flight_per_client: usize,
    /// What all peers together may use up.
    pub budgets: Budgets,
    /// The failed login of one address, in one name or in different names, from which on each costs a wait. The same
    /// number of failures in one user's name, wherever from, holds back the answers to further ones. People mistype.
    pub login_failures: u32,
    /// The first of these waits; each further failure doubles it.
    pub login_penalty: Duration,
    /// No address is refused for longer after a failed login.
    pub login_penalty_address: Duration,
    /// No answer to a wrong password is held back for longer by what failed in that user's name. A right one is not held
    /// back.
    pub login_penalty_user: Duration,
    /// How long a manager that stops waits until requests are answered and queues are written.
    pub drain: Duration,
    /// Idle time before TCP probes whether a peer is there. Without an answer for three times as long, whether the
    /// connection was idle or bytes were in flight, it ends.
    pub keepalive: Duration,
}

impl Default for Limits {
    /// Where a figure is a trusted system's, it is named.
    fn default() -> Self {
        Self {
            // RabbitMQ gives its handshake as long.
            handshake: Duration::from_secs(10),
            handshake_line: 64 * 1024,
            // A service with 800 methods needs 64 KiB, one with a table of 100,000 numbers 2 MiB.
            identity_line: 4 * 1024 * 1024,
            // Laboratories send single requests of more than 100 MB.
            line: 1024 * 1024 * 1024,
            line_stall: Duration::from_secs(10),
            nesting: MAX_DEPTH,
            // NATS keeps as much for a slow consumer.
            queue: 64 * 1024 * 1024,
            stall: Duration::from_secs(2),
            // Half of what NATS gives a slow consumer for one write.
            patience: Duration::from_secs(5),
            // Redis serves as many clients.
            connections: 10_000,
            unidentified: 1_000,
            // A computer that starts fifty services at once is served.
            unidentified_per_address: 100,
            in_flight_per_client: 65_536,
            budgets: Budgets::default(),
            login_failures: 5,
            login_penalty: Duration::from_secs(1),
            // A laboratory must get back in while its operator still stands there.
            login_penalty_address: Duration::from_mins(1),
            // Within the time of the handshake.
            login_penalty_user: Duration::from_secs(2),
            drain: Duration::from_secs(10),
            keepalive: Duration::from_secs(30),
        }
    }
}
