//! The values of a notification, each as the JSON text that the service wrote, and the keys that
//! select one of them.

use std::fmt;
use std::str::FromStr;

use labwire_client::Notification;
use labwire_wire::frames::json_string;
use labwire_wire::{JsonError, array_elements, as_string, scan_object};

use crate::array;
use crate::near::did_you_mean;
use crate::output::{escaped_json, one_line};

/// Selects a value: the name of a keyword argument or the index of a positional one, and a path
/// inside it, as in `probe.temperature` and `0.samples[3]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Key {
    text: String,
    /// The parts of the path; at least one.
    parts: Vec<String>,
}

impl FromStr for Key {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut parts = Vec::new();
        for part in text.split('.') {
            let mut pieces = part.split('[');
            let name = pieces.next().unwrap_or_default();
            if !(name.is_empty() && part.starts_with('[')) {
                parts.push(name.to_owned());
            }
            for piece in pieces {
                let index = piece.strip_suffix(']').filter(|index| is_index(index));
                parts.push(index.ok_or("an index is written as in samples[3]")?.to_owned());
            }
        }
        if parts.iter().any(String::is_empty) {
            return Err(
                "NAME, INDEX or a path as in probe.temperature or samples[3] was expected".to_owned(),
            );
        }
        Ok(Self {
            text: text.to_owned(),
            parts,
        })
    }
}

impl fmt::Display for Key {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.text)
    }
}

fn is_index(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// The values of a notification.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Values<'a> {
    /// The positional ones.
    pub(crate) positional: Vec<&'a str>,
    /// The keyword ones. A repeated name occurs repeatedly.
    pub(crate) keywords: Vec<(String, &'a str)>,
}

impl<'a> Values<'a> {
    /// Returns the values of a notification. An older manager may pass on values other than a list
    /// and an object; each of them is one positional value.
    pub(crate) fn of(notification: &'a Notification) -> Self {
        Self::new(notification.positional_json(), notification.keywords_json())
    }

    fn new(positional: &'a str, keywords: &'a str) -> Self {
        let mut values = Self {
            positional: elements(positional).unwrap_or_else(|_| vec![positional]),
            keywords: Vec::new(),
        };
        match members(keywords) {
            Ok(members) => values.keywords = members,
            Err(_) => values.positional.push(keywords),
        }
        values
    }

    /// Returns the value of a key.
    pub(crate) fn get(&self, key: &Key) -> Option<&'a str> {
        let named = |name: &str| self.keywords.iter().find(|(known, _)| known == name);
        // A name may contain a point.
        if let Some((_, value)) = named(&key.text) {
            return Some(*value);
        }
        let (first, rest) = key.parts.split_first()?;
        let value: &'a str = match (named(first), self.labelled()) {
            (Some((_, value)), _) => value,
            // An index is one, also where a number is the name.
            (None, Some((label, value))) if *label == *key.text && !is_index(first) => return Some(value),
            (None, Some((label, value))) if label == *first && !is_index(first) => value,
            _ => self.positional.get(first.parse::<usize>().ok()?)?,
        };
        rest.iter().try_fold(value, |value, part| inside(value, part))
    }

    /// Returns the name and the value of a notification of two positional values of which the first is the name of the
    /// other, as those of a poll of `labwire instrument`.
    fn labelled(&self) -> Option<(String, &'a str)> {
        match self.positional[..] {
            [label, value] => Some((serde_json::from_str::<String>(label).ok()?, value)),
            _ => None,
        }
    }

    /// Returns whether the notification names its value, and the key may be the name of another one. Such
    /// notifications come in turn.
    pub(crate) fn is_of_another(&self, key: &Key) -> bool {
        let first = key.parts.first().is_some_and(|first| is_index(first));
        self.labelled().is_some() && self.get(key).is_none() && !first
    }

    /// Returns the message about a notification that has no value of a key.
    pub(crate) fn without(&self, key: &Key) -> String {
        let label = self.labelled().map(|(label, _)| label);
        if let Some(label) = label.as_ref().filter(|_| self.is_of_another(key)) {
            let hint = did_you_mean(&key.text, std::iter::once(label.as_str()));
            let hint = hint.map_or_else(String::new, |hint| format!("; {hint}"));
            return format!(
                "a notification of '{}', not of '{}'{hint}",
                one_line(label),
                one_line(&key.text)
            );
        }
        let known: Vec<_> = label.into_iter().chain(self.all().map(|(key, _)| key)).collect();
        let hint = match did_you_mean(&key.text, known.iter().map(String::as_str)) {
            Some(hint) => hint,
            None if known.is_empty() => "it has no values".to_owned(),
            None => format!("it has {}", one_line(&known.join(", "))),
        };
        format!("a notification without '{}': {hint}", one_line(&key.text))
    }

    /// Returns all values with their keys: positional ones first.
    pub(crate) fn all(&self) -> impl Iterator<Item = (String, &'a str)> + '_ {
        let positional = self.positional.iter().enumerate();
        let positional = positional.map(|(index, value)| (index.to_string(), *value));
        positional.chain(self.keywords.iter().cloned())
    }

    /// Returns all values in one line for people, as they are typed in a call: `1.5 "two" unit="V"`. Arrays
    /// are short.
    pub(crate) fn line(&self) -> String {
        let positional = self.positional.iter().map(|value| array::line(value));
        let keywords = self.keywords.iter().map(|(name, value)| named(name, value));
        positional.chain(keywords).collect::<Vec<_>>().join(" ")
    }
}

