//! The numbers of a client's requests.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Gives each request of a client a number of its own, which is its uid on the wire.
///
/// Handles and the engine draw from the same numbers: so a caller can compose its frame by itself,
/// and later ones have higher numbers.
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
