//! Errors of calls and of whole programs.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use labwire_device::payload::{DecodeError, EncodeError};
use labwire_device::{ConnectError, EnvironmentError, NoAnswer};
use labwire_wire::{Executed, TopicError, quoted};
use thiserror::Error;

use crate::lock_state::LockState;

/// The reason why a call has no result.
///
/// The variants distinguish failures of the manager, the service and the connection.
/// [`executed`](Self::executed) returns whether it is safe to call again.
///
/// ```
/// # mod support { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/lab.rs")); }
/// # support::lab(|options| async move {
/// use labwire_client::{CallError, Client, args};
///
/// let client = Client::connect("Ada", options).await?;
/// let math = client.link("BasicMath").await?;
/// match math.call::<f64>("divide", args![1, 0]).await {
///     Err(CallError::Service { message, .. }) => assert_eq!(message, "ZeroDivisionError: division by zero"),
///     other => panic!("{other:?}"),
/// }
/// # Ok(())
/// # });
/// ```
#[derive(Clone, Debug, Error)]
pub enum CallError {
    /// The manager refused the request or ended it: the service does not exist, disconnected before
    /// it replied, or is locked, or the client lacks the permission.
    #[error("{message}")]
    Manager {
        /// The manager's message. It begins with the name of a Python exception, as in `KeyError:
        /// …`.
        message: String,
        /// Whether a service may have executed the request.
        executed: Executed,
        /// What the manager says about the lock that was in the way, if it was one.
        lock: Option<Box<LockState>>,
    },
    /// The service answered with an error.
    #[error("{}.{attribute} failed: {message}", quoted(service))]
    Service {
        /// The service.
        service: String,
        /// The attribute that was called.
        attribute: String,
        /// The service's message. It begins with the kind of the error, as in `ValueError: …`.
        message: String,
        /// The service's traceback, as lines of text; empty if it sent none.
        traceback: Vec<String>,
    },
    /// There was no connection, or it was lost before the reply.
    #[error("no reply to {}.{attribute}: {reason}{}", quoted(service), perhaps(*executed))]
    Disconnected {
        /// The service.
        service: String,
        /// The attribute that was called.
        attribute: String,
        /// Why there is no connection.
        reason: Arc<str>,
        /// Whether the service may have executed the request.
        executed: Executed,
    },
    /// The reply did not come within the time limit. The service may still execute the request: see
    /// [what a timed-out call leaves
    /// running](crate::Call::timeout).
    #[error(
        "no reply to {}.{attribute} within {} s{}",
        quoted(service), timeout.as_secs_f64(), perhaps(*executed)
    )]
    TimedOut {
        /// The service.
        service: String,
        /// The attribute that was called.
        attribute: String,
        /// The time limit.
        timeout: Duration,
        /// Whether the service may have executed the request.
        executed: Executed,
    },
    /// The call was cancelled, and has ended without a reply of its service: it was not sent yet, or
    /// the service cannot be asked to stop. A service that can answers with a
    /// [`Service`](Self::Service) error: see [`is_cancelled`](Self::is_cancelled).
    #[error("{message}")]
    Cancelled {
        /// The service.
        service: String,
        /// The attribute that was called.
        attribute: String,
        /// The message, which begins with `CancelledError: `.
        message: String,
        /// Whether the service may have executed the request.
        executed: Executed,
    },
    /// The [deadline](crate::Call::deadline) of the call has passed before the reply.
    #[error("{message}")]
    DeadlinePassed {
        /// The service.
        service: String,
        /// The attribute that was called.
        attribute: String,
        /// The manager's message, which begins with `TimeoutError: `.
        message: String,
        /// Whether the service may have executed the request.
        executed: Executed,
    },
    /// Items of the call were lost, because more than the limit waited for their reader, or because
    /// the connection broke and the manager could not keep them. The call itself goes on.
    #[error(
        "items of {}.{attribute} are lost: more than {} MiB of them waited to be read, or the connection broke and the manager \
         could not keep them",
        quoted(service), limit >> 20
    )]
    ItemsLost {
        /// The service.
        service: String,
        /// The attribute that was called.
        attribute: String,
        /// The limit in bytes.
        limit: usize,
    },
    /// The link was ended with [`unlink`](crate::Link::unlink), or its service was asked to shut
    /// down.
    #[error("the link with {} was ended; link again to call {attribute}", quoted(service))]
    Unlinked {
        /// The service.
        service: String,
        /// The attribute that was called.
        attribute: String,
    },
    /// The client's lock on the service has expired or was broken, and the link has ended with it.
    #[error("{reason}; link again to call {attribute}")]
    LockEnded {
        /// The service.
        service: String,
        /// The attribute that was called.
        attribute: String,
        /// How and when the lock ended.
        reason: Arc<str>,
    },
    /// The pattern of a subscription is not one.
    #[error(transparent)]
    Topic(#[from] TopicError),
    /// An argument cannot be encoded as JSON.
    #[error("cannot call {}.{attribute}: {error}", quoted(service))]
    Encode {
        /// The service.
        service: String,
        /// The attribute that was called.
        attribute: String,
        /// The reason why the argument cannot be encoded.
        error: EncodeError,
    },
    /// The result is not of the requested type.
    #[error(
        "the result of {}.{attribute} is not what was expected: {error}",
        quoted(service)
    )]
    Decode {
        /// The service.
        service: String,
        /// The attribute that was called.
        attribute: String,
        /// The mismatch between the requested type and the result.
        error: DecodeError,
    },
    /// The manager asked for an administrator's credentials, and neither the options nor a terminal
    /// provide them.
    #[error(transparent)]
    NoAnswer(#[from] NoAnswer),
    /// The service has no description.
    #[error(
        "{} does not describe itself, which services of labwire-service do; its attributes are in the link's identity",
        quoted(service)
    )]
    NotDescribed {
        /// The service.
        service: String,
    },
}

