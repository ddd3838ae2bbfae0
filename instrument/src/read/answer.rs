//! Reads how an answer becomes a value.

use labwire_service::Dtype;
use toml::Spanned;
use toml::de::DeValue;

use super::check_name;
use super::table::{Found, Table, as_table};
use crate::answer::{Answer, Field, Form, Item, Separator};
use crate::encoding::Encoding;
use crate::problem::{Problems, hint};

#[derive(Clone, Copy, PartialEq, Eq)]
enum Type {
    Number,
    Integer,
    Boolean,
    Text,
    List,
    Fields,
    Block,
    Hex,
    Base64,
}

const TYPES: [(&str, Type); 9] = [
    ("number", Type::Number),
    ("integer", Type::Integer),
    ("boolean", Type::Boolean),
    ("text", Type::Text),
    ("list", Type::List),
    ("fields", Type::Fields),
    ("block", Type::Block),
    ("hex", Type::Hex),
    ("base64", Type::Base64),
];

/// The types of an item.
const ITEMS: [(&str, Type); 4] = [TYPES[0], TYPES[1], TYPES[2], TYPES[3]];

/// Reads an answer: the name of a type, or a table.
pub(super) fn read(
    place: &str,
    value: &Spanned<DeValue<'_>>,
    encoding: Encoding,
    problems: &mut Problems<'_>,
) -> Option<Answer> {
    if let Some(name) = value.get_ref().as_str() {
        let form = match TYPES.iter().find(|(known, _)| *known == name) {
            Some((_, Type::List | Type::Fields | Type::Block)) => {
                let text = format!("this type has settings: answer = {{ type = \"{name}\", … }}");
                problems.add(&value.span(), text);
                return None;
            }
            Some((_, Type::Hex)) => Form::Hex,
            Some((_, Type::Base64)) => Form::Base64,
            Some((_, kind)) => Form::One(item(*kind, "1", "0")),
            None => {
                let hint = hint(name, TYPES.iter().map(|(name, _)| *name));
                problems.add(
                    &value.span(),
                    format!("there is no type \"{}\": {hint}", name.escape_debug()),
                );
                return None;
            }
        };
        return Some(Answer {
            form,
            ..Answer::text()
        });
    }
    let mut table = as_table("answer", format!("`answer` of {place}"), value, problems)?;
    if table.place("type").is_none() {
        let text = format!("{} lacks its `type`, as in type = \"number\"", table.name());
        problems.add(table.span(), text);
    }
    let kind = table.word("type", &TYPES, problems)?;
    let form = form(kind, &mut table, problems);
    let unit = table.text("unit", problems);
    let mut affix = |key| {
        let found = table.text(key, problems);
        if let Some(found) = &found
            && (kind == Type::Block || encoding.encode(&found.value).is_err())
        {
            problems.add(&found.span, format!("`{key}` cannot be part of this answer"));
        }
        found.map_or_else(String::new, |found| found.value.trim().to_owned())
    };
    let (prefix, suffix) = (affix("prefix"), affix("suffix"));
    table.finish(problems);
    Some(Answer {
        form: form?,
        unit: unit.map(|text| text.value),
        prefix,
        suffix,
    })
}

fn form(kind: Type, table: &mut Table<'_, '_>, problems: &mut Problems<'_>) -> Option<Form> {
    Some(match kind {
        Type::Number | Type::Integer | Type::Text => Form::One(item(kind, "", "")),
        Type::Boolean => Form::One(boolean(table, problems)),
        Type::List => {
            let separator = separator(table, problems);
            let kind = table.word("item", &ITEMS, problems).unwrap_or(Type::Number);
            let count = table.integer("count", 0..=1 << 30, problems);
            Form::List {
                separator,
                item: item(kind, "1", "0"),
                count: count.and_then(|count| usize::try_from(count).ok()),
            }
        }
        Type::Fields => Form::Fields {
            separator: separator(table, problems),
            fields: fields(table, problems),
        },
        Type::Block => Form::Block(dtype(table, problems)?),
        Type::Hex => Form::Hex,
        Type::Base64 => Form::Base64,
    })
}

fn item(kind: Type, on: &str, off: &str) -> Item {
    match kind {
        Type::Number => Item::Number,
        Type::Integer => Item::Integer,
        Type::Boolean => Item::Boolean {
            on: on.to_owned(),
            off: off.to_owned(),
        },
        _ => Item::Text,
    }
}

fn boolean(table: &mut Table<'_, '_>, problems: &mut Problems<'_>) -> Item {
    let on = table
        .text("on", problems)
        .map_or_else(|| "1".to_owned(), |text| text.value);
    let off = table
        .text("off", problems)
        .map_or_else(|| "0".to_owned(), |text| text.value);
    item(Type::Boolean, &on, &off)
}

fn separator(table: &mut Table<'_, '_>, problems: &mut Problems<'_>) -> Separator {
    let found = table.text("separator", problems);
    if let Some(found) = found.as_ref().filter(|found| found.value.is_empty()) {
        problems.add(&found.span, "`separator` is empty");
    }
    Separator(found.map_or_else(|| ",".to_owned(), |found| found.value))
}

fn fields(table: &mut Table<'_, '_>, problems: &mut Problems<'_>) -> Vec<Field> {
    let list = table.item("fields").and_then(|value| value.get_ref().as_array());
    let Some(list) = list.filter(|list| !list.is_empty()) else {
        let text = format!(
            "{} lacks its `fields`, as in fields = [{{ name = \"volts\", type = \"number\", unit = \"V\" }}]",
            table.name()
        );
        problems.add(table.span(), text);
        return Vec::new();
    };
    let mut fields: Vec<Field> = Vec::new();
    for value in list {
        let Some(mut field) = as_table("fields", "a field".to_owned(), value, problems) else {
            continue;
        };
        let name: Option<Found<String>> = field.required_text("name", "\"volts\"", problems);
        if let Some(name) = &name {
            check_name(name, "a field", problems);
            if fields.iter().any(|known| known.name == name.value) {
                problems.add(&name.span, format!("two fields have the name `{}`", name.value));
            }
        }
        let kind = table_type(&mut field, problems);
        let item = if kind == Type::Boolean {
            boolean(&mut field, problems)
        } else {
            item(kind, "", "")
        };
        let unit = field.text("unit", problems);
        field.finish(problems);
        fields.extend(name.map(|name| Field {
            name: name.value,
            item,
            unit: unit.map(|text| text.value),
        }));
    }
    fields
}

fn table_type(field: &mut Table<'_, '_>, problems: &mut Problems<'_>) -> Type {
    field.word("type", &ITEMS, problems).unwrap_or(Type::Number)
}

fn dtype(table: &mut Table<'_, '_>, problems: &mut Problems<'_>) -> Option<Dtype> {
    let found = table.required_text("dtype", "\"<f4\"", problems)?;
    let dtype: Option<Dtype> = found.value.parse().ok();
    if dtype.is_none() {
        let text = "`dtype` is a type of NumPy: < or > for the byte order, f, i or u, and the number of bytes, as in \
                    \"<f4\", \">i2\" or \"|u1\"";
        problems.add(&found.span, text);
    }
    dtype
}
