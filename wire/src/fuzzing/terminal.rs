//! Checks that a typed line is refused or becomes well-formed JSON, in linear time.

use super::envelope::{is_json, without_tokens};
use crate::terminal::{TerminalLine, looks, parse};
use crate::{JsonError, array_elements, scan_object};

/// The most reads per byte, on average over any line: the passes listed in the documentation of the
/// terminal's grammar. The worst known lines need up to 8.
pub(crate) const LOOKS_PER_BYTE: usize = 12;

/// Parses a line, checks the result, and parses its arguments again.
///
/// # Panics
///
/// If the line becomes malformed JSON, is parsed differently the second time, or takes too much
/// work.
pub fn check_terminal(line: &str) {
    looks::take();
    let meaning = parse(line);
    let looks = looks::take();
    assert!(
        looks <= LOOKS_PER_BYTE * (line.len() + 1),
        "{looks} looks at {} bytes",
        line.len()
    );
    match meaning {
        Ok(TerminalLine::Request {
            service,
            attribute,
            args,
            kwargs,
        }) => {
            assert!(!service.is_empty() && !attribute.is_empty());
            assert_eq!((args.as_bytes()[0], kwargs.as_bytes()[0]), (b'[', b'{'));
            for json in [&args, &kwargs] {
                assert!(is_json(&without_tokens(json)), "{json}");
            }
            check_again(&args, &kwargs);
        }
        Ok(TerminalLine::Client { name: filled } | TerminalLine::Link { service: filled }) => {
            assert!(!filled.trim().is_empty());
        }
        Ok(TerminalLine::Lock { service, kwargs }) => {
            assert!(!service.is_empty());
            assert!(is_json(&without_tokens(&kwargs)), "{kwargs}");
        }
        Ok(
            TerminalLine::Unlink { service }
            | TerminalLine::Unlock { service }
            | TerminalLine::Cancel {
                service: Some(service),
            },
        ) => {
            assert!(!service.is_empty());
        }
        Ok(
            TerminalLine::Identity
            | TerminalLine::WhoAmI
            | TerminalLine::Help
            | TerminalLine::Cancel { service: None }
            | TerminalLine::Disconnect,
        ) => {}
        Err(error) => {
            let message = error.to_string();
            assert!(message.starts_with(char::is_lowercase), "{message}");
            assert!(message.chars().count() < 1_000, "{message}");
        }
    }
}

/// Checks that the arguments of a line, typed as JSON, are parsed to themselves.
fn check_again(args: &str, kwargs: &str) {
    let shown = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let values = array_elements(args.as_bytes()).expect("the positional arguments are an array");
    let mut words: Vec<String> = values.into_iter().map(shown).collect();
    scan_object(kwargs.as_bytes(), |key, span| {
        let key = key.decode().expect("a key is a word");
        words.push(format!("{key}={}", shown(&kwargs.as_bytes()[span])));
        Ok::<(), JsonError>(())
    })
    .expect("the keyword arguments are an object");
    let line = format!("S a {}", words.join(" "));
    let again = TerminalLine::Request {
        service: "S".to_owned(),
        attribute: "a".to_owned(),
        args: args.to_owned(),
        kwargs: kwargs.to_owned(),
    };
    assert_eq!(parse(&line).as_ref(), Ok(&again), "{line}");
}
