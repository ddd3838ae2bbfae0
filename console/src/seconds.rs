//! Times on the command line.

use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// The longest time: ten years. Much more cannot be added to a point in time.
const LONGEST: Duration = Duration::from_hours(10 * 366 * 24);

/// A time above 0, written as a number of seconds, or with a unit.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize, Serialize)]
#[serde(try_from = "Written", into = "f64")]
pub(crate) struct Seconds(Duration);

impl Seconds {
    /// Returns the time.
    pub(crate) fn duration(self) -> Duration {
        self.0
    }
}

/// A time in a file: a number of seconds, or a text with a unit.
#[derive(Deserialize)]
#[serde(untagged)]
enum Written {
    Number(f64),
    Text(String),
}

impl TryFrom<Written> for Seconds {
    type Error = &'static str;

    fn try_from(written: Written) -> Result<Self, Self::Error> {
        match written {
            Written::Number(number) => number.try_into(),
            Written::Text(text) => text.parse(),
        }
    }
}

impl TryFrom<f64> for Seconds {
    type Error = &'static str;

    fn try_from(number: f64) -> Result<Self, Self::Error> {
        match Duration::try_from_secs_f64(number) {
            Ok(time) if !time.is_zero() && time <= LONGEST => Ok(Self(time)),
            _ if number > 0.0 => Err("at most ten years were expected"),
            _ => Err("a time above 0 was expected: 2.5 (seconds), 500ms, 2.5s, 10m or 2h"),
        }
    }
}

impl From<Seconds> for f64 {
    fn from(seconds: Seconds) -> Self {
        seconds.0.as_secs_f64()
    }
}

impl FromStr for Seconds {
    type Err = &'static str;

    /// Accepts a unit behind the number, as in `2.5s`, `200ms`, `10m`, `10min` and `2h`.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const UNITS: [(&str, f64); 5] = [
            ("ms", 1e-3),
            ("s", 1.0),
            ("min", 60.0),
            ("m", 60.0),
            ("h", 3_600.0),
        ];
        let with_unit = UNITS
            .iter()
            .find_map(|(name, unit)| Some((text.strip_suffix(name)?, *unit)));
        let (number, unit) = with_unit.unwrap_or((text, 1.0));
        let number: f64 = number.parse().unwrap_or(f64::NAN);
        (number * unit).try_into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_seconds_above_0() {
        let time = |text: &str| text.parse::<Seconds>().map(Seconds::duration);
        assert_eq!(time("2.5"), Ok(Duration::from_millis(2_500)));
        assert_eq!(time("1s"), Ok(Duration::from_secs(1)));
        assert_eq!(time("200ms"), Ok(Duration::from_millis(200)));
        assert_eq!(time("1.5min"), Ok(Duration::from_secs(90)));
        assert_eq!(time("10m"), Ok(Duration::from_mins(10)));
        assert_eq!(time("2h"), Ok(Duration::from_hours(2)));
        assert_eq!(time("87840h"), Ok(LONGEST));
        for text in ["87841h", "1.8e19", "1e30", "inf"] {
            assert_eq!(time(text), Err("at most ten years were expected"), "{text}");
        }
        for text in ["0", "-1", "nan", "1e-30", "", "s", "m", "soon"] {
            assert!(time(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_time_in_a_file_is_a_number_or_has_a_unit() {
        let time = |text: &str| serde_json::from_str::<Seconds>(text).map(Seconds::duration);
        assert_eq!(time("2.5").unwrap(), Duration::from_millis(2_500));
        assert_eq!(time("3").unwrap(), Duration::from_secs(3));
        assert_eq!(time("\"10m\"").unwrap(), Duration::from_mins(10));
        assert!(time("\"soon\"").is_err() && time("-1").is_err());
    }
}
