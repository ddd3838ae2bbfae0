//! Parses the answers of peers during the handshake: programs answer in JSON, people in words.

use labwire_wire::terminal::{self, NotText, TerminalLine};
use labwire_wire::{Envelope, EnvelopeError, Identity, JsonError, Line, Member, RawString, as_string};

use crate::config::MANAGERS_LINE;
use crate::refusal::Refusal;

/// How many characters of a line that is not an identity an error repeats.
const EXCERPT_CHARACTERS: usize = 64;

/// A peer's answer to the request for its identity.
#[derive(Debug)]
pub(super) enum Answer {
    Identity(Identity),
    /// A person requests the manager's identity first.
    WhoIsHere,
    /// A person requests help.
    Help,
    /// A person leaves.
    Leave,
    /// A person typed something else, and may try again.
    Mistyped(Refusal),
}

/// Parses the answer to the request for the identity.
///
/// # Errors
///
/// Returns why a program's answer is refused. It gets no second try.
pub(super) fn read_answer(line: &Line, nesting: usize) -> Result<Answer, Refusal> {
    check_encoding(line)?;
    let content = terminal::without_preamble(line.content());
    match Envelope::scan(content) {
        Ok(envelope) if envelope.shape().depth > nesting => Err(Refusal::TooDeep { limit: nesting }),
        Ok(envelope) => {
            // A bare identity is accepted too, since somebody might type it.
            let identity = envelope.raw(content, Member::Result).unwrap_or(content);
            let identity = match as_string(identity).and_then(RawString::decode) {
                Some(text) => match typed(&text) {
                    Answer::Identity(identity) => identity,
                    Answer::Mistyped(refusal) => return Err(refusal),
                    _ => return Err(no_identity(&text)),
                },
                None => Identity::from_json(identity)?,
            };
            Ok(Answer::Identity(identity))
        }
        Err(error) if content.trim_ascii_start().first() == Some(&b'{') => Err(error.into()),
        Err(_) if content.len() > MANAGERS_LINE => Err(Refusal::TypedTooMuch),
        Err(error) => {
            let text = terminal::typed_text(content)?;
            if error == EnvelopeError::Json(JsonError::NotAnObject) {
                return Err(no_identity(&text));
            }
            if is_http(&text) {
                return Err(Refusal::Http);
            }
            Ok(typed(&text))
        }
    }
}

/// Interprets the line of a person who was asked for the identity.
fn typed(text: &str) -> Answer {
    match terminal::parse(text) {
        Ok(TerminalLine::Client { name }) => match Identity::client(&name) {
            Ok(identity) => Answer::Identity(identity),
            Err(error) => Answer::Mistyped(error.into()),
        },
        Ok(TerminalLine::Identity) => Answer::WhoIsHere,
        Ok(TerminalLine::Help) => Answer::Help,
        Ok(TerminalLine::Disconnect) => Answer::Leave,
        _ => Answer::Mistyped(no_identity(text)),
    }
}

fn no_identity(text: &str) -> Refusal {
    Refusal::NoIdentity(text.trim().chars().take(EXCERPT_CHARACTERS).collect())
}

/// Returns whether a line begins an HTTP request. A web page can make a browser send one, followed
/// by lines of its own choice. None of them may count as another try.
fn is_http(line: &str) -> bool {
    line.trim_end()
        .rsplit(' ')
        .next()
        .is_some_and(|word| word.starts_with("HTTP/"))
}

/// Refuses a line in UTF-16, which would be misread.
pub(super) fn check_encoding(line: &Line) -> Result<(), Refusal> {
    match terminal::typed_text(line.content().get(..MANAGERS_LINE).unwrap_or(line.content())) {
        Err(error @ NotText::Utf16) => Err(error.into()),
        _ => Ok(()),
    }
}

/// Returns the username or password in a line, or `None` if it is not text or longer than
/// [`MANAGERS_LINE`].
pub(crate) fn credential(line: &Line) -> Option<String> {
    let content = line.content();
    if content.len() > MANAGERS_LINE {
        return None;
    }
    let content = terminal::without_preamble(content);
    if let Ok(envelope) = Envelope::scan(content)
        && let Some(result) = envelope.raw(content, Member::Result)
    {
        return Some(as_string(result)?.decode()?.into_owned());
    }
    Some(terminal::typed_text(content).ok()?.trim_end().to_owned())
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn line(text: &[u8]) -> Line {
        Line::new(Bytes::copy_from_slice(text))
    }

    #[test]
    fn a_credential_is_a_result_or_the_bare_text() {
        for (text, expected) in [
            (&br#"{"result":"abc 123"}"#[..], Some("abc 123")),
            (
                br#"{"error":false,"requester":null,"result":"a\u0062c","uid":""}"#,
                Some("abc"),
            ),
            (b"abc 123\r", Some("abc 123")),
            (b"12345", Some("12345")),
            (b"{not json", Some("{not json")),
            (b"\xef\xbb\xbfabc 123\r", Some("abc 123")),
            (b"\xff\xfb\x1f\xff\xfd\x01abc 123\r", Some("abc 123")),
            (b"\xef\xbb\xbf{\"result\":\"abc\"}", Some("abc")),
            (br#"{"result":null}"#, None),
            (br#"{"result":{"a":1}}"#, None),
            (b"caf\xe9", None),
        ] {
            let text = line(text);
            assert_eq!(credential(&text).as_deref(), expected, "{text:?}");
        }
    }

    #[test]
    fn an_identity_is_sent_as_a_result_or_typed() {
        for text in [
            &br#"{"result":{"type":"client","name":"n"}}"#[..],
            br#"{"type":"client","name":"n"}"#,
            br#"{"result":"client n"}"#,
            b"client n",
            b"CLIENT \"n\"",
            b"\xef\xbb\xbf{\"type\":\"client\",\"name\":\"n\"}",
            b"\xff\xfb\x1f\xff\xfd\x01client n",
        ] {
            match read_answer(&line(text), 100).unwrap() {
                Answer::Identity(identity) => assert_eq!(identity.name, "n"),
                other => panic!("{}: {other:?}", String::from_utf8_lossy(text)),
            }
        }
    }

    #[test]
    fn a_person_may_ask_for_help_or_try_again_and_a_program_may_not() {
        let read = |text: &str| read_answer(&line(text.as_bytes()), 100);
        assert!(matches!(read("help"), Ok(Answer::Help)));
        assert!(matches!(read("identity"), Ok(Answer::WhoIsHere)));
        for text in ["exit", "quit", "disconnect"] {
            assert!(matches!(read(text), Ok(Answer::Leave)), "{text}");
        }
        for text in [
            "",
            "hello",
            "link BasicMath",
            "whoami",
            "client Manager",
            "\"half",
        ] {
            assert!(matches!(read(text), Ok(Answer::Mistyped(_))), "{text}");
        }
        for text in [
            "5",
            "null",
            "[]",
            "{}",
            "{",
            r#"{"result":1}"#,
            r#"{"result":"x"}"#,
            r#"{"result":"help"}"#,
            r#"{"result":"client Manager"}"#,
            "POST / HTTP/1.1",
        ] {
            assert!(read(text).is_err(), "{text}");
        }
        assert!(read_answer(&line(b"\xff"), 100).is_err());
    }
}
