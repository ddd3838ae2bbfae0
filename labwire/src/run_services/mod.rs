//! A manager and services in one process.

mod arguments;
mod error;
mod options;
mod running;
mod serve;
mod services;

pub use arguments::run_services_from_arguments;
pub use error::RunServicesError;
pub use options::ManagerOptions;
pub use running::RunningServices;
pub use services::Services;

/// Runs a manager and services in this process, until the last of the services has ended: by `shutdown_service`, by
/// a handle, or because the manager was stopped by an administrator.
///
/// Programs without async call [`Services::start`]; who needs to know the manager's port while it runs calls
/// [`Services::connect`].
///
/// When this is dropped, services and manager end without waiting for requests.
///
/// ```no_run
/// use labwire::{ManagerOptions, RunServicesError, Services, run_services};
/// use labwire_service::service;
///
/// struct Adder;
///
/// #[service]
/// impl Adder {
///     pub fn add(&self, a: f64, b: f64) -> f64 {
///         a + b
///     }
///     pub fn shutdown_service(&self) {}
/// }
///
/// # async fn example() -> Result<(), RunServicesError> {
/// run_services(ManagerOptions::new().port(1876), Services::new().with(Adder)).await
/// # }
/// ```
pub async fn run_services(options: ManagerOptions, services: Services) -> Result<(), RunServicesError> {
    let running = services.connect(options).await?;
    let _stopped_on_drop = running.stop_on_drop();
    running.wait().await
}
