//! When a device confirms what it has received.

use std::time::{Duration, Instant};

/// The most bytes without a confirmation.
const BYTES: u64 = 64 * 1024;

/// The most lines without a confirmation.
const LINES: u32 = 64;

/// The longest time without a confirmation after a line was received.
const IDLE: Duration = Duration::from_secs(1);

/// Decides when a device confirms to the manager what it has received: after 64 KiB, after 64
/// lines, or after 1 s. What is not confirmed is kept by the manager, within a bound, for a device
/// that returns. Reads no clock.
///
/// ```
/// use std::time::{Duration, Instant};
/// use labwire_device::Confirmations;
///
/// let now = Instant::now();
/// let mut confirmations = Confirmations::new(0);
/// confirmations.note(200, 1, now);
/// assert_eq!(confirmations.take(now), None);
/// let later = confirmations.deadline().expect("a line is not confirmed");
/// assert_eq!(confirmations.take(later), Some(200));
/// assert_eq!(confirmations.deadline(), None);
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Confirmations {
    confirmed: u64,
    received: u64,
    lines: u32,
    due: Option<Instant>,
}

impl Confirmations {
    /// Starts at a position that the manager knows.
    ///
    /// See the example of [`Confirmations`].
    pub fn new(position: u64) -> Self {
        Self {
            confirmed: position,
            received: position,
            lines: 0,
            due: None,
        }
    }

    /// Notes that everything up to this position was received, with so many lines that are worth a
    /// confirmation. A manager's own confirmation is not: otherwise both would confirm for ever.
    ///
    /// See the example of [`Confirmations`].
    pub fn note(&mut self, position: u64, lines: u32, now: Instant) {
        self.received = position;
        self.lines = self.lines.saturating_add(lines);
        if self.lines > 0 && self.due.is_none() {
            self.due = Some(now + IDLE);
        }
    }

    /// Returns the time at which the next confirmation is due.
    ///
    /// See the example of [`Confirmations`].
    pub fn deadline(&self) -> Option<Instant> {
        self.due
    }

    /// Returns the last position that was noted.
    ///
    /// ```
    /// # use labwire_device::Confirmations;
    /// assert_eq!(Confirmations::new(7).position(), 7);
    /// ```
    pub fn position(&self) -> u64 {
        self.received
    }

    /// Returns the position to confirm if a confirmation is due.
    ///
    /// See the example of [`Confirmations`].
    pub fn take(&mut self, now: Instant) -> Option<u64> {
        let is_due = self.lines >= LINES
            || self.received - self.confirmed >= BYTES
            || self.due.is_some_and(|due| due <= now);
        if !is_due {
            return None;
        }
        *self = Self::new(self.received);
        Some(self.received)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_confirmation_is_due_after_many_lines_or_bytes_or_a_second() {
        let now = Instant::now();
        let mut confirmations = Confirmations::new(10);
        confirmations.note(20, LINES - 1, now);
        assert_eq!(confirmations.take(now), None);
        confirmations.note(21, 1, now);
        assert_eq!(confirmations.take(now), Some(21));
        confirmations.note(21 + BYTES, 1, now);
        assert_eq!(confirmations.take(now), Some(21 + BYTES));
        confirmations.note(22 + BYTES, 1, now);
        assert_eq!(confirmations.deadline(), Some(now + IDLE));
        assert_eq!(confirmations.take(now + IDLE), Some(22 + BYTES));
    }

    #[test]
    fn what_is_not_worth_a_confirmation_starts_no_timer() {
        let now = Instant::now();
        let mut confirmations = Confirmations::new(0);
        confirmations.note(100, 0, now);
        assert_eq!(confirmations.deadline(), None);
        assert_eq!(confirmations.take(now + IDLE), None);
    }
}
