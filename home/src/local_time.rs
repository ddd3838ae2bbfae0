//! The current time and the computer's time zone.

use std::env;
use std::fs;
use std::sync::OnceLock;
use std::time::{SystemTime, UNIX_EPOCH};

use jiff::Timestamp;
use jiff::tz::TimeZone;

/// The file with the time-zone rules on Unix.
const RULES: &str = "/etc/localtime";

/// Returns the time zone of the computer, as of the first call.
///
/// Unless the variable `TZ` is set, the rules are read from the one file that contains them. The
/// standard way would also search all zones for their name, which is not needed here and takes a
/// millisecond, as long as a program's start.
///
/// ```
/// use labwire_home::{local_time_zone, present};
///
/// let now = present().to_zoned(local_time_zone());
/// println!("{}", now.strftime("%H:%M"));
/// ```
pub fn local_time_zone() -> TimeZone {
    static ZONE: OnceLock<TimeZone> = OnceLock::new();
    ZONE.get_or_init(|| {
        let rules = || TimeZone::tzif("local", &fs::read(RULES).ok()?).ok();
        match env::var_os("TZ") {
            None => rules().unwrap_or_else(TimeZone::system),
            Some(_) => TimeZone::system(),
        }
    })
    .clone()
}

/// Returns the current time. A clock outside the years of the calendar (-9999 to 9999) counts as
/// the nearest of them, where [`Timestamp::now`] panics.
///
/// ```
/// use labwire_home::present;
///
/// assert!(present().as_second() > 0);
/// ```
pub fn present() -> Timestamp {
    in_calendar(SystemTime::now())
}

fn in_calendar(clock: SystemTime) -> Timestamp {
    Timestamp::try_from(clock).unwrap_or(if clock < UNIX_EPOCH {
        Timestamp::MIN
    } else {
        Timestamp::MAX
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_clock_beyond_the_calendar_is_at_its_end() {
        let far = Duration::from_secs(1 << 50);
        let times = [UNIX_EPOCH - far, UNIX_EPOCH, UNIX_EPOCH + far].map(in_calendar);
        assert_eq!(times, [Timestamp::MIN, Timestamp::UNIX_EPOCH, Timestamp::MAX]);
        for time in times {
            // It can be formatted as a date in any time zone.
            let zoned = time.to_zoned(local_time_zone());
            assert!(!zoned.strftime("%Y-%m-%dT%H:%M:%S").to_string().is_empty());
        }
    }

    #[test]
    fn it_is_the_zone_that_the_system_has() {
        let (ours, systems) = (local_time_zone(), TimeZone::system());
        // All hours of a past and a future year, including the changes between winter and summer
        // time.
        for start in [1_700_000_000, 2_000_000_000] {
            for hour in 0..366 * 24 {
                let moment = Timestamp::from_second(start + hour * 3_600).unwrap();
                assert_eq!(ours.to_offset(moment), systems.to_offset(moment), "{moment}");
            }
        }
    }
}
