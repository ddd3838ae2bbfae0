//! The limits of a service.

use std::time::Duration;

use super::Runner;
use crate::service::Service;

impl<S: Service> Runner<S> {
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
}
