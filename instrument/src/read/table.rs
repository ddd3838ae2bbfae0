//! Reads a table of TOML key by key, and reports what does not fit.

use std::ops::Range;
use std::time::Duration;

use labwire_home::parse_duration;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::problem::{Problems, hint};

/// A value with its place in the file.
#[derive(Clone, Debug)]
pub(crate) struct Found<T> {
    pub(crate) value: T,
    pub(crate) span: Range<usize>,
}

/// The longest duration that a file can name.
const LONGEST: Duration = Duration::from_hours(24);

/// A table, and the keys that were asked for.
pub(crate) struct Table<'a, 'i> {
    /// What it is for people, such as `[connection]`.
    name: String,
    entries: &'a DeTable<'i>,
    span: Range<usize>,
    known: Vec<&'static str>,
}

impl<'a, 'i> Table<'a, 'i> {
    pub(crate) fn new(name: impl Into<String>, entries: &'a DeTable<'i>, span: Range<usize>) -> Self {
        Self {
            name: name.into(),
            entries,
            span,
            known: Vec::new(),
        }
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn span(&self) -> &Range<usize> {
        &self.span
    }

    fn value(&mut self, key: &'static str) -> Option<&'a Spanned<DeValue<'i>>> {
        if !self.known.contains(&key) {
            self.known.push(key);
        }
        self.entries.get(key)
    }

    /// Returns the place of a key that stands in the table.
    pub(crate) fn place(&mut self, key: &'static str) -> Option<Range<usize>> {
        self.value(key).map(Spanned::span)
    }

    /// Returns the name and the value of each entry, in the order of the file.
    pub(crate) fn entries(&self) -> Vec<(Found<String>, &'a Spanned<DeValue<'i>>)> {
        let mut entries: Vec<_> = self
            .entries
            .iter()
            .map(|(key, value)| {
                let (span, value_of_key) = (key.span(), key.get_ref().to_string());
                (
                    Found {
                        value: value_of_key,
                        span,
                    },
                    value,
                )
            })
            .collect();
        entries.sort_by_key(|(key, _)| key.span.start);
        entries
    }

    fn wrong(&self, value: &Spanned<DeValue<'_>>, key: &str, expected: &str, problems: &mut Problems<'_>) {
        let is = value.get_ref().type_str();
        let text = format!("`{key}` of {} is {expected}, not of the type {is}", self.name);
        problems.add(&value.span(), text);
    }

    /// Reads a text.
    pub(crate) fn text(&mut self, key: &'static str, problems: &mut Problems<'_>) -> Option<Found<String>> {
        let value = self.value(key)?;
        let text = value.get_ref().as_str();
        if text.is_none() {
            self.wrong(value, key, "a text between quotes", problems);
        }
        text.map(|text| Found {
            value: text.to_owned(),
            span: value.span(),
        })
    }

    /// Reads a text that must be there.
    pub(crate) fn required_text(
        &mut self,
        key: &'static str,
        example: &str,
        problems: &mut Problems<'_>,
    ) -> Option<Found<String>> {
        if !self.entries.contains_key(key) {
            let text = format!("{} lacks `{key}`, as in {key} = {example}", self.name);
            problems.add(&self.span, text);
        }
        self.text(key, problems)
    }

    /// Reads a text that is one of some words.
    pub(crate) fn word<T: Copy>(
        &mut self,
        key: &'static str,
        words: &[(&str, T)],
        problems: &mut Problems<'_>,
    ) -> Option<T> {
        let text = self.text(key, problems)?;
        let known = words.iter().find(|(word, _)| *word == text.value);
        if known.is_none() {
            let hint = hint(&text.value, words.iter().map(|(word, _)| *word));
            problems.add(
                &text.span,
                format!("`{key}` cannot be \"{}\": {hint}", text.value.escape_debug()),
            );
        }
        known.map(|(_, meaning)| *meaning)
    }

    /// Reads a text, or a list of texts.
    pub(crate) fn texts(&mut self, key: &'static str, problems: &mut Problems<'_>) -> Vec<Found<String>> {
        let Some(value) = self.value(key) else {
            return Vec::new();
        };
        let one = |value: &Spanned<DeValue<'_>>| {
            value.get_ref().as_str().map(|text| Found {
                value: text.to_owned(),
                span: value.span(),
            })
        };
        if let Some(text) = one(value) {
            return vec![text];
        }
        let Some(list) = value.get_ref().as_array() else {
            self.wrong(value, key, "a list of texts", problems);
            return Vec::new();
        };
        let mut texts = Vec::new();
        for item in list {
            match one(item) {
                Some(text) => texts.push(text),
                None => self.wrong(item, key, "a list of texts", problems),
            }
        }
        texts
    }

