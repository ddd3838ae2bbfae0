//! The exit status of a command.

use std::fmt;

/// The exit status of a command.
///
/// See the example of [`Output`](super::Output).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Status {
    /// The command exited with this code; 0 means success.
    Exited(u32),
    /// A signal such as `KILL` ended the command.
    Killed(String),
    /// The server did not report a status.
    Unknown,
}

impl fmt::Display for Status {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exited(code) => write!(formatter, "ended with code {code}"),
            Self::Killed(signal) => write!(formatter, "was ended by the signal {signal}"),
            Self::Unknown => formatter.write_str("ended, the server does not tell how"),
        }
    }
}
