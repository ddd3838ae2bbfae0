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

/// Runs a manager and services in this process, until the last of the services has ended: by
/// `shutdown_service`, by a handle, or because an administrator stopped the manager.
///
/// Programs without async call [`Services::start`]. [`Services::connect`] returns the port of the
/// running manager.
///
/// Cancel safe: dropping the future ends services and manager without waiting for requests.
///
/// ```
/// use labwire::{ManagerOptions, Services, run_services};
/// use labwire_service::{Runner, service};
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
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let scratch = tempfile::tempdir()?;
/// # let home = labwire_home::Home::at(scratch.path());
/// let options = ManagerOptions::new().port(0).without_tls();
/// # let options = options.home(home);
/// // Its one service ends itself, and the manager with it.
/// let adder = Runner::new(Adder).background(|service| async move { service.shut_down() });
/// assert!(run_services(options, Services::new().with_runner(adder)).await.is_ok());
/// # Ok(())
/// # }
/// ```
pub async fn run_services(options: ManagerOptions, services: Services) -> Result<(), RunServicesError> {
    let running = services.connect(options).await?;
    let _stopped_on_drop = running.stop_on_drop();
    running.wait().await
}