/// Returns a named value for people, as in `unit="V"`. A name that is no word is quoted.
pub(crate) fn named(name: &str, value: &str) -> String {
    let is_word = |character: char| character.is_alphanumeric() || "_.[]".contains(character);
    let value = array::line(value);
    if !name.is_empty() && name.chars().all(is_word) {
        return format!("{name}={value}");
    }
    format!("{}={value}", escaped_json(&json_string(name)))
}

/// Returns a member of an object, or an element of a list.
fn inside<'a>(value: &'a str, part: &str) -> Option<&'a str> {
    if value.starts_with('[') {
        return elements(value).ok()?.get(part.parse::<usize>().ok()?).copied();
    }
    let members = members(value).ok()?;
    members
        .into_iter()
        .find_map(|(name, value)| (name == part).then_some(value))
}

/// Returns the elements of a list.
fn elements(value: &str) -> Result<Vec<&str>, JsonError> {
    let text = |bytes| std::str::from_utf8(bytes).map_err(|_| JsonError::NotUtf8(0));
    array_elements(value.as_bytes())?.into_iter().map(text).collect()
}

/// Returns the members of an object.
pub(crate) fn members(value: &str) -> Result<Vec<(String, &str)>, JsonError> {
    let mut members = Vec::new();
    scan_object(value.as_bytes(), |name, span| {
        let decoded = name.decode().ok_or(JsonError::BadEscape(span.start))?;
        members.push((decoded.into_owned(), &value[span]));
        Ok::<_, JsonError>(())
    })?;
    Ok(members)
}

/// Returns the text of a value that is a text.
pub(crate) fn text(value: &str) -> Option<String> {
    if let Ok(text) = serde_json::from_str(value) {
        return Some(text);
    }
    // Half a surrogate pair: the escapes stay as they are.
    as_string(value.as_bytes())?;
    Some(value[1..value.len() - 1].to_owned())
}

/// Returns a value for a cell of a table: a text without its quotes, an empty text for null, and
/// otherwise the JSON unchanged.
pub(crate) fn cell(value: &str) -> String {
    if value == "null" {
        return String::new();
    }
    text(value).unwrap_or_else(|| value.to_owned())
}

