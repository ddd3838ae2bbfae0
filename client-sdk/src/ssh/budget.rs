//! The time that connecting may take.

use std::time::{Duration, Instant};

/// The time that is left. Only waiting for the server uses it up: a person may think as long as they like.
pub(super) struct Budget {
    left: Duration,
}

/// The time is over.
pub(super) struct Spent;

impl Budget {
    pub(super) fn new(left: Duration) -> Self {
        Self { left }
    }

    /// Waits for the server.
    pub(super) async fn wait<F: Future>(&mut self, future: F) -> Result<F::Output, Spent> {
        let begin = Instant::now();
        let result = tokio::time::timeout(self.left, future).await;
        self.left = self.left.saturating_sub(begin.elapsed());
        result.map_err(|_| Spent)
    }
}
