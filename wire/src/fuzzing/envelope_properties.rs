//! Properties of any line: the envelope scanner accepts what another JSON parser accepts, and finds
//! the same members.
//!
//! The other parser is `serde_json`. It skips the document instead of parsing it, since payloads
//! need not fit any number or string type.

use std::collections::BTreeMap;

use super::envelope::{MEMBERS, check_envelope, is_json, without_tokens};
use crate::{Envelope, EnvelopeError, JsonError, MAX_DEPTH, Member};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use serde_json::Value;

fn white_space() -> impl Strategy<Value = &'static str> {
    select(vec!["", "", "", " ", "\t", "\r\n", "  \n"])
}

/// Possible contents of a string, separated by bars.
const STRING_PIECES: &str = concat!(
    "a|é|中|😀|\u{7f}|\u{2028}| |uid|NaN|{|]|,|:|/|'|12345678|",
    r#"\"|\\|\/|\b|\f|\n|\r|\t|\u0000|\ud800"#
);

/// A JSON string with its quotes, in as many spellings as JSON has.
fn string_text() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        1 => select(vec!["\\ud83d\\ude00", "\\ud83d", "\\uDBFF", "\\ude00", "\\udfff", "\\u00e9", "\\ue000", "\\uABCD"])
            .prop_map(str::to_owned),
        1 => select(STRING_PIECES.split('|').collect::<Vec<_>>()).prop_map(str::to_owned),
        1 => any::<String>().prop_map(|text| {
            let printed = Value::from(text).to_string();
            printed[1..printed.len() - 1].to_owned()
        }),
    ];
    vec(piece, 0..6).prop_map(|pieces| format!("\"{}\"", pieces.concat()))
}

/// A key in any spelling: each character unescaped, or as an escape with digits of either case.
fn key_text() -> impl Strategy<Value = String> {
    let key = prop_oneof![
        4 => select(MEMBERS.map(Member::name).to_vec()).prop_map(str::to_owned),
        1 => select(vec!["", "Service", "uid ", "services", "UID", "n\u{0}", "é"]).prop_map(str::to_owned),
        1 => "[a-z]{1,8}",
    ];
    (key, vec(0..6u8, 12)).prop_map(|(key, styles)| {
        let spell = |(character, style): (char, u8)| {
            let unit = u32::from(character);
            match style {
                0 => format!("\\u{unit:04x}"),
                1 => format!("\\u{unit:04X}"),
                _ if character.is_control() => format!("\\u{unit:04x}"),
                _ => character.to_string(),
            }
        };
        let spelled: String = key.chars().zip(styles.into_iter().cycle()).map(spell).collect();
        format!("\"{spelled}\"")
    })
}

/// A JSON value, with Python's additional tokens, and with white space wherever it is allowed.
fn value_text() -> impl Strategy<Value = String> {
    let scalar = prop_oneof![
        select(vec![
            "null",
            "true",
            "false",
            "NaN",
            "Infinity",
            "-Infinity",
            "0",
            "-0",
            "1",
            "-12",
            "1.10",
            "0.5",
            "1e400",
            "1E+5",
            "-2.5e-07",
            "0e0",
            "1234567890123456789012345678901234567890",
        ])
        .prop_map(str::to_owned),
        any::<f64>().prop_map(|number| Value::from(number).to_string()),
        string_text(),
    ];
    scalar.prop_recursive(5, 30, 5, |inner| {
        let item = (white_space(), inner.clone(), white_space())
            .prop_map(|(before, value, after)| format!("{before}{value}{after}"))
            .boxed();
        let member = (key_text(), white_space(), item.clone())
            .prop_map(|(key, space, value)| format!("{space}{key}{space}:{value}"));
        prop_oneof![
            (vec(item, 0..5), white_space())
                .prop_map(|(items, space)| format!("[{}]", non_empty_or(items.join(","), space))),
            (vec(member, 0..5), white_space())
                .prop_map(|(members, space)| format!("{{{}}}", non_empty_or(members.join(","), space))),
        ]
    })
}

fn non_empty_or(text: String, otherwise: &str) -> String {
    if text.is_empty() { otherwise.into() } else { text }
}

/// The members of an object: spelled keys and values, and the white space between them.
fn members() -> impl Strategy<Value = Vec<(String, String, &'static str)>> {
    vec((key_text(), value_text(), white_space()), 0..9)
}

fn document(members: &[(String, String, &str)]) -> String {
    let written: Vec<String> = members
        .iter()
        .map(|(key, value, space)| format!("{space}{key}{space}:{space}{value}{space}"))
        .collect();
    format!("{{{}}}", written.join(","))
}