/// Returns a value as a number: also a text that contains one, as many instruments send it.
pub(crate) fn number(value: &str) -> Option<f64> {
    match value {
        "NaN" => Some(f64::NAN),
        "Infinity" => Some(f64::INFINITY),
        "-Infinity" => Some(f64::NEG_INFINITY),
        "true" => Some(1.0),
        "false" => Some(0.0),
        _ => match text(value) {
            Some(text) => text.trim().parse().ok(),
            None => value.parse().ok(),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn get(key: &str) -> Option<String> {
        let values = Values::new(
            r#"[1.50, {"samples": [1, NaN, 3]}]"#,
            r#"{"probe": {"temperature": 2.10, "a.b": 1}, "7": true, "x.y": null, "unit": "V"}"#,
        );
        values.get(&key.parse().unwrap()).map(str::to_owned)
    }

    #[test]
    fn keys_select_values_as_they_were_written() {
        for (key, value) in [
            ("0", "1.50"),
            ("1.samples[1]", "NaN"),
            ("1.samples.2", "3"),
            ("probe.temperature", "2.10"),
            ("7", "true"),
            ("x.y", "null"),
            ("unit", "\"V\""),
        ] {
            assert_eq!(get(key).as_deref(), Some(value), "{key}");
        }
        for key in ["2", "unit.x", "probe.missing", "1.samples[3]", "Unit", "probe[0]"] {
            assert_eq!(get(key), None, "{key}");
        }
        for key in ["", ".", "a.", "a..b", "a[", "a[x]", "a[1", "a]["] {
            assert!(key.parse::<Key>().is_err(), "{key}");
        }
    }

    /// As the polls of `labwire instrument` notify.
    #[test]
    fn a_name_before_a_value_selects_it() {
        let values = Values::new(r#"["voltage", {"dc": [1.5, 2]}]"#, r#"{"unit": "V"}"#);
        let get = |key: &str| values.get(&key.parse().unwrap());
        assert_eq!(get("voltage.dc[1]"), Some("2"));
        assert_eq!(get("voltage"), get("1"));
        assert_eq!((get("0"), get("unit")), (Some("\"voltage\""), Some("\"V\"")));
        assert_eq!(get("current"), None);
        for (key, told) in [
            ("pressure", "a notification of 'voltage', not of 'pressure'"),
            (
                "voltag",
                "a notification of 'voltage', not of 'voltag'; did you mean 'voltage'?",
            ),
            ("5", "a notification without '5': it has voltage, 0, 1, unit"),
        ] {
            let key = key.parse().unwrap();
            assert_eq!(values.without(&key), told);
            assert_eq!(values.is_of_another(&key), told.contains("not of"));
        }
        // A number is an index.
        let numbered = Values::new(r#"["1", 2.5]"#, "{}");
        assert_eq!(numbered.get(&"1".parse().unwrap()), Some("2.5"));
        assert_eq!(numbered.get(&"0".parse().unwrap()), Some("\"1\""));
        // Three values, or a first one that is no text, have no name.
        for positional in [r#"["voltage", 1, 2]"#, r#"[["voltage"], 1]"#, r#"["voltage"]"#] {
            assert_eq!(
                Values::new(positional, "{}").get(&"voltage".parse().unwrap()),
                None
            );
        }
    }

    #[test]
    fn a_notification_of_another_form_is_still_readable() {
        let values = Values::new("5", "[1]");
        assert_eq!(values.positional, ["5", "[1]"]);
    }

    #[test]
    fn a_line_has_the_values_as_they_are_typed_and_no_control_characters() {
        let kwargs = "{\"unit\": \"V\", \"a\\u001b[2J\\nb\": \"\u{9b}\", \"\": {\"n\": \n1}}";
        assert_eq!(
            Values::new("[1.50, \"two\", NaN]", kwargs).line(),
            r#"1.50 "two" NaN unit="V" "a\u001b[2J\nb"="\u009b" ""={"n":  1}"#
        );
    }

    #[test]
    fn values_are_cells_and_numbers() {
        for (value, as_cell, as_number) in [
            ("1.10", "1.10", Some(1.1)),
            ("null", "", None),
            (r#""-6.2E-02\n""#, "-6.2E-02\n", Some(-0.062)),
            (r#""true""#, "true", None),
            ("[1,\n2]", "[1,\n2]", None),
            ("true", "true", Some(1.0)),
        ] {
            assert_eq!(cell(value), as_cell);
            assert_eq!(number(value), as_number, "{value}");
        }
        assert!(number("NaN").unwrap().is_nan());
        assert_eq!(cell(r#""\ud83d""#), r"\ud83d");
    }
}
