//! Parses a line: a word of the shell, or a request in the terminal grammar.
//!
//! The words of a person at netcat mean the same here ([`labwire_wire::terminal`]), and so does
//! `SERVICE attribute values key=value`. While a service is selected, `attribute values` is enough.

use std::path::PathBuf;

use labwire_client::Arguments;
use labwire_wire::terminal::{self, TerminalError, TerminalLine};

use super::known::Known;
use super::of_connection::{is_of_connection, refused};
use super::saving::split_file;
use super::split::{Word, bare_name, split, split_key, typed_name};
use super::terms::Terms;
use super::vocabulary::{ShellWord, WORDS};
use crate::failure::Failure;
use crate::numbers::check_numbers;
use crate::output::one_line;
use crate::seconds::Seconds;
use crate::spelling::Spelled;
use crate::words::{check_closed, joined, value_in};

/// The meaning of a line.
#[derive(Debug, Clone)]
pub(crate) enum Meaning {
    /// It is empty or a comment.
    Nothing,
    /// Help for the words, or for a service or an attribute.
    Help(Option<Topic>),
    Services(Option<String>),
    Describe(String),
    /// Selects a service, or none.
    Use(Option<String>),
    Link(String),
    Unlink(String),
    Lock {
        service: String,
        shared: bool,
        terms: Terms,
    },
    Unlock(String),
    Status,
    WhoAmI,
    Identity,
    /// Shows or changes whether notifications are shown.
    Notifications(Option<bool>),
    /// Shows or changes the time limit of calls.
    Timeout(Option<Limit>),
    Exit,
    Request {
        service: String,
        attribute: String,
        arguments: Arguments,
        /// Where the result is saved, in the place of the screen.
        file: Option<PathBuf>,
    },
}

/// A time limit of calls, or none.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Limit(pub(crate) Option<Seconds>);

/// A topic of help, as it was typed: a name of a service, or of one and of an attribute.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Topic {
    /// `Echo`, `Echo.echo` or, with a selected service, `echo`.
    One(String),
    /// `Echo echo`.
    Attribute(String, String),
}

/// Returns the first word of a line if it may be an unknown service or attribute, so that the list
/// of services should be requested again.
pub(crate) fn unknown_word(line: &str, known: &Known) -> Option<String> {
    let words = split(line);
    let first = words.first()?;
    let name = first.name();
    let is_known = is_comment(line)
        || (!first.is_quoted() && shell_word(&name).is_some())
        || known.is_service(&name)
        || known.is_selected_attribute(&name);
    (!is_known).then(|| name.into_owned())
}

fn is_comment(line: &str) -> bool {
    line.trim_start().starts_with('#')
}

fn shell_word(name: &str) -> Option<&'static ShellWord> {
    WORDS.iter().find(|word| name.eq_ignore_ascii_case(word.name))
}

/// Returns the meaning of a line.
///
/// # Errors
/// If the line has no meaning. The text contains the correct form.
pub(crate) fn parse(line: &str, known: &Known) -> Result<Meaning, Failure> {
    let line = line.trim_start_matches('\u{feff}').trim();
    let words = split(line);
    let Some(first) = words.first().filter(|_| !is_comment(line)) else {
        return Ok(Meaning::Nothing);
    };
    if !first.is_quoted()
        && let Some(word) = shell_word(first.typed)
    {
        let rest = line[first.range.end..].trim();
        if let Some(meaning) = meaning(word, rest, &words[1..], known)? {
            return Ok(meaning);
        }
        // A service may have the name of a word: then the form of the line decides.
        if !known.is_service(first.typed) {
            return Err(wrong_form(word));
        }
    }
    request(line, &words, known)
}

fn wrong_form(word: &ShellWord) -> Failure {
    Failure::Usage(format!(
        "type: {} (a name with blanks stands in quotes, and so does a service that is named {})",
        word.usage(),
        word.name
    ))
}

