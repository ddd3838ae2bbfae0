//! Parses values without quotes: constants, numbers, and the lists, tuples and dictionaries of JSON
//! and Python.
//!
//! Takes one pass, with the open brackets on a stack of bounded size, without recursion or
//! backtracking.

use super::MAX_LITERAL_DEPTH;
use super::looks;
use super::number::{self, Scalar};
use super::tokens;

/// The result of parsing a literal.
pub(super) enum Attempt {
    /// A literal of this length was found and written as JSON. White space or the end follows.
    Literal {
        /// Its length in bytes.
        length: usize,
    },
    /// There is no literal. Nothing was written.
    Text {
        /// The number of bytes read to find that out.
        looked: usize,
    },
    /// The brackets are nested deeper than [`MAX_LITERAL_DEPTH`]. Nothing was written.
    TooDeep,
}

/// Parses the literal at the start of `text` and appends it to `output` as JSON.
///
/// The literal ends at white space that is not within brackets, or at the end of `text`.
pub(super) fn read(text: &str, output: &mut Vec<u8>) -> Attempt {
    let start = output.len();
    let mut reader = Reader {
        text,
        position: 0,
        output,
        open: vec![Open {
            bracket: Bracket::None,
            start,
            items: 0,
            comma: false,
        }],
        groups: false,
    };
    match reader.run() {
        Ok(()) => {
            let (length, groups) = (reader.position, reader.groups);
            if groups {
                remove_group_marks(output, start);
            }
            Attempt::Literal { length }
        }
        Err(failure) => {
            let looked = reader.position;
            output.truncate(start);
            match failure {
                Failure::NotALiteral => Attempt::Text { looked },
                Failure::TooDeep => Attempt::TooDeep,
            }
        }
    }
}

/// Placeholder in the output for a bracket that only groups. No JSON text contains this byte, not
/// even in strings.
const GROUP_MARK: u8 = 0;

fn remove_group_marks(output: &mut Vec<u8>, start: usize) {
    let marked = output.split_off(start);
    looks::add(marked.len());
    output.extend(marked.into_iter().filter(|byte| *byte != GROUP_MARK));
}

enum Failure {
    NotALiteral,
    TooDeep,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Bracket {
    /// The outermost level: a single value, or a tuple without brackets such as `1,2`.
    None,
    Round,
    Square,
    Curly,
}

struct Open {
    bracket: Bracket,
    /// The start of its output.
    start: usize,
    items: usize,
    /// Whether there was a comma, which alone makes round brackets with one item a tuple.
    comma: bool,
}

/// The expected next element.
#[derive(Clone, Copy)]
enum Next {
    /// An item, or the closing bracket: after an opening bracket, or after a comma.
    Item,
    /// The value of a key.
    Value,
    /// A comma, or the closing bracket.
    Separator,
    /// The colon after a key.
    Colon,
}

struct Reader<'text, 'output> {
    text: &'text str,
    position: usize,
    output: &'output mut Vec<u8>,
    /// Never empty; the first entry is the outermost level.
    open: Vec<Open>,
    /// Whether the output holds group marks.
    groups: bool,
}

impl<'text> Reader<'text, '_> {
    fn run(&mut self) -> Result<(), Failure> {
        let mut next = Next::Item;
        loop {
            let outermost = self.open.len() == 1;
            if !outermost {
                self.position += tokens::white_space(&self.text[self.position..]);
            }
            looks::add(1);
            let character = self.text[self.position..].chars().next();
            next = match (next, character) {
                (_, None) if !outermost => return Err(Failure::NotALiteral),
                (Next::Item | Next::Separator, None) => return self.finish(),
                (Next::Item | Next::Separator, Some(end)) if outermost && end.is_whitespace() => {
                    return self.finish();
                }
                (Next::Item | Next::Separator, Some(closing @ (')' | ']' | '}'))) => self.close(closing)?,
                (Next::Separator, Some(',')) => {
                    self.position += 1;
                    self.innermost().comma = true;
                    Next::Item
                }
                (Next::Colon, Some(':')) => {
                    self.position += 1;
                    self.output.push(b':');
                    Next::Value
                }
                (Next::Item, Some(first)) => {
                    self.start_item();
                    if self.innermost().bracket == Bracket::Curly {
                        self.key(first)?
                    } else {
                        self.value(first)?
                    }
                }
                (Next::Value, Some(first)) => self.value(first)?,
                _ => return Err(Failure::NotALiteral),
            };
        }
    }

