//! Indented lines of text, safe to show on a terminal.

use labwire_home::hex_with_colons;

/// The width of hexadecimal lines in characters: 25 bytes with their colons, as in MSL-Network.
const HEX_WIDTH: usize = 75;

/// A text that is built line by line.
pub(super) struct Text(String);

impl Text {
    pub(super) fn new() -> Self {
        Self(String::new())
    }

    /// Appends a line, indented by two spaces per level.
    pub(super) fn line(&mut self, level: usize, line: &str) {
        if !self.0.is_empty() {
            self.0.push('\n');
        }
        self.0.extend(std::iter::repeat_n("  ", level));
        self.0.push_str(line);
    }

    /// Appends bytes in hexadecimal, broken into lines.
    pub(super) fn hex(&mut self, level: usize, bytes: &[u8]) {
        let digits = hex_with_colons(bytes);
        for start in (0..digits.len()).step_by(HEX_WIDTH) {
            self.line(level, &digits[start..digits.len().min(start + HEX_WIDTH)]);
        }
    }

    /// Appends another text.
    pub(super) fn append(&mut self, other: &Self) {
        self.line(0, &other.0);
    }

    pub(super) fn into_string(self) -> String {
        self.0
    }
}

/// Escapes characters that a terminal would interpret, since a certificate may come from anyone.
pub(crate) fn printable(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '\'' | '"' => shown.push(character),
            _ => shown.extend(character.escape_debug()),
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_terminal_would_act_upon_is_escaped() {
        assert_eq!(
            printable("Müller's \u{1b}[31m\r\n\u{202e}"),
            "Müller's \\u{1b}[31m\\r\\n\\u{202e}"
        );
    }

    #[test]
    fn long_hexadecimal_numbers_are_broken_after_25_bytes() {
        let mut text = Text::new();
        text.hex(1, &[0xab; 26]);
        let text = text.into_string();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0].len(), 2 + 75);
        assert_eq!(lines[1], "  ab");
    }
}
