//! How an answer becomes a value.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use labwire_service::{Array, Dtype};

use crate::encoding::{Encoding, escaped};
use crate::framing::{Framing, block_data};
use crate::value::Value;

/// The most values of a list. One takes some 80 bytes on its way to the client; an array of a block takes as many as the
/// instrument sends.
const MOST_PARTS: usize = 1_000_000;

/// The form of an answer.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) form: Form,
    pub(crate) unit: Option<String>,
    /// What stands before the value, and is left out.
    pub(crate) prefix: String,
    /// What stands behind the value, and is left out.
    pub(crate) suffix: String,
}

#[derive(Clone, Debug)]
pub(crate) enum Form {
    One(Item),
    List {
        separator: Separator,
        item: Item,
        count: Option<usize>,
    },
    Fields {
        separator: Separator,
        fields: Vec<Field>,
    },
    /// A definite-length block of IEEE 488.2.
    Block(Dtype),
    Hex,
    Base64,
}

/// A part of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Item {
    Number,
    Integer,
    Boolean { on: String, off: String },
    Text,
}

/// A part of an answer with a name.
#[derive(Clone, Debug)]
pub(crate) struct Field {
    pub(crate) name: String,
    pub(crate) item: Item,
    pub(crate) unit: Option<String>,
}

/// What stands between the parts of an answer. A single blank stands for any number of blanks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Separator(pub(crate) String);

impl Answer {
    /// An answer that is one text.
    pub(crate) fn text() -> Self {
        Self {
            form: Form::One(Item::Text),
            unit: None,
            prefix: String::new(),
            suffix: String::new(),
        }
    }

    /// Returns where the answer ends on the wire.
    pub(crate) fn framing(&self) -> Framing {
        match self.form {
            Form::Block(_) => Framing::Block,
            _ => Framing::Line,
        }
    }

    /// Returns the type of the value for people, in Python's notation.
    pub(crate) fn type_word(&self) -> &'static str {
        match &self.form {
            Form::One(item) => item.type_word(),
            Form::List { item, .. } => match item {
                Item::Number => "list[float]",
                Item::Integer => "list[int]",
                Item::Boolean { .. } => "list[bool]",
                Item::Text => "list[str]",
            },
            Form::Fields { .. } => "dict",
            Form::Block(_) | Form::Hex | Form::Base64 => "Array",
        }
    }

    /// Returns a line about the value for people, if there is more to say than its type.
    pub(crate) fn told(&self) -> Option<String> {
        match (&self.form, &self.unit) {
            (Form::Fields { fields, .. }, _) => {
                let fields = fields.iter().map(|field| match &field.unit {
                    Some(unit) => format!("{} ({unit})", field.name),
                    None => field.name.clone(),
                });
                Some(format!("Returns {}.", fields.collect::<Vec<_>>().join(", ")))
            }
            (Form::Block(dtype), unit) => {
                let unit = unit
                    .as_ref()
                    .map_or_else(String::new, |unit| format!(", in {unit}"));
                Some(format!("Returns an array of {dtype}{unit}."))
            }
            (_, Some(unit)) => Some(format!("Returns it in {unit}.")),
            (_, None) => None,
        }
    }

    /// Reads an answer, without its line end.
    ///
    /// # Errors
    /// Why it does not have the form, for people.
    pub(crate) fn parse(&self, bytes: &[u8], encoding: Encoding) -> Result<Value, String> {
        if let Form::Block(dtype) = &self.form {
            return block(bytes, *dtype);
        }
        let text = encoding.decode(bytes);
        let text = self.stripped(text.trim())?;
        match &self.form {
            Form::One(item) => item.parse(text),
            Form::List {
                separator,
                item,
                count,
            } => {
                let parts = if text.is_empty() {
                    Vec::new()
                } else {
                    separator.split(text, count.unwrap_or(MOST_PARTS))?
                };
                if let Some(count) = count.filter(|count| *count != parts.len()) {
                    return Err(format!("it has {} parts, not {count}", parts.len()));
                }
                let values: Result<_, _> = parts.into_iter().map(|part| item.parse(part)).collect();
                Ok(Value::List(values?))
            }
            Form::Fields { separator, fields } => {
                let parts = separator.split(text, fields.len())?;
                if parts.len() != fields.len() {
                    return Err(format!("it has {} parts, not {}", parts.len(), fields.len()));
                }
                let values = fields.iter().zip(parts).map(|(field, part)| {
                    let value = field.item.parse(part);
                    let value = value.map_err(|why| format!("`{}`: {why}", field.name))?;
                    Ok((field.name.clone(), value))
                });
                Ok(Value::Fields(values.collect::<Result<_, String>>()?))
            }
            Form::Hex => hex(text).map(|bytes| Value::Array(bytes.into())),
            Form::Base64 => {
                let bytes = STANDARD
                    .decode(text)
                    .map_err(|error| format!("it is not base64: {error}"))?;
                Ok(Value::Array(bytes.into()))
            }
            Form::Block(_) => Err("it is a block".to_owned()),
        }
    }

    fn stripped<'a>(&self, text: &'a str) -> Result<&'a str, String> {
        let text = text
            .strip_prefix(self.prefix.as_str())
            .ok_or_else(|| format!("it does not begin with '{}'", self.prefix.escape_debug()))?;
        let text = text
            .strip_suffix(self.suffix.as_str())
            .ok_or_else(|| format!("it does not end with '{}'", self.suffix.escape_debug()))?;
        Ok(text.trim())
    }
}

