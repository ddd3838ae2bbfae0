//! The arguments of a call, as words of a command line.
//!
//! Each word is a value of the terminal grammar ([`labwire_wire::terminal`]), or a text where it is
//! none. The shell has split the words already, so a text may contain blanks without quotes.

use std::ffi::OsString;
use std::fs;
use std::io::{self, Read};
use std::path::Path;

use clap::{Arg, Command};
use labwire_client::{Arguments, Array, to_json};
use labwire_home::text_of_file;
use labwire_wire::frames::json_string;
use labwire_wire::terminal::{self, TerminalError, TerminalLine};
use labwire_wire::{array_elements, scan_object};
use serde_json::Value;
use serde_json::value::RawValue;

use crate::failure::Failure;
use crate::npy;
use crate::numbers::check_numbers;
use crate::output::one_line;
use crate::shell::{is_unclosed, split, split_key, typed_name};
use crate::spelling::Spelled;

/// Checks that a value which begins with a bracket ends with one, perhaps after a key.
///
/// # Errors
/// If it does not, with the remedy for a text.
pub(crate) fn check_closed(word: &str) -> Result<(), Failure> {
    let value = split_key(word).map_or(word, |(_, value)| value);
    if !is_unclosed(value) {
        return Ok(());
    }
    let (shown, quoted) = (one_line(value), one_line(&json_string(value)));
    Err(Failure::Usage(format!(
        "the bracket at the start of '{shown}' is not closed; for a text, quote it (for a command line twice: \
         '{quoted}')"
    )))
}

/// Returns a value as JSON text.
///
/// # Errors
/// If a file cannot be read or is not JSON.
pub(crate) fn value(word: &str) -> Result<String, Failure> {
    let json = unchecked_value(word)?;
    check_numbers(&json)?;
    Ok(json)
}

fn unchecked_value(word: &str) -> Result<String, Failure> {
    match as_typed(word) {
        "-" => {
            let mut text = String::new();
            let read = io::stdin().read_to_string(&mut text);
            read.map_err(|error| Failure::Failed(format!("cannot read standard input: {error}")))?;
            json_document(&text, "standard input")
        }
        word => match word.strip_prefix('@') {
            Some(path) => value_in(path),
            None => typed(word),
        },
    }
}

/// Returns the value in a file as JSON text in one line: the array of a file of NumPy's, or the JSON of
/// any other.
pub(crate) fn value_in(path: &str) -> Result<String, Failure> {
    if npy::is_named(Path::new(path)) {
        return to_json(&array_in(path)?).map_err(|error| Failure::Failed(error.to_string()));
    }
    // A pipe may have to be waited for: somebody measures.
    let text = fs::read(path).and_then(|bytes| text_of_file(&bytes));
    let text = text.map_err(|error| Failure::Failed(format!("cannot read {path}: {error}")))?;
    json_document(&text, path)
}

/// Returns the array that a word is which names a file of NumPy's.
fn array(word: &str) -> Result<Option<Array>, Failure> {
    let path = word
        .strip_prefix('@')
        .filter(|path| npy::is_named(Path::new(path)));
    path.map(array_in).transpose()
}

/// Returns the array in a file.
fn array_in(path: &str) -> Result<Array, Failure> {
    let cannot = |reason: &str| Failure::Failed(format!("cannot read {path}: {reason}"));
    let file = fs::read(path).map_err(|error| cannot(&error.to_string()))?;
    npy::read(file).map_err(|reason| cannot(&reason))
}

/// Checks that a text is one JSON value, and returns it as one line. `origin` is where it is from.
fn json_document(text: &str, origin: &str) -> Result<String, Failure> {
    let text = text.trim_start_matches('\u{feff}').trim();
    match serde_json::from_str::<&RawValue>(text) {
        // A line break would end the line on the wire; in JSON it may only stand between values.
        Ok(value) => Ok(value.get().replace(['\n', '\r'], " ")),
        Err(error) => Err(Failure::Usage(format!("{origin} is not JSON: {error}"))),
    }
}

