//! Decodes values that Python peers encoded.

use serde::de::DeserializeOwned;
use thiserror::Error;

use super::reader;

/// The reason why JSON text is not the expected value.
///
/// ```
/// use labwire_device::payload::{DecodeError, from_json};
///
/// let error: DecodeError = from_json::<u8>("-1").unwrap_err();
/// assert_eq!(error.to_string(), "invalid value: integer `-1`, expected u8");
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{0}")]
pub struct DecodeError(String);

/// Decodes a value from JSON text that may contain `NaN`, `Infinity` and `-Infinity` as values.
///
/// Where an integer is expected, `3.0` and `3e0` are 3, since Python programs often compute
/// integers as floats. Fractions and values out of range are refused. A type that first accepts any
/// value and interprets it afterwards receives `3.0` as a float: a `serde_json::Value`, an untagged
/// enum, and flattened fields of a struct.
///
/// A `serde_json::Value` cannot contain the three tokens; they become `null`. Arrays and objects
/// may be nested 128 levels deep.
///
/// ```
/// # use labwire_device::payload::from_json;
/// let values: Vec<f64> = from_json("[1, 2.5, -Infinity]").unwrap();
/// assert_eq!(values, [1.0, 2.5, f64::NEG_INFINITY]);
/// assert_eq!(from_json::<i64>("3.0"), Ok(3));
/// assert!(from_json::<i64>("1.5").is_err());
/// ```
pub fn from_json<T: DeserializeOwned>(text: &str) -> Result<T, DecodeError> {
    // The fastest decoder, and nearly always sufficient.
    if let Ok(value) = serde_json::from_str(text) {
        return Ok(value);
    }
    reader::read(text).map_err(|problem| DecodeError(problem.to_string()))
}

