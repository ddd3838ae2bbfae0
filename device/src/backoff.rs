//! The waits between attempts to reconnect.

use std::time::Duration;

/// The shortest span: zero would never grow, and reconnecting would loop without a pause.
const SHORTEST: Duration = Duration::from_millis(1);

/// A connection of this length resets the waits, even if the maximum wait is longer.
const LASTING: Duration = Duration::from_secs(10);

/// Exponential back-off with full jitter: each wait is a random part of a span that doubles up to a
/// maximum.
///
/// Peers that lost their manager at the same time reconnect spread over the span, not all at once.
/// The rule is the "full jitter" of the AWS architecture blog's "Exponential Backoff And Jitter".
///
/// ```
/// use std::time::Duration;
/// use labwire_device::Backoff;
///
/// let patient = Backoff::new().initial(Duration::from_millis(500)).maximum(Duration::from_secs(30));
/// let mut waits = patient.waits();
/// assert!(waits.next_wait() <= Duration::from_millis(500));
/// assert!(waits.next_wait() <= Duration::from_secs(1));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    initial: Duration,
    maximum: Duration,
}

impl Default for Backoff {
    fn default() -> Self {
        Self::new()
    }
}

impl Backoff {
    /// Creates a back-off with waits of up to 100 ms at first and up to 3 s later: a restarted
    /// manager has its peers back within seconds, and one that stays away receives less than one
    /// attempt per second from each of them.
    ///
    /// ```
    /// use std::time::Duration;
    /// use labwire_device::Backoff;
    ///
    /// assert!(Backoff::new().waits().next_wait() <= Duration::from_millis(100));
    /// ```
    pub const fn new() -> Self {
        Self {
            initial: Duration::from_millis(100),
            maximum: Duration::from_secs(3),
        }
    }

    /// Sets the upper limit of the first wait.
    ///
    /// See the example of [`Backoff`].
    #[must_use]
    pub const fn initial(mut self, span: Duration) -> Self {
        self.initial = span;
        self
    }

    /// Sets the upper limit of all waits.
    ///
    /// See the example of [`Backoff`].
    #[must_use]
    pub const fn maximum(mut self, span: Duration) -> Self {
        self.maximum = span;
        self
    }

    /// Returns this back-off with waits that are no longer than those of `other`.
    pub(crate) fn at_most(self, other: Self) -> Self {
        Self {
            initial: self.initial.min(other.initial),
            maximum: self.maximum.min(other.maximum),
        }
    }

    fn first_span(&self) -> Duration {
        self.initial.max(SHORTEST).min(self.maximum.max(SHORTEST))
    }

    /// Returns the waits of one reconnect, starting with the first.
    ///
    /// See the example of [`Backoff`].
    pub fn waits(&self) -> Waits {
        Waits {
            span: self.first_span(),
            backoff: *self,
        }
    }
}

/// The waits between the attempts of a reconnect, increasing on average.
///
/// ```
/// use std::time::Duration;
/// use labwire_device::{Backoff, Waits};
///
/// let second = Duration::from_secs(1);
/// let mut waits: Waits = Backoff::new().initial(second).maximum(4 * second).waits();
/// for longest in [1, 2, 4, 4, 4] {
///     assert!(waits.next_wait() <= longest * second);
/// }
/// ```
#[derive(Clone, Debug)]
pub struct Waits {
    span: Duration,
    backoff: Backoff,
}

impl Waits {
    /// Returns how long to wait before the next attempt.
    ///
    /// ```
    /// use std::time::Duration;
    /// use labwire_device::Backoff;
    ///
    /// // Peers that lost their manager in one moment do not come back in one moment.
    /// let mut peers = [Backoff::new().waits(), Backoff::new().waits(), Backoff::new().waits()];
    /// let waits = peers.each_mut().map(|waits| waits.next_wait());
    /// assert!(waits.iter().all(|wait| *wait <= Duration::from_millis(100)));
    /// assert!(waits[0] != waits[1] || waits[1] != waits[2]);
    /// ```
    pub fn next_wait(&mut self) -> Duration {
        let wait = self.span.mul_f64(fastrand::f64());
        let maximum = self.backoff.maximum.max(SHORTEST);
        self.span = self.span.saturating_mul(2).min(maximum);
        wait
    }

    /// Notes how long the connection lasted that is now lost. After a long one the waits are short
    /// again; a manager that accepts and closes connections at once is tried less and less often.
    ///
    /// ```
    /// use std::time::Duration;
    /// use labwire_device::Backoff;
    ///
    /// let mut waits = Backoff::new().waits();
    /// for _ in 0..5 {
    ///     waits.next_wait();
    /// }
    /// waits.connected_for(Duration::from_secs(60));
    /// assert!(waits.next_wait() <= Duration::from_millis(100));
    /// ```
    pub fn connected_for(&mut self, span: Duration) {
        if span >= LASTING.min(self.backoff.maximum) {
            self.span = self.backoff.first_span();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_up_to_the_maximum_and_never_pass_it() {
        let backoff = Backoff::new()
            .initial(Duration::from_millis(10))
            .maximum(Duration::from_millis(35));
        let mut waits = backoff.waits();
        for span in [10, 20, 35, 35, 35] {
            assert_eq!(waits.span, Duration::from_millis(span));
            assert!(waits.next_wait() <= Duration::from_millis(span));
        }
    }

    #[test]
    fn waits_begin_anew_after_a_connection_that_lasted() {
        let mut waits = Backoff::new().initial(Duration::from_millis(10)).waits();
        waits.next_wait();
        waits.next_wait();
        waits.connected_for(Duration::from_millis(5));
        assert_eq!(waits.span, Duration::from_millis(40));
        waits.connected_for(Duration::from_secs(4));
        assert_eq!(waits.span, Duration::from_millis(10));
    }

    #[test]
    fn waits_of_nothing_grow_as_well() {
        let mut waits = Backoff::new().initial(Duration::ZERO).waits();
        for _ in 0..12 {
            waits.next_wait();
        }
        assert_eq!(waits.span, Duration::from_secs(3));
        Backoff::new()
            .initial(Duration::MAX)
            .maximum(Duration::MAX)
            .waits()
            .next_wait();
    }

    #[test]
    fn peers_that_begin_together_do_not_wait_equally_long() {
        let waits: std::collections::HashSet<Duration> =
            (0..100).map(|_| Backoff::new().waits().next_wait()).collect();
        assert!(waits.len() > 50, "{} different waits", waits.len());
    }
}
