//! Errors of connections.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use labwire_tcp::has_vanished;
use labwire_wire::LineTooLong;
use thiserror::Error;

use crate::payload::EncodeError;
use crate::questions::NoAnswer;
use crate::trust::TrustError;

/// The reason why a connection could not be made.
///
/// ```
/// use labwire_device::{ConnectError, ConnectOptions, Introduction, connect};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// // Nobody listens at this port.
/// let options = ConnectOptions::new().port(1).without_tls();
/// let error: ConnectError = connect(&options, &Introduction::client("Ada")).await.unwrap_err();
/// assert!(matches!(error, ConnectError::Unreachable { .. }));
/// assert!(error.to_string().starts_with("cannot connect to localhost:1: "));
/// assert!(error.to_string().ends_with("; is a manager running there?"));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, Error)]
pub enum ConnectError {
    /// Nothing answers at the address, or the connection was lost before it was complete.
    #[error("cannot connect to {address}: {reason}; is a manager running there?")]
    Unreachable {
        /// The address, as `HOST:PORT`.
        address: String,
        /// The error of the operating system.
        reason: Arc<io::Error>,
    },
    /// Connecting exceeded the time limit.
    #[error(
        "no connection to {address} within {} s{}",
        timeout.as_secs_f64(),
        if *tls { "" } else { "; perhaps the manager uses TLS and this connection does not" }
    )]
    TimedOut {
        /// The address, as `HOST:PORT`.
        address: String,
        /// The time limit.
        timeout: Duration,
        /// Whether the connection uses TLS.
        tls: bool,
    },
    /// The manager does not speak TLS.
    #[error(
        "{address} does not answer with TLS; if the manager was started with --disable-tls, connect without TLS"
    )]
    NoTls {
        /// The address, as `HOST:PORT`.
        address: String,
    },
    /// The manager uses TLS, and this connection does not.
    #[error("{address} answers with TLS, and this connection is made without; leave TLS on")]
    TlsExpected {
        /// The address, as `HOST:PORT`.
        address: String,
    },
    /// The manager is not trusted.
    #[error(transparent)]
    Trust(#[from] TrustError),
    /// The manager asks a question, and neither the options nor a person provide the answer.
    #[error(transparent)]
    NoAnswer(#[from] NoAnswer),
    /// The manager refuses the device.
    #[error("the manager refused the connection: {message}")]
    Refused {
        /// The manager's message.
        message: String,
    },
    /// The manager closed the connection before it had accepted the device.
    #[error("{address} closed the connection before it was made")]
    Closed {
        /// The address, as `HOST:PORT`.
        address: String,
    },
    /// The server at the address is not a manager.
    #[error("what answers at {address} is not a manager: it sent {sent:?}")]
    NotAManager {
        /// The address, as `HOST:PORT`.
        address: String,
        /// The beginning of what it sent.
        sent: String,
    },
    /// The identity cannot be encoded.
    #[error("the identity cannot be written: {0}")]
    Identity(#[from] EncodeError),
}

impl ConnectError {
    /// Returns whether a later attempt may succeed without a change on this side.
    ///
    /// ```
    /// use labwire_device::{ConnectOptions, Introduction, connect};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let manager = labwire_testing::TestManager::builder().password("abc").start().await;
    /// let ada = Introduction::client("Ada");
    /// let nobody_there = ConnectOptions::new().port(1).without_tls();
    /// assert!(connect(&nobody_there, &ada).await.unwrap_err().is_transient());
    ///
    /// let wrong = ConnectOptions::new().port(manager.port()).without_tls().manager_password("a guess");
    /// assert!(!connect(&wrong, &ada).await.unwrap_err().is_transient());
    /// # Ok(())
    /// # }
    /// ```
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Unreachable { .. } | Self::TimedOut { .. } | Self::Closed { .. } => true,
            // The manager may not have noticed yet that the previous connection has ended, may be
            // about to stop, or may be overloaded by peers that reconnect at the same time. A
            // refusal on the wire has only this text, which begins with the name of a Python
            // exception.
            Self::Refused { message } => {
                message.starts_with("NameError")
                    || message.starts_with("ConnectionError")
                    || message.starts_with("TimeoutError")
                    || message.contains("try again")
            }
            Self::NoTls { .. }
            | Self::TlsExpected { .. }
            | Self::Trust(_)
            | Self::NoAnswer(_)
            | Self::NotAManager { .. }
            | Self::Identity(_) => false,
        }
    }
}

/// The reason why reading failed. The connection is unusable afterwards.
///
/// ```
/// use labwire_device::{ConnectOptions, Introduction, ReadError, connect};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let manager = labwire_testing::TestManager::start().await;
/// # let options = ConnectOptions::new().port(manager.port()).without_tls();
/// let options = options.read_limit(300);
/// let mut connection = connect(&options, &Introduction::client("Ada")).await?;
/// let request = r#"{"service":"Manager","attribute":"identity","args":[],"kwargs":{},"uid":"1"}"#;
/// connection.writer.write(&[format!("{request}\r\n").into()]).await?;
/// let error = connection.reader.next_line().await.unwrap_err();
/// assert!(matches!(error, ReadError::TooLong(_)));
/// assert!(error.to_string().ends_with("; raise the read limit if the manager may send such lines"));
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Error)]
pub enum ReadError {
    /// An error of the operating system or of TLS.
    #[error(transparent)]
    Io(io::Error),
    /// Nothing was received from the manager for three times the [keep-alive
    /// time](crate::ConnectOptions::keepalive), or the network is down. Contains the error of the
    /// operating system.
    #[error("the manager has vanished, or the network to it: {0}")]
    Vanished(#[source] io::Error),
    /// The manager sent a line that exceeds the read limit.
    #[error("{0}; raise the read limit if the manager may send such lines")]
    TooLong(#[from] LineTooLong),
}

impl From<io::Error> for ReadError {
    fn from(error: io::Error) -> Self {
        if has_vanished(&error) {
            Self::Vanished(error)
        } else {
            Self::Io(error)
        }
    }
}
