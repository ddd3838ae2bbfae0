//! The time budget for connecting.

use std::time::{Duration, Instant};

/// The time that is left. Only waiting for the server counts, not the time in which a person
/// answers a question.
pub(super) struct Budget {
    left: Duration,
}

/// The time budget is used up.
pub(super) struct Spent;

impl Budget {
    pub(super) fn new(left: Duration) -> Self {
        Self { left }
    }

    /// Waits for the server, at most for the time that is left.
    pub(super) async fn wait<F: Future>(&mut self, future: F) -> Result<F::Output, Spent> {
        let begin = Instant::now();
        let result = tokio::time::timeout(self.left, future).await;
        self.left = self.left.saturating_sub(begin.elapsed());
        result.map_err(|_| Spent)
    }
}
