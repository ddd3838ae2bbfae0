//! How a service appears on the network, and how it connects.

use labwire_device::ConnectOptions;

use super::Runner;
use crate::notifier::Notifier;
use crate::service::Service;

impl<S: Service> Runner<S> {
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
    /// A service reconnects by default, with the waits of [`Backoff::new`](crate::Backoff::new).
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
}
