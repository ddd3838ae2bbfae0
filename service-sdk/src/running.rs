//! A running service and its handles.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{Semaphore, watch};
use tokio::task::{AbortHandle, JoinHandle};

use crate::error::RunError;
use crate::notifier::Notifier;

/// The state of a running service; [`ServiceHandle`] has an example.
///
/// ```
/// # use labwire_service::service;
/// # struct Thermometer;
/// # #[service]
/// # impl Thermometer {
/// #     pub fn read(&self) -> f64 { 20.0 }
/// # }
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let manager = labwire_testing::TestManager::start().await;
/// # let options = ConnectOptions::new().port(manager.port()).without_tls();
/// use labwire_service::{ConnectOptions, Runner, ServiceState};
///
/// let runner = Runner::new(Thermometer).options(options);
/// let handle = runner.connect().await?.handle().clone();
/// assert_eq!(handle.state(), ServiceState::Connected);
///
/// let stopped = manager.kill().await;
/// assert_eq!(handle.wait_for(ServiceState::Reconnecting).await, ServiceState::Reconnecting);
/// let manager = stopped.start().await;
/// assert_eq!(handle.wait_for(ServiceState::Connected).await, ServiceState::Connected);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ServiceState {
    /// It is connected and registered.
    Connected,
    /// The connection is lost, and the service reconnects.
    Reconnecting,
    /// It has ended.
    Ended,
}

/// A handle of a running service. It can be cloned and used from anywhere; dropping it does not end
/// the service.
///
/// Available from [`Request::service`](crate::Request::service),
/// [`Runner::background`](crate::Runner::background) and [`RunningService::handle`].
///
/// ```
/// # use labwire_service::service;
/// # struct Thermometer;
/// # #[service]
/// # impl Thermometer {
/// #     pub fn read(&self) -> f64 { 20.0 }
/// # }
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), labwire_service::RunError> {
/// # let manager = labwire_testing::TestManager::start().await;
/// # let options = ConnectOptions::new().port(manager.port()).without_tls();
/// use labwire_service::{ConnectOptions, Runner, ServiceHandle, ServiceState};
///
/// let running = Runner::new(Thermometer).options(options).connect().await?;
/// let handle: ServiceHandle = running.handle().clone();
/// assert_eq!((handle.name(), handle.state()), ("Thermometer", ServiceState::Connected));
/// handle.shut_down();
/// assert_eq!(handle.wait_for(ServiceState::Ended).await, ServiceState::Ended);
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct ServiceHandle {
    shared: Arc<Shared>,
}

struct Shared {
    name: String,
    network_name: Mutex<String>,
    notifier: Notifier,
    permits: Arc<Semaphore>,
    session_kept: AtomicBool,
    state: watch::Sender<ServiceState>,
    stop: watch::Sender<bool>,
    interrupt: watch::Sender<bool>,
}

impl fmt::Debug for ServiceHandle {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("ServiceHandle")
            .field("name", &self.name())
            .field("state", &self.state())
            .finish_non_exhaustive()
    }
}

impl ServiceHandle {
    pub(crate) fn new(name: String, network_name: String, notifier: Notifier, concurrency: usize) -> Self {
        let shared = Shared {
            name,
            network_name: Mutex::new(network_name),
            notifier,
            permits: Arc::new(Semaphore::new(concurrency)),
            session_kept: AtomicBool::new(false),
            state: watch::Sender::new(ServiceState::Connected),
            stop: watch::Sender::new(false),
            interrupt: watch::Sender::new(false),
        };
        Self {
            shared: Arc::new(shared),
        }
    }

    /// Returns the name of the service.
    ///
    /// See the example of [`ServiceHandle`].
    pub fn name(&self) -> &str {
        &self.shared.name
    }

