//! Encodes values as Python peers do.

use serde::ser::{self, Serialize};
use thiserror::Error;

use super::json::TOKEN;

/// The reason why a value cannot be encoded as JSON.
///
/// ```
/// use std::collections::BTreeMap;
/// use labwire_device::payload::{EncodeError, to_json};
///
/// let error: EncodeError = to_json(&BTreeMap::from([([1, 2], "x")])).unwrap_err();
/// let text = "the value cannot be written as JSON: a key must be a string, a number or a boolean";
/// assert_eq!(error.to_string(), text);
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("the value cannot be written as JSON: {0}")]
pub struct EncodeError(String);

impl ser::Error for EncodeError {
    fn custom<T: std::fmt::Display>(message: T) -> Self {
        Self(message.to_string())
    }
}

/// Encodes a value as JSON text on one line.
///
/// Floats that are not finite become `NaN`, `Infinity` and `-Infinity`, as Python peers write and
/// read them. The keys of a map must be strings, numbers or booleans. Enums are encoded as by
/// `serde_json`.
///
/// ```
/// # use labwire_device::payload::to_json;
/// assert_eq!(to_json(&(1, 2.0, f64::NAN, "µ")).unwrap(), r#"[1,2.0,NaN,"µ"]"#);
/// ```
pub fn to_json<T: Serialize + ?Sized>(value: &T) -> Result<String, EncodeError> {
    let mut text = String::new();
    value.serialize(Writer::new(&mut text))?;
    Ok(text)
}

struct Writer<'a> {
    text: &'a mut String,
    /// Whether the value is the text of a [`Json`](super::Json).
    verbatim: bool,
}

impl<'a> Writer<'a> {
    fn new(text: &'a mut String) -> Self {
        Self {
            text,
            verbatim: false,
        }
    }

    /// Writes a scalar, whose form is that of `serde_json`.
    fn plain<T: Serialize>(self, value: T) -> Result<(), EncodeError> {
        let text = serde_json::to_string(&value).map_err(ser::Error::custom)?;
        self.text.push_str(&text);
        Ok(())
    }

    fn float<T: Serialize + Into<f64> + Copy>(self, value: T) -> Result<(), EncodeError> {
        let wide: f64 = value.into();
        if wide.is_finite() {
            return self.plain(value);
        }
        self.text.push_str(match wide {
            _ if wide.is_nan() => "NaN",
            _ if wide > 0.0 => "Infinity",
            _ => "-Infinity",
        });
        Ok(())
    }
}

/// A container that is being written. `end` closes it and, for an enum's variant, the object around
/// it.
struct Container<'a> {
    text: &'a mut String,
    first: bool,
    end: &'static str,
}

impl<'a> Container<'a> {
    fn open(text: &'a mut String, start: &str, end: &'static str) -> Self {
        text.push_str(start);
        Self {
            text,
            first: true,
            end,
        }
    }

    /// Opens the container of an enum's variant: an object with the variant's name as its only key.
    fn variant(
        text: &'a mut String,
        variant: &str,
        start: &str,
        end: &'static str,
    ) -> Result<Self, EncodeError> {
        text.push('{');
        Writer::new(text).plain(variant)?;
        text.push(':');
        Ok(Self::open(text, start, end))
    }

    fn separate(&mut self) {
        if !self.first {
            self.text.push(',');
        }
        self.first = false;
    }

    fn element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), EncodeError> {
        self.separate();
        value.serialize(Writer::new(self.text))
    }

    fn key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), EncodeError> {
        self.separate();
        let text = match serde_json::to_value(key).map_err(ser::Error::custom)? {
            serde_json::Value::String(text) => text,
            number @ (serde_json::Value::Number(_) | serde_json::Value::Bool(_)) => number.to_string(),
            _ => {
                return Err(ser::Error::custom(
                    "a key must be a string, a number or a boolean",
                ));
            }
        };
        Writer::new(self.text).plain(text)?;
        self.text.push(':');
        Ok(())
    }

    fn value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), EncodeError> {
        value.serialize(Writer::new(self.text))
    }

    fn close(self) {
        self.text.push_str(self.end);
    }
}

macro_rules! plain {
    ($($method:ident: $type:ty,)*) => {
        $(fn $method(self, value: $type) -> Result<(), EncodeError> {
            self.plain(value)
        })*
    };
}

impl<'a> ser::Serializer for Writer<'a> {
    type Ok = ();
    type Error = EncodeError;
    type SerializeSeq = Container<'a>;
    type SerializeTuple = Container<'a>;
    type SerializeTupleStruct = Container<'a>;
    type SerializeTupleVariant = Container<'a>;
    type SerializeMap = Container<'a>;
    type SerializeStruct = Container<'a>;
    type SerializeStructVariant = Container<'a>;

    plain! {
        serialize_bool: bool,
        serialize_i8: i8,
        serialize_i16: i16,
        serialize_i32: i32,
        serialize_i64: i64,
        serialize_i128: i128,
        serialize_u8: u8,
        serialize_u16: u16,
        serialize_u32: u32,
        serialize_u64: u64,
        serialize_u128: u128,
        serialize_char: char,
        serialize_bytes: &[u8],
    }

    fn serialize_str(self, value: &str) -> Result<(), EncodeError> {
        if self.verbatim {
            self.text.push_str(value);
            return Ok(());
        }
        self.plain(value)
    }

    fn serialize_f32(self, value: f32) -> Result<(), EncodeError> {
        self.float(value)
    }

    fn serialize_f64(self, value: f64) -> Result<(), EncodeError> {
        self.float(value)
    }

