//! The types of option values, parsed from the command line and from the file.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use clap::ValueEnum;
use labwire_home::parse_duration;
use labwire_manager::LogFormat;
use serde::de::Error;
use serde::{Deserialize, Deserializer};

/// The formats of log lines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum LogForm {
    /// One line of text, to be read by people.
    #[default]
    Human,
    /// One JSON object per line.
    Json,
}

impl From<LogForm> for LogFormat {
    fn from(form: LogForm) -> Self {
        match form {
            LogForm::Human => Self::Human,
            LogForm::Json => Self::Json,
        }
    }
}

/// What a manager records.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum RecordWhat {
    /// Nothing.
    Nothing,
    /// Everything except calls of services.
    #[default]
    ExceptCalls,
    /// Also calls that were answered.
    Calls,
}

const WRONG_PORT: &str = "a port is a number from 0 to 65535";

/// Parses a port.
pub(super) fn port(text: &str) -> Result<u16, &'static str> {
    text.parse().map_err(|_| WRONG_PORT)
}

pub(super) fn port_in_file<'de, D: serde::Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<u16>, D::Error> {
    let wrong = |_| serde::de::Error::custom(format!("{WRONG_PORT}, without quotation marks"));
    let port = u16::deserialize(deserializer).map_err(wrong)?;
    Ok(Some(port))
}

/// Parses the value of a flag. Anything but yes and no is an error: a misspelt word must not decide
/// which peers may connect.
pub(super) fn flag(text: &str) -> Result<bool, &'static str> {
    labwire_device::parse_flag(text).ok_or("write true or false")
}

const WRONG_LEVEL: &str = "a level is TRACE, DEBUG, INFO, WARNING, ERROR or a number as in Python";

/// Reads a level from the file: a text or a number.
pub(super) fn level_in_file<'de, D: serde::Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<String>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Written {
        Number(i64),
        Name(String),
    }
    let level = match Written::deserialize(deserializer).map_err(|_| D::Error::custom(WRONG_LEVEL))? {
        Written::Number(number) => number.to_string(),
        Written::Name(name) => name,
    };
    Ok(Some(level))
}

/// Reads a secret from the file: one text. On the command line it is several words.
pub(super) fn one_word<'de, D: serde::Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Vec<String>>, D::Error> {
    // The deserializer's own error would contain the value.
    let wrong = |_| serde::de::Error::custom("a password is a text between quotes");
    let text = String::deserialize(deserializer).map_err(wrong)?;
    Ok(Some(vec![text]))
}

/// A number of bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Size(pub(super) usize);

/// The units of a number of bytes, the largest first. A bare K is 1,024.
const SIZES: [(&[&str], usize); 7] = [
    (&["GiB", "G"], 1 << 30),
    (&["GB"], 1_000_000_000),
    (&["MiB", "M"], 1 << 20),
    (&["MB"], 1_000_000),
    (&["KiB", "K"], 1 << 10),
    (&["KB"], 1_000),
    (&["B", ""], 1),
];

const WRONG_SIZE: &str = "write a number of bytes, as in 65536, 64KiB or 1GiB";

impl FromStr for Size {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (number, unit) = number_and_unit(text);
        let bytes = factor(unit).and_then(|factor| number.parse::<usize>().ok()?.checked_mul(factor));
        bytes.map(Self).ok_or(WRONG_SIZE)
    }
}

impl fmt::Display for Size {
    /// Formats the size in the largest unit in which it is a whole number.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (unit, factor) = [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)]
            .into_iter()
            .find(|&(_, factor)| self.0 > 0 && self.0.is_multiple_of(factor))
            .unwrap_or(("B", 1));
        write!(formatter, "{}{unit}", self.0 / factor)
    }
}

/// A duration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Time(pub(super) Duration);

const WRONG_TIME: &str = "write a time, as in 10s, 500ms, 2min, 1d, or 10 for seconds";

impl FromStr for Time {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        parse_duration(text).map(Self).ok_or(WRONG_TIME)
    }
}

