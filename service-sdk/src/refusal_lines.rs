//! Status lines about what the manager refuses a service.

use std::collections::HashSet;
use std::time::{Duration, Instant};

/// How long an error of the manager waits before it is told: one that ends the connection is told as the
/// reason for that.
const PAUSE: Duration = Duration::from_secs(1);

/// The most different refusals that are told during one connection.
const MOST: usize = 16;

/// Tells each refusal once. A service that notifies every second is refused every second.
#[derive(Debug, Default)]
pub(crate) struct RefusalLines {
    told: HashSet<String>,
    waiting: Option<(String, Instant)>,
}

impl RefusalLines {
    /// Notes that a value that was published is refused. Returns the text to tell, if it is a new one.
    pub(crate) fn of_publication(&mut self, message: &str) -> Option<String> {
        let text = format!("the manager refuses what is published: {message}");
        self.is_new(&text).then(|| self.tell(text))
    }

    /// Notes an error of the manager that answers no request, as for a notification that is refused.
    pub(crate) fn note_error(&mut self, message: &str, now: Instant) {
        let text = format!("the manager refuses something: {message}");
        if self.waiting.is_none() && self.is_new(&text) {
            self.waiting = Some((text, now + PAUSE));
        }
    }

    /// Returns when an error that waits is to be told.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.waiting.as_ref().map(|(_, at)| *at)
    }

    /// Returns the text of the error that waits.
    pub(crate) fn take(&mut self) -> Option<String> {
        let (text, _) = self.waiting.take()?;
        Some(self.tell(text))
    }

    /// Forgets an error that waits, since the connection has ended.
    pub(crate) fn forget(&mut self) {
        self.waiting = None;
    }

    fn is_new(&self, text: &str) -> bool {
        self.told.len() < MOST && !self.told.contains(text)
    }

    fn tell(&mut self, text: String) -> String {
        self.told.insert(text.clone());
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_refusal_is_told_once_and_an_error_that_ends_the_connection_is_not() {
        let (mut lines, now) = (RefusalLines::default(), Instant::now());
        assert_eq!(
            lines.of_publication("E").unwrap(),
            "the manager refuses what is published: E"
        );
        assert_eq!(lines.of_publication("E"), None);
        assert!(lines.of_publication("F").is_some());
        for _ in 0..3 {
            lines.note_error("G", now);
        }
        assert_eq!(lines.deadline(), Some(now + PAUSE));
        assert_eq!(lines.take().unwrap(), "the manager refuses something: G");
        lines.note_error("G", now);
        assert_eq!((lines.deadline(), lines.take()), (None, None));
        lines.note_error("closing", now);
        lines.forget();
        assert_eq!(lines.deadline(), None);
        let told = (0..100).filter_map(|number| lines.of_publication(&number.to_string()));
        assert_eq!(told.count(), MOST - 3);
    }
}
