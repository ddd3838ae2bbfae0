//! Scales: the values at which an axis has a mark, and their labels.

use jiff::Timestamp;
use labwire_home::local_time_zone;

/// The distances between the marks of an axis of time, in seconds.
const TIMES: [f64; 22] = [
    0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 15.0, 30.0, 60.0, 120.0, 300.0, 600.0, 900.0, 1_800.0, 3_600.0,
    7_200.0, 10_800.0, 21_600.0, 43_200.0, 86_400.0, 604_800.0,
];

/// A scale of values.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Scale {
    pub(super) low: f64,
    pub(super) high: f64,
    /// The distance between two marks: 1, 2 or 5 times a power of ten.
    step: f64,
}

impl Scale {
    /// Returns a scale that contains these values, with about this number of marks.
    pub(super) fn new(low: f64, high: f64, marks: usize) -> Self {
        let span = high - low;
        // A single value is in the middle.
        let margin = if span > 0.0 && span.is_finite() {
            span * 0.05
        } else if low == 0.0 {
            1.0
        } else {
            low.abs() * 0.05
        };
        let (low, high) = (low - margin, high + margin);
        let least = (high - low) / f64::from(u32::try_from(marks.max(1)).unwrap_or(u32::MAX));
        let power = 10_f64.powf(least.log10().floor());
        let factor = [1.0, 2.0, 5.0, 10.0]
            .into_iter()
            .find(|factor| factor * power >= least * 0.999_999);
        Self {
            low,
            high,
            step: factor.unwrap_or(10.0) * power,
        }
    }

    /// Returns where a value is: 0 is the lower end, 1 the upper one.
    pub(super) fn position(&self, value: f64) -> f64 {
        (value - self.low) / (self.high - self.low)
    }

    /// Returns the marks, from below, with their labels.
    pub(super) fn marks(&self) -> Vec<(f64, String)> {
        let first = (self.low / self.step).ceil();
        let count = ((self.high - first * self.step) / self.step).floor();
        // Far from 0 the numbers of a computer may not be close enough for the step.
        if !count.is_finite() || !(0.0..100.0).contains(&count) {
            return Vec::new();
        }
        let mut marks = Vec::new();
        let mut number = 0.0;
        while number <= count {
            let value = (first + number) * self.step;
            marks.push((value, self.label(value)));
            number += 1.0;
        }
        marks
    }

    fn label(&self, value: f64) -> String {
        // A sum that should be 0 may be a little more.
        let value = if value.abs() < self.step * 1e-6 {
            0.0
        } else {
            value
        };
        let largest = self.low.abs().max(self.high.abs());
        let digits = |number: f64| {
            if number > 0.0 {
                (number.log10() + 1e-9).floor()
            } else {
                0.0
            }
        };
        if largest < 1e7 && self.step > 1e-7 {
            return format!("{value:.*}", places(-digits(self.step)));
        }
        if value == 0.0 {
            return "0".to_owned();
        }
        format!("{value:.*e}", places(digits(value.abs()) - digits(self.step)))
    }
}

/// Returns a number of decimal places: 0 to 17.
#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "it is between 0 and 17"
)]
fn places(number: f64) -> usize {
    number.clamp(0.0, 17.0) as usize
}

/// Returns the marks of an axis of time between two times in seconds, so that there are at most so
/// many, with their labels in local time.
pub(super) fn times(begin: f64, end: f64, most: usize) -> Vec<(f64, String)> {
    let most = f64::from(u32::try_from(most.max(1)).unwrap_or(u32::MAX));
    let step = TIMES.into_iter().find(|step| (end - begin) / step <= most);
    let step = step.unwrap_or((end - begin) / most);
    let zone = local_time_zone();
    let zoned = |seconds: f64| moment(seconds).map(|time| time.to_zoned(zone.clone()));
    let offset = zoned(begin).map_or(0.0, |time| f64::from(time.offset().seconds()));
    let form = if step < 1.0 {
        "%H:%M:%S%.1f"
    } else if step < 60.0 {
        "%H:%M:%S"
    } else if step < 86_400.0 {
        "%H:%M"
    } else {
        "%m-%d"
    };
    let mut marks = Vec::new();
    let mut number = ((begin + offset) / step).ceil();
    while number * step - offset <= end {
        let time = number * step - offset;
        let label = zoned(time).map(|time| time.strftime(form).to_string());
        marks.push((time, label.unwrap_or_default()));
        number += 1.0;
    }
    marks
}

/// Returns the time for a number of seconds since 1970, to the millisecond.
#[allow(clippy::cast_possible_truncation, reason = "milliseconds of a calendar fit")]
fn moment(seconds: f64) -> Option<Timestamp> {
    Timestamp::from_millisecond((seconds * 1e3).round() as i64).ok()
}

/// Returns a value as people write it, with eight significant digits at most.
pub(super) fn short(value: f64) -> String {
    let magnitude = value.abs();
    if value == 0.0 || !value.is_finite() {
        return value.to_string();
    }
    if !(1e-4..1e8).contains(&magnitude) {
        let text = format!("{value:.7e}");
        let (digits, exponent) = text.split_once('e').unwrap_or((&text, "0"));
        return format!(
            "{}e{exponent}",
            digits.trim_end_matches('0').trim_end_matches('.')
        );
    }
    let text = format!("{value:.*}", places(7.0 - magnitude.log10().floor()));
    if text.contains('.') {
        return text.trim_end_matches('0').trim_end_matches('.').to_owned();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(low: f64, high: f64) -> Vec<String> {
        Scale::new(low, high, 4)
            .marks()
            .into_iter()
            .map(|(_, label)| label)
            .collect()
    }

    #[test]
    fn marks_are_round_and_within_the_scale() {
        assert_eq!(labels(0.0, 10.0), ["0", "5", "10"]);
        assert_eq!(labels(-1.0, 1.0), ["-1", "0", "1"]);
        assert_eq!(labels(1.249_998, 1.250_002), ["1.249998", "1.250000", "1.250002"]);
        assert_eq!(labels(5.0, 5.0), ["4.8", "5.0", "5.2"]);
        assert_eq!(labels(0.0, 0.0), ["-1.0", "-0.5", "0.0", "0.5", "1.0"]);
        assert_eq!(labels(0.0, 4e9), ["0", "2e9", "4e9"]);
        assert_eq!(labels(1e-12, 3e-12), ["1e-12", "2e-12", "3e-12"]);
        for (low, high) in [
            (f64::MIN, f64::MAX),
            (1e17, 1e17 + 64.0),
            (-1e-300, 1e-300),
            (3.0, 1e30),
        ] {
            let scale = Scale::new(low, high, 5);
            assert!(scale.marks().len() <= 12, "{low} {high}: {:?}", scale.marks());
        }
    }

    #[test]
    fn times_are_few_and_round() {
        let marks = times(1_000_000_003.2, 1_000_000_063.2, 5);
        assert_eq!(marks.len(), 4, "{marks:?}");
        assert!(
            marks
                .iter()
                .all(|(time, label)| time % 15.0 == 0.0 && label.len() == 8),
            "{marks:?}"
        );
        assert!(times(0.0, 1e9, 5).len() <= 6);
    }

    #[test]
    fn values_are_short() {
        for (value, text) in [
            (1.250_001_74, "1.2500017"),
            (0.0, "0"),
            (-2.5, "-2.5"),
            (1_234_567.0, "1234567"),
            (100.0, "100"),
            (1.5e-9, "1.5e-9"),
            (6.022e23, "6.022e23"),
            (f64::NAN, "NaN"),
        ] {
            assert_eq!(short(value), text);
        }
    }
}
