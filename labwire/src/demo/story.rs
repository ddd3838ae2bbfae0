//! The output of the demo.

use std::fmt::Display;
use std::time::Instant;

use crate::cli::say;

/// Prints the steps line by line, with the time since the start and the name of the peer.
pub(super) struct Story {
    start: Instant,
}

impl Story {
    pub(super) fn begin() -> Self {
        Self {
            start: Instant::now(),
        }
    }

    /// Prints one step.
    pub(super) fn tell(&self, who: &str, what: impl Display) -> anyhow::Result<()> {
        say(format_args!(
            "{:6.2} s  {who:<9}  {what}",
            self.start.elapsed().as_secs_f64()
        ))
    }

    /// Prints the title of the next part.
    pub(super) fn chapter(title: &str) -> anyhow::Result<()> {
        say(format_args!("\n{title}"))
    }
}
