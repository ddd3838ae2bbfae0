//! What is typed is refused or becomes well-formed JSON, with work that grows with its length and no faster.

use super::envelope::{is_json, without_tokens};
use crate::terminal::{TerminalLine, looks, parse};
use crate::{JsonError, array_elements, scan_object};

/// No byte is looked at more often than this, on average over any line: the passes that the documentation of
/// the terminal's grammar lists. The worst lines that are known need up to 8.
pub(crate) const LOOKS_PER_BYTE: usize = 12;

/// Holds what a line means against what every line may mean, and types it again.
///
/// # Panics
///
/// When the line becomes what is not JSON, means something else the second time, or takes too much work.
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
        Ok(
            TerminalLine::Unlink { service }
            | TerminalLine::Lock { service, .. }
            | TerminalLine::Unlock { service },
        ) => assert!(!service.is_empty()),
        Ok(TerminalLine::Identity | TerminalLine::WhoAmI | TerminalLine::Help | TerminalLine::Disconnect) => {
        }
        Err(error) => {
            let message = error.to_string();
            assert!(message.starts_with(char::is_lowercase), "{message}");
            assert!(message.chars().count() < 1_000, "{message}");
        }
    }
}

/// The arguments that a line became, typed as JSON, become themselves.
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
