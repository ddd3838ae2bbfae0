//! Times on the command line.

use std::str::FromStr;
use std::time::Duration;

use labwire_home::parse_duration;
use serde::{Deserialize, Serialize};

/// The longest time: ten years. Much more cannot be added to a point in time.
const LONGEST: Duration = Duration::from_hours(10 * 366 * 24);

const WRONG: &str = "a time above 0 was expected: 2.5 (seconds), 500ms, 2.5s, 10m, 2h or 1d";

const TOO_LONG: &str = "at most ten years were expected";

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
            Ok(time) => time.try_into(),
            Err(_) if number > 0.0 => Err(TOO_LONG),
            Err(_) => Err(WRONG),
        }
    }
}

impl TryFrom<Duration> for Seconds {
    type Error = &'static str;

    fn try_from(time: Duration) -> Result<Self, Self::Error> {
        if time.is_zero() {
            Err(WRONG)
        } else if time > LONGEST {
            Err(TOO_LONG)
        } else {
            Ok(Self(time))
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

    /// Accepts a unit behind the number, as in `2.5s`, `200ms`, `10m`, `10min`, `2h` and `1d`.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        parse_duration(text).ok_or(WRONG)?.try_into()
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
        assert_eq!(time("3660d"), Ok(LONGEST));
        for text in ["87841h", "3661d", "99999999999"] {
            assert_eq!(time(text), Err("at most ten years were expected"), "{text}");
        }
        for text in ["0", "-1", "nan", "1e30", "inf", "", "s", "m", "soon"] {
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
