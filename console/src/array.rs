//! Arrays in values. The SDK returns each as `{"$array":{"dtype":…,"shape":…,"base64":…}}`, as a manager
//! without the feature `binary`, or a service without it, sends them.

use std::borrow::Cow;
use std::fmt::Write as _;

use labwire_client::Dtype;
use serde::Deserialize;

use crate::output::escaped_json;

/// The key of the object of an array, in quotes. In a text within JSON its quotes are escaped.
const KEY: &str = "\"$array\"";

/// The object of an array.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Object<'a> {
    #[serde(borrow, rename = "$array")]
    array: Members<'a>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Members<'a> {
    #[serde(borrow)]
    dtype: Cow<'a, str>,
    shape: Vec<usize>,
    /// Some encoders escape its slashes.
    #[serde(borrow)]
    base64: Cow<'a, str>,
}

impl Members<'_> {
    /// Returns the number of bytes, if the members agree on it.
    fn bytes(&self) -> Option<usize> {
        let dtype: Dtype = self.dtype.parse().ok()?;
        let mut counts = self.shape.iter();
        let bytes = counts.try_fold(dtype.item_bytes(), |bytes, count| bytes.checked_mul(*count))?;
        (self.base64.len() == bytes.div_ceil(3).checked_mul(4)?).then_some(bytes)
    }

    /// Returns the type, the shape and the size: `array <u2 4096×4096, 32 MiB`.
    fn short(&self) -> Option<String> {
        let bytes = self.bytes()?;
        let mut short = format!("array {}", self.dtype);
        for (index, count) in self.shape.iter().enumerate() {
            // Writing to a string cannot fail.
            let _ = write!(short, "{}{count}", if index == 0 { ' ' } else { '×' });
        }
        let _ = write!(short, ", {}", size(bytes));
        Some(short)
    }
}

/// Returns a number of bytes, with the largest unit of powers of 1024 that is not larger.
fn size(bytes: usize) -> String {
    for (power, unit) in [(30, "GiB"), (20, "MiB"), (10, "KiB")] {
        if bytes >> power > 0 {
            let whole = bytes >> power;
            // Rounded down, with one digit behind the point if it says something.
            let tenth = ((bytes >> (power - 10)) & 1_023) * 10 / 1_024;
            return if tenth > 0 && whole < 100 {
                format!("{whole}.{tenth} {unit}")
            } else {
                format!("{whole} {unit}")
            };
        }
    }
    let plural = if bytes == 1 { "" } else { "s" };
    format!("{bytes} byte{plural}")
}

/// Returns the object of the first array in JSON text: its place, and the array for people.
fn first(json: &str) -> Option<(std::ops::Range<usize>, String)> {
    json.match_indices(KEY).find_map(|(key, _)| {
        let start = json[..key].trim_end().strip_suffix('{')?.len();
        let mut objects = serde_json::Deserializer::from_str(&json[start..]).into_iter::<Object>();
        let short = objects.next()?.ok()?.array.short()?;
        Some((start..start + objects.byte_offset(), short))
    })
}

/// Returns whether a value is an array.
pub(crate) fn is_array(json: &str) -> bool {
    serde_json::from_str::<Object>(json).is_ok_and(|object| object.array.bytes().is_some())
}

/// Returns whether a value is an array, or has one in it.
pub(crate) fn has_array(json: &str) -> bool {
    first(json).is_some()
}

/// Returns JSON text in which each array is short, as in `array <u2 4096×4096, 32 MiB`, between two marks.
pub(crate) fn shortened<'a>(json: &'a str, mark: (&str, &str)) -> Cow<'a, str> {
    let mut rest = json;
    let mut text = String::new();
    while let Some((place, short)) = first(rest) {
        text.push_str(&rest[..place.start]);
        text.extend([mark.0, &short, mark.1]);
        rest = &rest[place.end..];
    }
    if rest.len() == json.len() {
        return Cow::Borrowed(json);
    }
    text.push_str(rest);
    Cow::Owned(text)
}

/// Returns a value in one line for people: JSON in which arrays are short.
pub(crate) fn line(json: &str) -> String {
    escaped_json(&shortened(json, ("", "")))
}

#[cfg(test)]
mod tests {
    use labwire_client::{Array, to_json};

    use super::*;

    fn short(json: &str) -> String {
        shortened(json, ("", "")).into_owned()
    }

    #[test]
    fn arrays_are_shortened_wherever_they_are() {
        let pixels = Array::new("<u2".parse().unwrap(), &[2, 3], vec![0; 12].into()).unwrap();
        let pixels = to_json(&pixels).unwrap();
        assert_eq!(short(&pixels), "array <u2 2×3, 12 bytes");
        assert!(is_array(&pixels));
        let text = to_json(&Array::from(&b"x"[..])).unwrap();
        let nested =
            format!("{{\"exposure\": NaN,\"images\":[{pixels}, {text}],\"unit\":\"{{\\\"$array\\\":\"}}");
        assert_eq!(
            short(&nested),
            "{\"exposure\": NaN,\"images\":[array <u2 2×3, 12 bytes, array |u1 1, 1 byte],\"unit\":\"{\\\"$array\\\":\"}"
        );
        // As Python writes it.
        let spaced = "[{ \"$array\" : {\"base64\": \"AAAAAAAAAAA=\", \"dtype\": \"<f8\", \"shape\": []}}]";
        assert_eq!(short(spaced), "[array <f8, 8 bytes]");
    }

    #[test]
    fn what_is_no_array_stays_as_it_is() {
        for json in [
            "[1, 2]",
            "{\"$array\":1}",
            "{\"$array\":{\"dtype\":\"<u2\",\"shape\":[2],\"base64\":\"AA==\"}}",
            "{\"$array\":{\"dtype\":\"<x2\",\"shape\":[1],\"base64\":\"AAA=\"}}",
            "{\"$array\":{\"dtype\":\"|u1\",\"shape\":[1],\"base64\":\"AA==\"},\"n\":1}",
            "{\"$array\":{\"dtype\":\"|u1\",\"shape\":[18446744073709551615,2],\"base64\":\"\"}}",
            "{\"$array\":{\"dtype\":\"|u1\",\"shape\":[1]",
            "\"$array\"",
            "{\"$array\"",
        ] {
            assert_eq!(short(json), json);
            assert!(!is_array(json));
        }
    }

    #[test]
    fn sizes_have_a_unit() {
        for (bytes, text) in [
            (0, "0 bytes"),
            (1, "1 byte"),
            (1_023, "1023 bytes"),
            (1_536, "1.5 KiB"),
            (32 << 20, "32 MiB"),
            (3 << 30, "3 GiB"),
            ((700 << 10) + 1_000, "700 KiB"),
        ] {
            assert_eq!(size(bytes), text);
        }
    }
}
