//! The words of a line that a person types, with their places in it.

use std::borrow::Cow;
use std::ops::Range;

use labwire_wire::terminal::{self, TerminalLine};

use crate::names::is_name;

/// A word: text without blanks, a quoted text, or a value in brackets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Word<'a> {
    /// Its place in the line, in bytes.
    pub(crate) range: Range<usize>,
    /// As it was typed, quotes included.
    pub(crate) typed: &'a str,
}

impl<'a> Word<'a> {
    /// Returns whether it begins with a quote: then it is a name, never a word of the shell.
    pub(crate) fn is_quoted(&self) -> bool {
        self.typed.starts_with(['"', '\''])
    }

    /// Returns the name that it stands for, without quotes.
    pub(crate) fn name(&self) -> Cow<'a, str> {
        if self.is_quoted() {
            Cow::Owned(bare_name(self.typed).unwrap_or_default())
        } else {
            Cow::Borrowed(self.typed)
        }
    }
}

/// Returns the name that makes up a text, as the terminal grammar reads it after `link`: blanks may
/// stand in it, and quotes around it. `None` if it is empty.
pub(crate) fn bare_name(text: &str) -> Option<String> {
    match terminal::parse(&format!("link {text}")) {
        Ok(TerminalLine::Link { service }) => Some(service),
        _ => None,
    }
}

/// Splits a line at blanks outside of quotes and brackets. A quote or a bracket that is not closed
/// reaches to the end of the line.
pub(crate) fn split(line: &str) -> Vec<Word<'_>> {
    let mut words = Vec::new();
    let mut start = None;
    let mut quote = None;
    let mut depth = 0_usize;
    let mut is_escaped = false;
    for (position, character) in line.char_indices() {
        if let Some(open) = quote {
            if is_escaped {
                is_escaped = false;
            } else if character == '\\' {
                is_escaped = true;
            } else if character == open {
                quote = None;
            }
            continue;
        }
        if character.is_whitespace() && depth == 0 {
            if let Some(start) = start.take() {
                words.push(word(line, start..position));
            }
            continue;
        }
        let begun = *start.get_or_insert(position);
        match character {
            // A quote counts where a value can begin, and within brackets: `it's` is a text.
            '"' | '\'' if depth > 0 || position == begun || line[begun..position].ends_with('=') => {
                quote = Some(character);
            }
            '[' | '{' | '(' => depth += 1,
            ']' | '}' | ')' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    if let Some(start) = start {
        words.push(word(line, start..line.len()));
    }
    words
}

fn word(line: &str, range: Range<usize>) -> Word<'_> {
    Word {
        typed: &line[range.clone()],
        range,
    }
}

/// Returns a name as it is typed: in quotes if it has blanks or begins like something else.
pub(crate) fn typed_name(name: &str) -> String {
    let is_plain = |character: char| character.is_alphanumeric() || "_-.:/".contains(character);
    if !name.is_empty() && name.chars().all(is_plain) {
        name.to_owned()
    } else {
        labwire_wire::frames::json_string(name)
    }
}

/// Splits `KEY=VALUE`, where the key can be the name of a keyword argument.
pub(crate) fn split_key(word: &str) -> Option<(&str, &str)> {
    let (key, value) = word.split_once('=')?;
    is_name(key).then_some((key, value))
}

/// Returns whether a value begins with a bracket that is not closed.
pub(crate) fn is_unclosed(value: &str) -> bool {
    let close = match value.chars().next() {
        Some('[') => ']',
        Some('{') => '}',
        Some('(') => ')',
        _ => return false,
    };
    let (mut depth, mut quote, mut is_escaped) = (0_usize, None, false);
    for character in value.chars() {
        match (quote, character) {
            (Some(_), _) if is_escaped => is_escaped = false,
            (Some(_), '\\') => is_escaped = true,
            (Some(open), _) if open == character => quote = None,
            (None, '"' | '\'') => quote = Some(character),
            (None, '[' | '{' | '(') => depth += 1,
            (None, ']' | '}' | ')') => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    // An apostrophe in a text opens no quote: the last bracket decides.
    depth > 0 && !value.ends_with(close)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_split_outside_of_quotes_and_brackets() {
        for (line, expected) in [
            ("", &[][..]),
            ("  Echo  echo ", &["Echo", "echo"]),
            ("\"My Service\" a", &["\"My Service\"", "a"]),
            ("'it''s' it's x", &["'it''s'", "it's", "x"]),
            (
                "S a [1, 2] {\"a b\": (1, 2)} z",
                &["S", "a", "[1, 2]", "{\"a b\": (1, 2)}", "z"],
            ),
            ("S a unit=\"V m\" n=1", &["S", "a", "unit=\"V m\"", "n=1"]),
            ("S a \"not closed", &["S", "a", "\"not closed"]),
            ("S a [1, 2", &["S", "a", "[1, 2"]),
            ("S \"a\\\" b\" c", &["S", "\"a\\\" b\"", "c"]),
            ("é° ü", &["é°", "ü"]),
        ] {
            let typed: Vec<_> = split(line).iter().map(|word| word.typed).collect();
            assert_eq!(typed, expected, "{line}");
            for word in split(line) {
                assert_eq!(&line[word.range], word.typed);
            }
        }
    }

    #[test]
    fn a_bracket_at_the_start_is_closed_or_not() {
        for value in ["[1,", "{\"a\": 1", "(1,", "[\"]\"", "("] {
            assert!(is_unclosed(value), "{value}");
        }
        for value in ["[1]", "(it's)", "a[", "\"[1\"", "", "([1])", "(1) (2)"] {
            assert!(!is_unclosed(value), "{value}");
        }
    }

    #[test]
    fn a_name_is_typed_such_that_it_is_read_again() {
        for name in ["Echo", "My Service", "it's", "a\"b", "back\\slash", "né"] {
            let typed = typed_name(name);
            let words = split(&typed);
            assert_eq!(words.len(), 1, "{typed}");
            assert_eq!(words[0].name(), name);
        }
    }
}
