//! Parses commands that a person types at netcat, telnet or `openssl s_client`.
//!
//! # The grammar
//!
//! | typed | meaning |
//! |---|---|
//! | `client`, `client My Name` | be a client, with that name |
//! | `identity` | ask for the manager's identity |
//! | `whoami` | ask for the own name on the network |
//! | `link BasicMath`, `link My Service`, `link "My Service"` | link with a service |
//! | `unlink BasicMath`, `unlink "My Service"` | end a link |
//! | `lock BasicMath`, `lock "My Service" shared` | lock a service; `exclusive` is the default |
//! | `lock BasicMath ttl=60 reason="a test" wait=10` | the same, with terms: seconds and a text |
//! | `unlock BasicMath`, `unlock "My Service"` | release a lock |
//! | `cancel`, `cancel BasicMath`, `cancel "My Service"` | cancel what was typed and is not answered |
//! | `help` | ask what can be typed |
//! | `disconnect`, `exit`, `quit`, `__disconnect__` | leave |
//! | `<service> <attribute> [value …] [key=value …]` | a request |
//!
//! Keywords are case-insensitive, and count only as the whole first word without quotes: `clients
//! add 1` and `"link" add 1` are requests for the services `clients` and `link`. A line whose first
//! word is a keyword but whose form differs from the table is a request too: `help add 1`, `lock
//! front door`, `unlock "front" 1`. So a service whose name is a keyword can always be called with
//! its name in quotes, or without quotes where the arguments make the difference. Only after
//! `client` and `link` everything is a name, as in MSL-Network.
//!
//! Quotes, `"` or `'`, enclose a service, an attribute or a value with spaces, and make any value a
//! text. A quote counts only at the start of a word: `it's` is a text. Between quotes the escapes
//! of JSON and Python are decoded (`\n \t \r \b \f \\ \/ \" \' \xNN \uXXXX \UXXXXXXXX`); any other
//! backslash is kept as typed, so `"C:\Music"` needs no escaping. The closing quote must be
//! followed by white space, the end of the line, or a comma, which then only separates.
//!
//! A value without quotes is the first that matches:
//!
//! - `true`, `false`, `null` or `none`, in any case; `NaN`, `Infinity` or `-Infinity` in exactly
//!   this spelling, the tokens that Python peers write;
//! - a number: in JSON's form, which is then sent byte for byte as typed, or in Python's (`.5`,
//!   `1.`, `+5`, `1_000`, `0x1F`, `0o17`, `0b101`);
//! - a literal of JSON or Python: a list, a tuple (which becomes an array), a dictionary, nested at
//!   most [`MAX_LITERAL_DEPTH`] deep, with optional spaces. `1,2` is a tuple, as in Python;
//! - otherwise the text up to the next white space. This includes a malformed literal: `[1, 2` is
//!   the text `[1,` and the number 2.
//!
//! A keyword argument is `key=value`, with or without white space around the `=`. The key is a word
//! of letters, digits and `_` that does not start with a digit; `http://a?b=c` and `a/b=c` are
//! texts. Positional arguments come first, and each key may occur once.
//!
//! # Where this differs from MSL-Network 1.0, on purpose
//!
//! | typed | there | here |
//! |---|---|---|
//! | `clients add 1`, `linkBasicMath` | a client named `add 1`, a link | a request, an error |
//! | `help`, `quit`, `whoami` | an error | a keyword |
//! | `lock S`, `lock S shared`, `unlock S`, `unlink S`, `cancel S` | a request for that service | a keyword |
//! | `cancel` | an error | a keyword |
//! | `link 'My Service'`, `client 'Me'` | a name with apostrophes | a name without |
//! | `link`, `client ""` | an empty name | an error, the name `Client` |
//! | `S "my attribute" 1` | attribute `my`, texts | attribute `my attribute` |
//! | `S a [1, 2] {"x": 1}` | pieces of text | an array, an object |
//! | `S a [true]`, `S a NaN` | texts | JSON values |
//! | `S a it's`, `S a x"y"` | two texts | one text |
//! | `S a "it's"` | two texts | one text |
//! | `S a "say \"hi\""`, `S a "C:\Music\x"` | pieces of text, a text with its quotes | texts |
//! | `S a 'half`, `S a "a"b` | texts | an error |
//! | `S a "x", "y"` | a comma between two texts | two texts |
//! | `S a x=1 2` | the `2` is lost | an error |
//! | `S a x=1 x=2` | the last counts | an error |
//! | `S a http://a?b=c`, `S a 1x=3` | a keyword argument `b`, `1x` | a text |
//! | `S a 1e400`, `S a 1.10`, `S a -0` | `Infinity`, `1.1`, `0` | what was typed |
//! | `S a 1j`, `S a {1,2}`, `S a ...`, `S a 1#2` | complex, set, ellipsis, a comment | texts |
//! | `S a "\a\0"`, `S a "\ud83d"` | control characters, half a character | as typed |
//! | `S a "a = b"` | a keyword argument | a text |
//! | `S a {'k':1,'k':2}` | the last counts | both go out |
//!
//! # Linear time
//!
//! Each byte of a line is read a constant number of times:
//!
//! - A keyword argument is tried only at the start of a word. The attempt reads the word's letters,
//!   the white space after it and one byte more; if it fails, the next word still starts after
//!   those letters.
//! - A quoted text is read once, and all that was read is consumed, or the line is refused.
//! - A literal is read without backtracking. If it fails, only the text up to the next white space
//!   is consumed although more was read. So the furthest position that was read is kept, and before
//!   it a literal is tried only within its own word, all of which is consumed. Hence a byte is read
//!   at most once by a literal that may contain white space, and once by one that may not.
//! - Classifying a word, and writing it as JSON, takes a few passes over bytes that are then
//!   consumed.
//!
//! A test counts the reads.