/// Returns the meaning of a line that begins with a word of the shell. `None` if the rest does not
/// fit the word.
fn meaning(
    word: &ShellWord,
    rest: &str,
    words: &[Word<'_>],
    known: &Known,
) -> Result<Option<Meaning>, Failure> {
    let only = |meaning| words.is_empty().then_some(meaning);
    let lower = rest.to_ascii_lowercase();
    Ok(match word.name {
        "help" | "?" => match words {
            [] => Some(Meaning::Help(None)),
            [topic] => Some(Meaning::Help(Some(Topic::One(topic.name().into_owned())))),
            [service, attribute] => {
                let (service, attribute) = (service.name().into_owned(), attribute.name().into_owned());
                Some(Meaning::Help(Some(Topic::Attribute(service, attribute))))
            }
            _ => None,
        },
        "services" => match words {
            [] => Some(Meaning::Services(None)),
            [pattern] => Some(Meaning::Services(Some(pattern.name().into_owned()))),
            _ => None,
        },
        "use" => Some(Meaning::Use(bare_name(rest))),
        "describe" => Some(Meaning::Describe(named(word, rest, known)?)),
        "link" => Some(Meaning::Link(named(word, rest, known)?)),
        "unlink" => one_name(words, word, known)?.map(Meaning::Unlink),
        "unlock" => one_name(words, word, known)?.map(Meaning::Unlock),
        "lock" => lock(words, word, known)?,
        "status" => only(Meaning::Status),
        "whoami" => only(Meaning::WhoAmI),
        "identity" => only(Meaning::Identity),
        "notifications" => match &*lower {
            "" => Some(Meaning::Notifications(None)),
            "on" => Some(Meaning::Notifications(Some(true))),
            "off" => Some(Meaning::Notifications(Some(false))),
            _ => None,
        },
        "timeout" => match &*lower {
            "" => Some(Meaning::Timeout(None)),
            "off" | "none" => Some(Meaning::Timeout(Some(Limit(None)))),
            _ => match rest.parse::<Seconds>() {
                Ok(seconds) => Some(Meaning::Timeout(Some(Limit(Some(seconds))))),
                Err(_) => None,
            },
        },
        "client" => {
            return Err(Failure::Usage(
                "this shell is a client already, see: whoami (another name: labwire shell --name NAME)"
                    .to_owned(),
            ));
        }
        _ => only(Meaning::Exit),
    })
}

/// Returns the name that makes up the rest of a line, or the selected service.
fn named(word: &ShellWord, rest: &str, known: &Known) -> Result<String, Failure> {
    bare_name(rest).map_or_else(|| selected(word, known), Ok)
}

fn selected(word: &ShellWord, known: &Known) -> Result<String, Failure> {
    known.selected.clone().ok_or_else(|| {
        Failure::Usage(format!(
            "{0} needs the name of a service, type for example: {0} Echo",
            word.name
        ))
    })
}

/// Returns the name of a service, or the selected one. `None` if there are more words.
fn one_name(words: &[Word<'_>], word: &ShellWord, known: &Known) -> Result<Option<String>, Failure> {
    match words {
        [] => selected(word, known).map(Some),
        [name] => Ok(Some(name.name().into_owned())),
        _ => Ok(None),
    }
}

fn lock(words: &[Word<'_>], word: &ShellWord, known: &Known) -> Result<Option<Meaning>, Failure> {
    let mode = |word: &Word<'_>| match &*word.typed.to_ascii_lowercase() {
        "shared" => Some(true),
        "exclusive" => Some(false),
        _ => None,
    };
    let mut terms = Terms::default();
    let mut others = Vec::new();
    for word in words {
        if !terms.add(word)? {
            others.push(word.clone());
        }
    }
    let (service, shared) = match &others[..] {
        [] => (selected(word, known)?, false),
        [only] => match mode(only) {
            Some(shared) if known.selected.is_some() => (selected(word, known)?, shared),
            _ => (only.name().into_owned(), false),
        },
        [name, last] => match mode(last) {
            Some(shared) => (name.name().into_owned(), shared),
            None => return Ok(None),
        },
        _ => return Ok(None),
    };
    Ok(Some(Meaning::Lock {
        service,
        shared,
        terms,
    }))
}

/// Returns the meaning of a line that is a request.
fn request(line: &str, words: &[Word<'_>], known: &Known) -> Result<Meaning, Failure> {
    let (line, words, file) = split_file(line, words)?;
    let first = words[0].name();
    let through = match &known.selected {
        Some(selected) if known.is_selected_attribute(&first) || !known.is_service(&first) => Some(selected),
        _ => None,
    };
    if !known.is_service(&first)
        && !known.is_selected_attribute(&first)
        && let Some(spelled) = Spelled::read(line).filter(Spelled::is_call)
    {
        let is_known = match spelled.service() {
            Some(service) => known.is_service(service),
            None => known.selected.is_some(),
        };
        if is_known {
            return Err(Failure::Usage(format!(
                "a call is written as words, type: {}",
                one_line(&spelled.as_line(typed_name))
            )));
        }
    }
    if through.is_none() && !known.is_service(&first) {
        return Err(known.unknown_service(&first));
    }
    let (line, before) = match through {
        Some(selected) => {
            let prefix = format!("{} ", labwire_wire::frames::json_string(selected));
            let before = prefix.chars().count();
            (format!("{prefix}{}", with_files(line, words)?), before)
        }
        None => (with_files(line, words)?, 0),
    };
    let names = if through.is_some() { 1 } else { 2 };
    for word in words.iter().skip(names) {
        check_closed(word.typed)?;
    }
    match terminal::parse(&line) {
        Ok(TerminalLine::Request {
            service,
            attribute,
            args,
            kwargs,
        }) => {
            if is_of_connection(&service, &attribute) {
                return Err(refused(&attribute, &args));
            }
            check_numbers(&args)?;
            check_numbers(&kwargs)?;
            Ok(Meaning::Request {
                service,
                attribute,
                arguments: joined(&args, &kwargs)
                    .ok_or_else(|| Failure::Usage("the arguments cannot be read".to_owned()))?,
                file,
            })
        }
        Ok(_) => Err(Failure::Usage(format!(
            "put the name of the service in quotes: \"{}\"",
            one_line(&first)
        ))),
        Err(TerminalError::NoAttribute { .. }) => Err(Failure::Usage(format!(
            "nothing is asked of '{0}': type {1} ATTRIBUTE, or select it with: use {1}",
            one_line(&first),
            one_line(&typed_name(&first))
        ))),
        Err(error) => Err(Failure::Usage(shifted(error, before).to_string())),
    }
}

/// Replaces each `@FILE` and `key=@FILE` by the value in the file.
fn with_files(line: &str, words: &[Word<'_>]) -> Result<String, Failure> {
    let mut replaced = String::with_capacity(line.len());
    let mut copied = 0;
    for word in &words[1..] {
        let value = split_key(word.typed).map_or(word.typed, |(_, value)| value);
        let Some(path) = value.strip_prefix('@').filter(|path| !path.is_empty()) else {
            continue;
        };
        let read = value_in(path)?;
        replaced.push_str(&line[copied..word.range.end - value.len()]);
        replaced.push_str(&read);
        copied = word.range.end;
    }
    replaced.push_str(&line[copied..]);
    Ok(replaced)
}

/// Corrects the column in an error for text that was added before the line.
fn shifted(error: TerminalError, before: usize) -> TerminalError {
    let left = |column: usize| column.saturating_sub(before);
    match error {
        TerminalError::EmptyName { column } => TerminalError::EmptyName { column: left(column) },
        TerminalError::UnclosedQuote { quote, column } => TerminalError::UnclosedQuote {
            quote,
            column: left(column),
        },
        TerminalError::TextAfterQuote { column } => TerminalError::TextAfterQuote { column: left(column) },
        TerminalError::PositionalAfterKeyword { key, column } => TerminalError::PositionalAfterKeyword {
            key,
            column: left(column),
        },
        TerminalError::TooDeep { column } => TerminalError::TooDeep { column: left(column) },
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::super::known::tests::network;
    use super::*;

    /// Returns the meaning of a line as text.
    fn read(line: &str, known: &Known) -> String {
        match parse(line, known) {
            Ok(Meaning::Request {
                service,
                attribute,
                arguments,
                file: _,
            }) => {
                let (args, kwargs) = arguments.finish().unwrap();
                format!("{service}.{attribute} {args} {kwargs}")
            }
            Ok(other) => {
                format!("{other:?}").replace(", terms: Terms { ttl: None, wait: None, reason: None }", "")
            }
            Err(failure) => format!("! {failure}"),
        }
    }

    #[test]
    fn a_line_is_a_request_in_the_terminal_grammar() {
        let known = network();
        for (line, expected) in [
            ("Echo echo", "Echo.echo [] {}"),
            (
                "Echo echo 1.10 NaN \"two words\" [1, 2] x=1e300 y='V m'",
                "Echo.echo [1.10,NaN,\"two words\",[1,2]] {\"x\":1e300,\"y\":\"V m\"}",
            ),
            ("\"Basic Math\" add 1 2", "Basic Math.add [1,2] {}"),
            ("Manager stats", "Manager.stats [] {}"),
            ("Echo echo 1 > a.json", "Echo.echo [1] {}"),
            ("Echo echo \">\" a.json", "Echo.echo [\">\",\"a.json\"] {}"),
        ] {
            assert_eq!(read(line, &known), expected, "{line}");
        }
        for (line, text) in [
            ("Echo", "nothing is asked of 'Echo'"),
            (
                "Ecoh echo 1",
                "no service 'Ecoh' is connected\ndid you mean 'Echo'?",
            ),
            ("DMM.read 3", "type a blank instead of the dot: DMM read"),
            (
                "DMM.read(3, x='a b')",
                "a call is written as words, type: DMM read 3 x='a b'",
            ),
            ("Echo echo (1e400, 2)", "too large"),
            ("stauts", "did you mean 'status'?"),
            ("Echo echo 1 > a", "> FILE.json at the end of the line"),
            ("Echo echo x=1 2", "column 15"),
            ("Echo echo \"half", "the quote \" at column 11 is not closed"),
        ] {
            let read = read(line, &known);
            assert!(read.starts_with("! ") && read.contains(text), "{line}: {read}");
        }
    }

    #[test]
    fn the_attributes_of_the_selected_service_need_no_name_before_them() {
        let mut known = network();
        known.selected = Some("Basic Math".to_owned());
        for (line, expected) in [
            ("add 1 y=2", "Basic Math.add [1] {\"y\":2}"),
            ("pi", "Basic Math.pi [] {}"),
            ("hidden 1", "Basic Math.hidden [1] {}"),
            ("Echo echo 1", "Echo.echo [1] {}"),
            ("link", "Link(\"Basic Math\")"),
            ("lock shared", "Lock { service: \"Basic Math\", shared: true }"),
            ("unlink", "Unlink(\"Basic Math\")"),
            ("describe", "Describe(\"Basic Math\")"),
        ] {
            assert_eq!(read(line, &known), expected, "{line}");
        }
        let call = read("add(1, 2)", &known);
        assert!(call.ends_with("type: add 1 2"), "{call}");
        let wrong = read("add x=1 2", &known);
        assert!(wrong.contains("the value at column 9"), "{wrong}");
    }

    #[test]
    fn the_words_of_netcat_and_those_of_the_shell_are_known() {
        let known = network();
        for (line, expected) in [
            ("", "Nothing"),
            ("  # a comment", "Nothing"),
            ("help", "Help(None)"),
            ("? DMM.read", "Help(Some(One(\"DMM.read\")))"),
            ("HELP DMM read", "Help(Some(Attribute(\"DMM\", \"read\")))"),
            ("identity", "Identity"),
            ("whoami", "WhoAmI"),
            ("link Basic Math", "Link(\"Basic Math\")"),
            ("link \"Basic Math\"", "Link(\"Basic Math\")"),
            ("unlink \"Basic Math\"", "Unlink(\"Basic Math\")"),
            ("lock DMM", "Lock { service: \"DMM\", shared: false }"),
            ("lock DMM shared", "Lock { service: \"DMM\", shared: true }"),
            ("lock shared", "Lock { service: \"shared\", shared: false }"),
            (
                "lock DMM wait=10 reason=\"drift, until 4\" shared ttl=1min",
                "Lock { service: \"DMM\", shared: true, terms: Terms { ttl: Some(Seconds(60s)), wait: Some(Seconds(10s)), \
                 reason: Some(\"drift, until 4\") } }",
            ),
            ("unlock DMM", "Unlock(\"DMM\")"),
            ("exit", "Exit"),
            ("Quit", "Exit"),
            ("disconnect", "Exit"),
            ("__disconnect__", "Exit"),
            ("use Basic Math", "Use(Some(\"Basic Math\"))"),
            ("use", "Use(None)"),
            ("services D*", "Services(Some(\"D*\"))"),
            ("status", "Status"),
            ("notifications off", "Notifications(Some(false))"),
            ("timeout off", "Timeout(Some(Limit(None)))"),
        ] {
            assert_eq!(read(line, &known), expected, "{line}");
        }
        assert!(read("timeout 2.5", &known).contains("2.5s"));
        for line in [
            "timeout soon",
            "lock Basic Math",
            "lock DMM ttl=soon",
            "lock DMM reason=",
            "lock DMM until=5",
            "exit now",
            "unlock",
            "link",
            "client Ada",
            "\"link\" x",
        ] {
            assert!(read(line, &known).starts_with("! "), "{line}");
        }
    }

    #[test]
    fn a_file_stands_for_the_value_in_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("wave.json");
        fs::write(&path, "\u{feff}[1.50,\n {\"a\": null}]\n").unwrap();
        let known = network();
        let file = path.display();
        assert_eq!(
            read(&format!("Echo echo @{file} 2 x=@{file}"), &known),
            "Echo.echo [[1.50,{\"a\":null}],2] {\"x\":[1.50,{\"a\":null}]}"
        );
        assert_eq!(
            read("Echo echo \"@home\" @", &known),
            "Echo.echo [\"@home\",\"@\"] {}"
        );
        assert!(read("Echo echo @/does/not/exist", &known).contains("cannot read /does/not/exist"));
    }
}