    fn innermost(&mut self) -> &mut Open {
        self.open.last_mut().expect("the outermost level is never closed")
    }

    /// Ends the literal: a value, or a tuple without brackets.
    fn finish(&mut self) -> Result<(), Failure> {
        let Open {
            start, items, comma, ..
        } = *self.innermost();
        if items == 0 {
            return Err(Failure::NotALiteral);
        }
        if comma {
            looks::add(self.output.len() - start);
            self.output.insert(start, b'[');
            self.output.push(b']');
        }
        Ok(())
    }

    fn start_item(&mut self) {
        let innermost = self.innermost();
        innermost.items += 1;
        if innermost.items > 1 {
            self.output.push(b',');
        }
    }

    fn key(&mut self, first: char) -> Result<Next, Failure> {
        if let '"' | '\'' = first {
            self.string()?;
        } else {
            let key = self.scalar()?.as_key().into_owned();
            tokens::write_string(&key, self.output);
        }
        Ok(Next::Colon)
    }

    fn value(&mut self, first: char) -> Result<Next, Failure> {
        match first {
            '"' | '\'' => self.string()?,
            '(' => return self.enter(Bracket::Round, b'['),
            '[' => return self.enter(Bracket::Square, b'['),
            '{' => return self.enter(Bracket::Curly, b'{'),
            _ => {
                let scalar = self.scalar()?;
                self.output.extend_from_slice(scalar.as_json().as_bytes());
            }
        }
        Ok(Next::Separator)
    }

    fn string(&mut self) -> Result<(), Failure> {
        let Some((text, length)) = tokens::quoted(&self.text[self.position..]) else {
            self.position = self.text.len();
            return Err(Failure::NotALiteral);
        };
        tokens::write_string(&text, self.output);
        self.position += length;
        Ok(())
    }

    fn scalar(&mut self) -> Result<Scalar<'text>, Failure> {
        let rest = &self.text[self.position..];
        let is_end = |character: char| character.is_whitespace() || ",:()[]{}\"'".contains(character);
        let word = &rest[..rest.find(is_end).unwrap_or(rest.len())];
        looks::add(word.len() + 1);
        self.position += word.len();
        number::scalar(word).ok_or(Failure::NotALiteral)
    }

    fn enter(&mut self, bracket: Bracket, written: u8) -> Result<Next, Failure> {
        if self.open.len() > MAX_LITERAL_DEPTH {
            return Err(Failure::TooDeep);
        }
        self.position += 1;
        self.open.push(Open {
            bracket,
            start: self.output.len(),
            items: 0,
            comma: false,
        });
        self.output.push(written);
        Ok(Next::Item)
    }

    fn close(&mut self, closing: char) -> Result<Next, Failure> {
        let Open {
            bracket,
            start,
            items,
            comma,
        } = *self.innermost();
        match (bracket, closing) {
            (Bracket::Round, ')') if items == 1 && !comma => {
                self.output[start] = GROUP_MARK;
                self.groups = true;
            }
            (Bracket::Round, ')') | (Bracket::Square, ']') => self.output.push(b']'),
            (Bracket::Curly, '}') => self.output.push(b'}'),
            _ => return Err(Failure::NotALiteral),
        }
        self.open.pop();
        self.position += 1;
        Ok(Next::Separator)
    }
}