mod encoding;
mod help;
mod literal;
pub(crate) mod looks;
mod number;
mod tokens;

#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::collections::HashSet;

use tokens::{Name, Tokens};

pub use encoding::{BYTE_ORDER_MARK, NotText, typed_text, without_mark, without_preamble};
pub use help::help;

/// The deepest nesting of lists, tuples and dictionaries in a value.
///
/// A person types two or three levels. Programs, which nest deeper, send JSON frames, whose limit
/// is [`crate::MAX_DEPTH`].
pub const MAX_LITERAL_DEPTH: usize = 64;

/// The name of a client for which none was typed.
const DEFAULT_CLIENT_NAME: &str = "Client";

/// The most characters of the typed text in an error message: enough to recognise it, and few
/// enough for the message to fit on a line of a terminal.
const EXCERPT_CHARACTERS: usize = 40;

/// A parsed line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TerminalLine {
    /// `client`: become a client.
    Client {
        /// The client's name, `Client` if none was typed.
        name: String,
    },
    /// `identity`: return the manager's identity.
    Identity,
    /// `whoami`: return the client's own name on the network.
    WhoAmI,
    /// `help`: return the list of commands.
    Help,
    /// `link`: link with a service.
    Link {
        /// The name of the service, never empty.
        service: String,
    },
    /// `unlink`: end a link.
    Unlink {
        /// The name of the service, never empty.
        service: String,
    },
    /// `lock`: lock a service.
    Lock {
        /// The name of the service, never empty.
        service: String,
        /// The keyword arguments of the request `acquire_lock`: the text of a JSON object with
        /// `"shared":true` if that was typed, and with the terms as they were typed.
        kwargs: String,
    },
    /// `unlock`: release a lock.
    Unlock {
        /// The name of the service, never empty.
        service: String,
    },
    /// `cancel`: cancel the requests that were typed and are not answered.
    Cancel {
        /// The name of the service, never empty. `None`: those to all services.
        service: Option<String>,
    },
    /// `disconnect`: leave.
    Disconnect,
    /// A request to a service, or to the manager.
    Request {
        /// The name of the service, never empty.
        service: String,
        /// The requested attribute, never empty.
        attribute: String,
        /// The positional arguments: the text of a JSON array, in which the tokens `NaN`,
        /// `Infinity` and `-Infinity` may stand for numbers.
        args: String,
        /// The keyword arguments: the text of a JSON object, with the same three tokens.
        kwargs: String,
    },
}

