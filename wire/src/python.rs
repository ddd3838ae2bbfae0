//! Error-message formats of the Python package, which existing scripts search for.

use std::fmt::Write;

use crate::name::is_printable;

/// Quotes a name as Python's `repr` does: `'S'`, or `"it's"` if the name contains an apostrophe.
///
/// Invisible and misleading characters are escaped, so that a name cannot forge a log line.
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
            _ if is_printable(character) => text.push(character),
            // Writing to a string cannot fail.
            _ => {
                let _ = match u32::from(character) {
                    point @ ..=0xff => write!(text, "\\x{point:02x}"),
                    point @ 0x100..=0xffff => write!(text, "\\u{point:04x}"),
                    point => write!(text, "\\U{point:08x}"),
                };
            }
        }
    }
    text.push(quote);
    text
}

/// Replaces characters that are invisible, misleading or commands for a terminal by U+FFFD, line
/// ends included.
///
/// ```
/// assert_eq!(labwire_wire::visible("a\u{1b}[31m\nb \u{202e}"), "a\u{fffd}[31m\u{fffd}b \u{fffd}");
/// ```
pub fn visible(text: &str) -> String {
    let replaced = |character| {
        if is_printable(character) {
            character
        } else {
            char::REPLACEMENT_CHARACTER
        }
    };
    text.chars().map(replaced).collect()
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
        assert_eq!(
            quoted("\u{a0}\u{b5}\u{200b}\u{202e}\u{1f9ea}\u{e0041}"),
            "'\\xa0\u{b5}\\u200b\\u202e\u{1f9ea}\\U000e0041'"
        );
    }
}