/// Returns the meaning of a word in the terminal grammar, or the word as a text.
fn typed(word: &str) -> Result<String, Failure> {
    if word.trim() != word {
        return Ok(json_string(word));
    }
    check_closed(word)?;
    let is_negative = word.starts_with('-');
    if is_negative && serde_json::from_str::<&RawValue>(word).is_ok() {
        // The digits are sent as they were typed.
        return Ok(word.to_owned());
    }
    let is_one = |args: &str| array_elements(args.as_bytes()).is_ok_and(|elements| elements.len() == 1);
    match terminal::parse(&format!("\"service\" \"attribute\" {word}")) {
        Ok(TerminalLine::Request { args, kwargs, .. }) if kwargs == "{}" && is_one(&args) => {
            let value = &args[1..args.len() - 1];
            if value.starts_with('"') {
                // The grammar reads more forms of a number in parentheses, such as -.5 and -0x1F.
                if is_negative && let Some(number) = negative(word) {
                    return Ok(number);
                }
                return text_of(word, value.to_owned());
            }
            Ok(value.to_owned())
        }
        _ => text_of(word, json_string(word)),
    }
}

/// Returns the number that a word is which begins with a minus sign; `None` for a text.
fn negative(word: &str) -> Option<String> {
    match terminal::parse(&format!("\"service\" \"attribute\" ({word})")) {
        Ok(TerminalLine::Request { args, .. }) => {
            let value = args.strip_prefix('[')?.strip_suffix(']')?;
            value.starts_with('-').then(|| value.to_owned())
        }
        _ => None,
    }
}

/// What [`protect_numbers`] puts before a word. No word of a command line contains it.
const PROTECTED: char = '\0';

/// Returns a word as it was typed.
fn as_typed(word: &str) -> &str {
    word.strip_prefix(PROTECTED).unwrap_or(word)
}

/// Marks the values that begin like a negative number, where the parser of the command line would take
/// them for options, as it does `-1e-6` and `-3dB`. These are the values of the subcommands of
/// `command` that have an argument for any number.
pub fn protect_numbers(command: &Command, arguments: impl IntoIterator<Item = OsString>) -> Vec<OsString> {
    let mut arguments: Vec<_> = arguments.into_iter().collect();
    let typed = arguments.get(1).and_then(|name| command.find_subcommand(name));
    let Some((command, mut names)) = typed.and_then(|command| Some((command, names_before(command)?))) else {
        return arguments;
    };
    let is_number = |word: &str| {
        let digits = word.strip_prefix('-').unwrap_or_default();
        let mut characters = digits.chars();
        let is_digit = |character: Option<char>| character.is_some_and(|digit| digit.is_ascii_digit());
        let first = characters.next();
        let is_infinite = ["inf", "Inf"].iter().any(|word| digits.starts_with(word));
        is_infinite || is_digit(first) || (first == Some('.') && is_digit(characters.next()))
    };
    let mut is_value_of_option = false;
    for argument in arguments.iter_mut().skip(2).take_while(|word| *word != "--") {
        let Some(word) = argument.to_str() else {
            (names, is_value_of_option) = (names.saturating_sub(1), false);
            continue;
        };
        let is_value = std::mem::replace(&mut is_value_of_option, takes_next_word(command, word));
        if is_value {
            is_value_of_option = false;
        } else if names == 0 && is_number(word) {
            *argument = format!("{PROTECTED}{word}").into();
        } else if !word.starts_with('-') {
            names = names.saturating_sub(1);
        }
    }
    arguments
}

/// Returns the number of arguments without an option before the one for negative numbers, if the
/// command has one.
fn names_before(command: &Command) -> Option<usize> {
    let mut positionals = command.get_positionals();
    positionals.position(Arg::is_allow_negative_numbers_set)
}

/// Returns whether a word is an option whose value is the next word.
fn takes_next_word(command: &Command, word: &str) -> bool {
    let mut options = command.get_arguments();
    let option = match word.strip_prefix("--") {
        Some(name) => options.find(|option| option.get_long() == Some(name)),
        // Of short options in one word, only the last can take the next word.
        None => word.strip_prefix('-').and_then(|letters| {
            options.find(|option| option.get_short().is_some_and(|letter| letters.ends_with(letter)))
        }),
    };
    option.is_some_and(|option| option.get_action().takes_values() && !option.is_require_equals_set())
}

