//! The real Python package and programs, as the tests of the binary use them.

#![allow(dead_code, reason = "the tests of the binary use more of it")]

use std::time::Duration;

#[path = "../../../tests/support/process.rs"]
pub(crate) mod process;
#[path = "../../../tests/support/python.rs"]
pub(crate) mod python;
#[path = "../../../tests/support/requirements.rs"]
pub(crate) mod requirements;

/// How long a test waits for something that a healthy system does at once.
pub(crate) const DEADLINE: Duration = Duration::from_mins(1);

/// How often a condition is looked at that nothing announces.
pub(crate) const POLL_INTERVAL: Duration = Duration::from_millis(10);
