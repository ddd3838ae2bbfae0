//! Errors of a manager and services in one process.

use std::error::Error;

use labwire_device::KeywordArgumentsError;
use labwire_service::RunError;
use thiserror::Error;

/// Why a manager and services in one process did not start, or ended early.
///
/// ```
/// use labwire::{ManagerOptions, RunServicesError, Services};
///
/// let error = Services::new().start(ManagerOptions::new()).unwrap_err();
/// assert!(matches!(error, RunServicesError::NoServices));
/// let text = "no services have been specified; add one with `Services::with`";
/// assert_eq!(error.to_string(), text);
/// ```
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum RunServicesError {
    /// No services were added.
    #[error("no services have been specified; add one with `Services::with`")]
    NoServices,
    /// The manager cannot be started, for example because the port is in use or a file cannot be
    /// read.
    #[error("{0:#}")]
    Manager(Box<dyn Error + Send + Sync>),
    /// A service cannot connect to the manager.
    #[error("a service cannot connect: {0}")]
    Connect(#[source] RunError),
    /// A service has ended without a request to shut down.
    #[error("a service has ended: {0}")]
    Service(#[from] RunError),
    /// The arguments of the program cannot be read.
    #[error(transparent)]
    Arguments(#[from] KeywordArgumentsError),
    /// More than one authentication method was given.
    #[error("Cannot specify multiple authentication methods: {0} were given; keep one of them")]
    Authentication(String),
    /// A blocking function was called inside async code.
    #[error("a manager with services cannot be started inside async code; call `run_services` there")]
    InsideRuntime,
}

impl From<anyhow::Error> for RunServicesError {
    fn from(error: anyhow::Error) -> Self {
        match error.downcast() {
            Ok(error) => error,
            Err(error) => Self::Manager(error.into()),
        }
    }
}