/// The structural characters of a document.
const PUNCTUATION: [u8; 7] = *b"[]{},:\"";

/// One mutation of a document.
#[derive(Clone, Debug)]
enum Mutation {
    Flip(Index, u8),
    Replace(Index, u8),
    Insert(Index, Vec<u8>),
    Delete(Index),
    Cut(Index, Index),
    Truncate(Index),
    Repeat(Index, Index),
    /// Replaces a bracket, comma, colon or quote by another one.
    Punctuate(Index, u8),
}

fn mutation() -> impl Strategy<Value = Mutation> {
    let telling = || {
        prop_oneof![
            4 => select(b"\"\\{}[]:,-+.eE0 19\t\n\x00\x1f\x7f\x80\xc3\xa9\xed\xa0\xfftnuNI/'".to_vec()),
            1 => any::<u8>(),
        ]
    };
    let piece = prop_oneof![
        vec(telling(), 1..3),
        select(vec![
            "NaN",
            "Infinity",
            "-Infinity",
            "-",
            "null",
            "\"uid\":1,",
            "\\u00",
            "\\ud800",
            "1e",
            "{\"a\":"
        ])
        .prop_map(|piece| piece.as_bytes().to_vec()),
    ];
    prop_oneof![
        (any::<Index>(), 0..8u8).prop_map(|(at, bit)| Mutation::Flip(at, bit)),
        (any::<Index>(), telling()).prop_map(|(at, byte)| Mutation::Replace(at, byte)),
        (any::<Index>(), piece).prop_map(|(at, piece)| Mutation::Insert(at, piece)),
        any::<Index>().prop_map(Mutation::Delete),
        (any::<Index>(), any::<Index>()).prop_map(|(from, to)| Mutation::Cut(from, to)),
        any::<Index>().prop_map(Mutation::Truncate),
        (any::<Index>(), any::<Index>()).prop_map(|(from, to)| Mutation::Repeat(from, to)),
        (any::<Index>(), select(PUNCTUATION.to_vec()))
            .prop_map(|(which, byte)| Mutation::Punctuate(which, byte)),
    ]
}

