//! What error messages owe to the Python package whose texts existing scripts search.

use std::fmt::Write;

/// A name in quotes, as Python's `repr` writes it: `'S'`, or `"it's"` when the name holds an apostrophe.
pub fn quoted(name: &str) -> String {
    let quote = if name.contains('\'') && !name.contains('"') {
        '"'
    } else {
        '\''
    };
    let mut text = String::with_capacity(name.len() + 2);
    text.push(quote);
    for character in name.chars() {
        match character {
            '\n' => text.push_str("\\n"),
            '\r' => text.push_str("\\r"),
            '\t' => text.push_str("\\t"),
            '\\' => text.push_str("\\\\"),
            _ if character == quote => text.extend(['\\', quote]),
            // All control characters of Unicode are below U+00A0.
            _ if character.is_control() => {
                let _ = write!(text, "\\x{:02x}", u32::from(character));
            }
            _ => text.push(character),
        }
    }
    text.push(quote);
    text
}

#[cfg(test)]
mod tests {
    use super::quoted;

    #[test]
    fn names_are_quoted_as_python_does() {
        assert_eq!(quoted("Basic Math"), "'Basic Math'");
        assert_eq!(quoted("it's"), "\"it's\"");
        assert_eq!(quoted("a'b\"c"), "'a\\'b\"c'");
        assert_eq!(quoted("a\nb\\é\0"), "'a\\nb\\\\é\\x00'");
    }
}