    /// Reads a number.
    pub(crate) fn number(&mut self, key: &'static str, problems: &mut Problems<'_>) -> Option<Found<f64>> {
        let value = self.value(key)?;
        let number = number(value.get_ref()).filter(|number| number.is_finite());
        if number.is_none() {
            self.wrong(value, key, "a finite number", problems);
        }
        number.map(|number| Found {
            value: number,
            span: value.span(),
        })
    }

    /// Reads an integer in a range.
    pub(crate) fn integer(
        &mut self,
        key: &'static str,
        range: std::ops::RangeInclusive<i64>,
        problems: &mut Problems<'_>,
    ) -> Option<i64> {
        let value = self.value(key)?;
        let found = integer(value.get_ref()).filter(|number| range.contains(number));
        if found.is_none() {
            let text = format!("`{key}` is an integer from {} to {}", range.start(), range.end());
            problems.add(&value.span(), text);
        }
        found
    }

    /// Reads `true` or `false`.
    pub(crate) fn boolean(&mut self, key: &'static str, problems: &mut Problems<'_>) -> Option<bool> {
        let value = self.value(key)?;
        let found = value.get_ref().as_bool();
        if found.is_none() {
            self.wrong(value, key, "true or false", problems);
        }
        found
    }

    /// Reads a duration: a number of seconds, or a text as in `500ms`. The longest is a day.
    pub(crate) fn duration(
        &mut self,
        key: &'static str,
        least: Duration,
        problems: &mut Problems<'_>,
    ) -> Option<Duration> {
        let value = self.value(key)?;
        let found = match value.get_ref() {
            DeValue::String(text) => parse_duration(text),
            other => number(other).and_then(|seconds| Duration::try_from_secs_f64(seconds).ok()),
        };
        let found = found.filter(|duration| (least..=LONGEST).contains(duration));
        if found.is_none() {
            let least = if least.is_zero() {
                "0".to_owned()
            } else {
                format!("{}ms", least.as_millis())
            };
            let text =
                format!("`{key}` is a time from {least} to 24h: seconds, or a text as in \"500ms\", \"10s\"");
            problems.add(&value.span(), text);
        }
        found
    }

    /// Reads a table.
    pub(crate) fn table(
        &mut self,
        key: &'static str,
        name: impl Into<String>,
        problems: &mut Problems<'_>,
    ) -> Option<Table<'a, 'i>> {
        let value = self.value(key)?;
        as_table(key, name.into(), value, problems)
    }

    /// Reads an item of any type.
    pub(crate) fn item(&mut self, key: &'static str) -> Option<&'a Spanned<DeValue<'i>>> {
        self.value(key)
    }

    /// Reports the keys that nothing has asked for.
    pub(crate) fn finish(self, problems: &mut Problems<'_>) {
        for (key, _) in self.entries() {
            if !self.known.contains(&key.value.as_str()) {
                let hint = hint(&key.value, self.known.iter().copied());
                let text = format!("{} has no key `{}`: {hint}", self.name, key.value.escape_debug());
                problems.add(&key.span, text);
            }
        }
    }
}

/// Returns a value as a table, or reports that it is none.
pub(crate) fn as_table<'a, 'i>(
    key: &str,
    name: String,
    value: &'a Spanned<DeValue<'i>>,
    problems: &mut Problems<'_>,
) -> Option<Table<'a, 'i>> {
    let entries = value.get_ref().as_table();
    if entries.is_none() {
        let is = value.get_ref().type_str();
        problems.add(&value.span(), format!("`{key}` is a table, not of the type {is}"));
    }
    entries.map(|entries| Table::new(name, entries, value.span()))
}

/// Returns an integer or a float as a float.
pub(crate) fn number(value: &DeValue<'_>) -> Option<f64> {
    match value {
        DeValue::Float(float) => float.as_str().replace('_', "").parse().ok(),
        // Above 2^53 the nearest float is meant.
        #[expect(clippy::cast_precision_loss, reason = "limits of instruments are far below")]
        other => integer(other).map(|integer| integer as f64),
    }
}

/// Returns an integer.
pub(crate) fn integer(value: &DeValue<'_>) -> Option<i64> {
    let integer = value.as_integer()?;
    i64::from_str_radix(&integer.as_str().replace('_', ""), integer.radix()).ok()
}