impl Item {
    fn type_word(&self) -> &'static str {
        match self {
            Self::Number => "float",
            Self::Integer => "int",
            Self::Boolean { .. } => "bool",
            Self::Text => "str",
        }
    }

    fn parse(&self, part: &str) -> Result<Value, String> {
        let part = part.trim();
        let wrong = |noun: &str| format!("'{}' is not {noun}", escaped(part.as_bytes()));
        match self {
            Self::Number => number(part).map(Value::Number).ok_or_else(|| wrong("a number")),
            Self::Integer => {
                let integer = part.parse().ok().or_else(|| whole(number(part)?));
                integer.map(Value::Integer).ok_or_else(|| wrong("an integer"))
            }
            Self::Boolean { on, off } => {
                let is = |word: &str| part.eq_ignore_ascii_case(word) || number_equals(part, word);
                match (is(on), is(off)) {
                    (true, _) => Ok(Value::Boolean(true)),
                    (false, true) => Ok(Value::Boolean(false)),
                    (false, false) => Err(wrong(&format!("{on} or {off}"))),
                }
            }
            Self::Text => Ok(Value::Text(unquoted(part))),
        }
    }
}

/// Whether two texts are the same number, such as `+1` and `1`.
fn number_equals(part: &str, word: &str) -> bool {
    matches!((part.parse::<i64>(), word.parse::<i64>()), (Ok(part), Ok(word)) if part == word)
}

fn whole(number: f64) -> Option<i64> {
    #[expect(clippy::cast_possible_truncation, reason = "it was checked")]
    (number.fract() == 0.0 && number.abs() < 9e15).then_some(number as i64)
}

/// Parses a number. SCPI writes 9.91E37 for what is not a number, and 9.9E37 for infinity, which an
/// instrument answers for an overload.
fn number(text: &str) -> Option<f64> {
    match text.to_ascii_uppercase().as_str() {
        "NAN" | "+NAN" | "-NAN" => return Some(f64::NAN),
        "INF" | "+INF" | "INFINITY" | "+INFINITY" => return Some(f64::INFINITY),
        "-INF" | "NINF" | "-INFINITY" => return Some(f64::NEG_INFINITY),
        _ => {}
    }
    let is_number = text
        .bytes()
        .all(|byte| matches!(byte, b'0'..=b'9' | b'+' | b'-' | b'.' | b'e' | b'E'));
    let number: f64 = text.parse().ok().filter(|_| is_number)?;
    // The powers of ten are not exact, so that they are compared as the instrument writes them.
    let is = |value: f64| ((number.abs() - value) / value).abs() < 1e-9;
    Some(if is(9.91e37) {
        f64::NAN
    } else if is(9.9e37) {
        f64::INFINITY.copysign(number)
    } else {
        number
    })
}

