//! Shortens texts to a number of columns.

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// Returns the number of columns that a text takes on a terminal; wide characters take two.
pub(crate) fn columns(text: &str) -> usize {
    text.width()
}

/// Returns a text of at most this many columns. One that is cut ends with `…`.
pub(crate) fn shortened(text: &str, most: usize) -> String {
    if columns(text) <= most {
        return text.to_owned();
    }
    let mut left = most.saturating_sub(1);
    let is_in = |character: &char| {
        let width = character.width().unwrap_or(0);
        let fits = width <= left;
        left = if fits { left - width } else { 0 };
        fits
    };
    let mut short: String = text.chars().take_while(is_in).collect();
    if most > 0 {
        short.push('…');
    }
    short
}

#[cfg(test)]
mod tests {
    use super::shortened;

    #[test]
    fn wide_characters_take_two_columns() {
        for (text, most, short) in [
            ("abc", 3, "abc"),
            ("abcd", 3, "ab…"),
            ("多用表", 6, "多用表"),
            ("多用表", 5, "多用…"),
            ("多用表", 4, "多…"),
            ("abc", 0, ""),
            ("", 0, ""),
        ] {
            assert_eq!(shortened(text, most), short, "{text} {most}");
        }
    }
}
