//! A screen that is drawn again and again, in the terminal's second buffer.

use std::fmt::Write as _;
use std::io::{self, Write as _};

use anstream::adapter::strip_str;
use anstream::{AutoStream, ColorChoice};
use terminal_size::{Height, Width, terminal_size_of};
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use crate::failure::Failure;

/// Enters the second buffer and hides the cursor.
const OPEN: &str = "\x1b[?1049h\x1b[?25l";

/// Shows the cursor and leaves the second buffer.
const CLOSE: &str = "\x1b[?25h\x1b[?1049l";

/// The screen. What the terminal showed before comes back when it is dropped.
pub(crate) struct Screen;

impl Screen {
    pub(crate) fn open() -> Self {
        let _ = write!(io::stdout(), "{OPEN}");
        Self
    }

    /// Draws a text: each line over the former one, so that nothing flickers. What does not fit is
    /// left out.
    pub(crate) fn draw(&mut self, text: &str) -> Result<(), Failure> {
        let (width, height) = match terminal_size_of(io::stdout()) {
            Some((Width(width), Height(height))) => (width, height),
            None => (80, 24),
        };
        let mut stdout = io::stdout();
        // With NO_COLOR the styles are left out, but not what moves the cursor.
        let is_plain = AutoStream::choice(&stdout) == ColorChoice::Never;
        let mut drawn = "\x1b[H".to_owned();
        for line in text.lines().take(usize::from(height)) {
            let line = fitting(line, usize::from(width));
            let _ = if is_plain {
                write!(drawn, "\x1b[K{}\r\n", strip_str(&line))
            } else {
                write!(drawn, "\x1b[K{line}\r\n")
            };
        }
        // The last line end would scroll a full screen.
        let drawn = drawn.trim_end_matches("\r\n");
        let written = write!(stdout, "{drawn}\x1b[J").and_then(|()| stdout.flush());
        written.map_err(|error| Failure::Failed(format!("cannot write to the terminal: {error}")))
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        let mut stdout = io::stdout();
        let _ = write!(stdout, "{CLOSE}").and_then(|()| stdout.flush());
    }
}

/// Returns as much of a line as fits into so many columns. Escape sequences take none.
fn fitting(line: &str, width: usize) -> String {
    if line.width() <= width {
        return line.to_owned();
    }
    let (mut fitting, mut column, mut is_escape) = (String::new(), 0, false);
    for character in line.chars() {
        if character == '\x1b' {
            is_escape = true;
        }
        if is_escape {
            fitting.push(character);
            is_escape = !character.is_ascii_alphabetic();
            continue;
        }
        column += character.width().unwrap_or_default();
        if column <= width {
            fitting.push(character);
        }
    }
    fitting
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_cut_at_the_width_and_keeps_its_styles() {
        assert_eq!(fitting("\x1b[1mabcdef\x1b[0m", 3), "\x1b[1mabc\x1b[0m");
        assert_eq!(fitting("日本語", 4), "日本");
        assert_eq!(fitting("abc", 3), "abc");
    }
}