/// Returns a text without the quotation marks of SCPI around it, if it has any.
fn unquoted(text: &str) -> String {
    for quote in ['"', '\''] {
        let inside = text.strip_prefix(quote).and_then(|rest| rest.strip_suffix(quote));
        if let Some(inside) = inside {
            return inside.replace(&format!("{quote}{quote}"), &quote.to_string());
        }
    }
    text.to_owned()
}

impl Separator {
    /// Splits a text where the separator stands outside of quotation marks.
    ///
    /// # Errors
    /// If it has more than `most` parts, a text for people.
    fn split<'a>(&self, text: &'a str, most: usize) -> Result<Vec<&'a str>, String> {
        let too_many = || Err(format!("it has more than {most} parts"));
        if self.0 == " " {
            let mut parts = text.split_whitespace();
            let first = parts.by_ref().take(most).collect();
            return if parts.next().is_none() {
                Ok(first)
            } else {
                too_many()
            };
        }
        let (mut parts, mut start, mut at, mut is_quoted) = (Vec::new(), 0, 0, false);
        while let Some(character) = text[at..].chars().next() {
            if character == '"' {
                is_quoted = !is_quoted;
            }
            if !is_quoted && text[at..].starts_with(&self.0) {
                parts.push(&text[start..at]);
                if parts.len() >= most {
                    return too_many();
                }
                at += self.0.len();
                start = at;
            } else {
                at += character.len_utf8();
            }
        }
        parts.push(&text[start..]);
        Ok(parts)
    }
}

fn block(bytes: &[u8], dtype: Dtype) -> Result<Value, String> {
    let data = block_data(bytes).ok_or_else(|| format!("'{}' is not a block", escaped(bytes)))?;
    let size = dtype.item_bytes();
    if size == 0 || data.len() % size != 0 {
        return Err(format!(
            "the block has {} bytes, which is no multiple of {size}",
            data.len()
        ));
    }
    let array = Array::new(dtype, &[data.len() / size], data.to_vec().into());
    array.map(Value::Array).map_err(|error| error.to_string())
}

