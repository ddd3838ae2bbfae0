//! A strict JSON decoder with two extensions: `NaN`, `Infinity` and `-Infinity` are values, and a
//! number without a fraction is an integer in any notation.

mod access;
mod number;
mod text;

use std::fmt;

use serde::de::{self, DeserializeOwned, IntoDeserializer, Visitor};

use access::{Elements, Members, Variant};
use number::Number;

/// The deepest nesting of arrays and objects. The decoder is recursive, so the stack must suffice
/// for it.
pub(crate) const MAX_DEPTH: usize = 128;

/// The reason why a text is not the expected value.
#[derive(Debug)]
pub(super) struct Problem(Box<str>);

impl Problem {
    fn new(text: &str) -> Self {
        Self(text.into())
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl std::error::Error for Problem {}

impl de::Error for Problem {
    fn custom<T: fmt::Display>(text: T) -> Self {
        Self(text.to_string().into())
    }
}

/// Decodes a value from a whole text.
pub(super) fn read<T: DeserializeOwned>(text: &str) -> Result<T, Problem> {
    let mut reader = Reader {
        text,
        at: 0,
        levels: MAX_DEPTH,
    };
    let value = T::deserialize(&mut reader)?;
    match reader.peek() {
        None => Ok(value),
        Some(_) => Err(Problem::new("there is something behind the value")),
    }
}

/// A text, and the position up to which it was read.
struct Reader<'t> {
    text: &'t str,
    /// Always on a character boundary.
    at: usize,
    /// The number of levels that may still be opened.
    levels: usize,
}

impl<'t> Reader<'t> {
    /// Returns the next byte that is not white space.
    fn peek(&mut self) -> Option<u8> {
        let rest = &self.text.as_bytes()[self.at..];
        let blanks = rest
            .iter()
            .take_while(|byte| matches!(byte, b' ' | b'\t' | b'\n' | b'\r'));
        self.at += blanks.count();
        self.text.as_bytes().get(self.at).copied()
    }

    /// Returns the next byte that is not white space, which must exist.
    fn peek_value(&mut self) -> Result<u8, Problem> {
        self.peek()
            .ok_or_else(|| Problem::new("the value ends too early"))
    }

    /// Skips a byte of punctuation.
    fn expect(&mut self, byte: u8) -> Result<(), Problem> {
        if self.peek_value()? == byte {
            self.at += 1;
            return Ok(());
        }
        Err(Problem(format!("'{}' is missing", char::from(byte)).into()))
    }

    /// Skips a word if it is next. Returns whether it was.
    fn takes(&mut self, word: &str) -> bool {
        let is_next = self.text[self.at..].starts_with(word);
        if is_next {
            self.at += word.len();
        }
        is_next
    }

    /// Reads an array or an object. `inside` reads the part between the brackets.
    fn container<T>(
        &mut self,
        end: u8,
        inside: impl FnOnce(&mut Self) -> Result<T, Problem>,
    ) -> Result<T, Problem> {
        if self.levels == 0 {
            return Err(Problem(
                format!("it is nested deeper than {MAX_DEPTH} levels").into(),
            ));
        }
        self.levels -= 1;
        // Skip the opening bracket.
        self.at += 1;
        let value = inside(self)?;
        if self.peek_value()? != end {
            return Err(Problem::new("it holds more than was expected"));
        }
        self.at += 1;
        self.levels += 1;
        Ok(value)
    }

    /// Skips the separator before an element or a member. Returns `false` at the end of the
    /// container.
    fn goes_on(&mut self, is_first: &mut bool, end: u8) -> Result<bool, Problem> {
        if self.peek_value()? == end {
            return Ok(false);
        }
        if !std::mem::replace(is_first, false) {
            self.expect(b',')?;
        }
        Ok(true)
    }

    fn number(&mut self) -> Result<Number<'t>, Problem> {
        let (number, length) = Number::read(&self.text[self.at..])?;
        self.at += length;
        Ok(number)
    }

    /// Reads any value; `number` handles numbers.
    fn value<'de, V: Visitor<'de>>(
        &mut self,
        visitor: V,
        number: impl FnOnce(Number<'t>, V) -> Result<V::Value, Problem>,
    ) -> Result<V::Value, Problem> {
        match self.peek_value()? {
            b'"' => match self.string()? {
                std::borrow::Cow::Borrowed(text) => visitor.visit_str(text),
                std::borrow::Cow::Owned(text) => visitor.visit_string(text),
            },
            b'[' => self.container(b']', |reader| visitor.visit_seq(Elements::new(reader))),
            b'{' => self.container(b'}', |reader| visitor.visit_map(Members::new(reader))),
            b'n' if self.takes("null") => visitor.visit_unit(),
            b't' if self.takes("true") => visitor.visit_bool(true),
            b'f' if self.takes("false") => visitor.visit_bool(false),
            b'N' if self.takes("NaN") => visitor.visit_f64(f64::NAN),
            b'I' if self.takes("Infinity") => visitor.visit_f64(f64::INFINITY),
            b'-' if self.takes("-Infinity") => visitor.visit_f64(f64::NEG_INFINITY),
            b'-' | b'0'..=b'9' => number(self.number()?, visitor),
            _ => Err(Problem::new("there is no value where one is expected")),
        }
    }
}

/// Methods that read a number as an integer, in any notation.
macro_rules! integers {
    ($($method:ident,)*) => {
        $(fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Problem> {
            self.value(visitor, Number::visit_integer)
        })*
    };
}

impl<'de> de::Deserializer<'de> for &mut Reader<'_> {
    type Error = Problem;

    integers! {
        deserialize_i8,
        deserialize_i16,
        deserialize_i32,
        deserialize_i64,
        deserialize_i128,
        deserialize_u8,
        deserialize_u16,
        deserialize_u32,
        deserialize_u64,
        deserialize_u128,
    }

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Problem> {
        self.value(visitor, Number::visit_as_written)
    }

    fn deserialize_f32<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Problem> {
        self.value(visitor, Number::visit_float)
    }

    fn deserialize_f64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Problem> {
        self.value(visitor, Number::visit_float)
    }

    fn deserialize_bytes<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Problem> {
        if self.peek_value()? == b'"' {
            return visitor.visit_bytes(self.string()?.as_bytes());
        }
        self.deserialize_any(visitor)
    }

    fn deserialize_byte_buf<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Problem> {
        self.deserialize_bytes(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Problem> {
        if self.peek_value()? == b'n' && self.takes("null") {
            return visitor.visit_none();
        }
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Problem> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Problem> {
        match self.peek_value()? {
            b'"' => {
                let name = self.string()?;
                visitor.visit_enum(name.into_deserializer())
            }
            b'{' => self.container(b'}', |reader| visitor.visit_enum(Variant::new(reader))),
            _ => Err(Problem::new("a variant is a name, or an object with its name")),
        }
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Problem> {
        if self.peek_value()? == b'"' {
            // Escapes of an ignored string are not decoded and may be undecodable.
            self.skip_string()?;
            return visitor.visit_unit();
        }
        self.deserialize_any(visitor)
    }

    serde::forward_to_deserialize_any! {
        bool char str string unit unit_struct seq tuple tuple_struct map struct identifier
    }
}
