//! Calls that are written as in a program, `DMM.read(3, unit="V")`, and the same calls as words.

use crate::failure::Failure;
use crate::names::is_name;
use crate::output::shell_argument;

/// A call that is written as in a program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Spelled {
    service: Option<String>,
    attribute: String,
    /// The arguments, as they were typed; `None` without parentheses.
    values: Option<Vec<String>>,
}

impl Spelled {
    /// Reads `SERVICE.ATTRIBUTE(VALUE, …)`, `ATTRIBUTE(VALUE, …)` or `SERVICE.ATTRIBUTE`. Returns
    /// `None` for any other text.
    pub(crate) fn read(text: &str) -> Option<Self> {
        let text = text.trim();
        let (name, values) = match text.split_once('(') {
            Some((name, rest)) => (name, Some(split_values(rest.strip_suffix(')')?))),
            None => (text, None),
        };
        let (service, attribute) = match name.rsplit_once('.') {
            Some((service, attribute)) => (Some(service), attribute),
            None => (None, name),
        };
        let is_whole =
            service.is_none_or(|service| !service.is_empty()) && (service.is_some() || values.is_some());
        (is_name(attribute) && is_whole).then(|| Self {
            service: service.map(str::to_owned),
            attribute: attribute.to_owned(),
            values,
        })
    }

    /// Returns whether it has parentheses.
    pub(crate) fn is_call(&self) -> bool {
        self.values.is_some()
    }

    /// Returns the name of the service, if it is part of the text.
    pub(crate) fn service(&self) -> Option<&str> {
        self.service.as_deref()
    }

    /// Returns the same call of a service, unless the text names one.
    pub(crate) fn of(mut self, service: &str) -> Self {
        self.service.get_or_insert_with(|| service.to_owned());
        self
    }

    /// Returns the call as arguments of `labwire call`.
    pub(crate) fn as_arguments(&self) -> String {
        let values = self.values.iter().flatten().map(|value| {
            let is_plain = value.parse::<f64>().is_ok() || is_quoted(value);
            if is_plain {
                value.clone()
            } else {
                shell_argument(value)
            }
        });
        let names = [self.service.as_deref(), Some(&self.attribute)];
        let words = names.into_iter().flatten().map(shell_argument);
        words.chain(values).collect::<Vec<_>>().join(" ")
    }

    /// Returns the call as a line of the terminal grammar: its words with blanks between them.
    /// `name` returns a name of a service as it is typed.
    pub(crate) fn as_line(&self, name: impl Fn(&str) -> String) -> String {
        let service = self.service.as_deref().map(name);
        let words = service.into_iter().chain([self.attribute.clone()]);
        let values = self.values.iter().flatten().cloned();
        words.chain(values).collect::<Vec<_>>().join(" ")
    }

    /// Returns the failure of a command whose argument is written in this form.
    pub(crate) fn failure(&self) -> Failure {
        Failure::Usage(format!(
            "a call is written as words: labwire call {}",
            self.as_arguments()
        ))
    }
}

/// Returns whether a value is a quoted text, perhaps after a key, that a shell reads as one word.
fn is_quoted(value: &str) -> bool {
    let text = value.split_once('=').map_or(value, |(_, text)| text);
    ['\'', '"'].iter().any(|quote| {
        let inner = text
            .strip_prefix(*quote)
            .and_then(|rest| rest.strip_suffix(*quote));
        inner.is_some_and(|inner| !inner.contains(['\'', '"', '\\', '$', '`', '!']))
    })
}

/// Splits a list at its commas, but not within quotes or brackets.
fn split_values(list: &str) -> Vec<String> {
    let (mut values, mut value) = (Vec::new(), String::new());
    let (mut depth, mut quote) = (0_u32, None);
    for character in list.chars() {
        match (quote, character) {
            (Some(open), _) if open == character => quote = None,
            // A quote counts where a value can begin: `it's` is a text.
            (None, '\'' | '"') if depth > 0 || value.trim().is_empty() || value.ends_with('=') => {
                quote = Some(character);
            }
            (None, '[' | '{' | '(') => depth += 1,
            (None, ']' | '}' | ')') => depth = depth.saturating_sub(1),
            (None, ',') if depth == 0 => {
                values.push(std::mem::take(&mut value));
                continue;
            }
            _ => {}
        }
        value.push(character);
    }
    values.push(value);
    let values = values.iter().map(|value| value.trim());
    values
        .filter(|value| !value.is_empty())
        .map(str::to_owned)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_as_in_a_program_is_the_same_as_words() {
        for (text, arguments) in [
            ("DMM.read(3)", "DMM read 3"),
            ("DMM.read()", "DMM read"),
            ("DMM.read", "DMM read"),
            ("read(-3.5, unit=\"V\")", "read -3.5 unit=\"V\""),
            ("My DMM.read([1, 2], 'a, b')", "'My DMM' read '[1, 2]' 'a, b'"),
            ("a.b.read(x=1)", "a.b read x=1"),
            ("DMM.say(it's, 2)", "DMM say 'it'\\''s' 2"),
        ] {
            let spelled = Spelled::read(text).unwrap_or_else(|| panic!("{text}"));
            assert_eq!(spelled.as_arguments(), arguments, "{text}");
        }
        for text in ["DMM", "read(3", "1.5", "-3(4)", "(1, 2)", ".5", "DMM."] {
            assert_eq!(Spelled::read(text), None, "{text}");
        }
        let line = Spelled::read("DMM.read(3, unit='V m')")
            .unwrap()
            .as_line(str::to_owned);
        assert_eq!(line, "DMM read 3 unit='V m'");
    }
}