    /// Returns the service's name on the network, `NAME[HOST:PORT]`. It changes with each new
    /// connection.
    ///
    /// ```
    /// # use labwire_service::service;
    /// # struct Thermometer;
    /// # #[service]
    /// # impl Thermometer {
    /// #     pub fn read(&self) -> f64 { 20.0 }
    /// # }
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let manager = labwire_testing::TestManager::start().await;
    /// # let options = ConnectOptions::new().port(manager.port()).without_tls();
    /// # use labwire_service::{ConnectOptions, Runner};
    /// # let running = Runner::new(Thermometer).options(options).connect().await?;
    /// // Such as Thermometer[bench:54160].
    /// assert!(running.handle().network_name().starts_with("Thermometer["));
    /// # Ok(())
    /// # }
    /// ```
    pub fn network_name(&self) -> String {
        let name = self.shared.network_name.lock();
        name.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Returns the notifier for the clients that are linked with the service.
    ///
    /// ```
    /// # mod support { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/lab.rs")); }
    /// # use labwire_service::service;
    /// # struct Thermometer;
    /// # #[service]
    /// # impl Thermometer {
    /// #     pub fn read(&self) -> f64 { 20.0 }
    /// # }
    /// # fn main() {
    /// # support::run(async |options| {
    /// # use labwire_service::Runner;
    /// # let running = Runner::new(Thermometer).options(options.clone()).connect().await?;
    /// # let handle = running.handle().clone();
    /// # let client = labwire_client::Client::connect("Ada", options).await?;
    /// let mut notifications = client.link("Thermometer").await?.notifications();
    /// handle.notifier().notify((20.5,))?;
    /// let first = notifications.next().await.expect("the service is there");
    /// assert_eq!(first.decode::<(f64,)>()?, (20.5,));
    /// # Ok(())
    /// # });
    /// # }
    /// ```
    pub fn notifier(&self) -> &Notifier {
        &self.shared.notifier
    }

    /// Returns the current state.
    ///
    /// See the example of [`ServiceHandle`].
    pub fn state(&self) -> ServiceState {
        *self.shared.state.borrow()
    }

    /// Returns whether the manager had kept the session when the service reconnected last: its name,
    /// its links and, with [`keep_callers`](crate::ConnectOptions::keep_callers), the requests in
    /// flight.
    ///
    /// ```
    /// # use labwire_service::service;
    /// # struct Thermometer;
    /// # #[service]
    /// # impl Thermometer {
    /// #     pub fn read(&self) -> f64 { 20.0 }
    /// # }
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let manager = labwire_testing::TestManager::start().await;
    /// # let options = ConnectOptions::new().port(manager.port()).without_tls();
    /// use labwire_service::{ConnectOptions, Runner, ServiceState};
    ///
    /// let running = Runner::new(Thermometer).options(options).connect().await?;
    /// // The manager is started again: it knows no session.
    /// let stopped = manager.kill().await;
    /// let handle = running.handle();
    /// handle.wait_for(ServiceState::Reconnecting).await;
    /// let manager = stopped.start().await;
    /// handle.wait_for(ServiceState::Connected).await;
    /// assert!(!handle.session_kept());
    /// # Ok(())
    /// # }
    /// ```
    pub fn session_kept(&self) -> bool {
        self.shared.session_kept.load(Ordering::Acquire)
    }

    /// Waits until the service is in this state or has ended. Returns its state.
    ///
    /// Cancel safe.
    ///
    /// See the example of [`ServiceState`].
    pub async fn wait_for(&self, state: ServiceState) -> ServiceState {
        let mut states = self.shared.state.subscribe();
        let reached = states.wait_for(|now| *now == state || *now == ServiceState::Ended);
        // Cannot fail: the sender lives as long as this handle.
        reached.await.map_or(ServiceState::Ended, |state| *state)
    }

    /// Shuts the service down: it takes no more requests, finishes and answers those in flight, and
    /// disconnects. Returns at once; [`RunningService::wait`] waits for the end.
    ///
    /// See the example of [`ServiceHandle`].
    pub fn shut_down(&self) {
        self.shared.stop.send_replace(true);
    }

    /// Waits until a shutdown of the service begins, for tasks that have to end with it.
    ///
    /// Cancel safe.
    ///
    /// ```
    /// # use labwire_service::service;
    /// # struct Thermometer;
    /// # #[service]
    /// # impl Thermometer {
    /// #     pub fn read(&self) -> f64 { 20.0 }
    /// # }
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let manager = labwire_testing::TestManager::start().await;
    /// # let options = ConnectOptions::new().port(manager.port()).without_tls();
    /// # use labwire_service::{ConnectOptions, Runner};
    /// # let running = Runner::new(Thermometer).options(options).connect().await?;
    /// let handle = running.handle().clone();
    /// let watcher = tokio::spawn(async move {
    ///     handle.shutting_down().await;
    ///     "the log file is closed"
    /// });
    /// running.handle().shut_down();
    /// assert_eq!(watcher.await?, "the log file is closed");
    /// # Ok(())
    /// # }
    /// ```
    pub async fn shutting_down(&self) {
        let mut stop = self.shared.stop.subscribe();
        // Cannot fail: the sender lives as long as this handle.
        let _ = stop.wait_for(|stop| *stop).await;
    }

    /// Ends the service without finishing its requests.
    pub(crate) fn interrupt(&self) {
        self.shared.interrupt.send_replace(true);
    }

    pub(crate) async fn interrupted(&self) {
        let mut interrupt = self.shared.interrupt.subscribe();
        // Cannot fail: the sender lives as long as this handle.
        let _ = interrupt.wait_for(|interrupt| *interrupt).await;
    }

    pub(crate) fn permits(&self) -> &Arc<Semaphore> {
        &self.shared.permits
    }

    pub(crate) fn set_state(&self, state: ServiceState) {
        self.shared.state.send_replace(state);
    }

    pub(crate) fn connected(&self, network_name: String, is_kept: bool) {
        self.shared.session_kept.store(is_kept, Ordering::Release);
        let name = self.shared.network_name.lock();
        *name.unwrap_or_else(PoisonError::into_inner) = network_name;
        self.set_state(ServiceState::Connected);
    }
}

/// A service that is connected and answers requests.
///
/// Dropping it has no effect: the service keeps running, at most until the runtime ends.
///
/// ```
/// # use labwire_service::service;
/// # struct Thermometer;
/// # #[service]
/// # impl Thermometer {
/// #     pub fn read(&self) -> f64 { 20.0 }
/// # }
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), labwire_service::RunError> {
/// # let manager = labwire_testing::TestManager::start().await;
/// # let options = ConnectOptions::new().port(manager.port()).without_tls();
/// use labwire_service::{ConnectOptions, Runner, RunningService};
///
/// let running: RunningService = Runner::new(Thermometer).options(options).connect().await?;
/// assert!(running.network_name().starts_with("Thermometer["));
/// running.handle().shut_down();
/// running.wait().await
/// # }
/// ```
#[derive(Debug)]
pub struct RunningService {
    handle: ServiceHandle,
    session: JoinHandle<Result<(), RunError>>,
}

impl RunningService {
    pub(crate) fn new(handle: ServiceHandle, session: JoinHandle<Result<(), RunError>>) -> Self {
        Self { handle, session }
    }

    /// Returns a handle, which can be cloned.
    ///
    /// See the example of [`RunningService`].
    pub fn handle(&self) -> &ServiceHandle {
        &self.handle
    }

    /// Returns the notifier for the clients that are linked with the service.
    ///
    /// ```
    /// # use labwire_service::service;
    /// # struct Thermometer;
    /// # #[service]
    /// # impl Thermometer {
    /// #     pub fn read(&self) -> f64 { 20.0 }
    /// # }
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let manager = labwire_testing::TestManager::start().await;
    /// # let options = ConnectOptions::new().port(manager.port()).without_tls();
    /// # use labwire_service::{ConnectOptions, Runner};
    /// # let running = Runner::new(Thermometer).options(options).connect().await?;
    /// // It is on its way, whether anybody is linked with the service or not.
    /// assert!(running.notifier().notify((20.5,)).is_ok());
    /// # Ok(())
    /// # }
    /// ```
    pub fn notifier(&self) -> &Notifier {
        self.handle.notifier()
    }

    /// Returns the service's name on the network, `NAME[HOST:PORT]`.
    ///
    /// See the example of [`RunningService`].
    pub fn network_name(&self) -> String {
        self.handle.network_name()
    }

    /// Shuts the service down and waits until it has ended. Cancel safe: once polled, the service
    /// shuts down even if the future is dropped.
    ///
    /// ```
    /// # use labwire_service::service;
    /// # struct Thermometer;
    /// # #[service]
    /// # impl Thermometer {
    /// #     pub fn read(&self) -> f64 { 20.0 }
    /// # }
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let manager = labwire_testing::TestManager::start().await;
    /// # let options = ConnectOptions::new().port(manager.port()).without_tls();
    /// use labwire_service::{ConnectOptions, Runner, ServiceState};
    ///
    /// let running = Runner::new(Thermometer).options(options).connect().await?;
    /// let handle = running.handle().clone();
    /// running.shut_down().await?;
    /// assert_eq!(handle.state(), ServiceState::Ended);
    /// # Ok(())
    /// # }
    /// ```
    pub async fn shut_down(self) -> Result<(), RunError> {
        self.handle.shut_down();
        self.wait().await
    }

    /// Waits until the service has ended. Returns `Ok` after a shutdown by `shutdown_service` or by
    /// a handle.
    ///
    /// If the future is dropped, the service keeps running.
    ///
    /// ```
    /// # use labwire_service::service;
    /// # struct Thermometer;
    /// # #[service]
    /// # impl Thermometer {
    /// #     pub fn read(&self) -> f64 { 20.0 }
    /// # }
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let manager = labwire_testing::TestManager::start().await;
    /// # let options = ConnectOptions::new().port(manager.port()).without_tls();
    /// use labwire_service::{ConnectOptions, RunError, Runner};
    ///
    /// let final_loss = options.without_reconnect();
    /// let running = Runner::new(Thermometer).options(final_loss).connect().await?;
    /// manager.stop().await;
    /// assert!(matches!(running.wait().await, Err(RunError::Closed { .. })));
    /// # Ok(())
    /// # }
    /// ```
    pub async fn wait(self) -> Result<(), RunError> {
        match self.session.await {
            Ok(ended) => ended,
            Err(error) => match error.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                // The runtime is shutting down.
                Err(_) => Ok(()),
            },
        }
    }

    pub(crate) fn abort_handle(&self) -> AbortHandle {
        self.session.abort_handle()
    }
}
