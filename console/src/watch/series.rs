//! The values of a plot.

use std::collections::VecDeque;

use jiff::Timestamp;

/// The most values that are kept.
const MOST: usize = 200_000;

/// Values over time, with breaks.
#[derive(Debug, Default)]
pub(super) struct Series {
    /// The time in seconds, and the value; NaN is a break.
    points: VecDeque<(f64, f64)>,
    /// Of all values since the last [`clear`](Self::clear).
    pub(super) total: Summary,
}

/// The number of values, the last one, their range and their mean.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Summary {
    pub(super) count: u64,
    pub(super) last: f64,
    pub(super) low: f64,
    pub(super) high: f64,
    pub(super) mean: f64,
}

impl Summary {
    /// Adds a value that is a number.
    fn add(&mut self, value: f64) {
        if self.count == 0 {
            (self.low, self.high) = (value, value);
        }
        self.count += 1;
        self.last = value;
        self.low = self.low.min(value);
        self.high = self.high.max(value);
        // A sum could become infinite.
        #[allow(clippy::cast_precision_loss, reason = "so many values do not arrive")]
        let count = self.count as f64;
        self.mean += value / count - self.mean / count;
    }

    /// Returns the mean for people: to four digits more than the first one of the range, since
    /// more of them are chance.
    pub(super) fn readable_mean(&self) -> f64 {
        let exponent = (self.high - self.low).log10().floor() - 4.0;
        let unit = 10_f64.powf(exponent.abs());
        let rounded = if exponent < 0.0 {
            (self.mean * unit).round() / unit
        } else {
            (self.mean / unit).round() * unit
        };
        if rounded.is_finite() { rounded } else { self.mean }
    }
}

/// Returns a time in seconds.
pub(super) fn seconds(time: Timestamp) -> f64 {
    time.as_duration().as_secs_f64()
}

impl Series {
    /// Adds a value. One that is not finite is a break.
    pub(super) fn push(&mut self, time: Timestamp, value: f64) {
        let is_finite = value.is_finite();
        if is_finite {
            self.total.add(value);
        }
        self.points
            .push_back((seconds(time), if is_finite { value } else { f64::NAN }));
        if self.points.len() > MOST {
            self.points.pop_front();
        }
    }

    /// Interrupts the line.
    pub(super) fn interrupt(&mut self, time: Timestamp) {
        self.push(time, f64::NAN);
    }

    /// Removes all values.
    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    /// Returns the values from a time on, and the one before it, from which the line comes.
    pub(super) fn since(&self, begin: f64) -> impl Iterator<Item = (f64, f64)> + '_ {
        // The clock may have been set back, so the times need not be sorted.
        let newer = self
            .points
            .iter()
            .rev()
            .take_while(|(time, _)| *time >= begin)
            .count();
        let skipped = (self.points.len() - newer).saturating_sub(1);
        self.points.iter().skip(skipped).copied()
    }

    /// Returns the summary of the values from a time on.
    pub(super) fn summary(&self, begin: f64) -> Summary {
        let mut summary = Summary::default();
        for (time, value) in self.since(begin) {
            if time >= begin && !value.is_nan() {
                summary.add(value);
            }
        }
        summary
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_summary_is_of_the_values_in_a_window() {
        let mut series = Series::default();
        for (time, value) in [(1, 10.0), (2, 1.0), (3, f64::INFINITY), (4, 3.0), (5, 2.0)] {
            series.push(Timestamp::from_second(time).unwrap(), value);
        }
        let expected = Summary {
            count: 3,
            last: 2.0,
            low: 1.0,
            high: 3.0,
            mean: 2.0,
        };
        assert_eq!(series.summary(2.0), expected);
        assert_eq!((series.total.count, series.total.high), (4, 10.0));
        assert_eq!(
            series.since(2.5).map(|(time, _)| time).collect::<Vec<_>>(),
            [2.0, 3.0, 4.0, 5.0]
        );
        series.clear();
        assert_eq!(series.summary(0.0).count, 0);
    }

    #[test]
    fn the_mean_for_people_has_as_many_digits_as_the_range_supports() {
        for (values, expected) in [
            (&[1.0, 2.0, 2.0][..], 1.6667),
            (&[1_000.0, 2_000.0, 2_000.0], 1_666.7),
            (&[1e9, 2e9, 2e9], 1.6667e9),
            (&[5.123_456_7, 5.123_456_7], 5.123_456_7),
            (&[-1e-308, 1e-308], 0.0),
        ] {
            let mut summary = Summary::default();
            for value in values {
                summary.add(*value);
            }
            let mean = summary.readable_mean();
            assert!(
                (mean - expected).abs() <= expected.abs() * 1e-12,
                "{values:?}: {mean}"
            );
        }
    }
}
