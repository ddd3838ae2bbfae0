//! What the tests share: starting and stopping programs, and speaking to the manager over a bare socket.
//! No test belongs here.

use std::time::Duration;

pub(crate) mod manager;
pub(crate) mod process;
pub(crate) mod python;
pub(crate) mod requirements;
pub(crate) mod wire;

/// How long a test waits for something that a healthy system does at once. It is this long because a dozen
/// Python interpreters may be starting on two slow cores in the meantime; no test ever waits it out.
pub(crate) const DEADLINE: Duration = Duration::from_mins(1);

/// How often a condition is looked at that nothing announces, such as the end of a process.
pub(crate) const POLL_INTERVAL: Duration = Duration::from_millis(10);
