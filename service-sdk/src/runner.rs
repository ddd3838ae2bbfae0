//! Runs a service with options.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use labwire_device::{Backoff, ConnectOptions, Introduction};
use tokio::task::AbortHandle;

use crate::error::RunError;
use crate::notifier::Notifier;
use crate::offer::read_offer;
use crate::registration::Registration;
use crate::running::{RunningService, ServiceHandle};
use crate::service::{IntoService, Service};
use crate::session::{Background, Handler, Limits, Session};
use crate::signals::until_signal;
use crate::status_lines::StatusLines;

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

    /// Sets the name on the network, instead of the service's own.
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
    /// use labwire_service::{ConnectOptions, Runner};
    ///
    /// // Two instruments of one kind.
    /// let first = Runner::new(Thermometer).name("Hall 7").options(options.clone()).connect().await?;
    /// let second = Runner::new(Thermometer).name("Hall 8").options(options).connect().await?;
    /// assert_eq!((first.handle().name(), second.handle().name()), ("Hall 7", "Hall 8"));
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// Sets the maximum number of clients that are linked at once; 0 means no limit.
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
    /// use labwire_client::{CallError, Client};
    /// use labwire_service::{ConnectOptions, Runner};
    ///
    /// let running = Runner::new(Thermometer).max_clients(1).options(options.clone()).connect().await?;
    ///
    /// let ada = Client::connect("Ada", options.clone()).await?.link("Thermometer").await?;
    /// let second = Client::connect("Bob", options).await?.link("Thermometer").await;
    /// assert!(matches!(second, Err(CallError::Manager { .. })));
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn max_clients(mut self, limit: u32) -> Self {
        self.max_clients = Some(limit);
        self
    }

    /// Sets how to reach the manager, and whether the service reconnects. By default they are read
    /// from the environment ([`ConnectOptions::from_environment`]); without variables it is the
    /// manager on this computer, over TLS.
    ///
    /// A service reconnects by default, with the waits of [`Backoff::new`].
    /// [`ConnectOptions::reconnect`] sets other waits; with [`ConnectOptions::without_reconnect`],
    /// or the variable `LABWIRE_RECONNECT=false`, a lost connection ends the service.
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
    /// # let manager = labwire_testing::TestManager::builder().password("abc 123").start().await;
    /// use std::time::Duration;
    /// use labwire_service::{Backoff, ConnectOptions, Runner};
    ///
    /// let options = ConnectOptions::new()
    ///     .manager_password("abc 123")
    ///     .reconnect(Backoff::new().maximum(Duration::from_secs(10)));
    /// # let options = options.port(manager.port()).without_tls();
    /// let running = Runner::new(Thermometer).options(options).connect().await?;
    /// assert!(running.network_name().starts_with("Thermometer["));
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn options(mut self, options: ConnectOptions) -> Self {
        self.options = Some(options);
        self
    }

    /// Sets whether a service that reconnects also waits for its manager when it connects for the
    /// first time. The default is `true`: the service can be started before its manager. With
    /// `false`, the first connection is attempted once, for programs that must know at once whether
    /// it succeeds.
    ///
    /// ```
    /// # use labwire_service::service;
    /// # struct Thermometer;
    /// # #[service]
    /// # impl Thermometer {
    /// #     pub fn read(&self) -> f64 { 20.0 }
    /// # }
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// use labwire_service::{ConnectOptions, RunError, Runner};
    ///
    /// // Nobody listens at this port.
    /// let nowhere = ConnectOptions::new().port(1).without_tls();
    /// let runner = Runner::new(Thermometer).options(nowhere).wait_for_manager(false);
    /// assert!(matches!(runner.connect().await, Err(RunError::Connect(_))));
    /// # }
    /// ```
    #[must_use]
    pub fn wait_for_manager(mut self, wait: bool) -> Self {
        self.waits_for_manager = wait;
        self
    }

    /// Sets whether the service writes a line to standard error when it is registered, when its
    /// connection is lost and it reconnects, with the reason, and when it is registered again. By
    /// default [`start`](Self::start) and [`run`](Self::run) write them and
    /// [`connect`](Self::connect) does not. They are independent of a [log](crate#logs).
    ///
    /// ```text
    /// 2026-11-28 09:12:40 Hall 7: registered as Hall 7[bench:54160] at Manager[lab-pc:1875]
    /// 2026-11-28 17:03:02 Hall 7: disconnected: the manager closed the connection; connecting again
    /// 2026-11-28 17:03:04 Hall 7: back after 2 s, registered as Hall 7[bench:54171] at Manager[lab-pc:1875]
    /// ```
    ///
    /// ```
    /// # mod support { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/lab.rs")); }
    /// # use labwire_service::{RunError, ServiceExt, service};
    /// # struct Thermometer;
    /// # #[service]
    /// # impl Thermometer {
    /// #     pub fn read(&self) -> f64 { 20.0 }
    /// # }
    /// fn main() -> Result<(), RunError> {
    /// #     let look = async |client: labwire_client::LinkedClient| {
    /// #         assert_eq!(client.call::<f64>("read", ()).await?, 20.0);
    /// #         Ok(())
    /// #     };
    /// #     if support::ran_as_a_program("Thermometer", look) { return Ok(()) }
    ///     // A program with a display of its own.
    ///     Thermometer.runner().status_lines(false).start()
    /// }
    /// ```
    #[must_use]
    pub fn status_lines(mut self, write: bool) -> Self {
        self.status_lines = Some(write);
        self
    }

    /// Hides attributes from clients, as `ignore_attributes` of MSL-Network does. Clients can still
    /// request them.
    ///
    /// ```
    /// # mod support { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/lab.rs")); }
    /// # use labwire_service::{ServiceExt, service};
    /// # struct Laser;
    /// # #[service]
    /// # impl Laser {
    /// #     pub fn fire(&self) {}
    /// #     pub fn calibrate(&self) {}
    /// # }
    /// # fn main() {
    /// # support::run(async |options| {
    /// let laser = Laser.runner().hidden(["calibrate", "describe"]);
    /// # let running = laser.options(options.clone()).connect().await?;
    /// # let client = labwire_client::Client::connect("Ada", options).await?;
    ///
    /// // What a client sees, and what it can call:
    /// let laser = client.link("Laser").await?;
    /// assert_eq!(laser.identity().attributes.keys().collect::<Vec<_>>(), ["fire"]);
    /// laser.call::<()>("calibrate", ()).await?;
    /// # Ok(())
    /// # });
    /// # }
    /// ```
    #[must_use]
    pub fn hidden(mut self, names: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.hidden.extend(names.into_iter().map(Into::into));
        self
    }

    /// Sets how many methods that are not `async` execute at once, each on a thread. The default is
    /// 32. Others wait in the order of their requests. `async` methods overlap without a limit.
    ///
    /// See the example of [`grace`](Self::grace).
    ///
    /// # Panics
    ///
    /// If the limit is 0.
    #[must_use]
    pub fn concurrency(mut self, limit: usize) -> Self {
        assert!(limit > 0, "a service that executes nothing answers nothing");
        self.limits.concurrency = limit.min(tokio::sync::Semaphore::MAX_PERMITS);
        self
    }

    /// Sets the maximum number of requests in flight, executing and waiting. The default is 1024.
    /// At the limit, no more are read until some are answered.
    ///
    /// See the example of [`grace`](Self::grace).
    ///
    /// # Panics
    ///
    /// If the limit is 0.
    #[must_use]
    pub fn queue(mut self, limit: usize) -> Self {
        assert!(limit > 0, "a service that reads nothing answers nothing");
        self.limits.queue = limit;
        self
    }

    /// Sets how long a shutdown waits for executing requests. The default is 30 s. Afterwards the
    /// service disconnects, and the manager answers the waiting clients with an error.
    ///
    /// ```
    /// # mod support { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/lab.rs")); }
    /// # use labwire_service::service;
    /// # struct Laser;
    /// # #[service]
    /// # impl Laser {
    /// #     pub fn calibrate(&self) {}
    /// # }
    /// # fn main() {
    /// # support::run(async |options| {
    /// use std::time::Duration;
    /// use labwire_service::Runner;
    ///
    /// // One call at a time, ten that wait, and an end within two seconds.
    /// let runner = Runner::new(Laser).concurrency(1).queue(11).grace(Duration::from_secs(2));
    /// let running = runner.options(options).connect().await?;
    /// assert!(running.shut_down().await.is_ok());
    /// # Ok(())
    /// # });
    /// # }
    /// ```
    #[must_use]
    pub fn grace(mut self, span: Duration) -> Self {
        self.limits.grace = span;
        self
    }

    /// Sets how many notifications are kept while the connection is lost, to be sent after the
    /// reconnect. The default is 0. Only for a service that [reconnects](Self::options).
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
    /// use labwire_service::{ConnectOptions, NotifyError, Runner, ServiceState};
    ///
    /// let options = ConnectOptions::new();
    /// # let options = options.port(manager.port()).without_tls();
    /// let running = Runner::new(Thermometer).buffer(2).options(options).connect().await?;
    /// # let stopped = manager.kill().await;
    /// // The manager is gone:
    /// running.handle().wait_for(ServiceState::Reconnecting).await;
    /// running.notifier().notify((20.5,))?;
    /// running.notifier().notify((20.6,))?;
    /// assert_eq!(running.notifier().notify((20.7,)), Err(NotifyError::Full));
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn buffer(mut self, notifications: usize) -> Self {
        self.buffer = notifications;
        self
    }

    /// Sets the notifier, for services or threads that already have a clone of it.
    ///
    /// ```
    /// # mod support { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/lab.rs")); }
    /// # use labwire_service::service;
    /// # struct Laser;
    /// # #[service]
    /// # impl Laser {
    /// #     pub fn calibrate(&self) {}
    /// # }
    /// # fn main() {
    /// # support::run(async |options| {
    /// use labwire_service::{Notifier, Runner, args};
    ///
    /// let notifier = Notifier::new();
    /// let of_the_driver = notifier.clone();
    /// let running = Runner::new(Laser).notifier(notifier).options(options.clone()).connect().await?;
    /// # let client = labwire_client::Client::connect("Ada", options).await?;
    /// let mut notifications = client.link("Laser").await?.notifications();
    ///
    /// std::thread::spawn(move || of_the_driver.notify(args!["warm"]));
    /// let first = notifications.next().await.expect("the service is there");
    /// assert_eq!(first.positional_json(), r#"["warm"]"#);
    /// # Ok(())
    /// # });
    /// # }
    /// ```
    #[must_use]
    pub fn notifier(mut self, notifier: Notifier) -> Self {
        self.notifier = notifier;
        self
    }

    /// Adds a handler that is called after the service has ended, by a shutdown or with an error:
    /// to bring an instrument into a safe state. It is not called if the service was never
    /// connected (its first connection failed, or a signal came before it), if the runtime ends
    /// first, if the future of [`run`](Self::run) is dropped, or after a third signal during
    /// [`start`](Self::start). It may block. Several handlers are called in the order in which they
    /// were added.
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
    /// use std::sync::Arc;
    /// use std::sync::atomic::{AtomicBool, Ordering};
    /// use labwire_service::{ConnectOptions, Runner};
    ///
    /// let heats = Arc::new(AtomicBool::new(true));
    /// let heater = Arc::clone(&heats);
    /// let runner = Runner::new(Thermometer).on_shutdown(move || heater.store(false, Ordering::SeqCst));
    /// let running = runner.options(options).connect().await?;
    /// running.shut_down().await?;
    /// assert!(!heats.load(Ordering::SeqCst));
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn on_shutdown(mut self, handler: impl FnOnce() + Send + 'static) -> Self {
        self.on_shutdown.push(Box::new(handler));
        self
    }

    /// Adds a task that runs beside the service, from its first connection until it ends: to watch
    /// an instrument, or to send a heartbeat. It is dropped when the service has ended.
    ///
    /// ```
    /// # mod support { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/lab.rs")); }
    /// # use labwire_service::{RunError, ServiceExt, args, service};
    /// # use std::time::Duration;
    /// # struct Heart;
    /// # #[service]
    /// # impl Heart {
    /// #     pub fn rate(&self) -> f64 { 1.0 }
    /// # }
    /// fn main() -> Result<(), RunError> {
    /// #     let look = async |client: labwire_client::LinkedClient| {
    /// #         let mut beats = client.notifications();
    /// #         let first: (u64,) = beats.next().await.expect("the service is there").decode()?;
    /// #         let second: (u64,) = beats.next().await.expect("the service is there").decode()?;
    /// #         assert_eq!(second.0, first.0 + 1);
    /// #         Ok(())
    /// #     };
    /// #     if support::ran_as_a_program("Heart", look) { return Ok(()) }
    ///     Heart
    ///         .runner()
    ///         .background(|service| async move {
    ///             for beat in 0_u64.. {
    ///                 // Without a connection there is nobody to hear it.
    ///                 let _ = service.notifier().notify(args![beat]);
    ///                 tokio::time::sleep(Duration::from_millis(20)).await;
    ///             }
    ///         })
    ///         .start()
    /// }
    /// ```
    #[must_use]
    pub fn background<F>(mut self, task: impl FnOnce(ServiceHandle) -> F + Send + 'static) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        self.background.push(Box::new(|handle| Box::pin(task(handle))));
        self
    }

    /// Connects the service, which answers requests from then on. Must be called within a tokio
    /// runtime.
    ///
    /// A service that reconnects, as it does by default, waits until there is a manager, however
    /// long it takes; see [`wait_for_manager`](Self::wait_for_manager). It fails at once if the
    /// manager refuses it for a reason that waiting does not change, such as a wrong password or a
    /// certificate that is not trusted, or if another service of its name is connected.
    ///
    /// Cancel safe: if the future is dropped early, the service is not connected. [`ServiceHandle`]
    /// has an example.
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
    /// use labwire_client::Client;
    /// use labwire_service::{ConnectOptions, Runner};
    ///
    /// let running = Runner::new(Thermometer).options(options.clone()).connect().await?;
    /// let client = Client::connect("Ada", options).await?;
    /// assert_eq!(client.link("Thermometer").await?.call::<f64>("read", ()).await?, 20.0);
    /// running.shut_down().await?;
    /// # Ok(())
    /// # }
    /// ```
    pub async fn connect(self) -> Result<RunningService, RunError> {
        let options = match self.options {
            Some(options) => options,
            None => ConnectOptions::from_environment()?,
        };
        let service = Arc::new(self.service);
        let name = self.name.unwrap_or_else(|| service.name());
        let offer = read_offer(Arc::clone(&service), self.hidden).await;
        let max_clients = self.max_clients.unwrap_or_else(|| service.max_clients());
        let introduction =
            Introduction::service(name.as_str(), offer.attributes.to_json()).max_clients(max_clients);
        let lines = StatusLines::new(&name, self.status_lines == Some(true));
        let options = options.reconnect_by_default(Backoff::new());
        let mut registration = Registration::new(options, introduction, lines);
        let connection = registration.first(self.waits_for_manager).await?;
        self.notifier.begin(&name, self.buffer);
        let outbox = self.notifier.connected();
        let handle = ServiceHandle::new(
            name,
            connection.network_name.clone(),
            self.notifier,
            self.limits.concurrency,
        );
        let session = Session {
            described: offer.attributes.describe(handle.name()),
            describes_itself: offer.describes_itself,
            service,
            handle: handle.clone(),
            limits: self.limits,
        };
        let session = tokio::spawn(session.run(
            registration,
            connection,
            outbox,
            self.background,
            self.on_shutdown,
        ));
        Ok(RunningService::new(handle, session))
    }

    /// [Connects](Self::connect) the service and serves until it ends. Returns `Ok` after a shutdown
    /// by `shutdown_service` or by a [handle](ServiceHandle::shut_down). Writes
    /// [lines](Self::status_lines) to standard error.
    ///
    /// If the future is dropped, the service ends at once, with all requests that are executing.
    ///
    /// ```
    /// # mod support { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/lab.rs")); }
    /// # use labwire_service::{Request, ServiceExt, service};
    /// # struct Laser;
    /// # struct Shutter;
    /// # #[service]
    /// # impl Laser {
    /// #     pub fn shutdown_service(&self) {}
    /// # }
    /// # #[service]
    /// # impl Shutter {
    /// #     pub fn shutdown_service(&self) {}
    /// # }
    /// # fn main() {
    /// # support::run(async |options| {
    /// # let laser = Laser.runner().options(options.clone());
    /// # let shutter = Shutter.runner().options(options.clone());
    /// # let ending = tokio::spawn(async move {
    /// #     for service in ["Laser", "Shutter"] {
    /// #         let client = labwire_client::LinkedClient::connect(service, options.clone()).await.unwrap();
    /// #         client.shutdown_service::<()>(()).await.unwrap();
    /// #     }
    /// # });
    /// // Two services in one program, until both have ended; when one fails, both end.
    /// let ended = tokio::try_join!(laser.run(), shutter.run());
    /// assert!(ended.is_ok());
    /// # ending.await?;
    /// # Ok(())
    /// # });
    /// # }
    /// ```
    pub async fn run(self) -> Result<(), RunError> {
        let running = self.with_status_lines().connect().await?;
        let _aborted_on_drop = AbortOnDrop(running.abort_handle());
        running.wait().await
    }

    /// [Connects](Self::connect) the service and serves until it ends, on its own runtime. For use in
    /// `main`. Writes [lines](Self::status_lines) to standard error.
    ///
    /// `SIGINT` (Ctrl-C) and `SIGTERM` shut the service down: it finishes the requests in flight
    /// and disconnects, and the result is `Ok`. A second signal ends it without waiting for
    /// requests, but still waits for the handlers of [`on_shutdown`](Self::on_shutdown); a third
    /// one waits for nothing. A signal before the service is connected ends it; no handler is
    /// called.
    ///
    /// See the example of [`Runner`].
    pub fn start(self) -> Result<(), RunError> {
        if tokio::runtime::Handle::try_current().is_ok() {
            return Err(RunError::InsideRuntime);
        }
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .enable_all()
            .build()
            .map_err(RunError::Start)?;
        let ended = runtime.block_on(until_signal(self.with_status_lines().connect()));
        // Methods that block cannot be interrupted, and their replies cannot be delivered any more.
        runtime.shutdown_background();
        ended
    }

    /// Writes status lines, unless that is set already.
    fn with_status_lines(mut self) -> Self {
        self.status_lines.get_or_insert(true);
        self
    }
}

/// Aborts a task when it is dropped.
struct AbortOnDrop(AbortHandle);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}
