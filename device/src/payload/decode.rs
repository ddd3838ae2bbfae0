//! Reading values that Python peers wrote.

use serde::de::DeserializeOwned;
use thiserror::Error;

/// JSON text is not the value that was expected.
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

/// Reads a value from JSON text, in which `NaN`, `Infinity` and `-Infinity` may stand as values.
///
/// A `serde_json::Value` cannot hold these three; they become `null` in it. A value may be nested 128 deep.
///
/// ```
/// # use labwire_device::payload::from_json;
/// let values: Vec<f64> = from_json("[1, 2.5, -Infinity]").unwrap();
/// assert_eq!(values, [1.0, 2.5, f64::NEG_INFINITY]);
/// assert!(from_json::<i64>("1.5").is_err());
/// ```
pub fn from_json<T: DeserializeOwned>(text: &str) -> Result<T, DecodeError> {
    let error = match serde_json::from_str(text) {
        Ok(value) => return Ok(value),
        Err(error) => error,
    };
    // Where the tokens are there, JSON5 reads what JSON does and them; elsewhere it would be too generous.
    if error.is_syntax() && (text.contains("NaN") || text.contains("Infinity")) {
        return json5::from_str(text).map_err(|error| DecodeError(without_position(error.to_string())));
    }
    Err(DecodeError(without_position(error.to_string())))
}

/// The error without the line and column, which mean nothing to who sees one argument of many.
fn without_position(text: String) -> String {
    match text.rfind(" at line ") {
        Some(end) => text[..end].to_owned(),
        None => text,
    }
}

#[cfg(test)]
mod tests {
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