impl fmt::Display for Time {
    /// Formats the duration in the largest unit in which it is a whole number.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let milliseconds = self.0.as_millis();
        let (unit, factor) = [("h", 3_600_000), ("min", 60_000), ("s", 1_000)]
            .into_iter()
            .find(|&(_, factor)| milliseconds > 0 && milliseconds.is_multiple_of(factor))
            .unwrap_or(if milliseconds == 0 { ("s", 1) } else { ("ms", 1) });
        write!(formatter, "{}{unit}", milliseconds / factor)
    }
}

/// Splits a text into its leading number and the rest.
fn number_and_unit(text: &str) -> (&str, &str) {
    let text = text.trim();
    let end = text
        .find(|character: char| !character.is_ascii_digit() && character != '.')
        .unwrap_or(text.len());
    (&text[..end], text[end..].trim_start())
}

/// Returns the number of bytes in a unit.
fn factor(unit: &str) -> Option<usize> {
    let means = |names: &[&str]| names.iter().any(|name| name.eq_ignore_ascii_case(unit));
    SIZES
        .iter()
        .find(|(names, _)| means(names))
        .map(|&(_, factor)| factor)
}

/// A value in the file: a text with a unit, or a bare number.
#[derive(Deserialize)]
#[serde(untagged)]
enum Written {
    Whole(u64),
    Part(f64),
    Text(String),
}

fn written<'de, D: Deserializer<'de>, T: FromStr<Err = &'static str>>(
    deserializer: D,
    wrong: &'static str,
) -> Result<T, D::Error> {
    let text = match Written::deserialize(deserializer).map_err(|_| D::Error::custom(wrong))? {
        Written::Whole(number) => number.to_string(),
        Written::Part(number) => number.to_string(),
        Written::Text(text) => text,
    };
    text.parse().map_err(D::Error::custom)
}

impl<'de> Deserialize<'de> for Size {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        written(deserializer, WRONG_SIZE)
    }
}

impl<'de> Deserialize<'de> for Time {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        written(deserializer, WRONG_TIME)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_as_people_type_them_and_shown_in_their_largest_unit() {
        for (text, bytes, shown) in [
            ("65536", 65_536, "64KiB"),
            ("64KiB", 65_536, "64KiB"),
            ("64 kib", 65_536, "64KiB"),
            ("64k", 65_536, "64KiB"),
            ("1GiB", 1 << 30, "1GiB"),
            ("3MB", 3_000_000, "3000000B"),
            ("10B", 10, "10B"),
            ("0", 0, "0B"),
        ] {
            let size: Size = text.parse().unwrap();
            assert_eq!((size.0, size.to_string().as_str()), (bytes, shown), "{text}");
        }
        for text in ["", "KiB", "-1", "1.5GiB", "1 s", "one", "99999999999GiB"] {
            assert!(text.parse::<Size>().is_err(), "{text}");
        }
    }

    #[test]
    fn times_are_read_as_people_type_them_and_shown_in_their_largest_unit() {
        for (text, milliseconds, shown) in [
            ("10", 10_000, "10s"),
            ("10s", 10_000, "10s"),
            ("0.5", 500, "500ms"),
            ("500ms", 500, "500ms"),
            ("1.5 min", 90_000, "90s"),
            ("60s", 60_000, "1min"),
            ("2h", 7_200_000, "2h"),
            ("1d", 86_400_000, "24h"),
            ("0", 0, "0s"),
        ] {
            let time: Time = text.parse().unwrap();
            let read = (time.0.as_millis(), time.to_string());
            assert_eq!(read, (milliseconds, shown.to_owned()), "{text}");
        }
        for text in [
            "",
            "s",
            "-1s",
            "1e3",
            "inf",
            "1KiB",
            "1.2.3s",
            "99999999999999999999999h",
        ] {
            assert!(text.parse::<Time>().is_err(), "{text}");
        }
    }
}