/// How many characters of a wrong word an error shows.
const SHOWN: usize = 200;

/// Returns a word as a text, unless it was meant to be a list or an object.
fn text_of(word: &str, text: String) -> Result<String, Failure> {
    if word.starts_with(['[', '{']) {
        // Lists within lists, which are deeper than this computer's JSON is read.
        let is_deep = serde_json::from_str::<Value>(word)
            .is_err_and(|error| error.to_string().contains("recursion limit"));
        let beginning: String = word.chars().take(SHOWN).collect();
        let shown = if beginning.len() < word.len() {
            &format!("{beginning}…")
        } else {
            word
        };
        return Err(Failure::Usage(if is_deep {
            format!(
                "'{shown}' is nested too deep for a word of the command line; send it from a program, or as a line by nc"
            )
        } else {
            format!(
                "'{shown}' is not a list or an object; for a text, quote it twice: '{}'",
                json_string(shown)
            )
        }));
    }
    Ok(text)
}

/// Converts words into arguments: positional ones first, then `KEY=VALUE`.
///
/// # Errors
/// If a file cannot be read or is not JSON, if a key occurs twice, or if a positional argument
/// follows a keyword argument.
pub(crate) fn arguments(words: &[String]) -> Result<Arguments, Failure> {
    if words
        .iter()
        .filter(|word| *word == "-" || word.ends_with("=-"))
        .count()
        > 1
    {
        return Err(Failure::Usage(
            "standard input can be read once: only one value may be -".to_owned(),
        ));
    }
    let mut arguments = Arguments::new();
    let mut keys: Vec<&str> = Vec::new();
    for word in words.iter().map(|word| as_typed(word)) {
        if let Some((key, word)) = split_key(word) {
            if keys.contains(&key) {
                return Err(Failure::Usage(format!("the argument {key} is given twice")));
            }
            keys.push(key);
            arguments = match array(word)? {
                Some(array) => arguments.keyword(key, &array),
                None => arguments.keyword_json(key, &value(word)?),
            };
        } else if let Some(key) = keys.last() {
            return Err(Failure::Usage(format!(
                "'{word}' follows {key}=…: values without a key come first (quote a text that contains '=': \
                 '\"a=b\"')"
            )));
        } else {
            arguments = match array(word)? {
                Some(array) => arguments.positional(&array),
                None => arguments.positional_json(&value(word)?),
            };
        }
    }
    Ok(arguments)
}

/// A call, as a line of the terminal grammar.
#[derive(Debug)]
pub(crate) struct TypedCall {
    pub(crate) service: String,
    pub(crate) attribute: String,
    pub(crate) arguments: Arguments,
}

/// Parses a line of the terminal grammar: `SERVICE ATTRIBUTE VALUE … KEY=VALUE …`. With a `target`,
/// a service and an attribute, the line is only the values.
///
/// # Errors
/// If the line is something else, a text with the expected form.
pub(crate) fn typed_call(line: &str, target: Option<(&str, &str)>) -> Result<TypedCall, String> {
    let whole = target
        .map(|(service, attribute)| format!("{} {} {line}", json_string(service), json_string(attribute)));
    let expected = match target {
        Some(_) => "VALUE … KEY=VALUE … was expected",
        None => "SERVICE ATTRIBUTE VALUE … KEY=VALUE … was expected",
    };
    if let Some(spelled) = Spelled::read(line).filter(Spelled::is_call)
        && target.is_none()
        && spelled.service().is_some()
    {
        return Err(format!("{expected}, type: {}", spelled.as_line(typed_name)));
    }
    let names = if target.is_some() { 0 } else { 2 };
    for word in split(line).iter().skip(names) {
        check_closed(word.typed).map_err(|failure| failure.to_string())?;
    }
    match terminal::parse(whole.as_deref().unwrap_or(line)) {
        Ok(TerminalLine::Request {
            service,
            attribute,
            args,
            kwargs,
            ..
        }) => {
            let checked = check_numbers(&args).and_then(|()| check_numbers(&kwargs));
            checked.map_err(|failure| failure.to_string())?;
            Ok(TypedCall {
                service,
                attribute,
                arguments: joined(&args, &kwargs).ok_or(expected)?,
            })
        }
        Err(TerminalError::NoAttribute { .. }) | Ok(_) => Err(expected.to_owned()),
        Err(error) => Err(error.to_string()),
    }
}

