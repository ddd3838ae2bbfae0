//! Times as people write them.

use jiff::civil::{Date, DateTime};
use jiff::{SignedDuration, Timestamp, ToSpan};
use labwire_home::local_time_zone;

/// Which end of a time span a time is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bound {
    /// The first time of the span.
    From,
    /// The time from which on the span is over. A day is meant with all of its hours.
    Until,
}

/// The units of an age, in seconds. Those that end as another does come first.
const UNITS: [(&str, f64); 7] = [
    ("ms", 0.001),
    ("s", 1.0),
    ("min", 60.0),
    ("m", 60.0),
    ("h", 3_600.0),
    ("d", 86_400.0),
    ("w", 604_800.0),
];

/// Returns the time that a text means: an [age](parse_age) such as `90s`, `15min`, `2h`, `3d` or `1w`, a day as
/// `2026-11-29`, a time of this computer as `2026-11-29T15:04:05` (also with a blank in place of the
/// T, and without seconds), or a time with its zone as `2026-11-29T15:04:05Z`.
///
/// ```
/// use jiff::Timestamp;
/// use labwire_record::{Bound, parse_time};
///
/// let now: Timestamp = "2026-11-29T12:00:00Z".parse()?;
/// let earlier: Timestamp = "2026-11-29T10:00:00Z".parse()?;
/// assert_eq!(parse_time("2h", now, Bound::From), Some(earlier));
/// assert_eq!(parse_time("2026-11-29T10:00:00Z", now, Bound::From), Some(earlier));
/// assert_eq!(parse_time("yesterday", now, Bound::From), None);
/// # Ok::<(), jiff::Error>(())
/// ```
pub fn parse_time(text: &str, now: Timestamp, bound: Bound) -> Option<Timestamp> {
    if let Some(age) = parse_age(text) {
        return now.checked_sub(age).ok();
    }
    if let Ok(time) = text.parse::<Timestamp>() {
        return Some(time);
    }
    let zone = local_time_zone();
    if let Ok(day) = Date::strptime("%Y-%m-%d", text) {
        let day = match bound {
            Bound::From => day,
            Bound::Until => day.checked_add(1.day()).ok()?,
        };
        return Some(day.to_zoned(zone).ok()?.timestamp());
    }
    let text = text.replacen(' ', "T", 1);
    let time = DateTime::strptime("%Y-%m-%dT%H:%M:%S", &text)
        .or_else(|_| DateTime::strptime("%Y-%m-%dT%H:%M", &text))
        .ok()?;
    Some(time.to_zoned(zone).ok()?.timestamp())
}

/// Returns a time span that is written with its unit: `500ms`, `90s`, `15m`, `15min`, `2h`, `1.5d` or `1w`.
///
/// ```
/// use labwire_record::parse_age;
///
/// assert_eq!(parse_age("1.5h").map(|age| age.as_mins()), Some(90));
/// assert_eq!(parse_age("90"), None);
/// ```
pub fn parse_age(text: &str) -> Option<SignedDuration> {
    let (number, unit) = UNITS
        .iter()
        .find_map(|(name, unit)| Some((text.strip_suffix(name)?, unit)))?;
    let is_number = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    let number: f64 = number.parse().ok().filter(|_| is_number)?;
    SignedDuration::try_from_secs_f64(number * unit).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_as_people_write_them() {
        let now: Timestamp = "2026-11-29T12:00:00Z".parse().unwrap();
        let seconds = |text| {
            let time = parse_time(text, now, Bound::From)?;
            Some(now.duration_since(time).as_secs())
        };
        assert_eq!(seconds("90s"), Some(90));
        assert_eq!(seconds("15min"), Some(900));
        assert_eq!(seconds("15m"), Some(900));
        assert_eq!(seconds("2000ms"), Some(2));
        assert_eq!(seconds("1.5h"), Some(5_400));
        assert_eq!(seconds("3d"), Some(3 * 86_400));
        assert_eq!(seconds("1w"), Some(7 * 86_400));
        assert_eq!(seconds("2026-11-29T13:00:00+01:00"), Some(0));
        for text in [
            "",
            "h",
            "-1h",
            "1e3s",
            "1.2.3h",
            "2026-13-01",
            "soon",
            "2026-11-29T25:00",
        ] {
            assert_eq!(parse_time(text, now, Bound::From), None, "{text}");
        }
    }

    #[test]
    fn a_day_as_the_end_is_all_of_that_day() {
        let now = Timestamp::UNIX_EPOCH;
        let from = parse_time("2026-11-29", now, Bound::From).unwrap();
        let until = parse_time("2026-11-29", now, Bound::Until).unwrap();
        assert_eq!(until.duration_since(from).as_hours(), 24);
        for noon in ["2026-11-29T12:00:00", "2026-11-29 12:00:00", "2026-11-29 12:00"] {
            let noon = parse_time(noon, now, Bound::From).unwrap();
            assert_eq!(noon.duration_since(from).as_hours(), 12);
        }
    }
}