fn perhaps(executed: Executed) -> &'static str {
    match executed {
        Executed::No => ", it was not executed",
        Executed::Maybe => ", it may have been executed",
    }
}

impl CallError {
    /// Returns whether the service may have executed the request. After [`Executed::No`] it is safe
    /// to call again.
    ///
    /// ```
    /// # mod support { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/lab.rs")); }
    /// # support::lab(|options| async move {
    /// use labwire_client::{Client, Executed};
    ///
    /// let client = Client::connect("Ada", options).await?;
    /// let error = client.link("Oven").await.unwrap_err();
    /// assert_eq!(error.executed(), Executed::No);
    /// # Ok(())
    /// # });
    /// ```
    pub fn executed(&self) -> Executed {
        match self {
            Self::Manager { executed, .. }
            | Self::Cancelled { executed, .. }
            | Self::DeadlinePassed { executed, .. }
            | Self::Disconnected { executed, .. }
            | Self::TimedOut { executed, .. } => *executed,
            Self::Unlinked { .. }
            | Self::LockEnded { .. }
            | Self::Topic(_)
            | Self::Encode { .. }
            | Self::NoAnswer(_) => Executed::No,
            Self::Service { .. }
            | Self::Decode { .. }
            | Self::ItemsLost { .. }
            | Self::NotDescribed { .. } => Executed::Maybe,
        }
    }

    /// Returns what the manager says about the lock that was in the way, if it was one.
    ///
    /// See the example of [`LockOptions`](crate::LockOptions).
    pub fn lock(&self) -> Option<&LockState> {
        match self {
            Self::Manager { lock, .. } => lock.as_deref(),
            _ => None,
        }
    }

    /// Returns whether the call was cancelled: before its service received it, or by its service,
    /// whose error is then a `CancelledError`.
    ///
    /// See the example of [`Canceller`](crate::Canceller).
    pub fn is_cancelled(&self) -> bool {
        match self {
            Self::Cancelled { .. } => true,
            Self::Service { message, .. } => message.starts_with("CancelledError: "),
            _ => false,
        }
    }

    /// Returns the service's traceback as lines of text. Empty if the service sent none, or did not
    /// fail.
    ///
    /// See the example of [`report`](Self::report).
    pub fn traceback(&self) -> &[String] {
        match self {
            Self::Service { traceback, .. } => traceback,
            _ => &[],
        }
    }

    /// Formats the error, followed by the service's traceback. For logs and diagnosis.
    ///
    /// ```
    /// # mod support { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/lab.rs")); }
    /// # support::lab(|options| async move {
    /// # use labwire_client::{Client, args};
    /// # let client = Client::connect("Ada", options).await?;
    /// let math = client.link("BasicMath").await?;
    /// let error = math.call::<f64>("divide", args![1, 0]).await.unwrap_err();
    /// assert_eq!(error.traceback().len(), 2);
    /// assert!(error.report().starts_with("'BasicMath'.divide failed: ZeroDivisionError"));
    /// # Ok(())
    /// # });
    /// ```
    pub fn report(&self) -> String {
        let mut report = self.to_string();
        for line in self.traceback() {
            report.push('\n');
            report.push_str(line.trim_end_matches('\n'));
        }
        report
    }

    /// Returns whether the manager reports that something does not exist.
    pub(crate) fn is_absence(&self) -> bool {
        matches!(self, Self::Manager { message, .. } if message.starts_with("KeyError"))
    }
}

/// Any error of a client, for programs that propagate all of them with `?`. Its `Debug` form is the
/// message for people, so a `main` that returns it prints a readable message.
///
/// ```
/// # mod support { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/lab.rs")); }
/// # support::lab(|options| async move {
/// use labwire_client::{Client, ConnectOptions, Error, args};
///
/// async fn read(options: ConnectOptions) -> Result<f64, Error> {
///     let client = Client::connect("Ada", options).await?;
///     let thermometer = client.link("Thermometer").await?;
///     Ok(thermometer.call("read", args![3]).await?)
/// }
///
/// assert_eq!(read(options).await?, 21.5);
/// # Ok(())
/// # });
/// ```
#[derive(Clone, Error)]
pub enum Error {
    /// An environment variable about the manager has an invalid value.
    #[error(transparent)]
    Environment(#[from] EnvironmentError),
    /// The client could not connect.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// A call has no result.
    #[error(transparent)]
    Call(#[from] CallError),
    /// A notification cannot be decoded.
    #[error("the notification is not what was expected: {0}")]
    Notification(#[from] DecodeError),
    /// The service was not available within the timeout.
    #[error("the service {} is not available, {} s were waited for it", quoted(service), timeout.as_secs_f64())]
    Unavailable {
        /// The service.
        service: String,
        /// The time limit for connecting and linking.
        timeout: Duration,
    },
}

/// Prints the message for people, since this is what a `main` that returns the error prints.
impl fmt::Debug for Error {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}
