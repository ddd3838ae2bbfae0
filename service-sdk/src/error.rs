//! Errors of requests, and of services.

use std::any::type_name;
use std::borrow::Cow;
use std::error::Error;
use std::fmt;
use std::io;

use labwire_device::{ConnectError, EnvironmentError, ReadError};

/// The kind of an error whose type has no usable name.
const DEFAULT_KIND: &str = "RuntimeError";

/// An error reply to a request: a kind, such as the name of a Python exception, and a text.
///
/// `?` converts any error into one. Its kind is then the name of its type, or Python's name for an
/// error of the operating system; its sources become the traceback.
///
/// ```
/// use labwire_service::ServiceError;
///
/// fn parse(text: &str) -> Result<u8, ServiceError> {
///     if text.is_empty() {
///         return Err(ServiceError::new("ValueError", "the text is empty"));
///     }
///     Ok(text.parse()?)
/// }
///
/// assert_eq!(parse("").unwrap_err().to_string(), "ValueError: the text is empty");
/// assert_eq!(parse("x").unwrap_err().to_string(), "ParseIntError: invalid digit found in string");
/// ```
///
/// It does not implement [`std::error::Error`], so that every error can be converted into it.
#[derive(Clone, PartialEq, Eq)]
pub struct ServiceError {
    kind: Cow<'static, str>,
    text: String,
    traceback: Vec<String>,
}

impl ServiceError {
    /// Creates an error of this kind, for instance `ValueError`, `TypeError` or a name of your own.
    ///
    /// See the example of [`ServiceError`].
    pub fn new(kind: impl Into<Cow<'static, str>>, text: impl Into<String>) -> Self {
        Self {
            kind: kind.into(),
            text: text.into(),
            traceback: Vec::new(),
        }
    }

    /// Changes the kind.
    ///
    /// ```
    /// # use labwire_service::ServiceError;
    /// let error = ServiceError::from("the probe is not connected").with_kind("ProbeError");
    /// assert_eq!(error.to_string(), "ProbeError: the probe is not connected");
    /// ```
    #[must_use]
    pub fn with_kind(mut self, kind: impl Into<Cow<'static, str>>) -> Self {
        self.kind = kind.into();
        self
    }

    /// Appends a line to the traceback.
    ///
    /// ```
    /// # use labwire_service::ServiceError;
    /// let error = ServiceError::new("ProbeError", "no reading").with_trace("while channel 3 was read");
    /// assert_eq!(error.traceback(), ["while channel 3 was read"]);
    /// ```
    #[must_use]
    pub fn with_trace(mut self, line: impl Into<String>) -> Self {
        self.traceback.push(line.into());
        self
    }

    /// Returns the kind.
    ///
    /// ```
    /// # use labwire_service::ServiceError;
    /// let error = ServiceError::new("ValueError", "the text is empty");
    /// assert_eq!((error.kind(), error.text()), ("ValueError", "the text is empty"));
    /// ```
    pub fn kind(&self) -> &str {
        &self.kind
    }

    /// Returns the text, without the kind.
    ///
    /// See the example of [`kind`](Self::kind).
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Returns the lines of the traceback: the causes of the error, the nearest first.
    ///
    /// ```
    /// # use labwire_service::ServiceError;
    /// use std::io;
    ///
    /// #[derive(Debug, thiserror::Error)]
    /// #[error("the meter is silent")]
    /// struct MeterError(#[source] io::Error);
    ///
    /// let error = ServiceError::from(MeterError(io::Error::other("the cable is out")));
    /// assert_eq!(error.traceback(), ["caused by: the cable is out"]);
    /// ```
    pub fn traceback(&self) -> &[String] {
        &self.traceback
    }
}

impl fmt::Display for ServiceError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: {}", self.kind, self.text)
    }
}

impl fmt::Debug for ServiceError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{self}")?;
        self.traceback
            .iter()
            .try_for_each(|line| write!(formatter, "\n  {line}"))
    }
}

impl<E: Into<Box<dyn Error + Send + Sync>>> From<E> for ServiceError {
    fn from(error: E) -> Self {
        let error = error.into();
        let kind = match error.downcast_ref::<io::Error>() {
            Some(error) => Cow::Borrowed(python_kind(error.kind())),
            None => kind_of_type(type_name::<E>()),
        };
        let mut traceback = Vec::new();
        let mut source = error.source();
        while let Some(cause) = source {
            traceback.push(format!("caused by: {cause}"));
            source = cause.source();
        }
        Self {
            kind,
            text: error.to_string(),
            traceback,
        }
    }
}

