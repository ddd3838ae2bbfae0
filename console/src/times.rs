//! Durations of calls, and their percentiles.

use std::fmt;
use std::time::Duration;

use serde::Serialize;

/// The durations of answered calls.
#[derive(Debug, Default)]
pub(crate) struct Times(Vec<Duration>);

/// Percentiles of durations, in seconds. Each is the duration of one call: the nearest rank.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(crate) struct Percentiles {
    pub(crate) min: f64,
    pub(crate) mean: f64,
    pub(crate) p50: f64,
    pub(crate) p90: f64,
    pub(crate) p99: f64,
    pub(crate) max: f64,
}

impl Times {
    pub(crate) fn add(&mut self, time: Duration) {
        self.0.push(time);
    }

    /// Returns the number of durations.
    pub(crate) fn count(&self) -> usize {
        self.0.len()
    }

    /// Returns the percentiles, or `None` if there are no durations.
    pub(crate) fn percentiles(&self) -> Option<Percentiles> {
        let mut sorted = self.0.clone();
        sorted.sort_unstable();
        let (first, last) = (sorted.first()?, sorted.last()?);
        let count = sorted.len();
        let rank = |percent: usize| sorted[(count * percent).div_ceil(100).clamp(1, count) - 1].as_secs_f64();
        let total: f64 = sorted.iter().map(Duration::as_secs_f64).sum();
        #[expect(
            clippy::cast_precision_loss,
            reason = "a mean of 2^52 durations is exact enough"
        )]
        let mean = total / count as f64;
        Some(Percentiles {
            min: first.as_secs_f64(),
            mean,
            p50: rank(50),
            p90: rank(90),
            p99: rank(99),
            max: last.as_secs_f64(),
        })
    }
}

impl fmt::Display for Percentiles {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            min,
            mean,
            p50,
            p90,
            p99,
            max,
        } = *self;
        write!(
            formatter,
            "min {}, mean {}, p50 {}, p90 {}, p99 {}, max {}",
            readable_time(min),
            readable_time(mean),
            readable_time(p50),
            readable_time(p90),
            readable_time(p99),
            readable_time(max)
        )
    }
}

/// Returns a number of seconds with three or more digits and a unit: `0.123 ms`, `45.6 ms`,
/// `7.89 s`, `16.7 min`. A negative number counts as 0. The text has at most 9 columns, whatever a
/// manager reports.
pub(crate) fn readable_time(seconds: f64) -> String {
    let seconds = seconds.max(0.0);
    let milliseconds = seconds * 1e3;
    match milliseconds {
        ..1.0 => format!("{milliseconds:.3} ms"),
        ..10.0 => format!("{milliseconds:.2} ms"),
        ..1_000.0 => format!("{milliseconds:.1} ms"),
        ..1e6 => format!("{seconds:.2} s"),
        ..6e6 => format!("{:.1} min", seconds / 60.0),
        ..3.6e8 => format!("{:.1} h", seconds / 3_600.0),
        _ => readable_age(seconds),
    }
}

/// The longest age that is shown, in days.
const LONGEST_AGE: u64 = 99_999;

/// Returns a number of seconds in its two largest units, as in `3 d 4 h` and `5 s`. A negative
/// number counts as 0, and from 99,999 days on it is `> 99999 d`.
pub(crate) fn readable_age(seconds: f64) -> String {
    let whole = match Duration::try_from_secs_f64(seconds.max(0.0)) {
        Ok(age) if age.as_secs() / 86_400 < LONGEST_AGE => age.as_secs(),
        _ => return format!("> {LONGEST_AGE} d"),
    };
    if whole >= 100 * 86_400 {
        return format!("{} d", whole / 86_400);
    }
    let parts = [
        (whole / 86_400, "d"),
        (whole / 3_600 % 24, "h"),
        (whole / 60 % 60, "min"),
        (whole % 60, "s"),
    ];
    let shown = parts.iter().skip_while(|(number, _)| *number == 0).take(2);
    let shown: Vec<_> = shown.map(|(number, unit)| format!("{number} {unit}")).collect();
    if shown.is_empty() {
        return "0 s".to_owned();
    }
    shown.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_durations_that_occurred() {
        let mut times = Times::default();
        assert_eq!(times.percentiles(), None);
        for milliseconds in (1..=200).rev() {
            times.add(Duration::from_millis(milliseconds));
        }
        let percentiles = times.percentiles().unwrap();
        assert_eq!(
            percentiles.to_string(),
            "min 1.00 ms, mean 100.5 ms, p50 100.0 ms, p90 180.0 ms, p99 198.0 ms, max 200.0 ms"
        );
        let mut one = Times::default();
        one.add(Duration::from_micros(123));
        let percentiles = one.percentiles().unwrap();
        assert_eq!((percentiles.min, percentiles.p99), (0.000_123, 0.000_123));
    }

    #[test]
    fn times_have_a_unit_that_suits_them() {
        for (seconds, text) in [
            (0.000_05, "0.050 ms"),
            (0.0456, "45.6 ms"),
            (7.891, "7.89 s"),
            (999.0, "999.00 s"),
            (5_000.0, "83.3 min"),
            (36_000.0, "10.0 h"),
            (1e308, "> 99999 d"),
            (f64::INFINITY, "> 99999 d"),
            (f64::NAN, "0.000 ms"),
            (-1e308, "0.000 ms"),
        ] {
            assert_eq!(readable_time(seconds), text);
        }
    }

    #[test]
    fn ages_have_two_units() {
        for (seconds, text) in [
            (0.4, "0 s"),
            (59.9, "59 s"),
            (60.0, "1 min 0 s"),
            (7_384.0, "2 h 3 min"),
            (273_600.0, "3 d 4 h"),
            (86_400.0 * 100.5, "100 d"),
            (1e308, "> 99999 d"),
            (-1.0, "0 s"),
        ] {
            assert_eq!(readable_age(seconds), text);
        }
    }
}