/// The reason why a line cannot be parsed, and what to type instead.
///
/// Columns count characters from 1, white space at the start of the line included.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TerminalError {
    /// The line is empty.
    #[error("the line is empty, type: <service> <attribute> [value ...] [key=value ...]")]
    Empty,
    /// The line names a service but no attribute.
    #[error(
        "nothing is asked of {}, type: <service> <attribute> [value ...] [key=value ...]",
        crate::quoted(service)
    )]
    NoAttribute {
        /// The start of the service's name.
        service: String,
    },
    /// `link`, `unlink`, `lock` or `unlock` without the name of a service.
    #[error("{keyword} needs the name of a service, type for example: {keyword} BasicMath")]
    NoServiceNamed {
        /// The keyword.
        keyword: &'static str,
    },
    /// A pair of quotes without content in place of the name of a service or an attribute.
    #[error("the name at column {column} is empty, type: <service> <attribute> [value ...] [key=value ...]")]
    EmptyName {
        /// The column of the empty name.
        column: usize,
    },
    /// A quote that is not closed.
    #[error(
        "the quote {quote} at column {column} is not closed, close it, or put the whole text between quotes of the \
         other kind (a backslash at the end of a text is typed twice)"
    )]
    UnclosedQuote {
        /// The quote, `"` or `'`.
        quote: char,
        /// The column of the quote.
        column: usize,
    },
    /// Text directly after a closing quote.
    #[error("type a space after the closing quote at column {column}, or \\ before a quote within the text")]
    TextAfterQuote {
        /// The column of the closing quote.
        column: usize,
    },
    /// A positional argument after a keyword argument.
    #[error(
        "the value at column {column} stands after the keyword argument {}, \
         type it before the keyword arguments, or in quotes if it belongs to that text",
        crate::quoted(key)
    )]
    PositionalAfterKeyword {
        /// The start of the key of the last keyword argument before it.
        key: String,
        /// The column of the value.
        column: usize,
    },
    /// The same key twice.
    #[error("the keyword argument {} is given twice, type it once", crate::quoted(key))]
    RepeatedKeyword {
        /// The start of the key.
        key: String,
    },
    /// A literal with more levels than [`MAX_LITERAL_DEPTH`].
    #[error(
        "the value at column {column} is nested deeper than {MAX_LITERAL_DEPTH} levels, \
         type it in quotes if it is a text, or send a JSON frame"
    )]
    TooDeep {
        /// The column of the value.
        column: usize,
    },
}

/// Parses a line typed at a terminal. White space around it, including its line end, is ignored.
pub fn parse(line: &str) -> Result<TerminalLine, TerminalError> {
    let typed = line.trim();
    if typed.is_empty() {
        return Err(TerminalError::Empty);
    }
    match keyword(typed) {
        Some(meaning) => meaning,
        None => request(line.trim_end()),
    }
}

/// Parses the line if its first word is a keyword.
fn keyword(line: &str) -> Option<Result<TerminalLine, TerminalError>> {
    let (first, rest) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
    let is = |word: &str| first.eq_ignore_ascii_case(word);
    if is("client") {
        let name = bare_name(rest).split_whitespace().collect::<Vec<_>>().join(" ");
        let name = if name.is_empty() {
            DEFAULT_CLIENT_NAME.into()
        } else {
            name
        };
        return Some(Ok(TerminalLine::Client { name }));
    }
    if is("link") {
        let service = bare_name(rest);
        return Some(if service.trim().is_empty() {
            Err(TerminalError::NoServiceNamed { keyword: "link" })
        } else {
            Ok(TerminalLine::Link {
                service: service.into(),
            })
        });
    }
    if let Some(keyword) = BEFORE_A_SERVICE.into_iter().find(|keyword| is(keyword)) {
        if rest.is_empty() && keyword == "cancel" {
            return Some(Ok(TerminalLine::Cancel { service: None }));
        }
        if rest.is_empty() {
            return Some(Err(TerminalError::NoServiceNamed { keyword }));
        }
        return about_service(keyword, rest).map(Ok);
    }
    if !rest.is_empty() {
        return None;
    }
    if is("identity") {
        return Some(Ok(TerminalLine::Identity));
    }
    if is("whoami") {
        return Some(Ok(TerminalLine::WhoAmI));
    }
    if is("help") {
        return Some(Ok(TerminalLine::Help));
    }
    if is("disconnect") || is("exit") || is("quit") || is("__disconnect__") {
        return Some(Ok(TerminalLine::Disconnect));
    }
    None
}

/// The keywords that precede the name of a service, either one word or quoted.
const BEFORE_A_SERVICE: [&str; 4] = ["unlink", "lock", "unlock", "cancel"];

/// Returns whether a request for a service of this name may have been meant as a keyword with the
/// name of a service after it.
///
/// `lock My Service` is a request for the service `lock`. If there is none, the error can point out
/// that the name needs quotes.
pub fn may_mean_keyword(service: &str) -> bool {
    BEFORE_A_SERVICE
        .iter()
        .any(|keyword| service.eq_ignore_ascii_case(keyword))
}

/// The terms of a lock that can be typed after the name of the service.
const LOCK_TERMS: [&str; 3] = ["ttl", "reason", "wait"];

