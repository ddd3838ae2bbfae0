//! A running manager with services.

use std::fmt;

use labwire_manager::ManagerHandle;
use labwire_service::ServiceHandle;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::error::RunServicesError;

/// A manager and services that run in this process.
///
/// Dropping it does not end them: they run until they are asked to end, or until the runtime ends.
///
/// [`Services::connect`](crate::Services::connect) returns one:
///
/// ```
/// # use labwire_service::service;
/// # struct Adder;
/// # #[service]
/// # impl Adder {
/// #     pub fn add(&self, a: f64, b: f64) -> f64 { a + b }
/// #     pub fn shutdown_service(&self) {}
/// # }
/// # use labwire::{ManagerOptions, Services};
/// use labwire::RunningServices;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let scratch = tempfile::tempdir()?;
/// # let home = labwire_home::Home::at(scratch.path());
/// # let options = ManagerOptions::new().port(0).without_tls().home(home);
/// let running: RunningServices = Services::new().with(Adder).connect(options).await?;
/// assert_ne!(running.port(), 0);
/// for service in running.services() {
///     assert!(service.network_name().starts_with("Adder["));
/// }
/// running.shut_down().await?;
/// # Ok(())
/// # }
/// ```
pub struct RunningServices {
    port: u16,
    manager: ManagerHandle,
    services: Vec<ServiceHandle>,
    stop: watch::Sender<bool>,
    serving: JoinHandle<Result<(), RunServicesError>>,
}

impl fmt::Debug for RunningServices {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("RunningServices")
            .field("port", &self.port)
            .field("services", &self.services)
            .finish_non_exhaustive()
    }
}

impl RunningServices {
    pub(super) fn new(
        port: u16,
        manager: ManagerHandle,
        services: Vec<ServiceHandle>,
        stop: watch::Sender<bool>,
        serving: JoinHandle<Result<(), RunServicesError>>,
    ) -> Self {
        Self {
            port,
            manager,
            services,
            stop,
            serving,
        }
    }

    /// Returns the port that the manager listens on.
    ///
    /// See the example of [`RunningServices`].
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Returns a handle of each service, in the order in which they were added.
    ///
    /// See the example of [`RunningServices`].
    pub fn services(&self) -> &[ServiceHandle] {
        &self.services
    }

    /// Asks the services and the manager to end, and waits until they have. The services first
    /// finish the requests that are executing.
    ///
    /// See the example of [`RunningServices`].
    pub async fn shut_down(self) -> Result<(), RunServicesError> {
        self.stop.send_replace(true);
        self.wait().await
    }

    /// Waits until all services and the manager have ended. Returns `Ok` if they were asked to end.
    ///
    /// Dropping the future does not end them.
    ///
    /// See the example of [`Services::connect`](crate::Services::connect).
    pub async fn wait(self) -> Result<(), RunServicesError> {
        // Without the sender of the stop request the services continue.
        let Self { serving, .. } = self;
        match serving.await {
            Ok(ended) => ended,
            Err(error) => match error.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                // The runtime is shutting down.
                Err(_) => Ok(()),
            },
        }
    }

    pub(super) fn stop_on_drop(&self) -> StopOnDrop {
        StopOnDrop::new(self.manager.clone())
    }
}

/// Ends a manager, and so its services, when the future that waits for it is dropped.
pub(super) struct StopOnDrop(Option<ManagerHandle>);

impl StopOnDrop {
    pub(super) fn new(manager: ManagerHandle) -> Self {
        Self(Some(manager))
    }

    pub(super) fn forget(mut self) {
        self.0 = None;
    }
}

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        if let Some(manager) = &self.0 {
            manager.stop_waiting();
            manager.shut_down();
        }
    }
}