/// Decodes a value with the lenient decoder even if the faster one would suffice, for the fuzz
/// target.
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) fn read_leniently<T: DeserializeOwned>(text: &str) -> Result<T, String> {
    reader::read(text).map_err(|problem| problem.to_string())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn the_tokens_of_python_are_read_where_a_float_is_expected() {
        let values: Vec<f64> = from_json("[NaN, Infinity, -Infinity, 1, 2.5e3]").unwrap();
        assert!(values[0].is_nan());
        assert_eq!(values[1..], [f64::INFINITY, f64::NEG_INFINITY, 1.0, 2500.0]);
        let (text, value): (String, f64) = from_json(r#"["NaN \" \u00e9 \n", NaN]"#).unwrap();
        assert_eq!(text, "NaN \" é \n");
        assert!(value.is_nan());
    }

    #[test]
    fn a_number_without_a_fraction_is_an_integer_however_it_is_written() {
        assert_eq!(
            from_json::<Vec<i64>>("[3.0, 3.000, 3e0, -30e-1]"),
            Ok(vec![3, 3, 3, -3])
        );
        assert_eq!(
            from_json::<(u8, Option<i128>)>("[255.0, -1e20]"),
            Ok((255, Some(-10_i128.pow(20))))
        );
        assert_eq!(from_json::<u64>("9007199254740993.0"), Ok(9_007_199_254_740_993));
        let by_number: BTreeMap<u16, u8> = from_json(r#"{"1": 1.0, "2.0": 2}"#).unwrap();
        assert_eq!(by_number, BTreeMap::from([(1, 1), (2, 2)]));
        for (text, error) in [
            ("256.0", "invalid value: integer `256`, expected u8"),
            ("-1.0", "invalid value: integer `-1`, expected u8"),
            ("1.5", "invalid type: floating point `1.5`, expected u8"),
            ("1e400", "number out of range"),
        ] {
            assert_eq!(from_json::<u8>(text).unwrap_err().to_string(), error, "{text}");
        }
        // Types that accept any value keep the number as written.
        assert_eq!(from_json::<serde_json::Value>("3.0").unwrap().to_string(), "3.0");
    }

    /// A struct with these optional members and a child of its own type.
    macro_rules! settings {
        ($($member:ident,)*) => {
            #[derive(Debug, serde::Deserialize)]
            struct Settings {
                #[allow(dead_code, reason = "it is only read")]
                child: Option<Box<Settings>>,
                $(#[allow(dead_code, reason = "it is only read")] $member: Option<String>,)*
                #[allow(dead_code, reason = "it is only read")]
                level: Option<f64>,
            }
        };
    }

    settings! {
        f00, f01, f02, f03, f04, f05, f06, f07, f08, f09,
        f10, f11, f12, f13, f14, f15, f16, f17, f18, f19,
        f20, f21, f22, f23, f24, f25, f26, f27, f28, f29,
        f30, f31, f32, f33, f34, f35, f36, f37, f38, f39,
    }

    fn nested(levels: usize, level: &str) -> String {
        let inner = format!(r#"{{"level":{level}}}"#);
        (1..levels).fold(inner, |inner, _| format!(r#"{{"child":{inner}}}"#))
    }

    #[test]
    fn what_is_nested_too_deep_is_refused_before_the_stack_is_used_up_with_and_without_nan() {
        let reading = || {
            for level in ["1.0", "NaN", "-Infinity"] {
                for levels in [129, 500, 1_023] {
                    let error = from_json::<Settings>(&nested(levels, level)).unwrap_err();
                    assert_eq!(
                        error.to_string(),
                        "it is nested deeper than 128 levels",
                        "{levels}, {level}"
                    );
                    // An ignored value either needs no stack or is refused as well.
                    let ignored = format!(r#"{{"unknown":{}}}"#, nested(levels, level));
                    let _ = from_json::<Settings>(&ignored);
                }
                assert!(from_json::<Settings>(&nested(128, level)).is_ok(), "{level}");
            }
        };
        let thread = std::thread::Builder::new().stack_size(2 * 1024 * 1024);
        thread.spawn(reading).unwrap().join().unwrap();
    }

    #[test]
    fn beside_the_tokens_of_python_nothing_is_read_but_json() {
        for text in [
            "[NaN,]",
            "[NaN // no\n]",
            "{a: NaN}",
            "['x', NaN]",
            "[+NaN]",
            "[.5, NaN]",
            "[0x10, NaN]",
            "[NaN] 1",
            "[-NaN]",
            r#"["\q", NaN]"#,
            r#"["\ud800", NaN]"#,
            "[NaN",
            "[NaN}",
            r#"{"a" NaN}"#,
            r#"{"a": NaN,}"#,
        ] {
            assert!(from_json::<serde_json::Value>(text).is_err(), "{text}");
        }
    }

    #[test]
    fn variants_structs_and_names_are_read_beside_the_tokens_as_without() {
        #[derive(Debug, PartialEq, serde::Deserialize)]
        enum Mode {
            Off,
            Range(f64),
            Pair(i32, i32),
            Named { low: u8, high: Option<f64> },
        }
        let text = r#"["Off", {"Range": -Infinity}, {"Pair": [1.0, 2]}, {"Named": {"low": 3.0, "high": null, "x": ["\ud800"]}}]"#;
        let modes: Vec<Mode> = from_json(text).unwrap();
        let expected = [
            Mode::Off,
            Mode::Range(f64::NEG_INFINITY),
            Mode::Pair(1, 2),
            Mode::Named { low: 3, high: None },
        ];
        assert_eq!(modes, expected);
    }

    #[test]
    fn a_text_that_names_a_token_is_still_a_text() {
        let error = from_json::<f64>(r#""NaN""#).unwrap_err();
        assert_eq!(error.to_string(), "invalid type: string \"NaN\", expected f64");
    }

    #[test]
    fn an_error_says_what_was_expected_and_not_where_in_a_line_nobody_sees() {
        let error = from_json::<i64>("1.5").unwrap_err();
        assert_eq!(
            error.to_string(),
            "invalid type: floating point `1.5`, expected i64"
        );
        let error = from_json::<i64>("NaN").unwrap_err();
        assert_eq!(
            error.to_string(),
            "invalid type: floating point `NaN`, expected i64"
        );
    }
}