fn hex(text: &str) -> Result<Vec<u8>, String> {
    let digits: Vec<u8> = text
        .trim_start_matches("#H")
        .trim_start_matches("0x")
        .bytes()
        .filter(|byte| !byte.is_ascii_whitespace())
        .collect();
    let value = |digit: u8| char::from(digit).to_digit(16);
    let bytes = digits.chunks(2).map(|pair| match pair {
        [high, low] => u8::try_from(value(*high)? * 16 + value(*low)?).ok(),
        _ => None,
    });
    bytes
        .collect::<Option<_>>()
        .ok_or_else(|| format!("'{}' is not hexadecimal", escaped(text.as_bytes())))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn answer(form: Form) -> Answer {
        Answer {
            form,
            ..Answer::text()
        }
    }

    fn parse(answer: &Answer, text: &str) -> Result<Value, String> {
        answer.parse(text.as_bytes(), Encoding::Utf8)
    }

    fn boolean() -> Item {
        Item::Boolean {
            on: "1".to_owned(),
            off: "0".to_owned(),
        }
    }

    #[test]
    fn an_item_is_read_as_its_type() {
        for (item, text, expected) in [
            (Item::Number, "+1.25000000E+00", Ok(Value::Number(1.25))),
            (Item::Number, " 7 ", Ok(Value::Number(7.0))),
            (Item::Number, "9.90000000E+37", Ok(Value::Number(f64::INFINITY))),
            (Item::Number, "-9.9E37", Ok(Value::Number(f64::NEG_INFINITY))),
            (Item::Number, "1.5 V", Err("'1.5 V' is not a number")),
            (Item::Number, "", Err("'' is not a number")),
            (Item::Integer, "+3", Ok(Value::Integer(3))),
            (Item::Integer, "3.0E+00", Ok(Value::Integer(3))),
            (Item::Integer, "3.5", Err("'3.5' is not an integer")),
            (boolean(), "+1", Ok(Value::Boolean(true))),
            (boolean(), "0", Ok(Value::Boolean(false))),
            (boolean(), "2", Err("'2' is not 1 or 0")),
            (
                Item::Text,
                "\"a \"\"b\"\"\"",
                Ok(Value::Text("a \"b\"".to_owned())),
            ),
            (Item::Text, "VOLT", Ok(Value::Text("VOLT".to_owned()))),
        ] {
            assert_eq!(
                parse(&answer(Form::One(item)), text),
                expected.map_err(str::to_owned),
                "{text}"
            );
        }
        let nan = parse(&answer(Form::One(Item::Number)), "9.91E+37");
        assert!(matches!(nan, Ok(Value::Number(number)) if number.is_nan()));
    }

    #[test]
    fn parts_are_split_outside_of_quotation_marks() {
        let list = answer(Form::List {
            separator: Separator(",".to_owned()),
            item: Item::Text,
            count: None,
        });
        let text = |text: &str| Value::Text(text.to_owned());
        assert_eq!(
            parse(&list, "a,\"b,c\",d"),
            Ok(Value::List(vec![text("a"), text("b,c"), text("d")]))
        );
        assert_eq!(parse(&list, ""), Ok(Value::List(vec![])));
        let fields = Answer {
            prefix: "T=".to_owned(),
            ..answer(Form::Fields {
                separator: Separator(" ".to_owned()),
                fields: vec![
                    Field {
                        name: "value".to_owned(),
                        item: Item::Number,
                        unit: None,
                    },
                    Field {
                        name: "unit".to_owned(),
                        item: Item::Text,
                        unit: None,
                    },
                ],
            })
        };
        let expected = Value::Fields(vec![
            ("value".to_owned(), Value::Number(21.5)),
            ("unit".to_owned(), text("C")),
        ]);
        assert_eq!(parse(&fields, "T= 21.5   C"), Ok(expected));
        assert_eq!(parse(&fields, "T=21.5"), Err("it has 1 parts, not 2".to_owned()));
        assert_eq!(
            parse(&fields, "T=1 C 2"),
            Err("it has more than 2 parts".to_owned())
        );
        assert_eq!(
            parse(&fields, "21.5 C"),
            Err("it does not begin with 'T='".to_owned())
        );
    }

    #[test]
    fn a_list_has_a_limit() {
        let list = answer(Form::List {
            separator: Separator(",".to_owned()),
            item: Item::Integer,
            count: None,
        });
        let mut most = "1,".repeat(MOST_PARTS - 1);
        most.push('1');
        assert!(parse(&list, &most).is_ok());
        most.push_str(",1");
        assert_eq!(
            parse(&list, &most),
            Err("it has more than 1000000 parts".to_owned())
        );
    }

    #[test]
    fn bytes_become_arrays() {
        let block = answer(Form::Block("<i2".parse().unwrap()));
        let array = Array::from_slice(&[2], &[1_i16, -2]).unwrap();
        assert_eq!(
            block.parse(b"#14\x01\x00\xfe\xff", Encoding::Ascii),
            Ok(Value::Array(array))
        );
        assert!(block.parse(b"#13abc", Encoding::Ascii).is_err());
        assert!(block.parse(b"+1.5", Encoding::Ascii).is_err());
        let bytes = |bytes: &[u8]| Ok(Value::Array(bytes.into()));
        assert_eq!(parse(&answer(Form::Hex), "#H00 fF"), bytes(&[0, 255]));
        assert!(parse(&answer(Form::Hex), "0F1").is_err());
        assert_eq!(parse(&answer(Form::Base64), "AAE="), bytes(&[0, 1]));
    }

    proptest! {
        /// No answer of an instrument, however broken, ends the service.
        #[test]
        fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..60), separator in ".{1,3}") {
            let separator = Separator(separator);
            let forms = [
                Form::One(Item::Number), Form::One(Item::Integer), Form::One(boolean()), Form::One(Item::Text),
                Form::List { separator, item: Item::Number, count: None },
                Form::Block("<f8".parse().unwrap()), Form::Hex, Form::Base64,
            ];
            for form in forms {
                for encoding in [Encoding::Ascii, Encoding::Latin1, Encoding::Utf8] {
                    let _ = answer(form.clone()).parse(&bytes, encoding);
                }
            }
        }

        #[test]
        fn a_number_comes_back_as_it_was_sent(number in -1e30_f64..1e30) {
            prop_assert_eq!(parse(&answer(Form::One(Item::Number)), &format!("{number:+E}")), Ok(Value::Number(number)));
        }
    }
}
