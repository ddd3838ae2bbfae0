//! Properties of any text that a peer sends as an argument or a result: the check shared by the
//! fuzz target and the property tests.

#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use labwire_wire::{JsonError, scan_object};
use serde::Deserialize;
use serde_json::Value;

use crate::payload::{from_json, read_leniently};

/// A recursive type that uses most features of serde.
#[derive(Debug, Deserialize)]
#[allow(dead_code, reason = "it is only read")]
struct Everything {
    inner: Option<Box<Everything>>,
    list: Option<Vec<Everything>>,
    mode: Option<Mode>,
    by_number: Option<BTreeMap<i8, f32>>,
    by_name: Option<BTreeMap<String, Option<u64>>>,
    pair: Option<(bool, char)>,
    #[serde(flatten)]
    others: BTreeMap<String, Value>,
}

#[derive(Debug, Deserialize)]
#[allow(dead_code, reason = "it is only read")]
enum Mode {
    Off,
    Value(f64),
    Pair(i32, u32),
    Named { low: i128, high: Option<u128> },
}

/// Decodes a text as values of many types, and compares the results with those of other decoders.
///
/// # Panics
///
/// If the result differs, if JSON is refused, or if anything else is accepted.
pub fn check_payload(text: &str) {
    // Only termination is checked.
    let _ = from_json::<Everything>(text);
    let _ = from_json::<Mode>(text);
    let _ = from_json::<Vec<Vec<f32>>>(text);
    check_value(text);
    check_integer(text);
    if let Ok(float) = from_json::<f64>(text) {
        let text = text.trim_matches([' ', '\t', '\r', '\n']);
        let expected: f64 = text.parse().expect("what was read as a number is one");
        assert!(is_same_float(float, expected), "{text} was read as {float}");
    }
}

/// Checks that the lenient decoder accepts JSON with the three tokens, and nothing else.
fn check_value(text: &str) {
    let read = read_leniently::<Value>(text);
    let strictly = serde_json::from_str::<Value>(text);
    match (&read, &strictly) {
        (Ok(read), Ok(strictly)) => assert!(is_same(read, strictly), "{read} is not {strictly}: {text}"),
        (Err(error), Ok(_)) => panic!("{error}, and yet it is JSON: {text}"),
        _ => {}
    }
    // As a member of an object, the text can be any value.
    let wrapped = format!("{{\"\":{text}\n}}");
    let mut members = 0;
    let scanned = scan_object(wrapped.as_bytes(), |_, _| {
        members += 1;
        Ok::<_, JsonError>(())
    });
    let is_well_formed = scanned.is_ok() && members == 1;
    match read {
        Ok(_) => assert!(is_well_formed, "it was read, and is no JSON: {text}"),
        Err(error) if is_well_formed => {
            let reasons = ["nested deeper", "out of range", "surrogate pair"];
            assert!(
                reasons.iter().any(|reason| error.contains(reason)),
                "{error}, and yet it is JSON: {text}"
            );
        }
        Err(_) => {}
    }
}

/// Checks that an integer result equals the number in the text, and that the number has no
/// fraction.
fn check_integer(text: &str) {
    let Ok(integer) = from_json::<i128>(text) else {
        return;
    };
    let float = from_json::<f64>(text).expect("an integer is a number");
    #[allow(clippy::cast_precision_loss, reason = "the float has lost as much")]
    let expected = integer as f64;
    assert!(is_same_float(float, expected), "{text} was read as {integer}");
    assert_eq!(from_json::<i64>(text).ok(), i64::try_from(integer).ok(), "{text}");
    assert_eq!(from_json::<u8>(text).ok(), u8::try_from(integer).ok(), "{text}");
}

/// Returns whether two values are equal, except for the last digits of floats, which not all
/// decoders get right.
fn is_same(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Number(one), Value::Number(other)) if one != other => {
            let floats = one.as_f64().zip(other.as_f64());
            floats.is_some_and(|(one, other)| is_same_float(one, other))
        }
        (Value::Array(one), Value::Array(other)) => {
            one.len() == other.len() && one.iter().zip(other).all(|(one, other)| is_same(one, other))
        }
        (Value::Object(one), Value::Object(other)) => {
            let same =
                |(name, one): (&String, &Value)| other.get(name).is_some_and(|other| is_same(one, other));
            one.len() == other.len() && one.iter().all(same)
        }
        _ => one == other,
    }
}

fn is_same_float(one: f64, other: f64) -> bool {
    let scale = one.abs().max(other.abs());
    one.total_cmp(&other).is_eq()
        || (one.is_nan() && other.is_nan())
        || (one - other).abs() <= scale * 4.0 * f64::EPSILON + 1e-320
}
