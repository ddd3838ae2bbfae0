//! Checks that the envelope scanner accepts what another JSON parser accepts, and finds the same
//! members.
//!
//! The other parser is `serde_json`. It skips the document instead of parsing it, since payloads
//! need not fit any number or string type.

use std::fmt;

use serde::Deserializer;
use serde::de::{IgnoredAny, MapAccess, Visitor};

use crate::{
    ArrivingEnvelope, Envelope, EnvelopeError, FEW_DIGITS, JsonError, LineSplitter, MAX_DEPTH, Member,
};
use bytes::BytesMut;

pub(super) const MEMBERS: [Member; 10] = [
    Member::Service,
    Member::Attribute,
    Member::Uid,
    Member::Requester,
    Member::Error,
    Member::Args,
    Member::Kwargs,
    Member::Result,
    Member::Message,
    Member::Traceback,
];

/// Returns the document in a form that `serde_json` accepts: the tokens that only Python writes
/// become `null`, which like them may not touch another word or a number. A document that is
/// otherwise malformed stays malformed.
pub(super) fn without_tokens(document: &str) -> String {
    let mut plain = String::with_capacity(document.len());
    let mut rest = document;
    let mut in_string = false;
    while let Some(character) = rest.chars().next() {
        let token = ["NaN", "-Infinity", "Infinity"]
            .into_iter()
            .find(|token| rest.starts_with(token));
        if let (Some(token), false) = (token, in_string) {
            plain.push_str("null");
            rest = &rest[token.len()..];
            continue;
        }
        let escaped = if in_string && character == '\\' {
            rest[1..].chars().next()
        } else {
            None
        };
        if escaped.is_none() && character == '"' {
            in_string = !in_string;
        }
        plain.push(character);
        plain.extend(escaped);
        rest = &rest[character.len_utf8() + escaped.map_or(0, char::len_utf8)..];
    }
    plain
}

pub(super) fn is_json(document: &str) -> bool {
    serde_json::from_str::<IgnoredAny>(document).is_ok()
}

/// Returns the keys of an object, in order and with repetitions. Returns `None` if one contains
/// half of a surrogate pair, which `serde_json` refuses to decode.
fn keys(object: &str) -> Option<Vec<String>> {
    struct Keys;
    impl<'de> Visitor<'de> for Keys {
        type Value = Vec<String>;

        fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
            formatter.write_str("an object")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
            let mut keys = Vec::new();
            while let Some((key, _)) = map.next_entry::<String, IgnoredAny>()? {
                keys.push(key);
            }
            Ok(keys)
        }
    }
    serde_json::Deserializer::from_str(object)
        .deserialize_map(Keys)
        .ok()
}

/// Checks that the result does not depend on the pieces in which a line arrives.
fn check_arriving(bytes: &[u8]) {
    // Replace line feeds, which no line can contain, by other white space.
    let line: Vec<u8> = bytes
        .iter()
        .map(|byte| if *byte == b'\n' { b' ' } else { *byte })
        .collect();
    let received = [&line, &b"\r\n{\"uid\": \"of the next line\"}\n"[..]].concat();
    let expected = Envelope::scan(&line).ok();
    let shown = String::from_utf8_lossy(&line);
    for size in [1, 2, 7, 65, 200] {
        let mut arriving = ArrivingEnvelope::default();
        for end in (0..received.len()).step_by(size) {
            let searched = arriving.look(&received[..end]);
            assert!(searched <= line.len() + 1, "in pieces of {size}: {shown:?}");
        }
        let found = arriving.finish(&line).ok();
        check_shortened(&line, &received, size, expected.as_ref());
        let what = |envelope: &Envelope| {
            let shape = envelope.shape();
            let digits = Some(shape.integer_digits).filter(|digits| *digits > FEW_DIGITS);
            (MEMBERS.map(|member| envelope.span(member)), shape.depth, digits)
        };
        assert_eq!(
            found.as_ref().map(what),
            expected.as_ref().map(what),
            "in pieces of {size}: {shown:?}"
        );
    }
}

