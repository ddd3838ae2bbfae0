//! The value of an answer.

use labwire_service::Array;
use serde::ser::{Serialize, SerializeMap, Serializer};

/// The value of an answer, as clients get it.
///
/// ```
/// use labwire_instrument::Value;
///
/// let reading = Value::Fields(vec![("value".into(), Value::Number(1.5)), ("unit".into(), Value::Text("V".into()))]);
/// assert_eq!(labwire_service::to_json(&reading).unwrap(), r#"{"value":1.5,"unit":"V"}"#);
/// ```
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// A command without an answer: `null`.
    Nothing,
    /// A number; also `NaN` and infinities.
    Number(f64),
    /// An integer.
    Integer(i64),
    /// `true` or `false`.
    Boolean(bool),
    /// A text.
    Text(String),
    /// A list.
    List(Vec<Value>),
    /// Values with names: an object.
    Fields(Vec<(String, Value)>),
    /// An array of numbers, or bytes.
    Array(Array),
}

impl Serialize for Value {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Nothing => serializer.serialize_unit(),
            Self::Number(number) => serializer.serialize_f64(*number),
            Self::Integer(integer) => serializer.serialize_i64(*integer),
            Self::Boolean(boolean) => serializer.serialize_bool(*boolean),
            Self::Text(text) => serializer.serialize_str(text),
            Self::List(list) => list.serialize(serializer),
            Self::Fields(fields) => {
                let mut object = serializer.serialize_map(Some(fields.len()))?;
                for (name, value) in fields {
                    object.serialize_entry(name, value)?;
                }
                object.end()
            }
            Self::Array(array) => array.serialize(serializer),
        }
    }
}
