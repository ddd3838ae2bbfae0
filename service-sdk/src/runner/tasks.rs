//! What runs beside a service, and at its end.

use super::Runner;
use crate::running::ServiceHandle;
use crate::service::Service;

impl<S: Service> Runner<S> {
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
}
