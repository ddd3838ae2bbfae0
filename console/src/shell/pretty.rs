//! Results as indented JSON, with every number and text as the service wrote it.

use std::fmt::Write;

/// Returns JSON text with line ends and indentation where it is wider than `width` columns.
///
/// An array or an object that fits into its line stays there, and an array of plain values fills
/// its lines. Text that is no JSON stays as it is, but for the white space in it.
pub(crate) fn pretty(json: &str, width: usize) -> String {
    let tokens = tokens(json);
    let mut layout = Layout {
        closes: closes(&tokens),
        ends: ends(&tokens),
        tokens,
        width,
        text: String::new(),
        column: 0,
    };
    layout.write();
    layout.text
}

/// A piece of JSON text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Token<'a> {
    Open(char),
    Close(char),
    Comma,
    Colon,
    /// A text, a number or a word.
    Plain(&'a str),
}

impl Token<'_> {
    /// Returns its columns in one line, the blank behind it included.
    fn columns(self) -> usize {
        match self {
            Self::Open(_) | Self::Close(_) => 1,
            Self::Comma | Self::Colon => 2,
            Self::Plain(text) => text.chars().count(),
        }
    }
}

fn tokens(json: &str) -> Vec<Token<'_>> {
    let mut tokens = Vec::new();
    let mut rest = json.trim_start();
    while let Some(first) = rest.chars().next() {
        let (token, length) = match first {
            '[' | '{' => (Token::Open(first), 1),
            ']' | '}' => (Token::Close(first), 1),
            ',' => (Token::Comma, 1),
            ':' => (Token::Colon, 1),
            '"' => {
                let length = text_length(rest);
                (Token::Plain(&rest[..length]), length)
            }
            _ => {
                let is_end = |character: char| character.is_whitespace() || "[]{},:\"".contains(character);
                let length = rest.find(is_end).unwrap_or(rest.len());
                (Token::Plain(&rest[..length]), length)
            }
        };
        tokens.push(token);
        rest = rest[length..].trim_start();
    }
    tokens
}

/// Returns the bytes of the text in quotes at the start.
fn text_length(text: &str) -> usize {
    let mut is_escaped = false;
    for (position, character) in text.char_indices().skip(1) {
        match character {
            _ if is_escaped => is_escaped = false,
            '\\' => is_escaped = true,
            '"' => return position + 1,
            _ => {}
        }
    }
    text.len()
}