/// Returns Python's exception for an error of the operating system.
fn python_kind(kind: io::ErrorKind) -> &'static str {
    match kind {
        io::ErrorKind::NotFound => "FileNotFoundError",
        io::ErrorKind::PermissionDenied => "PermissionError",
        io::ErrorKind::AlreadyExists => "FileExistsError",
        io::ErrorKind::ConnectionRefused => "ConnectionRefusedError",
        io::ErrorKind::ConnectionReset => "ConnectionResetError",
        io::ErrorKind::ConnectionAborted => "ConnectionAbortedError",
        io::ErrorKind::BrokenPipe => "BrokenPipeError",
        io::ErrorKind::TimedOut => "TimeoutError",
        io::ErrorKind::Interrupted => "InterruptedError",
        io::ErrorKind::UnexpectedEof => "EOFError",
        _ => "OSError",
    }
}

/// Returns the name of an error's type, or the default for names without a meaning, such as
/// strings, boxes or types called `Error`.
fn kind_of_type(path: &'static str) -> Cow<'static, str> {
    let path = path.split('<').next().unwrap_or(path);
    let name = path.rsplit("::").next().unwrap_or(path);
    let says_nothing = matches!(name, "Error" | "Box" | "Arc" | "Rc" | "String" | "Cow")
        || !name.starts_with(|first: char| first.is_ascii_uppercase());
    Cow::Borrowed(if says_nothing { DEFAULT_KIND } else { name })
}

/// The reason why a service has ended without a request to shut down.
///
/// Its [`Debug`](fmt::Debug) form is its message, so a `main` that returns it prints a readable
/// message.
///
/// ```
/// # use labwire_service::{ConnectOptions, RunError, ServiceExt, service};
/// # struct Thermometer;
/// # #[service]
/// # impl Thermometer {
/// #     pub fn read(&self) -> f64 { 20.0 }
/// # }
/// // Nobody listens at this port.
/// let nowhere = ConnectOptions::new().port(1).without_tls().without_reconnect();
/// let error = Thermometer.runner().options(nowhere).start().unwrap_err();
/// assert!(matches!(error, RunError::Connect(_)));
/// assert!(format!("{error:?}").starts_with("cannot connect to localhost:1: "));
/// ```
#[derive(thiserror::Error)]
#[non_exhaustive]
pub enum RunError {
    /// The service could not connect or reconnect. One that reconnects, as services do by default,
    /// has been refused for a reason that waiting does not change.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// An environment variable about the manager has an invalid value.
    #[error(transparent)]
    Environment(#[from] EnvironmentError),
    /// The manager closed the connection: it was stopped, or it disconnected the service. Only for
    /// services that do not reconnect.
    #[error("the manager closed the connection{}", because(message.as_deref()))]
    Closed {
        /// The last error from the manager, if any.
        message: Option<String>,
    },
    /// The connection was lost. Only for services that do not reconnect.
    #[error("the connection to the manager was lost: {0}")]
    Lost(#[source] ReadError),
    /// The runtime or the signal handlers could not be set up.
    #[error("cannot start the service: {0}")]
    Start(#[source] io::Error),
    /// [`start`](crate::Runner::start) was called inside a runtime, whose thread it would block.
    #[error("start() blocks and was called inside an asynchronous runtime; use run().await there")]
    InsideRuntime,
    /// A second signal arrived while requests were still executing.
    #[error("interrupted before all requests were finished")]
    Interrupted,
}

fn because(message: Option<&str>) -> String {
    message.map_or_else(String::new, |message| format!(": {message}"))
}

impl fmt::Debug for RunError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("the meter is silent")]
    struct MeterError(#[source] io::Error);

    #[test]
    fn the_kind_of_an_error_is_its_type_or_what_python_calls_it() {
        let meter = ServiceError::from(MeterError(io::Error::other("cable")));
        assert_eq!(meter.to_string(), "MeterError: the meter is silent");
        assert_eq!(meter.traceback(), ["caused by: cable"]);
        for (error, expected) in [
            (ServiceError::from("text"), "RuntimeError: text"),
            (ServiceError::from(String::from("text")), "RuntimeError: text"),
            (
                ServiceError::from(io::Error::new(io::ErrorKind::TimedOut, "late")),
                "TimeoutError: late",
            ),
            (ServiceError::from(io::Error::other("odd")), "OSError: odd"),
            (
                ServiceError::from(Box::<dyn Error + Send + Sync>::from("boxed")),
                "RuntimeError: boxed",
            ),
        ] {
            assert_eq!(error.to_string(), expected);
        }
    }

    #[test]
    fn the_debug_form_of_what_main_returns_is_for_people() {
        let error = RunError::Closed {
            message: Some("TimeoutError: too slow".into()),
        };
        assert_eq!(
            format!("{error:?}"),
            "the manager closed the connection: TimeoutError: too slow"
        );
    }
}
