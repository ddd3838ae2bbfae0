//! The time zone of the computer.

use std::env;
use std::fs;
use std::sync::OnceLock;

use jiff::tz::TimeZone;

/// Where Unix keeps the rules of the computer's time zone.
const RULES: &str = "/etc/localtime";

/// The time zone of the computer, as it was when it was asked for first.
///
/// Unless the variable `TZ` names another one, the rules are read from the one file that holds them. To find out what they
/// are called, which nobody wants to know here, all rules there are would be listed: that takes a millisecond, as much as
/// a program's start.
///
/// ```
/// use jiff::Timestamp;
/// use labwire_home::local_time_zone;
///
/// let now = Timestamp::now().to_zoned(local_time_zone());
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

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;

    #[test]
    fn it_is_the_zone_that_the_system_has() {
        let (ours, systems) = (local_time_zone(), TimeZone::system());
        // All hours of a year that has come and one that has not, with the changes between winter and summer.
        for start in [1_700_000_000, 2_000_000_000] {
            for hour in 0..366 * 24 {
                let moment = Timestamp::from_second(start + hour * 3_600).unwrap();
                assert_eq!(ours.to_offset(moment), systems.to_offset(moment), "{moment}");
            }
        }
    }
}