/// Returns for each bracket that opens the place of the one that closes it.
fn closes(tokens: &[Token<'_>]) -> Vec<usize> {
    let mut closes = vec![tokens.len().saturating_sub(1); tokens.len()];
    let mut open = Vec::new();
    for (place, token) in tokens.iter().enumerate() {
        match token {
            Token::Open(_) => open.push(place),
            Token::Close(_) => {
                if let Some(opened) = open.pop() {
                    closes[opened] = place;
                }
            }
            _ => {}
        }
    }
    closes
}

/// Returns for each token the columns of the line with all tokens up to it.
fn ends(tokens: &[Token<'_>]) -> Vec<usize> {
    let columns = tokens.iter().scan(0, |sum, token| {
        *sum += token.columns();
        Some(*sum)
    });
    columns.collect()
}

struct Layout<'a> {
    tokens: Vec<Token<'a>>,
    closes: Vec<usize>,
    ends: Vec<usize>,
    width: usize,
    text: String,
    column: usize,
}

/// An array or an object over several lines.
struct Broken {
    /// Its members stand side by side, as many as fit into a line.
    is_filled: bool,
}

impl Layout<'_> {
    fn write(&mut self) {
        let mut broken: Vec<Broken> = Vec::new();
        let mut place = 0;
        while place < self.tokens.len() {
            match self.tokens[place] {
                Token::Open(bracket) => {
                    let close = self.closes[place];
                    if self.fits(place, close) {
                        self.line(place..=close);
                        place = close;
                    } else {
                        self.put(&bracket.to_string());
                        let inner = self.tokens.get(place + 1..close).unwrap_or_default();
                        let is_plain = |token: &Token<'_>| !matches!(token, Token::Open(_) | Token::Colon);
                        broken.push(Broken {
                            is_filled: inner.iter().all(is_plain),
                        });
                        self.new_line(broken.len());
                    }
                }
                Token::Close(bracket) => {
                    broken.pop();
                    self.new_line(broken.len());
                    self.put(&bracket.to_string());
                }
                Token::Comma => {
                    self.put(",");
                    let is_filled = broken.last().is_some_and(|array| array.is_filled);
                    let next = self.tokens.get(place + 1).map_or(0, |token| token.columns());
                    if is_filled && self.column + next + 2 <= self.width {
                        self.put(" ");
                    } else {
                        self.new_line(broken.len());
                    }
                }
                Token::Colon => self.put(": "),
                Token::Plain(text) => self.put(text),
            }
            place += 1;
        }
    }

    /// Returns whether an array or an object fits into the rest of the line, a comma behind it
    /// included.
    fn fits(&self, open: usize, close: usize) -> bool {
        let before = if open == 0 { 0 } else { self.ends[open - 1] };
        self.column + self.ends[close] - before < self.width
    }

    fn line(&mut self, places: std::ops::RangeInclusive<usize>) {
        for place in places {
            match self.tokens[place] {
                Token::Open(bracket) | Token::Close(bracket) => self.put(&bracket.to_string()),
                Token::Comma => self.put(", "),
                Token::Colon => self.put(": "),
                Token::Plain(text) => self.put(text),
            }
        }
    }

    fn put(&mut self, text: &str) {
        self.text.push_str(text);
        self.column += text.chars().count();
    }

    fn new_line(&mut self, depth: usize) {
        let indent = 2 * depth;
        // Writing to a string cannot fail.
        let _ = write!(self.text, "\n{:indent$}", "");
        self.column = indent;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_fits_stays_in_one_line_and_the_rest_is_indented() {
        assert_eq!(pretty("[1,1.10,NaN,\"a: b\"]", 80), "[1, 1.10, NaN, \"a: b\"]");
        assert_eq!(pretty("{\"a\":[]}", 80), "{\"a\": []}");
        let expected =
            "{\n  \"a\": [1, 2],\n  \"b\": {\n    \"c\": \"say \\\"hi\\\", [x]\",\n    \"d\": null\n  }\n}";
        let json = r#"{"a":[1,2],"b":{"c":"say \"hi\", [x]","d":null}}"#;
        assert_eq!(pretty(json, 30), expected);
    }

    #[test]
    fn plain_values_fill_the_lines() {
        let numbers: Vec<_> = (0..40).map(|number| number.to_string()).collect();
        let text = pretty(&format!("[{}]", numbers.join(",")), 40);
        let lines: Vec<_> = text.lines().collect();
        assert_eq!((lines[0], lines[lines.len() - 1]), ("[", "]"));
        assert!(
            lines.len() < 8 && lines.iter().all(|line| line.len() <= 40),
            "{text}"
        );
        assert!(lines[1].starts_with("  0, 1, 2, 3,"), "{text}");
    }

    #[test]
    fn no_text_is_lost_and_none_panics() {
        for json in [
            "",
            "3",
            "[1, 2",
            "]",
            "}{",
            "\"open",
            "[[[[[[]]]]]]",
            "{\"a\":1}}",
            ",,",
        ] {
            for width in [0, 3, 80] {
                let without = |text: &str| text.replace(char::is_whitespace, "");
                assert_eq!(without(&pretty(json, width)), without(json), "{json} {width}");
            }
        }
        let deep = format!("{}{}", "[".repeat(10_000), "]".repeat(10_000));
        assert_eq!(pretty(&deep, 40_000).len(), 20_000);
    }
}
