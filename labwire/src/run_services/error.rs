//! Why a manager and services did not run in one process, or not to their end.

use std::error::Error;

use labwire_device::KeywordArgumentsError;
use labwire_service::RunError;
use thiserror::Error;

/// A manager and services did not run in one process, or not to their end.
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
    /// There is nothing to run.
    #[error("no services have been specified; add one with `Services::with`")]
    NoServices,
    /// The manager cannot be started: the port is in use, a file cannot be read, and the like.
    #[error("{0:#}")]
    Manager(Box<dyn Error + Send + Sync>),
    /// A service cannot connect to the manager.
    #[error("a service cannot connect: {0}")]
    Connect(#[source] RunError),
    /// A service has ended, but was not asked to.
    #[error("a service has ended: {0}")]
    Service(#[from] RunError),
    /// The arguments that the program was started with cannot be read.
    #[error(transparent)]
    Arguments(#[from] KeywordArgumentsError),
    /// More than one way was given in which peers are admitted.
    #[error("Cannot specify multiple authentication methods: {0} were given; keep one of them")]
    Authentication(String),
    /// A function that blocks was called inside async code.
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
