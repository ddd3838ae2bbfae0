//! The end of a grant or a token on the command line.

use anyhow::anyhow;
use jiff::Timestamp;
use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;
use labwire_home::{local_time_zone, parse_duration, present};

use crate::cli::UsageError;

/// The longest time from now on, in seconds: a hundred years.
const LONGEST: i64 = 100 * 366 * 86_400;

/// Returns the end that `--for` or `--until` means, in seconds since 1970; `None` without either.
pub(super) fn chosen(time: Option<&str>, until: Option<&str>) -> anyhow::Result<Option<i64>> {
    match (time, until) {
        (Some(time), _) => Ok(Some(after(time, present().as_second())?)),
        (None, Some(until)) => Ok(Some(at(until, &local_time_zone())?)),
        (None, None) => Ok(None),
    }
}

/// Returns the end that `--for` means, in seconds since 1970: `30d` after `now`.
fn after(text: &str, now: i64) -> anyhow::Result<i64> {
    let seconds = parse_duration(text).and_then(|time| i64::try_from(time.as_secs()).ok());
    let seconds = seconds.filter(|seconds| (1..=LONGEST).contains(seconds));
    seconds.map(|seconds| now + seconds).ok_or_else(|| {
        anyhow!(UsageError(format!(
            "--for '{text}': write a time of a second to a hundred years, as in 90min, 8h, 30d or 1w"
        )))
    })
}

/// Returns the end that `--until` means, in seconds since 1970: the end of a day, which is the next
/// midnight, or a time in this time zone, or one with a zone of its own.
fn at(text: &str, zone: &TimeZone) -> anyhow::Result<i64> {
    if let Ok(time) = text.parse::<Timestamp>() {
        return Ok(time.as_second());
    }
    let spelled = text.trim().replacen(' ', "T", 1);
    // In these forms only: others could mean a day without its hours, or another time zone.
    let local = match Date::strptime("%Y-%m-%d", &spelled) {
        Ok(day) => day
            .tomorrow()
            .ok()
            .map(|next| next.to_datetime(jiff::civil::Time::midnight())),
        Err(_) => DateTime::strptime("%Y-%m-%dT%H:%M:%S", &spelled)
            .or_else(|_| DateTime::strptime("%Y-%m-%dT%H:%M", &spelled))
            .ok(),
    };
    let time = local.and_then(|local| zone.to_timestamp(local).ok());
    time.map(Timestamp::as_second).ok_or_else(|| {
        anyhow!(UsageError(format!(
            "--until '{text}' is not a time, write yyyy-mm-dd (that day is included) or yyyy-mm-ddTHH:MM:SS"
        )))
    })
}

/// Returns a time in seconds since 1970 for people: in the time zone of this computer, with its offset.
pub(super) fn shown(seconds: i64) -> String {
    let time = Timestamp::from_second(seconds).unwrap_or(Timestamp::MAX);
    let time = time.to_zoned(local_time_zone());
    time.strftime("%Y-%m-%d %H:%M:%S %:z").to_string()
}

/// Returns an end in words: `until …`, or `ended …` if it has passed.
pub(super) fn in_words(until: i64) -> String {
    let word = if present().as_second() >= until {
        "ended"
    } else {
        "until"
    };
    format!("{word} {}", shown(until))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_from_now_on_is_written_as_any_time() {
        for (text, expected) in [
            ("30", 30),
            ("90s", 90),
            ("1.5h", 5_400),
            ("2m", 120),
            ("2min", 120),
            ("8h", 28_800),
            ("30d", 2_592_000),
            ("1w", 604_800),
        ] {
            assert_eq!(after(text, 1_000).unwrap(), 1_000 + expected, "{text}");
        }
        for text in [
            "",
            "d",
            "0d",
            "500ms",
            "-1d",
            "1.2.3h",
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
            ("1970-01-02", 2 * 86_400),
            ("1970-01-02T00:00:00", 86_400),
            ("1970-01-01T00:01:00", 60),
            ("1970-01-01 00:01", 60),
            ("1970-01-01T00:01:00Z", 60),
            ("1970-01-01T01:01:00+01:00", 60),
        ] {
            assert_eq!(at(text, &TimeZone::UTC).unwrap(), expected, "{text}");
        }
        let auckland = TimeZone::fixed(jiff::tz::offset(13));
        assert_eq!(at("1970-01-02", &auckland).unwrap(), 2 * 86_400 - 13 * 3_600);
        for text in [
            "",
            "tomorrow",
            "1970-13-01",
            "19700102",
            "1970-01-02T12:00:00[America/New_York]",
        ] {
            let error = at(text, &TimeZone::UTC).unwrap_err();
            assert!(error.is::<UsageError>(), "{text}: {error}");
        }
    }
}
