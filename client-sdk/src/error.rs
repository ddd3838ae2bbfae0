//! Why a call has no result.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use labwire_device::payload::{DecodeError, EncodeError};
use labwire_device::{ConnectError, EnvironmentError, NoAnswer};
use labwire_wire::{Executed, quoted};
use thiserror::Error;

/// A call has no result.
///
/// The variants say who failed: the manager, the service, or the wire. [`executed`](Self::executed) says whether it
/// is safe to call again.
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
    /// The manager refused the request, or ended it: there is no such service, it left before it replied, it is
    /// locked, or the client may not do this.
    #[error("{message}")]
    Manager {
        /// The manager's words. They begin with the name of a Python exception, as in `KeyError: …`.
        message: String,
        /// Whether a service may have executed the request.
        executed: Executed,
    },
    /// The service answered with an error.
    #[error("{}.{attribute} failed: {message}", quoted(service))]
    Service {
        /// The service.
        service: String,
        /// What was called.
        attribute: String,
        /// The service's words. They begin with the kind of the error, as in `ValueError: …`.
        message: String,
        /// Where in the service it happened, if the service tells: lines of text.
        traceback: Vec<String>,
    },
    /// There was no connection, or it was lost before the reply came.
    #[error("no reply to {}.{attribute}: {reason}{}", quoted(service), perhaps(*executed))]
    Disconnected {
        /// The service.
        service: String,
        /// What was called.
        attribute: String,
        /// Why there is no connection.
        reason: Arc<str>,
        /// Whether the service may have executed the request.
        executed: Executed,
    },
    /// The reply did not come in time.
    #[error(
        "no reply to {}.{attribute} within {} s{}",
        quoted(service), timeout.as_secs_f64(), perhaps(*executed)
    )]
    TimedOut {
        /// The service.
        service: String,
        /// What was called.
        attribute: String,
        /// How long was waited.
        timeout: Duration,
        /// Whether the service may have executed the request.
        executed: Executed,
    },
    /// The link was ended with [`unlink`](crate::Link::unlink), or its service was asked to shut down.
    #[error("the link with {} was ended; link again to call {attribute}", quoted(service))]
    Unlinked {
        /// The service.
        service: String,
        /// What was called.
        attribute: String,
    },
    /// An argument has no JSON form.
    #[error("cannot call {}.{attribute}: {error}", quoted(service))]
    Encode {
        /// The service.
        service: String,
        /// What was called.
        attribute: String,
        /// What is wrong with the argument.
        error: EncodeError,
    },
    /// The result is not of the type that was asked for.
    #[error(
        "the result of {}.{attribute} is not what was expected: {error}",
        quoted(service)
    )]
    Decode {
        /// The service.
        service: String,
        /// What was called.
        attribute: String,
        /// What was expected, and what came.
        error: DecodeError,
    },
    /// The manager asks who wants to do what only an administrator may, and nobody can tell it.
    #[error(transparent)]
    NoAnswer(#[from] NoAnswer),
    /// The service does not describe itself.
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
    /// Whether the service may have executed the request. After [`Executed::No`] it is safe to call again.
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
            | Self::Disconnected { executed, .. }
            | Self::TimedOut { executed, .. } => *executed,
            Self::Unlinked { .. } | Self::Encode { .. } | Self::NoAnswer(_) => Executed::No,
            Self::Service { .. } | Self::Decode { .. } | Self::NotDescribed { .. } => Executed::Maybe,
        }
    }

    /// Where in the service it happened: lines of text. Empty when the service did not tell, or did not fail.
    ///
    /// See the example of [`report`](Self::report).
    pub fn traceback(&self) -> &[String] {
        match self {
            Self::Service { traceback, .. } => traceback,
            _ => &[],
        }
    }

    /// The error and, below it, the service's traceback: for a log, or a person who looks for the cause.
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

    /// Whether the manager says that something is not there.
    pub(crate) fn is_absence(&self) -> bool {
        matches!(self, Self::Manager { message, .. } if message.starts_with("KeyError"))
    }
}

/// Whatever can go wrong in a client, for programs that pass all of it on with one `?`. A `main` that returns it tells
/// it to people.
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
    /// The environment says something about the manager that makes no sense.
    #[error(transparent)]
    Environment(#[from] EnvironmentError),
    /// The client could not connect.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// A call has no result.
    #[error(transparent)]
    Call(#[from] CallError),
    /// A notification is not what was expected.
    #[error("the notification is not what was expected: {0}")]
    Notification(#[from] DecodeError),
    /// The service did not come in time.
    #[error("the service {} is not available, {} s were waited for it", quoted(service), timeout.as_secs_f64())]
    Unavailable {
        /// The service.
        service: String,
        /// How long connecting and linking could take.
        timeout: Duration,
    },
}

/// What `main` prints when it returns the error: for people.
impl fmt::Debug for Error {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}
