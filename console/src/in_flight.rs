//! Whether a request to a service is in flight, for the text of a command that is interrupted.

use std::sync::atomic::{AtomicUsize, Ordering};

/// The number of requests in flight.
static IN_FLIGHT: AtomicUsize = AtomicUsize::new(0);

/// Counts a request as in flight until it is dropped.
#[must_use = "the request counts only as long as this exists"]
pub(crate) struct InFlight(());

impl InFlight {
    /// Counts a request from now on.
    pub(crate) fn begin() -> Self {
        IN_FLIGHT.fetch_add(1, Ordering::SeqCst);
        Self(())
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        IN_FLIGHT.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Waits for the reply to a request, which counts as in flight meanwhile.
pub(crate) async fn in_flight<T>(reply: impl IntoFuture<Output = T>) -> T {
    let _counted = InFlight::begin();
    reply.await
}

/// Returns whether a request is in flight.
pub(crate) fn is_any() -> bool {
    IN_FLIGHT.load(Ordering::SeqCst) > 0
}