fn mutate(bytes: &mut Vec<u8>, mutation: &Mutation) {
    let gap = |index: &Index| index.index(bytes.len() + 1);
    let span = |from: &Index, to: &Index| gap(from).min(gap(to))..gap(from).max(gap(to));
    match mutation {
        Mutation::Insert(at, piece) => {
            let at = gap(at);
            bytes.splice(at..at, piece.iter().copied());
        }
        Mutation::Truncate(at) => bytes.truncate(gap(at)),
        Mutation::Cut(from, to) => {
            bytes.drain(span(from, to));
        }
        Mutation::Repeat(from, to) => {
            let span = span(from, to);
            bytes.splice(span.end..span.end, bytes[span].to_vec());
        }
        Mutation::Punctuate(which, byte) => {
            let places: Vec<usize> = (0..bytes.len())
                .filter(|at| PUNCTUATION.contains(&bytes[*at]))
                .collect();
            if !places.is_empty() {
                bytes[*which.get(&places)] = *byte;
            }
        }
        Mutation::Flip(..) | Mutation::Replace(..) | Mutation::Delete(_) if bytes.is_empty() => {}
        Mutation::Flip(at, bit) => {
            let at = at.index(bytes.len());
            bytes[at] ^= 1 << bit;
        }
        Mutation::Replace(at, byte) => {
            let at = at.index(bytes.len());
            bytes[at] = *byte;
        }
        Mutation::Delete(at) => {
            let at = at.index(bytes.len());
            bytes.remove(at);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4_000))]

    #[test]
    fn a_well_formed_document_is_accepted_and_its_members_are_found_as_they_were_written(members in members()) {
        let line = document(&members);
        let mut expected = BTreeMap::new();
        let mut repeated = false;
        for (key, value, _) in &members {
            let key: String = serde_json::from_str(key).unwrap();
            repeated |= expected.insert(key.clone(), value).is_some() && MEMBERS.iter().any(|m| m.name() == key);
        }
        match Envelope::scan(line.as_bytes()) {
            Ok(envelope) => {
                prop_assert!(!repeated, "{line}");
                for member in MEMBERS {
                    let found = envelope.raw(line.as_bytes(), member);
                    let written = expected.get(member.name()).map(|value| value.as_bytes());
                    prop_assert_eq!(found, written, "{} in {}", member, line);
                    if let Some(written) = written.filter(|value| value[0] == b'"') {
                        // Both refuse half of a surrogate pair, and decode everything else to the
                        // same text.
                        let decoded = envelope.string(line.as_bytes(), member).ok().flatten().map(String::from);
                        prop_assert_eq!(decoded, serde_json::from_slice::<String>(written).ok(), "{}", line);
                    }
                }
            }
            Err(EnvelopeError::Duplicate(_)) => prop_assert!(repeated, "{line}"),
            Err(error) => prop_assert!(false, "{error}: {line}"),
        }
        check_envelope(line.as_bytes());
    }

    #[test]
    fn a_string_is_decoded_as_the_other_parser_does(text in string_text()) {
        // Both refuse half of a surrogate pair, but only when the text is decoded.
        let line = format!("{{\"uid\":{text}}}");
        let envelope = Envelope::scan(line.as_bytes()).unwrap();
        let decoded = envelope.string(line.as_bytes(), Member::Uid);
        prop_assert_eq!(decoded.ok().flatten().map(String::from), serde_json::from_str::<String>(&text).ok());
    }

    #[test]
    fn spans_hold_the_members_of_the_parsed_document(members in members()) {
        let line = document(&members);
        let Ok(parsed) = serde_json::from_str::<Value>(&without_tokens(&line)) else {
            // A number or a string that fits no type is covered by the previous property.
            return Ok(());
        };
        let Ok(envelope) = Envelope::scan(line.as_bytes()) else {
            return Ok(());
        };
        for member in MEMBERS {
            let found = envelope.raw(line.as_bytes(), member).map(|value| {
                serde_json::from_str::<Value>(&without_tokens(std::str::from_utf8(value).unwrap())).unwrap()
            });
            prop_assert_eq!(found.as_ref(), parsed.get(member.name()), "{} in {}", member, line);
        }
    }

    #[test]
    fn a_damaged_document_is_accepted_only_if_it_is_still_well_formed(
        members in members(),
        mutations in vec(mutation(), 1..4),
    ) {
        let mut bytes = document(&members).into_bytes();
        for mutation in &mutations {
            mutate(&mut bytes, mutation);
        }
        check_envelope(&bytes);
    }

    #[test]
    fn a_value_that_is_no_object_is_told_from_what_is_no_json(value in value_text(), mutations in vec(mutation(), 0..2)) {
        let mut bytes = value.into_bytes();
        for mutation in &mutations {
            mutate(&mut bytes, mutation);
        }
        check_envelope(&bytes);
    }

    #[test]
    fn any_bytes_are_accepted_only_if_they_are_well_formed(bytes in vec(any::<u8>(), 0..30)) {
        check_envelope(&bytes);
    }

    #[test]
    fn any_short_text_of_telling_bytes_is_accepted_only_if_it_is_well_formed(
        inside in vec(select(b"\"\"\\u:,[]{}-+.eE01 aNfI\n\x1f\xc3\xa9".to_vec()), 0..12),
    ) {
        check_envelope(&[b"{\"a\":", &inside[..], b"}"].concat());
        check_envelope(&[b"{\"", &inside[..], b"\":1}"].concat());
        check_envelope(&inside);
    }
}

proptest! {
    #[test]
    fn nesting_is_counted_up_to_the_limit_whatever_is_nested(
        containers in vec(any::<bool>(), MAX_DEPTH - 4..MAX_DEPTH + 3),
        siblings in vec(select(vec!["", "[[]],", "[{}],", "1,", "\"[[[[\","]), 16),
    ) {
        // The outermost object counts as a level.
        let depth = containers.len() + 1;
        let mut line = String::from("{\"result\":");
        for (level, is_object) in containers.iter().enumerate() {
            // Closed siblings must not count; near the limit they would be too deep themselves.
            let sibling = if level + 3 < MAX_DEPTH { siblings[level % siblings.len()] } else { "" };
            match (is_object, sibling) {
                (true, "") => line.push_str("{\"\":"),
                (true, sibling) => line.extend(["{\"k\":", sibling, "\"\":"]),
                (false, sibling) => line.extend(["[", sibling]),
            }
        }
        line.push('0');
        line.extend(containers.iter().rev().map(|is_object| if *is_object { '}' } else { ']' }));
        line.push('}');
        prop_assert!(is_json(&line));
        match Envelope::scan(line.as_bytes()) {
            Ok(_) => prop_assert!(depth <= MAX_DEPTH, "{depth} levels"),
            Err(error) => {
                prop_assert_eq!(error, EnvelopeError::Json(JsonError::TooDeep));
                prop_assert!(depth > MAX_DEPTH, "{depth} levels");
            }
        }
    }
}
