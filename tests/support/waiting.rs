//! Waiting for conditions that no event announces.

use std::time::Instant;

use super::{DEADLINE, POLL_INTERVAL};

/// Waits until the condition is true. Panics with `failure` if it is still false at the deadline.
#[track_caller]
pub(crate) fn wait_until(failure: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + DEADLINE;
    while !condition() {
        assert!(Instant::now() < deadline, "{failure}");
        std::thread::sleep(POLL_INTERVAL);
    }
}
