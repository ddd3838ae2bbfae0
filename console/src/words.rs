//! The arguments of a call, as words of a command line.
//!
//! Each word is a value of the terminal grammar ([`labwire_wire::terminal`]), or a text where it is
//! none. The shell has split the words already, so a text may contain blanks without quotes.

use std::fs;
use std::io::{self, Read};

use labwire_client::Arguments;
use labwire_wire::array_elements;
use labwire_wire::frames::json_string;
use labwire_wire::terminal::{self, TerminalLine};
use serde_json::value::RawValue;

use crate::failure::Failure;

/// Splits `KEY=VALUE`, where the key is a name of a keyword argument.
fn split_keyword(word: &str) -> Option<(&str, &str)> {
    let (key, value) = word.split_once('=')?;
    let is_start = |character: char| character == '_' || character.is_alphabetic();
    let is_rest = |character: char| character == '_' || character.is_alphanumeric();
    let is_name = key.starts_with(is_start) && key.chars().all(is_rest);
    is_name.then_some((key, value))
}

/// Returns a value as JSON text.
fn value(word: &str) -> Result<String, Failure> {
    match word {
        "-" => {
            let mut text = String::new();
            let read = io::stdin().read_to_string(&mut text);
            read.map_err(|error| Failure::Failed(format!("cannot read standard input: {error}")))?;
            json_document(&text, "standard input")
        }
        _ => match word.strip_prefix('@') {
            Some(path) => {
                let text = fs::read_to_string(path)
                    .map_err(|error| Failure::Failed(format!("cannot read {path}: {error}")))?;
                json_document(&text, path)
            }
            None => Ok(typed(word)),
        },
    }
}

/// Checks that a text is one JSON value.
fn json_document(text: &str, origin: &str) -> Result<String, Failure> {
    let text = text.trim_start_matches('\u{feff}').trim();
    match serde_json::from_str::<&RawValue>(text) {
        // A line break would end the line on the wire; in JSON it may only stand between values.
        Ok(value) => Ok(value.get().replace(['\n', '\r'], " ")),
        Err(error) => Err(Failure::Usage(format!("{origin} is not JSON: {error}"))),
    }
}

/// Returns what a word means in the terminal grammar, or the word as a text.
fn typed(word: &str) -> String {
    let is_one = |args: &str| array_elements(args.as_bytes()).is_ok_and(|elements| elements.len() == 1);
    match terminal::parse(&format!("\"service\" \"attribute\" {word}")) {
        Ok(TerminalLine::Request { args, kwargs, .. }) if kwargs == "{}" && is_one(&args) => {
            args[1..args.len() - 1].to_owned()
        }
        _ => json_string(word),
    }
}

/// Converts words into arguments: positional ones first, then `KEY=VALUE`.
///
/// # Errors
/// If a file cannot be read or is not JSON, if a key occurs twice, or if a positional argument
/// follows a keyword argument.
pub(crate) fn arguments(words: &[String]) -> Result<Arguments, Failure> {
    let mut arguments = Arguments::new();
    let mut keys: Vec<&str> = Vec::new();
    for word in words {
        if let Some((key, word)) = split_keyword(word) {
            if keys.contains(&key) {
                return Err(Failure::Usage(format!("the argument {key} is given twice")));
            }
            keys.push(key);
            arguments = arguments.keyword_json(key, &value(word)?);
        } else if let Some(key) = keys.last() {
            return Err(Failure::Usage(format!(
                "'{word}' follows {key}=…: values without a key come first (quote a text that contains '=': \
                 '\"a=b\"')"
            )));
        } else {
            arguments = arguments.positional_json(&value(word)?);
        }
    }
    Ok(arguments)
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
            ("[1, 2", "\"[1, 2\""),
            ("", "\"\""),
            ("http://a?b=c", "\"http://a?b=c\""),
        ] {
            assert_eq!(converted(&[word]).unwrap().0, format!("[{json}]"), "{word}");
        }
    }

    #[test]
    fn keyword_arguments_come_last_and_once() {
        let expected = ("[1]".to_owned(), r#"{"unit":"V m","n":2}"#.to_owned());
        assert_eq!(converted(&["1", "unit=V m", "n=2"]).unwrap(), expected);
        for words in [&["n=1", "n=2"][..], &["n=1", "2"]] {
            assert!(matches!(converted(words), Err(Failure::Usage(_))), "{words:?}");
        }
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