/// Does the same for a line from which all bytes that may be passed on before its end are taken
/// out.
fn check_shortened(line: &[u8], received: &[u8], size: usize, expected: Option<&Envelope>) {
    let shown = String::from_utf8_lossy(line);
    let mut splitter = LineSplitter::new(usize::MAX);
    let mut arriving = ArrivingEnvelope::default();
    let (mut kept, mut taken) = (None, 0);
    for piece in received.chunks(size) {
        splitter.extend(piece);
        let searched = arriving.look(splitter.buffer());
        splitter.note_searched(searched);
        kept = splitter.next_line().expect("there is no limit");
        if kept.is_some() {
            break;
        }
        if let Some((start, _)) = arriving.value(splitter.buffer())
            && arriving.checked() > start + 1
        {
            let range = start + 1..arriving.checked();
            let bytes = splitter.take_out(range.clone(), BytesMut::new());
            assert!(
                received[start + 1 + taken..].starts_with(&bytes),
                "in pieces of {size}: {shown:?}"
            );
            taken += bytes.len();
            arriving.take_out(range);
        }
    }
    let kept = kept.expect("the line has an end");
    if expected.is_some() {
        assert_eq!(
            kept.content().len() + taken,
            line.len(),
            "in pieces of {size}: {shown:?}"
        );
    }
    let found = arriving.finish(kept.content()).ok();
    let what = |envelope: &Envelope| {
        (
            MEMBERS.map(|member| envelope.span(member).is_some()),
            envelope.shape().depth,
        )
    };
    assert_eq!(
        found.as_ref().map(what),
        expected.map(what),
        "in pieces of {size}: {shown:?}"
    );
}

/// Compares the scanner with `serde_json` on any bytes.
///
/// # Panics
///
/// If one of them accepts what the other refuses, or they find different members.
pub fn check_envelope(bytes: &[u8]) {
    let scanned = Envelope::scan(bytes);
    check_arriving(bytes);
    let shown = String::from_utf8_lossy(bytes).into_owned();
    let plain = std::str::from_utf8(bytes)
        .ok()
        .map(without_tokens)
        .filter(|plain| is_json(plain));
    let Some(plain) = plain else {
        assert!(scanned.is_err(), "only the scanner accepts {shown:?}");
        assert_ne!(
            scanned.expect_err("it is not JSON"),
            EnvelopeError::Json(JsonError::NotAnObject),
            "{shown}"
        );
        return;
    };
    if !plain.trim_start().starts_with('{') {
        assert_eq!(
            scanned.expect_err("it is no object"),
            EnvelopeError::Json(JsonError::NotAnObject),
            "{shown}"
        );
        return;
    }
    let count = |keys: &[String], member: Member| keys.iter().filter(|key| *key == member.name()).count();
    match (scanned, keys(&plain)) {
        (Ok(envelope), keys) => {
            for member in MEMBERS {
                let value = envelope.raw(bytes, member);
                if let Some(keys) = &keys {
                    assert_eq!(
                        usize::from(value.is_some()),
                        count(keys, member),
                        "{member} in {shown}"
                    );
                }
                if let Some(value) = value {
                    let value = without_tokens(&String::from_utf8_lossy(value));
                    assert!(
                        is_json(&value) && value.trim() == value,
                        "{member} of {shown:?} is {value:?}"
                    );
                }
            }
        }
        (Err(EnvelopeError::Duplicate(member)), Some(keys)) => {
            assert!(count(&keys, member) > 1, "{member} stands once in {shown:?}");
        }
        (Err(EnvelopeError::Duplicate(_)), None) => {}
        (Err(EnvelopeError::Json(JsonError::TooDeep)), _) => {
            let opened = bytes.iter().filter(|byte| matches!(byte, b'[' | b'{')).count();
            assert!(opened > MAX_DEPTH, "{shown:?} is not nested as deep");
        }
        (Err(error), _) => panic!("{error}: only the scanner refuses {shown:?}"),
    }
}