    fn serialize_none(self) -> Result<(), EncodeError> {
        self.serialize_unit()
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<(), EncodeError> {
        value.serialize(self)
    }

    fn serialize_unit(self) -> Result<(), EncodeError> {
        self.text.push_str("null");
        Ok(())
    }

    fn serialize_unit_struct(self, _name: &'static str) -> Result<(), EncodeError> {
        self.serialize_unit()
    }

    fn serialize_unit_variant(
        self,
        _name: &'static str,
        _index: u32,
        variant: &'static str,
    ) -> Result<(), EncodeError> {
        self.plain(variant)
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        name: &'static str,
        value: &T,
    ) -> Result<(), EncodeError> {
        if name == TOKEN {
            return value.serialize(Writer {
                verbatim: true,
                ..self
            });
        }
        value.serialize(self)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _name: &'static str,
        _index: u32,
        variant: &'static str,
        value: &T,
    ) -> Result<(), EncodeError> {
        let mut object = Container::variant(self.text, variant, "", "}")?;
        object.element(value)?;
        object.close();
        Ok(())
    }

    fn serialize_seq(self, _length: Option<usize>) -> Result<Container<'a>, EncodeError> {
        Ok(Container::open(self.text, "[", "]"))
    }

    fn serialize_tuple(self, _length: usize) -> Result<Container<'a>, EncodeError> {
        self.serialize_seq(None)
    }

    fn serialize_tuple_struct(
        self,
        _name: &'static str,
        _length: usize,
    ) -> Result<Container<'a>, EncodeError> {
        self.serialize_seq(None)
    }

    fn serialize_tuple_variant(
        self,
        _name: &'static str,
        _index: u32,
        variant: &'static str,
        _length: usize,
    ) -> Result<Container<'a>, EncodeError> {
        Container::variant(self.text, variant, "[", "]}")
    }

    fn serialize_map(self, _length: Option<usize>) -> Result<Container<'a>, EncodeError> {
        Ok(Container::open(self.text, "{", "}"))
    }

    fn serialize_struct(self, _name: &'static str, _length: usize) -> Result<Container<'a>, EncodeError> {
        self.serialize_map(None)
    }

    fn serialize_struct_variant(
        self,
        _name: &'static str,
        _index: u32,
        variant: &'static str,
        _length: usize,
    ) -> Result<Container<'a>, EncodeError> {
        Container::variant(self.text, variant, "{", "}}")
    }
}

macro_rules! array {
    ($($trait:ident::$method:ident,)*) => {
        $(impl ser::$trait for Container<'_> {
            type Ok = ();
            type Error = EncodeError;

            fn $method<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), EncodeError> {
                self.element(value)
            }

            fn end(self) -> Result<(), EncodeError> {
                self.close();
                Ok(())
            }
        })*
    };
}

array! {
    SerializeSeq::serialize_element,
    SerializeTuple::serialize_element,
    SerializeTupleStruct::serialize_field,
    SerializeTupleVariant::serialize_field,
}

macro_rules! object {
    ($($trait:ident,)*) => {
        $(impl ser::$trait for Container<'_> {
            type Ok = ();
            type Error = EncodeError;

            fn serialize_field<T: Serialize + ?Sized>(
                &mut self,
                key: &'static str,
                value: &T,
            ) -> Result<(), EncodeError> {
                self.key(key)?;
                self.value(value)
            }

            fn end(self) -> Result<(), EncodeError> {
                self.close();
                Ok(())
            }
        })*
    };
}

object! {
    SerializeStruct,
    SerializeStructVariant,
}

impl ser::SerializeMap for Container<'_> {
    type Ok = ();
    type Error = EncodeError;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), EncodeError> {
        self.key(key)
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), EncodeError> {
        self.value(value)
    }

    fn end(self) -> Result<(), EncodeError> {
        self.close();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[derive(serde::Serialize)]
    enum Mode {
        Off,
        Range(f64),
        Pair(i32, i32),
        Named { low: f64 },
    }

    #[test]
    fn what_is_finite_is_written_as_serde_json_writes_it() {
        let values = (
            (1, -2_i64, u64::MAX, 1.0, 1e300, 0.1_f32),
            ("a\"\n\u{1}é", 'x', true, (), None::<i32>, Some(3)),
            (BTreeMap::from([(1, "one")]), BTreeMap::from([("k", vec![1.5])])),
            [
                Mode::Off,
                Mode::Range(1.5),
                Mode::Pair(1, 2),
                Mode::Named { low: 0.5 },
            ],
            Vec::<i32>::new(),
        );
        assert_eq!(to_json(&values).unwrap(), serde_json::to_string(&values).unwrap());
    }

    #[test]
    fn what_is_no_number_is_written_as_python_writes_it() {
        let values = (
            [f64::NAN, f64::INFINITY, f64::NEG_INFINITY],
            f32::NAN,
            Mode::Range(f64::INFINITY),
            BTreeMap::from([("x", f64::NAN)]),
        );
        assert_eq!(
            to_json(&values).unwrap(),
            r#"[[NaN,Infinity,-Infinity],NaN,{"Range":Infinity},{"x":NaN}]"#
        );
    }

    #[test]
    fn a_key_that_is_no_text_is_an_error_that_says_so() {
        let error = to_json(&BTreeMap::from([(vec![1], 1)])).unwrap_err();
        assert!(error.to_string().contains("a key must be"), "{error}");
    }

    proptest::proptest! {
        #[test]
        fn any_value_without_such_floats_is_the_text_of_serde_json(
            values in proptest::collection::vec((".*", proptest::num::i64::ANY, proptest::num::f64::NORMAL), 0..8)
        ) {
            proptest::prop_assert_eq!(to_json(&values).unwrap(), serde_json::to_string(&values).unwrap());
        }
    }
}
