//! Operation's shared state: the log, the step times, the port and the start time.

use std::sync::Arc;

use tokio::time::Instant;
use tracing::info;

use crate::logging::{Level, LogControl};
use crate::routing_thread::Steps;

/// State that operators look at and change.
pub(crate) struct Operation {
    port: u16,
    pub(crate) steps: Arc<Steps>,
    pub(crate) log: LogControl,
    started: Instant,
}

impl Operation {
    pub(crate) fn new(port: u16, log: LogControl) -> Self {
        Self {
            port,
            steps: Arc::default(),
            log,
            started: Instant::now(),
        }
    }

    /// Returns the port that the manager listens on.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Returns the manager's uptime in seconds.
    pub(crate) fn uptime_seconds(&self) -> u64 {
        self.started.elapsed().as_secs()
    }

    /// Changes the logging level. Returns whether that worked.
    pub(crate) fn set_logging_level(&self, level: Level) -> bool {
        let changed = self.log.set_level(level);
        if changed {
            info!("the logging level is now {level}");
        }
        changed
    }
}
