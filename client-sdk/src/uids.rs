//! The uids of a client's requests.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Counts the requests of a client. Each number is the uid of a request on the wire.
///
/// Handles and the engine share the counter. So a caller can build its frame itself, and later
/// requests have higher numbers.
#[derive(Clone, Debug)]
pub(crate) struct Uids(Arc<AtomicU64>);

impl Uids {
    pub(crate) fn new() -> Self {
        Self(Arc::new(AtomicU64::new(1)))
    }

    pub(crate) fn next(&self) -> u64 {
        self.0.fetch_add(1, Ordering::Relaxed)
    }
}
