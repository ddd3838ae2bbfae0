//! The arguments of a call that is written as in a program: `read(1, unit="V")`.

use labwire_client::Arguments;

use crate::words;

/// Follows quotes and brackets through a text.
#[derive(Default)]
struct Nesting {
    depth: usize,
    quote: Option<char>,
    is_escaped: bool,
    /// The character before; a quote counts only at the start of a word.
    before: Option<char>,
}

impl Nesting {
    /// Takes the next character. Returns whether it stands outside of quotes and brackets.
    fn is_outside(&mut self, character: char) -> bool {
        if let Some(quote) = self.quote {
            if !std::mem::take(&mut self.is_escaped) {
                match character {
                    '\\' => self.is_escaped = true,
                    _ if character == quote => self.quote = None,
                    _ => {}
                }
            }
            return false;
        }
        let is_outside = self.depth == 0;
        let is_in_word = |before: char| !before.is_whitespace() && !"([{,=:".contains(before);
        let is_start = !self.before.replace(character).is_some_and(is_in_word);
        match character {
            '"' | '\'' if is_start => self.quote = Some(character),
            '(' | '[' | '{' => self.depth += 1,
            ')' | ']' | '}' => self.depth = self.depth.saturating_sub(1),
            _ => {}
        }
        is_outside
    }
}

/// Returns the offset of the closing parenthesis, for an opening one just before the text.
pub(super) fn closing(text: &str) -> Option<usize> {
    let mut nesting = Nesting::default();
    text.char_indices()
        .find_map(|(at, character)| (nesting.is_outside(character) && character == ')').then_some(at))
}

/// Converts the text between the parentheses of a call.
///
/// # Errors
/// If it is no list of arguments, a text with the reason.
pub(super) fn arguments(inner: &str) -> Result<Arguments, String> {
    let mut nesting = Nesting::default();
    let mut pieces: Vec<_> = inner
        .split(|character: char| nesting.is_outside(character) && character == ',')
        .map(str::trim)
        .collect();
    // As in Python, a comma may follow the last argument.
    if pieces.last() == Some(&"") {
        pieces.pop();
    }
    let mut converted = Vec::new();
    for piece in pieces {
        if piece.is_empty() {
            return Err("an argument is missing between two commas".to_owned());
        }
        let piece = without_blanks(piece);
        if piece == "-" || piece.ends_with("=-") {
            return Err("- stands for standard input, which can be read once; a call is repeated".to_owned());
        }
        converted.push(piece);
    }
    words::arguments(&converted).map_err(|error| error.to_string())
}

/// Removes the blanks around the `=` of a keyword argument.
fn without_blanks(piece: &str) -> String {
    let is_name = |text: &str| {
        !text.is_empty()
            && text
                .chars()
                .all(|character| character == '_' || character.is_alphanumeric())
    };
    match piece.split_once('=') {
        Some((name, value)) if is_name(name.trim()) => format!("{}={}", name.trim(), value.trim()),
        _ => piece.to_owned(),
    }
}