/// Returns arguments given as JSON text, of an array and of an object.
pub(crate) fn joined(args: &str, kwargs: &str) -> Option<Arguments> {
    let mut arguments = Arguments::new();
    for element in array_elements(args.as_bytes()).ok()? {
        arguments = arguments.positional_json(std::str::from_utf8(element).ok()?);
    }
    let mut keywords = Vec::new();
    let scanned = scan_object(kwargs.as_bytes(), |key, span| {
        keywords.push((key.decode().map(std::borrow::Cow::into_owned), span));
        Ok::<_, labwire_wire::JsonError>(())
    });
    scanned.ok()?;
    for (key, span) in keywords {
        arguments = arguments.keyword_json(&key?, &kwargs[span]);
    }
    Some(arguments)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn converted(words: &[&str]) -> Result<(String, String), Failure> {
        let words: Vec<_> = words.iter().map(|word| (*word).to_owned()).collect();
        Ok(arguments(&words)?.finish().expect("it is JSON"))
    }

    #[test]
    fn words_are_values_of_the_terminal_grammar_or_texts() {
        for (word, json) in [
            ("3", "3"),
            ("-1.50", "-1.50"),
            ("true", "true"),
            ("NaN", "NaN"),
            ("[1, 2]", "[1,2]"),
            ("{\"a\": 1}", "{\"a\":1}"),
            ("\"5\"", "\"5\""),
            ("volt", "\"volt\""),
            ("two words", "\"two words\""),
            ("it's", "\"it's\""),
            (" a ", "\" a \""),
            ("1,5", "[1,5]"),
            ("", "\"\""),
            ("http://a?b=c", "\"http://a?b=c\""),
        ] {
            assert_eq!(converted(&[word]).unwrap().0, format!("[{json}]"), "{word}");
        }
    }

    #[test]
    fn a_list_that_is_none_is_shown_in_part_with_the_reason() {
        let told = |word: &str| match converted(&[word]) {
            Err(Failure::Usage(text)) => text,
            other => panic!("{other:?}"),
        };
        assert_eq!(
            told("[1, x]"),
            "'[1, x]' is not a list or an object; for a text, quote it twice: '\"[1, x]\"'"
        );
        let deep = told(&format!("{}{}", "[".repeat(1_000), "]".repeat(1_000)));
        assert!(
            deep.contains("[…' is nested too deep for a word of the command line"),
            "{deep}"
        );
        assert!(deep.len() < 400, "{deep}");
        assert!(told(&format!("[{}]", "x".repeat(5_000))).len() < 700);
    }

    #[test]
    fn negative_numbers_are_no_options() {
        let words = [
            "labwire",
            "call",
            "S",
            "-1e-6",
            "-Infinity",
            "-inf",
            "-3dB",
            "--every",
            "-2",
            "-o",
            "-.5",
            "--json",
            "-.5",
            "--reconnect",
            "-.5",
            "--",
            "-3",
        ];
        let option = |name: &'static str| Arg::new(name).long(name);
        let call = Command::new("call")
            .arg(Arg::new("service"))
            .arg(Arg::new("values").num_args(0..).allow_negative_numbers(true))
            .arg(option("every"))
            .arg(option("json").action(clap::ArgAction::SetTrue))
            .arg(option("reconnect").num_args(0..=1).require_equals(true))
            .arg(option("output").short('o'));
        let program = Command::new("labwire")
            .subcommand(call)
            .subcommand(Command::new("watch"));
        let protected =
            |words: &[&str]| protect_numbers(&program, words.iter().map(|word| OsString::from(*word)));
        for words in [["labwire", "watch", "-.5"], ["labwire", "other", "-.5"]] {
            assert_eq!(protected(&words), words.map(OsString::from));
        }
        let marked: Vec<_> = protected(&words)
            .iter()
            .map(|word| word.to_str().unwrap().replace('\0', "!"))
            .collect();
        assert_eq!(
            marked[3..],
            [
                "!-1e-6",
                "!-Infinity",
                "!-inf",
                "!-3dB",
                "--every",
                "-2",
                "-o",
                "-.5",
                "--json",
                "!-.5",
                "--reconnect",
                "!-.5",
                "--",
                "-3"
            ]
        );
        for (word, json) in [
            ("\0-1e-6", "-1e-6"),
            ("\0-Infinity", "-Infinity"),
            ("\0-.5", "-0.5"),
            ("\0-1.50", "-1.50"),
            ("\0-3dB", "\"-3dB\""),
            ("\0-5 V", "\"-5 V\""),
            ("\0-5%", "\"-5%\""),
            ("\0-5:3", "\"-5:3\""),
            ("\0-.5V", "\"-.5V\""),
            ("\0-1.2.3", "\"-1.2.3\""),
            ("\0-5/2", "\"-5/2\""),
            ("\0-inf", "\"-inf\""),
            ("x\0", "\"x\\u0000\""),
            ("(-3dB)", "\"(-3dB)\""),
            ("\0-0x1F", "-31"),
            ("\0-0", "-0"),
            ("1e308", "1e308"),
            ("[-0, \"1e400\"]", "[-0,\"1e400\"]"),
            ("a 1e400", "\"a 1e400\""),
        ] {
            assert_eq!(converted(&[word]).unwrap().0, format!("[{json}]"), "{word}");
        }
    }

    #[test]
    fn keyword_arguments_come_last_and_once() {
        let expected = ("[1]".to_owned(), r#"{"unit":"V m","n":2}"#.to_owned());
        assert_eq!(converted(&["1", "unit=V m", "n=2"]).unwrap(), expected);
        for words in [
            &["n=1", "n=2"][..],
            &["n=1", "2"],
            &["[1, 2"],
            &["(1e400, 2)"],
            &["(-1e400)"],
            &["[1, {\"a\\\"\": 1e400}]"],
            &["n=[1"],
            &["(1,"],
            &["n=(1"],
            &["-", "n=-"],
        ] {
            assert!(matches!(converted(words), Err(Failure::Usage(_))), "{words:?}");
        }
    }

    #[test]
    fn a_line_is_a_call_or_its_values() {
        let typed = |line, target| {
            let call = typed_call(line, target)?;
            let (args, kwargs) = call.arguments.finish().expect("it is JSON");
            Ok::<_, String>(format!("{}.{}{args}{kwargs}", call.service, call.attribute))
        };
        assert_eq!(
            typed("DMM read 3 unit='V m'", None).unwrap(),
            r#"DMM.read[3]{"unit":"V m"}"#
        );
        let target = Some(("My DMM", "read"));
        assert_eq!(
            typed("[1, NaN] n=2", target).unwrap(),
            r#"My DMM.read[[1,NaN]]{"n":2}"#
        );
        assert_eq!(typed("", target).unwrap(), "My DMM.read[]{}");
        for line in [
            "link DMM",
            "identity",
            "DMM",
            "DMM read (1e400, 2)",
            "DMM read [1,",
            "DMM read x={1",
            "DMM read (1,",
        ] {
            assert!(typed(line, None).is_err(), "{line}");
        }
        let error = typed("DMM.read(3, unit='V m')", None).unwrap_err();
        assert!(error.ends_with("type: DMM read 3 unit='V m'"), "{error}");
    }

    #[test]
    fn a_file_is_one_value() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("values.json");
        fs::write(&path, "\u{feff}[1,\n 2]\n").unwrap();
        let word = format!("@{}", path.display());
        assert_eq!(converted(&[&word]).unwrap().0, "[[1,  2]]");
        fs::write(&path, "1 2").unwrap();
        assert!(matches!(converted(&[&word]), Err(Failure::Usage(_))));
        assert!(matches!(
            converted(&["@/does/not/exist"]),
            Err(Failure::Failed(_))
        ));
    }
}
