//! Durations as people write them.

use std::time::Duration;

/// The units of a duration, in milliseconds.
const UNITS: [(&str, f64); 8] = [
    ("ms", 1.0),
    ("", 1e3),
    ("s", 1e3),
    ("min", 60e3),
    ("m", 60e3),
    ("h", 3_600e3),
    ("d", 86_400e3),
    ("w", 604_800e3),
];

/// Parses a duration: a number of seconds, or a number with a unit, as in `10`, `10s`, `500ms`, `2min`,
/// `2m`, `1.5h`, `1d` and `1w`. Blanks may stand before the unit, and the case of its letters does not count.
///
/// Returns `None` if the text has another form, or is longer than a [`Duration`] can be.
///
/// ```
/// use std::time::Duration;
/// use labwire_home::parse_duration;
///
/// assert_eq!(parse_duration("2min"), Some(Duration::from_secs(120)));
/// assert_eq!(parse_duration("0.5"), Some(Duration::from_millis(500)));
/// assert_eq!(parse_duration("soon"), None);
/// ```
pub fn parse_duration(text: &str) -> Option<Duration> {
    let text = text.trim();
    // Rust would also parse a sign, `inf` and `1e9`.
    let end = text.find(|character: char| !character.is_ascii_digit() && character != '.');
    let (number, unit) = text.split_at(end.unwrap_or(text.len()));
    let unit = unit.trim_start();
    let (_, milliseconds) = UNITS.iter().find(|(name, _)| name.eq_ignore_ascii_case(unit))?;
    let number: f64 = number.parse().ok()?;
    Duration::try_from_secs_f64(number * milliseconds / 1e3).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_is_a_number_of_seconds_or_has_a_unit() {
        for (text, milliseconds) in [
            ("10", 10_000),
            ("10s", 10_000),
            ("0.5", 500),
            ("500ms", 500),
            ("2m", 120_000),
            ("2min", 120_000),
            ("1.5 Min", 90_000),
            ("2h", 7_200_000),
            ("1d", 86_400_000),
            ("1w", 604_800_000),
            (" 3 ", 3_000),
            ("0", 0),
        ] {
            let expected = Some(Duration::from_millis(milliseconds));
            assert_eq!(parse_duration(text), expected, "{text}");
        }
        for text in [
            "",
            "s",
            "m",
            ".",
            "-1s",
            "+1s",
            "1e3",
            "inf",
            "nan",
            "1KiB",
            "1.2.3s",
            "1 2",
            "1y",
            "1hour",
            "99999999999999999999999h",
        ] {
            assert_eq!(parse_duration(text), None, "{text}");
        }
    }
}
