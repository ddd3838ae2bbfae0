//! What the demo prints.

use std::fmt::Display;
use std::time::Instant;

/// Tells what happens, line by line, with the time since the beginning and who does it.
pub(super) struct Story {
    start: Instant,
}

impl Story {
    pub(super) fn begin() -> Self {
        Self {
            start: Instant::now(),
        }
    }

    /// One thing that happened.
    pub(super) fn tell(&self, who: &str, what: impl Display) {
        println!("{:6.2} s  {who:<9}  {what}", self.start.elapsed().as_secs_f64());
    }

    /// The title of what comes next.
    pub(super) fn chapter(title: &str) {
        println!("\n{title}");
    }
}
