//! The end of a grant on the command line.

use anyhow::anyhow;
use jiff::Timestamp;
use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;
use labwire_home::local_time_zone;

use crate::cli::UsageError;

/// The units of a time from now on, in seconds.
const UNITS: [(&str, i64); 5] = [
    ("s", 1),
    ("m", 60),
    ("h", 3_600),
    ("d", 86_400),
    ("w", 7 * 86_400),
];

/// The longest time from now on, in seconds: a hundred years.
const LONGEST: i64 = 100 * 366 * 86_400;

/// Returns the end that `--for` means, in seconds since 1970: `30d` after `now`.
pub(super) fn after(text: &str, now: i64) -> anyhow::Result<i64> {
    let wrong = || {
        anyhow!(UsageError(format!(
            "--for '{text}': write a number and a unit, s, m, h, d or w, as in 8h or 30d"
        )))
    };
    let (number, unit) = text.split_at(text.find(|it: char| !it.is_ascii_digit()).ok_or_else(wrong)?);
    let (_, seconds) = UNITS.iter().find(|(name, _)| *name == unit).ok_or_else(wrong)?;
    let number: i64 = number.parse().map_err(|_| wrong())?;
    let time = number
        .checked_mul(*seconds)
        .filter(|time| (1..=LONGEST).contains(time));
    Ok(now + time.ok_or_else(wrong)?)
}

/// Returns the end that `--until` means, in seconds since 1970: a day, whose midnight it is, or a
/// time in this time zone, or one with a zone of its own.
pub(super) fn at(text: &str, zone: &TimeZone) -> anyhow::Result<i64> {
    if let Ok(time) = text.parse::<Timestamp>() {
        return Ok(time.as_second());
    }
    let local = match text.parse::<Date>() {
        Ok(day) if text.len() == "yyyy-mm-dd".len() => Some(day.to_datetime(jiff::civil::Time::midnight())),
        _ => text.parse::<DateTime>().ok(),
    };
    let time = local.and_then(|local| zone.to_timestamp(local).ok());
    time.map(Timestamp::as_second).ok_or_else(|| {
        anyhow!(UsageError(format!(
            "--until '{text}' is not a time, write yyyy-mm-dd or yyyy-mm-ddTHH:MM:SS"
        )))
    })
}

/// Returns a time in seconds since 1970 as text, in this computer's time zone.
pub(super) fn shown(seconds: i64) -> String {
    let time = Timestamp::from_second(seconds).unwrap_or(Timestamp::MAX);
    let time = time.to_zoned(local_time_zone());
    time.strftime("%Y-%m-%d %H:%M:%S").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_from_now_on_has_a_number_and_a_unit() {
        for (text, expected) in [
            ("90s", 90),
            ("2m", 120),
            ("8h", 28_800),
            ("30d", 2_592_000),
            ("1w", 604_800),
        ] {
            assert_eq!(after(text, 1_000).unwrap(), 1_000 + expected, "{text}");
        }
        for text in [
            "",
            "30",
            "d",
            "0d",
            "-1d",
            "1.5h",
            "30 d",
            "9999999w",
            "99999999999999999999s",
            "1y",
        ] {
            let error = after(text, 0).unwrap_err();
            assert!(error.is::<UsageError>(), "{text}: {error}");
        }
    }

    #[test]
    fn an_end_is_a_day_or_a_time() {
        for (text, expected) in [
            ("1970-01-02", 86_400),
            ("1970-01-01T00:01:00", 60),
            ("1970-01-01T00:01:00Z", 60),
            ("1970-01-01T01:01:00+01:00", 60),
        ] {
            assert_eq!(at(text, &TimeZone::UTC).unwrap(), expected, "{text}");
        }
        for text in ["", "tomorrow", "1970-13-01"] {
            let error = at(text, &TimeZone::UTC).unwrap_err();
            assert!(error.is::<UsageError>(), "{text}: {error}");
        }
    }
}
