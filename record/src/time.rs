//! Times as people write them.

use jiff::civil::{Date, Time, Weekday};
use jiff::{SignedDuration, Timestamp, ToSpan};
use labwire_home::{local_time_zone, parse_duration};

/// Which end of a time span a time is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bound {
    /// The first time of the span.
    From,
    /// The time from which on the span is over. A day is meant with all of its hours.
    Until,
}

/// Returns the time that a text means: an age as [`parse_duration`] reads it, such as `90` (seconds),
/// `15min`, `2h` or `3d`, a day as `2026-11-29`, `today`, `yesterday` or `monday` (the last one, `mon` for short), the
/// last time that it was `18:00` (or `18:00:30`) on this computer, a day and a time of this computer as
/// `2026-11-29T15:04:05`, `2026-11-29 15:04` or `yesterday 18:00`, or a time with its zone as `2026-11-29T15:04:05Z`.
///
/// ```
/// use jiff::Timestamp;
/// use labwire_record::{Bound, parse_time};
///
/// let now: Timestamp = "2026-11-29T12:00:00Z".parse()?;
/// let earlier: Timestamp = "2026-11-29T10:00:00Z".parse()?;
/// assert_eq!(parse_time("2h", now, Bound::From), Some(earlier));
/// assert_eq!(parse_time("2026-11-29T10:00:00Z", now, Bound::From), Some(earlier));
/// assert_eq!(parse_time("soon", now, Bound::From), None);
/// # Ok::<(), jiff::Error>(())
/// ```
pub fn parse_time(text: &str, now: Timestamp, bound: Bound) -> Option<Timestamp> {
    if let Some(age) = age(text) {
        return now.checked_sub(age).ok();
    }
    if let Ok(time) = text.parse::<Timestamp>() {
        return Some(time);
    }
    let zone = local_time_zone();
    let today = now.to_zoned(zone.clone()).date();
    if let Some(day) = day_of(text, today) {
        let day = match bound {
            Bound::From => day,
            Bound::Until => day.checked_add(1.day()).ok()?,
        };
        return Some(day.to_zoned(zone).ok()?.timestamp());
    }
    let at = |day: Date, time: Time| Some(day.to_datetime(time).to_zoned(zone.clone()).ok()?.timestamp());
    if let Some(time) = time_of_day(text) {
        return at(today, time)
            .filter(|time| *time <= now)
            .or_else(|| at(today.yesterday().ok()?, time));
    }
    let (day, time) = text
        .split_once(' ')
        .or_else(|| text.split_once('T'))
        .map(|(day, time)| (day, time.trim_start()))?;
    let time = time_of_day(time)?;
    let found = at(day_of(day, today)?, time)?;
    if weekday(day).is_some() && found > now {
        // Today is such a day, and it is not so late yet.
        return at(today.checked_sub(7.days()).ok()?, time);
    }
    Some(found)
}

/// Returns the day that a text names.
fn day_of(text: &str, today: Date) -> Option<Date> {
    if let Some(weekday) = weekday(text) {
        let since = today.weekday().since(weekday);
        return today.checked_sub(i64::from(since).days()).ok();
    }
    match text {
        "today" => Some(today),
        "yesterday" => today.yesterday().ok(),
        _ => Date::strptime("%Y-%m-%d", text).ok(),
    }
}

fn weekday(text: &str) -> Option<Weekday> {
    Some(match text {
        "monday" | "mon" => Weekday::Monday,
        "tuesday" | "tue" => Weekday::Tuesday,
        "wednesday" | "wed" => Weekday::Wednesday,
        "thursday" | "thu" => Weekday::Thursday,
        "friday" | "fri" => Weekday::Friday,
        "saturday" | "sat" => Weekday::Saturday,
        "sunday" | "sun" => Weekday::Sunday,
        _ => return None,
    })
}

fn time_of_day(text: &str) -> Option<Time> {
    let time = Time::strptime("%H:%M:%S", text).or_else(|_| Time::strptime("%H:%M", text));
    time.ok()
}

fn age(text: &str) -> Option<SignedDuration> {
    // Eight digits are a day in another form rather than seconds.
    let is_date = text.len() == 8 && text.bytes().all(|byte| byte.is_ascii_digit());
    let age = parse_duration(text).filter(|_| !is_date)?;
    SignedDuration::try_from(age).ok()
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
        assert_eq!(seconds("90"), Some(90));
        assert_eq!(seconds("90s"), Some(90));
        assert_eq!(seconds("2m"), Some(120));
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
            "20261129",
            "soon",
            "2026-11-29T25:00",
        ] {
            assert_eq!(parse_time(text, now, Bound::From), None, "{text}");
        }
    }

    #[test]
    fn days_have_names_and_a_time_of_the_day_is_the_last_one() {
        use jiff::civil::DateTime;

        let zone = local_time_zone();
        let now = "2026-11-29T12:00:00".parse::<DateTime>().unwrap();
        let now = now.to_zoned(zone).unwrap().timestamp();
        let read = |text: &str, bound| parse_time(text, now, bound).unwrap();
        for (text, same) in [
            ("today", "2026-11-29"),
            ("yesterday", "2026-11-28"),
            ("10:30", "2026-11-29T10:30"),
            ("10:30:15", "2026-11-29T10:30:15"),
            ("12:00", "2026-11-29T12:00"),
            ("18:00", "2026-11-28T18:00"),
            ("yesterday 18:00", "2026-11-28T18:00"),
            ("yesterday  18:00:05", "2026-11-28T18:00:05"),
            ("today 09:00", "2026-11-29T09:00"),
            ("today 18:00", "2026-11-29T18:00"),
            // It is a Sunday.
            ("sunday", "2026-11-29"),
            ("sun 09:00", "2026-11-29T09:00"),
            ("sun 18:00", "2026-11-22T18:00"),
            ("saturday 18:00", "2026-11-28T18:00"),
            ("monday", "2026-11-23"),
            ("mon 18:00", "2026-11-23T18:00"),
        ] {
            for bound in [Bound::From, Bound::Until] {
                assert_eq!(read(text, bound), read(same, bound), "{text}");
            }
        }
        for text in [
            "24:00",
            "18:",
            "tomorrow",
            "Yesterday",
            "yesterday ",
            "today 24:00",
            "18:00 today",
            "moon 18:00",
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
