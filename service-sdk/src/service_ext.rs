//! The methods that start a service.

use crate::error::RunError;
use crate::runner::Runner;
use crate::service::IntoService;

/// Methods to start a service. The attribute macro [`service`](macro@crate::service) imports this
/// trait.
///
/// ```
/// # mod support { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/lab.rs")); }
/// # use labwire_service::service;
/// # struct Thermometer;
/// # #[service]
/// # impl Thermometer {
/// #     pub fn read(&self) -> f64 { 20.0 }
/// # }
/// use labwire_service::{RunError, ServiceExt};
///
/// fn main() -> Result<(), RunError> {
/// #     let look = async |client: labwire_client::LinkedClient| {
/// #         assert_eq!(client.call::<f64>("read", ()).await?, 20.0);
/// #         Ok(())
/// #     };
/// #     if support::ran_as_a_program("Hall 7", look) { return Ok(()) }
///     // The same as `Thermometer.start()`, but with a name of its own:
///     Thermometer.runner().name("Hall 7").start()
/// }
/// ```
pub trait ServiceExt: IntoService + Sized {
    /// Connects to the manager of the environment
    /// ([`ConnectOptions::from_environment`](crate::ConnectOptions::from_environment)), by default
    /// the one on this computer, and serves until the service ends; see [`Runner::start`]. Waits for
    /// the manager if it is not there, and reconnects after a lost connection.
    ///
    /// ```
    /// # mod support { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/lab.rs")); }
    /// # use labwire_service::service;
    /// # struct Thermometer;
    /// # #[service]
    /// # impl Thermometer {
    /// #     pub fn read(&self) -> f64 { 20.0 }
    /// # }
    /// use labwire_service::{RunError, ServiceExt};
    ///
    /// fn main() -> Result<(), RunError> {
    /// #     let look = async |client: labwire_client::LinkedClient| {
    /// #         assert_eq!(client.call::<f64>("read", ()).await?, 20.0);
    /// #         Ok(())
    /// #     };
    /// #     if support::ran_as_a_program("Thermometer", look) { return Ok(()) }
    ///     Thermometer.start()
    /// }
    /// ```
    fn start(self) -> Result<(), RunError> {
        self.runner().start()
    }

    /// Returns a runner, to set options.
    ///
    /// See the example of [`ServiceExt`].
    fn runner(self) -> Runner<Self::Service> {
        Runner::new(self)
    }
}

impl<S: IntoService> ServiceExt for S {}
