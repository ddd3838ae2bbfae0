//! Connects and runs a service.

use std::sync::Arc;

use labwire_device::{Backoff, ConnectOptions, Introduction};
use tokio::task::AbortHandle;

use super::Runner;
use crate::error::RunError;
use crate::offer::read_offer;
use crate::registration::Registration;
use crate::running::{RunningService, ServiceHandle};
use crate::service::Service;
use crate::session::Session;
use crate::signals::until_signal;
use crate::status_lines::StatusLines;

impl<S: Service> Runner<S> {
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
        let keeps_callers = options.keeps_callers();
        let introduction = introduction
            .ask_for_callers(offer.attributes.asks_for_callers())
            .record_arguments(offer.attributes.recorded())
            .session(options.kept_session())
            .keep_callers(keeps_callers);
        let mut registration = Registration::new(options, introduction, lines.clone());
        let connection = registration.first(self.waits_for_manager).await?;
        self.notifier.begin(&name, self.buffer);
        let outbox = self.notifier.connected(connection.binary);
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
            lines,
            keeps_callers,
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