/// Parses the part after a keyword: the name of a service and, for `lock`, `shared` or `exclusive`
/// and the terms. Returns `None` for anything else, which is a request.
fn about_service(keyword: &str, rest: &str) -> Option<TerminalLine> {
    let mut tokens = Tokens::new(rest);
    let Ok(Name::Word(service)) = tokens.name() else {
        return None;
    };
    let service = service.into_owned();
    match keyword {
        "lock" => {
            let kwargs = lock_terms(&mut tokens)?;
            Some(TerminalLine::Lock { service, kwargs })
        }
        _ if tokens.more() => None,
        "unlink" => Some(TerminalLine::Unlink { service }),
        "cancel" => Some(TerminalLine::Cancel {
            service: Some(service),
        }),
        _ => Some(TerminalLine::Unlock { service }),
    }
}

/// Parses what follows the name of a service to be locked. Returns the keyword arguments.
fn lock_terms(tokens: &mut Tokens<'_>) -> Option<String> {
    let mut kwargs = vec![b'{'];
    let mut keys = Vec::new();
    while tokens.more() {
        if let Some(key) = tokens.key() {
            let is_it = |term: &&&str| term.eq_ignore_ascii_case(key);
            let key = *LOCK_TERMS.iter().find(is_it)?;
            if keys.contains(&key) {
                return None;
            }
            if kwargs.len() > 1 {
                kwargs.push(b',');
            }
            keys.push(key);
            tokens::write_string(key, &mut kwargs);
            kwargs.push(b':');
            tokens.value(&mut kwargs).ok()?;
        } else if keys.is_empty() && kwargs.len() == 1 {
            match tokens.name() {
                Ok(Name::Word(mode)) if mode.eq_ignore_ascii_case("shared") => {
                    kwargs.extend_from_slice(b"\"shared\":true");
                }
                Ok(Name::Word(mode)) if mode.eq_ignore_ascii_case("exclusive") => {
                    kwargs.extend_from_slice(b"\"shared\":false");
                }
                _ => return None,
            }
        } else {
            return None;
        }
    }
    kwargs.push(b'}');
    Some(into_text(kwargs))
}

/// Returns the name that makes up the rest of a line, without its quotes. Nothing can follow the
/// name here, so an unclosed quote is accepted.
fn bare_name(rest: &str) -> Cow<'_, str> {
    let rest = rest.trim();
    if rest.starts_with(['"', '\'']) {
        match tokens::quoted(rest) {
            Some((name, length)) if length == rest.len() => return name,
            _ => {}
        }
    }
    if rest.contains('"') {
        Cow::Owned(rest.replace('"', ""))
    } else {
        Cow::Borrowed(rest)
    }
}

/// Parses a line that is not a keyword: a service, an attribute, and arguments.
fn request(line: &str) -> Result<TerminalLine, TerminalError> {
    let mut tokens = Tokens::new(line);
    let service = match tokens.name()? {
        Name::Word(name) => name.into_owned(),
        Name::End => return Err(TerminalError::Empty),
    };
    let attribute = match tokens.name()? {
        Name::Word(name) => name.into_owned(),
        Name::End => {
            return Err(TerminalError::NoAttribute {
                service: excerpt(&service),
            });
        }
    };
    let mut args = vec![b'['];
    let mut kwargs = vec![b'{'];
    let mut keys = HashSet::new();
    let mut last_key = None;
    while tokens.more() {
        if let Some(key) = tokens.key() {
            if !keys.insert(key) {
                return Err(TerminalError::RepeatedKeyword { key: excerpt(key) });
            }
            if last_key.replace(key).is_some() {
                kwargs.push(b',');
            }
            tokens::write_string(key, &mut kwargs);
            kwargs.push(b':');
            tokens.value(&mut kwargs)?;
        } else if let Some(key) = last_key {
            let (key, column) = (excerpt(key), tokens.column());
            return Err(TerminalError::PositionalAfterKeyword { key, column });
        } else {
            if args.len() > 1 {
                args.push(b',');
            }
            tokens.value(&mut args)?;
        }
    }
    args.push(b']');
    kwargs.push(b'}');
    Ok(TerminalLine::Request {
        service,
        attribute,
        args: into_text(args),
        kwargs: into_text(kwargs),
    })
}

fn into_text(json: Vec<u8>) -> String {
    String::from_utf8(json).expect("it was put together from whole strings")
}

/// Returns the start of the typed text, for an error message.
fn excerpt(typed: &str) -> String {
    match typed.char_indices().nth(EXCERPT_CHARACTERS) {
        Some((end, _)) => format!("{}...", &typed[..end]),
        None => typed.into(),
    }
}
