//! Reads an argument of a command.

use toml::Spanned;
use toml::de::DeValue;

use super::table::{Table, as_table, integer, number};
use crate::parameter::{Kind, Limits, Parameter, Refused, Rules};
use crate::problem::Problems;
use crate::scalar::Scalar;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Type {
    Number,
    Integer,
    Boolean,
    Text,
    Choice,
}

/// The most characters of a text, unless the file says so.
const LONGEST: i64 = 256;

/// Reads the table of an argument.
pub(super) fn read(
    name: &str,
    mut table: Table<'_, '_>,
    rules: Rules<'_>,
    problems: &mut Problems<'_>,
) -> Option<Parameter> {
    let types = [
        ("number", Type::Number),
        ("integer", Type::Integer),
        ("boolean", Type::Boolean),
        ("text", Type::Text),
        ("choice", Type::Choice),
    ];
    if table.place("type").is_none() {
        let text = format!(
            "{} lacks its `type`: number, integer, boolean, text or choice",
            table.name()
        );
        problems.add(table.span(), text);
    }
    let kind = table.word("type", &types, problems)?;
    let unit = table.text("unit", problems);
    let description = table.text("description", problems);
    let kind = match kind {
        Type::Number => Kind::Number(limits(&mut table, false, problems)),
        Type::Integer => Kind::Integer(limits(&mut table, true, problems)),
        Type::Boolean => Kind::Boolean {
            on: table
                .text("on", problems)
                .map_or_else(|| "1".to_owned(), |text| text.value),
            off: table
                .text("off", problems)
                .map_or_else(|| "0".to_owned(), |text| text.value),
        },
        Type::Text => Kind::Text {
            quoted: table.boolean("quoted", problems).unwrap_or(false),
            longest: usize::try_from(table.integer("longest", 1..=100_000, problems).unwrap_or(LONGEST))
                .unwrap_or(usize::MAX),
        },
        Type::Choice => Kind::Choice(choices(&mut table, problems)),
    };
    check_texts(&kind, &table, rules, problems);
    let default = table.item("default");
    let span = table.span().clone();
    table.finish(problems);
    let mut parameter = Parameter {
        name: name.to_owned(),
        kind,
        unit: unit.map(|text| text.value),
        default: None,
        description: description.map_or_else(String::new, |text| text.value),
    };
    if let Some(value) = default {
        let default = scalar(value.get_ref());
        if let Err(Refused::Type(why) | Refused::Value(why)) = parameter.write(&default, rules) {
            let at = if value.span().is_empty() {
                span
            } else {
                value.span()
            };
            problems.add(&at, format!("the default of `{name}` is refused: {why}"));
        }
        parameter.default = Some(default);
    }
    Some(parameter)
}

/// Returns a value of the file as one of a client.
pub(super) fn scalar(value: &DeValue<'_>) -> Scalar {
    match value {
        DeValue::String(text) => Scalar::Text(text.to_string()),
        DeValue::Boolean(boolean) => Scalar::Boolean(*boolean),
        DeValue::Array(_) => Scalar::Other("a list"),
        DeValue::Table(_) => Scalar::Other("a table"),
        DeValue::Datetime(_) => Scalar::Other("a date"),
        other => match (integer(other), number(other)) {
            (Some(integer), _) => Scalar::Integer(integer),
            (None, Some(number)) => Scalar::Number(number),
            (None, None) => Scalar::Other("a number out of range"),
        },
    }
}

fn limits(table: &mut Table<'_, '_>, is_integer: bool, problems: &mut Problems<'_>) -> Limits {
    let min = table.number("min", problems);
    let max = table.number("max", problems);
    if let (Some(min), Some(max)) = (&min, &max)
        && min.value > max.value
    {
        problems.add(&max.span, "`max` is less than `min`");
    }
    let words = table.texts("words", problems);
    let format = table
        .text("format", problems)
        .and_then(|text| match text.value.parse() {
            Ok(format) => {
                let format: crate::number_format::NumberFormat = format;
                if is_integer != format.is_for_integers() {
                    let needed = if is_integer { "d, x or X" } else { "f, e or E" };
                    problems.add(&text.span, format!("the format of this type ends with {needed}"));
                }
                Some(format)
            }
            Err(why) => {
                problems.add(&text.span, why);
                None
            }
        });
    Limits {
        min: min.map(|found| found.value),
        max: max.map(|found| found.value),
        words: words.into_iter().map(|word| word.value).collect(),
        format,
    }
}

/// Reads `choices`: a list of texts, or a table with what is sent for each of them.
fn choices(table: &mut Table<'_, '_>, problems: &mut Problems<'_>) -> Vec<(String, String)> {
    let Some(value) = table.item("choices") else {
        let text = format!(
            "{} lacks its `choices`, as in choices = [\"DC\", \"AC\"]",
            table.name()
        );
        problems.add(table.span(), text);
        return Vec::new();
    };
    if value.get_ref().as_array().is_some() {
        let texts = table.texts("choices", problems);
        return texts
            .into_iter()
            .map(|text| (text.value.clone(), text.value))
            .collect();
    }
    let Some(entries) = as_table("choices", "`choices`".to_owned(), value, problems) else {
        return Vec::new();
    };
    let mut choices = Vec::new();
    for (name, sent) in entries.entries() {
        match sent_text(sent) {
            Some(text) => choices.push((name.value, text)),
            None => problems.add(&sent.span(), "what is sent for a choice is a text"),
        }
    }
    choices
}

fn sent_text(value: &Spanned<DeValue<'_>>) -> Option<String> {
    value.get_ref().as_str().map(str::to_owned)
}

/// Checks the texts that are sent for choices, words and booleans.
fn check_texts(kind: &Kind, table: &Table<'_, '_>, rules: Rules<'_>, problems: &mut Problems<'_>) {
    let texts: Vec<&String> = match kind {
        Kind::Number(limits) | Kind::Integer(limits) => limits.words.iter().collect(),
        Kind::Boolean { on, off } => vec![on, off],
        Kind::Choice(choices) => choices.iter().map(|(_, sent)| sent).collect(),
        Kind::Text { .. } => Vec::new(),
    };
    for text in texts {
        if text.chars().any(char::is_control) || rules.encoding.encode(text).is_err() {
            let told = text.escape_debug();
            problems.add(
                table.span(),
                format!("\"{told}\" contains a character that cannot be sent"),
            );
        }
    }
}
