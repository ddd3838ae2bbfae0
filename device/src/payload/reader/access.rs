//! Access to the contents of arrays and objects.

use serde::de::{self, DeserializeSeed, Deserializer, IntoDeserializer, Visitor};

use super::number::Number;
use super::{Problem, Reader};

/// The elements of an array.
pub(super) struct Elements<'a, 't> {
    reader: &'a mut Reader<'t>,
    is_first: bool,
}

impl<'a, 't> Elements<'a, 't> {
    pub(super) fn new(reader: &'a mut Reader<'t>) -> Self {
        Self {
            reader,
            is_first: true,
        }
    }
}

impl<'de> de::SeqAccess<'de> for Elements<'_, '_> {
    type Error = Problem;

    fn next_element_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, Problem> {
        if !self.reader.goes_on(&mut self.is_first, b']')? {
            return Ok(None);
        }
        seed.deserialize(&mut *self.reader).map(Some)
    }
}

/// The members of an object.
pub(super) struct Members<'a, 't> {
    reader: &'a mut Reader<'t>,
    is_first: bool,
}

impl<'a, 't> Members<'a, 't> {
    pub(super) fn new(reader: &'a mut Reader<'t>) -> Self {
        Self {
            reader,
            is_first: true,
        }
    }
}

impl<'de> de::MapAccess<'de> for Members<'_, '_> {
    type Error = Problem;

    fn next_key_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, Problem> {
        if !self.reader.goes_on(&mut self.is_first, b'}')? {
            return Ok(None);
        }
        seed.deserialize(Key(&mut *self.reader)).map(Some)
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, Problem> {
        self.reader.expect(b':')?;
        seed.deserialize(&mut *self.reader)
    }
}

/// The name of a member. A number or a boolean is decoded from its text in the name.
struct Key<'a, 't>(&'a mut Reader<'t>);

impl Key<'_, '_> {
    fn text(self) -> Result<String, Problem> {
        if self.0.peek_value()? == b'"' {
            return self.0.string().map(std::borrow::Cow::into_owned);
        }
        Err(Problem::new("the name of a member is missing"))
    }

    fn number<'de, V: Visitor<'de>>(
        self,
        visitor: V,
        visit: impl FnOnce(Number<'_>, V) -> Result<V::Value, Problem>,
    ) -> Result<V::Value, Problem> {
        let text = self.text()?;
        match Number::read(&text) {
            Ok((number, length)) if length == text.len() => visit(number, visitor),
            _ => visitor.visit_string(text),
        }
    }
}

/// Methods that decode a number from a name.
macro_rules! numbers {
    ($visit:ident: $($method:ident,)*) => {
        $(fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Problem> {
            self.number(visitor, |number, visitor| number.$visit(visitor))
        })*
    };
}

impl<'de> Deserializer<'de> for Key<'_, '_> {
    type Error = Problem;

    numbers! {
        visit_integer:
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

    numbers! {
        visit_float:
        deserialize_f32,
        deserialize_f64,
    }

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Problem> {
        visitor.visit_string(self.text()?)
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Problem> {
        let text = self.text()?;
        match text.as_str() {
            "true" => visitor.visit_bool(true),
            "false" => visitor.visit_bool(false),
            _ => visitor.visit_string(text),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Problem> {
        // No name stands for `None`.
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
        visitor.visit_enum(self.text()?.into_deserializer())
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Problem> {
        if self.0.peek_value()? != b'"' {
            return Err(Problem::new("the name of a member is missing"));
        }
        self.0.skip_string()?;
        visitor.visit_unit()
    }

    serde::forward_to_deserialize_any! {
        char str string bytes byte_buf unit unit_struct seq tuple tuple_struct map struct identifier
    }
}

/// A variant with a value: an object with its name as the only key.
pub(super) struct Variant<'a, 't> {
    reader: &'a mut Reader<'t>,
}

impl<'a, 't> Variant<'a, 't> {
    pub(super) fn new(reader: &'a mut Reader<'t>) -> Self {
        Self { reader }
    }
}

impl<'de> de::EnumAccess<'de> for Variant<'_, '_> {
    type Error = Problem;
    type Variant = Self;

    fn variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<(S::Value, Self), Problem> {
        let name = seed.deserialize(Key(&mut *self.reader))?;
        self.reader.expect(b':')?;
        Ok((name, self))
    }
}

impl<'de> de::VariantAccess<'de> for Variant<'_, '_> {
    type Error = Problem;

    fn unit_variant(self) -> Result<(), Problem> {
        de::Deserialize::deserialize(self.reader)
    }

    fn newtype_variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<S::Value, Problem> {
        seed.deserialize(self.reader)
    }

    fn tuple_variant<V: Visitor<'de>>(self, _length: usize, visitor: V) -> Result<V::Value, Problem> {
        self.reader.deserialize_seq(visitor)
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        _fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Problem> {
        self.reader.deserialize_map(visitor)
    }
}
