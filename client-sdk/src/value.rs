//! Plain values, such as the values among a service's attributes.

use std::collections::BTreeMap;
use std::fmt::{self, Write};

use labwire_wire::quoted;
use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};

/// A plain value of a service, such as a constant.
///
/// The `Display` form is that of Python's `str`.
///
/// ```
/// # mod support { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/lab.rs")); }
/// # support::lab(|options| async move {
/// # use labwire_client::{Client, Value};
/// # let client = Client::connect("Ada", options).await?;
/// let math = client.link("BasicMath").await?;
/// assert_eq!(math.identity().attributes["pi"], Value::Float(3.14));
/// # Ok(())
/// # });
/// ```
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// `null` on the wire.
    Null,
    /// A boolean.
    Bool(bool),
    /// A whole number.
    Integer(i128),
    /// Any other number, `NaN` and the infinities included.
    Float(f64),
    /// A string. The value of a method is its signature, as in `(x: float, y: float) -> float`.
    Text(String),
    /// An array.
    List(Vec<Value>),
    /// An object.
    Map(BTreeMap<String, Value>),
}

impl Value {
    /// Returns the string, or `None` for any other value.
    ///
    /// ```
    /// use labwire_client::Value;
    ///
    /// assert_eq!(Value::Text("V".to_owned()).as_text(), Some("V"));
    /// assert_eq!(Value::Float(3.14).as_text(), None);
    /// ```
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    /// Returns the signature of a method: a string that begins with a parenthesis.
    ///
    /// ```
    /// # mod support { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/lab.rs")); }
    /// # support::lab(|options| async move {
    /// # use labwire_client::Client;
    /// # let client = Client::connect("Ada", options).await?;
    /// let identity = client.link("BasicMath").await?.identity();
    /// assert_eq!(identity.attributes["add"].as_signature(), Some("(x: float, y: float) -> float"));
    /// assert_eq!(identity.attributes["pi"].as_signature(), None);
    /// # Ok(())
    /// # });
    /// ```
    pub fn as_signature(&self) -> Option<&str> {
        self.as_text().filter(|text| text.starts_with('('))
    }

    /// Writes the value as Python's `repr` does.
    fn write_inner(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => formatter.write_str(&quoted(text)),
            Self::List(values) => {
                formatter.write_char('[')?;
                for (index, value) in values.iter().enumerate() {
                    formatter.write_str(if index > 0 { ", " } else { "" })?;
                    value.write_inner(formatter)?;
                }
                formatter.write_char(']')
            }
            Self::Map(members) => {
                formatter.write_char('{')?;
                for (index, (key, value)) in members.iter().enumerate() {
                    let comma = if index > 0 { ", " } else { "" };
                    write!(formatter, "{comma}{}: ", quoted(key))?;
                    value.write_inner(formatter)?;
                }
                formatter.write_char('}')
            }
            plain => write!(formatter, "{plain}"),
        }
    }
}

impl fmt::Display for Value {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => formatter.write_str("None"),
            Self::Bool(true) => formatter.write_str("True"),
            Self::Bool(false) => formatter.write_str("False"),
            Self::Integer(number) => write!(formatter, "{number}"),
            Self::Float(number) => formatter.write_str(&python_float(*number)),
            Self::Text(text) => formatter.write_str(text),
            Self::List(_) | Self::Map(_) => self.write_inner(formatter),
        }
    }
}

/// Formats a float as Python does: the shortest text that parses to the same number, with an
/// exponent below 1e-4 and from 1e16.
fn python_float(number: f64) -> String {
    if number.is_nan() {
        return "nan".to_owned();
    }
    if number.is_infinite() {
        return if number > 0.0 { "inf" } else { "-inf" }.to_owned();
    }
    let magnitude = number.abs();
    if number != 0.0 && !(1e-4..1e16).contains(&magnitude) {
        let text = format!("{number:e}");
        let (digits, exponent) = text.split_once('e').unwrap_or((&text, "0"));
        let (sign, exponent) = match exponent.strip_prefix('-') {
            Some(exponent) => ('-', exponent),
            None => ('+', exponent),
        };
        return format!("{digits}e{sign}{exponent:0>2}");
    }
    format!("{number:?}")
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AnyValue)
    }
}

struct AnyValue;

impl<'de> Visitor<'de> for AnyValue {
    type Value = Value;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("any value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_none<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Integer(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Integer(value.into()))
    }

    fn visit_i128<E>(self, value: i128) -> Result<Value, E> {
        Ok(Value::Integer(value))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Value::Float(value))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::Text(value.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Value, A::Error> {
        let mut values = Vec::new();
        while let Some(value) = elements.next_element()? {
            values.push(value);
        }
        Ok(Value::List(values))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        let mut values = BTreeMap::new();
        while let Some((key, value)) = members.next_entry()? {
            values.insert(key, value);
        }
        Ok(Value::Map(values))
    }
}

#[cfg(test)]
mod tests {
    use labwire_device::payload::from_json;

    use super::*;

    #[test]
    fn values_are_written_as_python_writes_them() {
        for (json, text) in [
            ("null", "None"),
            ("true", "True"),
            ("-7", "-7"),
            ("1.0", "1.0"),
            ("123456789.125", "123456789.125"),
            ("1e16", "1e+16"),
            ("1e15", "1000000000000000.0"),
            ("0.0001", "0.0001"),
            ("0.00001", "1e-05"),
            ("1.5e-7", "1.5e-07"),
            ("-0.0", "-0.0"),
            ("NaN", "nan"),
            ("-Infinity", "-inf"),
            ("\"it's\"", "it's"),
            (r#"["a", 1, {"k": null}]"#, "['a', 1, {'k': None}]"),
        ] {
            assert_eq!(from_json::<Value>(json).unwrap().to_string(), text, "{json}");
        }
    }
}
