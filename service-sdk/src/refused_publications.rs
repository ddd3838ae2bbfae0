//! Refusals of what a service has published.

use std::time::{Duration, Instant};

/// The time between two log lines.
const PAUSE: Duration = Duration::from_secs(10);

/// Limits the log lines about refusals of what a service has published: it may publish a thousand
/// values a second to a manager that refuses them all.
#[derive(Debug, Default)]
pub(crate) struct RefusedPublications {
    logged: Option<Instant>,
    left_out: u64,
}

impl RefusedPublications {
    /// Notes one more, and returns the text to log, if it is time for one.
    pub(crate) fn note(&mut self, message: &str, now: Instant) -> Option<String> {
        if self.logged.is_some_and(|logged| now < logged + PAUSE) {
            self.left_out += 1;
            return None;
        }
        self.logged = Some(now);
        let left_out = match std::mem::take(&mut self.left_out) {
            0 => String::new(),
            count => format!(" (and {count} before it)"),
        };
        Some(format!(
            "the manager refused a value that was published{left_out}: {message}"
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_refusal_is_logged_and_later_ones_are_counted() {
        let (mut refused, now) = (RefusedPublications::default(), Instant::now());
        assert_eq!(
            refused.note("E", now).unwrap(),
            "the manager refused a value that was published: E"
        );
        for _ in 0..3 {
            assert_eq!(refused.note("E", now), None);
        }
        assert_eq!(
            refused.note("F", now + PAUSE).unwrap(),
            "the manager refused a value that was published (and 3 before it): F"
        );
    }
}
