//! Runs a service with options.

mod limits;
mod run;
mod settings;
mod tasks;

use std::fmt;
use std::time::Duration;

use labwire_device::ConnectOptions;

use crate::notifier::Notifier;
use crate::service::{IntoService, Service};
use crate::session::{Background, Handler, Limits};

/// The default number of blocking requests that execute at once. It is what MSL-Network's services
/// have on a computer with many cores, and here on every computer: threads that wait for an
/// instrument cost little, and a flood of requests must not create hundreds of them.
const CONCURRENCY: usize = 32;

/// The default number of requests in flight, executing and waiting. At the limit reading stops, so
/// that further requests wait at the manager.
const QUEUE: usize = 1024;

/// The default time to wait for executing requests during a shutdown.
const GRACE: Duration = Duration::from_secs(30);

/// Configures a service and runs it with [`start`](Self::start), [`run`](Self::run) or
/// [`connect`](Self::connect).
///
/// ```
/// # mod support { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/lab.rs")); }
/// use labwire_service::{ConnectOptions, Runner, service};
///
/// struct Thermometer;
///
/// #[service]
/// impl Thermometer {
///     pub fn read(&self, channel: u8) -> f64 {
///         20.0 + f64::from(channel)
///     }
/// }
///
/// fn main() -> Result<(), labwire_service::RunError> {
/// #     let look = async |client: labwire_client::LinkedClient| {
/// #         assert_eq!(client.identity().limit(), Some(1));
/// #         assert_eq!(client.call::<f64>("read", (3,)).await?, 23.0);
/// #         Ok(())
/// #     };
/// #     if support::ran_as_a_program("Hall 7", look) { return Ok(()) }
///     Runner::new(Thermometer)
///         .name("Hall 7")
///         .max_clients(1)
///         .options(ConnectOptions::from_environment()?.password("difference engine"))
///         .on_shutdown(|| println!("the heater is off"))
///         .start()
/// }
/// ```
pub struct Runner<S> {
    service: S,
    name: Option<String>,
    max_clients: Option<u32>,
    options: Option<ConnectOptions>,
    waits_for_manager: bool,
    /// `None` for the default: with `start` and `run` only.
    status_lines: Option<bool>,
    hidden: Vec<String>,
    limits: Limits,
    buffer: usize,
    notifier: Notifier,
    on_shutdown: Vec<Handler>,
    background: Vec<Background>,
}

impl<S> fmt::Debug for Runner<S> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Runner")
            .field("name", &self.name)
            .field("max_clients", &self.max_clients)
            .field("options", &self.options)
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}

impl<S: Service> Runner<S> {
    /// Creates a runner for this service.
    ///
    /// See the example of [`Runner`].
    pub fn new(service: impl IntoService<Service = S>) -> Self {
        Self {
            service: service.into_service(),
            name: None,
            max_clients: None,
            options: None,
            waits_for_manager: true,
            status_lines: None,
            hidden: Vec::new(),
            limits: Limits {
                concurrency: CONCURRENCY,
                queue: QUEUE,
                grace: GRACE,
            },
            buffer: 0,
            notifier: Notifier::new(),
            on_shutdown: Vec::new(),
            background: Vec::new(),
        }
    }
}
