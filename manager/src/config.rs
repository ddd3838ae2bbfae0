//! A manager's settings: authentication and limits.

use std::fmt;
use std::time::Duration;

use labwire_wire::MAX_DEPTH;

use crate::budget::Budgets;
use crate::sessions::SessionLimits;

/// The longest typed line, and the longest request to the manager itself, in bytes. The manager
/// parses these fully, which costs many times a line's length.
pub(crate) const MANAGERS_LINE: usize = 64 * 1024;

/// How a manager decides which peers may connect. At most one method is active.
#[derive(Clone, PartialEq, Eq)]
pub enum Authentication {
    /// No authentication. Only the manager's own computer is admitted, unless the manager is
    /// `open`.
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
    /// Every peer must present a certificate of a user of the database: see
    /// [`Settings::certificates`](crate::Settings::certificates).
    Certificate,
}

impl fmt::Debug for Authentication {
    /// Leaves out the password, since settings are logged.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None { open } => formatter.debug_struct("None").field("open", open).finish(),
            Self::Password(_) => formatter.write_str("Password(…)"),
            Self::Login => formatter.write_str("Login"),
            Self::Hostname => formatter.write_str("Hostname"),
            Self::Certificate => formatter.write_str("Certificate"),
        }
    }
}

/// Limits on what one peer, or all peers together, may use. [`check`](Self::check) lists the range
/// of each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Time from the accepted connection to the accepted identity, TLS and authentication included.
    /// Default: 10 s.
    pub handshake: Duration,
    /// The longest line before authentication, in bytes. Default: 64 KiB.
    pub handshake_line: usize,
    /// The longest line between authentication (if any) and the accepted identity, in bytes.
    /// `handshake_line` applies instead if it is larger. Default: 4 MiB.
    pub identity_line: usize,
    /// The longest line of an identified peer, in bytes. Default: 1 GiB.
    pub line: usize,
    /// How long an unfinished line may receive no bytes. Then the part received is discarded.
    /// Default: 10 s.
    pub line_stall: Duration,
    /// The most bytes of arrays in a frame that is converted to base64 for receivers without the
    /// feature `binary`. Default: 64 MiB.
    pub convert: usize,
    /// How deep arrays and objects in a line may be nested, counting the outermost object. Default:
    /// 1,024, the maximum.
    pub nesting: usize,
    /// Capacity of one peer's queue of outgoing frames, in bytes. Replies that a client asked for
    /// may use four times as much, so that a client that does not read does not hold up its
    /// services. An empty queue takes one larger frame. Default: 64 MiB.
    pub queue: usize,
    /// How long a peer may read nothing while others wait for room in its queue, before it is
    /// disconnected. For clients, this time and `patience` are halved, quartered and so on by each
    /// client of the same IPv4 address, or the same /64 network of IPv6, to which this happened
    /// within the last minutes. Default: 2 s.
    pub stall: Duration,
    /// The time in which a peer must read 1 MiB (or its whole queue, if shorter) while others wait
    /// for room in its queue. A slower peer is disconnected. For a client that keeps services
    /// waiting the bytes double after each such time, up to 32 MiB. Default: 5 s.
    pub patience: Duration,
    /// The most connections. 256 further ones at a time receive an error; others wait in the
    /// operating system's queue. Default: 10,000.
    pub connections: usize,
    /// The most connections that have not identified themselves. Default: 1,000.
    pub unidentified: usize,
    /// The same, for one address. Default: 100.
    pub unidentified_per_address: usize,
    /// The most requests of one client that are in flight. Default: 65,536.
    pub in_flight_per_client: usize,
    /// Limits for all peers together. Default: those for the memory of this process, see
    /// [`Budgets::for_memory`].
    pub budgets: Budgets,
    /// Limits of sessions: what is kept of peers whose connection is broken.
    pub sessions: SessionLimits,
    /// The number of failed logins of one address, for one username or for several, after which the
    /// address must wait before it tries again. The same number of failures for one user, from any
    /// address, delays the answers to further wrong passwords. Fewer failures are free since people
    /// mistype. Default: 5.
    pub login_failures: u32,
    /// The first of these waits. Each further failure doubles it. Default: 1 s.
    pub login_penalty: Duration,
    /// The longest time for which an address is refused after a failed login. Default: 1 minute.
    pub login_penalty_address: Duration,
    /// The longest delay of an answer to a wrong password because of earlier failures for that
    /// user. The answer to a correct password is not delayed. Default: 2 s.
    pub login_penalty_user: Duration,
    /// How long a stopping manager waits for requests to be answered and queues to be written.
    /// Default: 10 s.
    pub drain: Duration,
    /// Idle time before a TCP keep-alive probe. A connection without an acknowledgement for three
    /// times as long ends, whether it was idle or had bytes in flight. Default: 30 s.
    pub keepalive: Duration,
}

impl Default for Limits {
    /// Returns the default of each limit.
    fn default() -> Self {
        Self {
            // RabbitMQ's handshake timeout.
            handshake: Duration::from_secs(10),
            handshake_line: 64 * 1024,
            // A service with 800 methods needs 64 KiB, one with a table of 100,000 numbers 2 MiB.
            identity_line: 4 * 1024 * 1024,
            // Laboratories send single requests of more than 100 MB.
            line: 1024 * 1024 * 1024,
            line_stall: Duration::from_secs(10),
            // Two frames of a common detector.
            convert: 64 * 1024 * 1024,
            nesting: MAX_DEPTH,
            // NATS keeps as much for a slow consumer.
            queue: 64 * 1024 * 1024,
            stall: Duration::from_secs(2),
            // Half of NATS's write deadline for a slow consumer.
            patience: Duration::from_secs(5),
            // Redis's default for clients.
            connections: 10_000,
            unidentified: 1_000,
            // Enough for a computer that starts fifty services at once.
            unidentified_per_address: 100,
            in_flight_per_client: 65_536,
            budgets: Budgets::default(),
            sessions: SessionLimits::default(),
            login_failures: 5,
            login_penalty: Duration::from_secs(1),
            // A laboratory must get back in while its operator is still waiting.
            login_penalty_address: Duration::from_mins(1),
            // Within the handshake time.
            login_penalty_user: Duration::from_secs(2),
            drain: Duration::from_secs(10),
            keepalive: Duration::from_secs(30),
        }
    }
}
