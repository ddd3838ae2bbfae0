//! Errors of connections.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use labwire_tcp::has_vanished;
use labwire_wire::LineTooLong;
use thiserror::Error;

use crate::client_certificate::ClientCertificateError;
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
    /// The certificate that is to be presented to the manager cannot be used.
    #[error(transparent)]
    ClientCertificate(#[from] ClientCertificateError),
    /// The manager does not accept the certificate that was presented to it.
    #[error("{address} does not accept the client certificate: {reason}; the log of the manager tells more")]
    CertificateRefused {
        /// The address, as `HOST:PORT`.
        address: String,
        /// The reason, as far as TLS tells it.
        reason: &'static str,
    },
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
    /// Returns whether the manager refuses a service because another one of the same name is
    /// connected, or a client because another one has its name, host and port.
    ///
    /// The other one may be an earlier connection of the same program whose end the manager has not
    /// noticed.
    ///
    /// ```
    /// use labwire_device::{ConnectOptions, Introduction, connect};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let manager = labwire_testing::TestManager::start().await;
    /// # let options = ConnectOptions::new().port(manager.port()).without_tls();
    /// let echo = Introduction::service("ECHO", "{}");
    /// let first = connect(&options, &echo).await?;
    /// let error = connect(&options, &echo).await.unwrap_err();
    /// assert!(error.is_name_taken() && error.is_transient());
    ///
    /// // Another name that looks the same is refused for good. This one has Cyrillic letters.
    /// let cyrillic = Introduction::service("\u{415}\u{421}\u{41d}\u{41e}", "{}");
    /// let look_alike = connect(&options, &cyrillic).await.unwrap_err();
    /// assert!(!look_alike.is_name_taken() && !look_alike.is_transient());
    /// # Ok(())
    /// # }
    /// ```
    pub fn is_name_taken(&self) -> bool {
        matches!(self, Self::Refused { message } if is_name_taken(message))
    }

    /// Returns whether the name is kept for a service that is away: its connection broke, and it
    /// may return until the time in the message. Such a refusal is also
    /// [transient](Self::is_transient).
    ///
    /// ```
    /// use labwire_device::ConnectError;
    ///
    /// let error = ConnectError::Closed { address: "lab-pc:1875".to_owned() };
    /// assert!(!error.is_name_kept());
    /// ```
    pub fn is_name_kept(&self) -> bool {
        matches!(self, Self::Refused { message } if is_name_kept(message))
    }

    /// Returns whether the manager does not know the session to which the device wanted to return: its
    /// time is over, or the manager was restarted.
    ///
    /// ```
    /// use labwire_device::ConnectError;
    ///
    /// let error = ConnectError::Closed { address: "lab-pc:1875".to_owned() };
    /// assert!(!error.has_no_session());
    /// ```
    pub fn has_no_session(&self) -> bool {
        matches!(self, Self::Refused { message } if message.starts_with(NO_SESSION))
    }

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
            Self::Refused { message } => is_passing(message),
            Self::NoTls { .. }
            | Self::TlsExpected { .. }
            | Self::Trust(_)
            | Self::ClientCertificate(_)
            | Self::CertificateRefused { .. }
            | Self::NoAnswer(_)
            | Self::NotAManager { .. }
            | Self::Identity(_) => false,
        }
    }
}

/// The beginning of the refusal of a session that has ended.
const NO_SESSION: &str = "KeyError: there is no session with this secret";

fn is_name_kept(message: &str) -> bool {
    message.starts_with("NameError: ") && message.contains(" is away until ")
}

/// Returns whether a refusal may pass by itself. On the wire it has only this text, which begins
/// with the name of a Python exception.
fn is_passing(message: &str) -> bool {
    // The name may be free later. Other errors about a name are about the name itself.
    if message.starts_with("NameError") {
        return is_name_taken(message) || is_name_kept(message);
    }
    // One side uses TLS and the other does not.
    if message.contains("this manager uses TLS") || message.contains("this manager does not use TLS") {
        return false;
    }
    // The manager may be about to stop, or overloaded by peers that reconnect at the same time.
    message.starts_with("ConnectionError")
        || message.starts_with("TimeoutError")
        || message.contains("try again")
}

/// The ends of the texts are not chosen by a peer, as names are.
fn is_name_taken(message: &str) -> bool {
    message.starts_with("NameError: ")
        && (message.ends_with(" service is already running on the Manager")
            || message.ends_with(" is already connected to the Manager"))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_about_sessions_is_understood() {
        let refused = |message: &str| ConnectError::Refused {
            message: message.to_owned(),
        };
        let gone = refused(
            "KeyError: there is no session with this secret: it may have ended after its grace period, or the \
             manager was restarted; register without it",
        );
        assert!(gone.has_no_session() && !gone.is_transient());
        let kept = refused("NameError: A 'Echo' service is away until 14:03:05, its name is kept for it");
        assert!(kept.is_name_kept() && kept.is_transient() && !kept.is_name_taken());
        assert!(!refused("ValueError: Wrong Manager password").has_no_session());
    }

    #[test]
    fn a_refusal_is_final_if_waiting_does_not_change_it() {
        for (message, transient, taken) in [
            (
                "NameError: A 'Echo' service is already running on the Manager",
                true,
                true,
            ),
            (
                "NameError: a client Ada[bench:1] is already connected to the Manager",
                true,
                true,
            ),
            (
                "NameError: 'Ech0' looks like the name of the 'Echo' service, which is already running on the \
                 Manager; choose another one",
                false,
                false,
            ),
            ("NameError: the name 'Manager' is reserved", false, false),
            (
                "ValueError: the name ' Echo' begins or ends with a blank, use 'Echo'",
                false,
                false,
            ),
            ("ValueError: Wrong Manager password", false, false),
            (
                "ValueError: Unregistered user or Wrong login password",
                false,
                false,
            ),
            (
                "PermissionError: too many failed logins, try again in 3 s",
                true,
                false,
            ),
            ("ConnectionError: the manager is shutting down", true, false),
            (
                "TimeoutError: authentication and identity took longer than 10 s",
                true,
                false,
            ),
            (
                "ConnectionError: this manager uses TLS and plain text came, connect with TLS",
                false,
                false,
            ),
            (
                "TimeoutError: nothing came within 3 s, this manager uses TLS, connect with TLS",
                false,
                false,
            ),
            (
                "ConnectionError: this manager does not use TLS and a TLS handshake came, connect without TLS",
                false,
                false,
            ),
        ] {
            let error = ConnectError::Refused {
                message: message.to_owned(),
            };
            assert_eq!(
                (error.is_transient(), error.is_name_taken()),
                (transient, taken),
                "{message}"
            );
        }
    }
}
