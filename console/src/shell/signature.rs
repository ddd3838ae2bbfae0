//! The parameters in the signature of a method, as in `(x: float, y: float = 1.0) -> float`.

use super::split::split_key;

/// A parameter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Parameter {
    pub(crate) name: String,
    /// Its type, as in `float`.
    pub(crate) kind: Option<String>,
    /// Its default, in Python's notation.
    pub(crate) default: Option<String>,
    /// Whether it can only be given by its name: it stands behind `*`.
    pub(crate) is_keyword_only: bool,
}

impl Parameter {
    /// Returns its type and its default, for people.
    pub(crate) fn hint(&self) -> Option<String> {
        let kind = self.kind.as_deref();
        match (kind, self.default.as_deref()) {
            (None, None) => None,
            (Some(kind), None) => Some(kind.to_owned()),
            (None, Some(default)) => Some(format!("= {default}")),
            (Some(kind), Some(default)) => Some(format!("{kind} = {default}")),
        }
    }
}

/// Returns the parameters that can be given by their names. Anything that is no signature has none.
pub(crate) fn parameters(signature: &str) -> Vec<Parameter> {
    let Some(inner) = inside(signature) else {
        return Vec::new();
    };
    let mut parameters: Vec<Parameter> = Vec::new();
    let mut is_keyword_only = false;
    for part in parts(inner, ',') {
        let part = part.trim();
        if part == "/" {
            // What stands before it has no name for callers.
            parameters.clear();
        } else if part.starts_with('*') {
            is_keyword_only = true;
        } else if let Some(parameter) = parameter(part, is_keyword_only) {
            parameters.push(parameter);
        }
    }
    parameters
}

/// Returns the parameters that these words of a call do not give, by name or by position.
pub(crate) fn missing(parameters: Vec<Parameter>, values: &[&str]) -> Vec<Parameter> {
    let named: Vec<_> = values
        .iter()
        .filter_map(|value| split_key(value))
        .map(|(key, _)| key)
        .collect();
    let mut by_position = values.len() - named.len();
    let mut missing = parameters;
    missing.retain(|parameter| {
        if !parameter.is_keyword_only && by_position > 0 {
            by_position -= 1;
            return false;
        }
        !named.contains(&parameter.name.as_str())
    });
    missing
}

fn parameter(part: &str, is_keyword_only: bool) -> Option<Parameter> {
    let mut sides = parts(part, '=').into_iter();
    let named = sides.next()?;
    let default = sides.next().map(|default| default.trim().to_owned());
    let (name, kind) = match named.split_once(':') {
        Some((name, kind)) => (name.trim(), Some(kind.trim().to_owned())),
        None => (named.trim(), None),
    };
    let is_name = !name.is_empty()
        && name
            .chars()
            .all(|character| character == '_' || character.is_alphanumeric());
    is_name.then(|| Parameter {
        name: name.to_owned(),
        kind,
        default,
        is_keyword_only,
    })
}

/// Returns the text between the first parenthesis and the one that closes it.
fn inside(signature: &str) -> Option<&str> {
    let rest = signature.strip_prefix('(')?;
    let mut depth = 1_usize;
    let mut scan = Scan::default();
    for (position, character) in rest.char_indices() {
        if scan.is_text(character) {
            continue;
        }
        match character {
            '(' | '[' | '{' => depth += 1,
            ')' | ']' | '}' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return Some(&rest[..position]);
        }
    }
    None
}

/// Splits a text at a separator outside of quotes and brackets.
fn parts(text: &str, separator: char) -> Vec<&str> {
    let mut parts = Vec::new();
    let (mut start, mut depth) = (0, 0_usize);
    let mut scan = Scan::default();
    for (position, character) in text.char_indices() {
        if scan.is_text(character) {
            continue;
        }
        match character {
            '(' | '[' | '{' => depth += 1,
            ')' | ']' | '}' => depth = depth.saturating_sub(1),
            _ if character == separator && depth == 0 => {
                parts.push(&text[start..position]);
                start = position + character.len_utf8();
            }
            _ => {}
        }
    }
    parts.push(&text[start..]);
    parts
}

/// Tells texts in quotes from the rest.
#[derive(Default)]
struct Scan {
    quote: Option<char>,
    is_escaped: bool,
}

impl Scan {
    /// Returns whether the next character belongs to a text in quotes.
    fn is_text(&mut self, character: char) -> bool {
        match self.quote {
            Some(_) if self.is_escaped => self.is_escaped = false,
            Some(_) if character == '\\' => self.is_escaped = true,
            Some(quote) if character == quote => self.quote = None,
            Some(_) => {}
            None if matches!(character, '"' | '\'') => self.quote = Some(character),
            None => return false,
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(signature: &str) -> Vec<(String, Option<String>)> {
        let parameters = parameters(signature);
        parameters
            .into_iter()
            .map(|parameter| (parameter.name.clone(), parameter.hint()))
            .collect()
    }

    #[test]
    fn names_types_and_defaults_are_found_in_signatures_of_python_and_rust() {
        let some = |text: &str| Some(text.to_owned());
        for (signature, expected) in [
            ("() -> dict", &[][..]),
            ("not a signature", &[]),
            ("(x", &[]),
            ("(x, y)", &[("x", None), ("y", None)]),
            (
                "(x: Union[int, float], y: float = 1.0) -> Union[int, float]",
                &[("x", some("Union[int, float]")), ("y", some("float = 1.0"))],
            ),
            (
                "(unit: str = 'a, b)', *, when={'a': (1, 2)}) -> None",
                &[("unit", some("str = 'a, b)'")), ("when", some("= {'a': (1, 2)}"))],
            ),
            (
                "(a, b, /, c, *args, d: int, **kwargs)",
                &[("c", None), ("d", some("int"))],
            ),
        ] {
            let expected: Vec<_> = expected
                .iter()
                .map(|(name, hint): &(&str, Option<String>)| ((*name).to_owned(), hint.clone()))
                .collect();
            assert_eq!(named(signature), expected, "{signature}");
        }
        let behind = parameters("(c, *args, d)");
        assert!(!behind[0].is_keyword_only && behind[1].is_keyword_only);
    }
}
