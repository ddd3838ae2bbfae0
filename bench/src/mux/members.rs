//! Finds the members that determine the receiver of a line.

use std::ops::Range;

use memchr::{memchr, memchr2, memchr3};

/// Within so many bytes a plain loop is faster than a vectorised search: names are short, and so
/// are most values.
const SHORT: usize = 24;

/// The ranges of these members' values in the line; empty for a missing member.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Members {
    pub(super) service: Range<usize>,
    pub(super) uid: Range<usize>,
    pub(super) requester: Range<usize>,
    pub(super) result: Range<usize>,
    pub(super) args: Range<usize>,
    /// The position of the bracket that closes the line.
    pub(super) end: usize,
}

impl Members {
    /// Finds them without parsing the values; `None` if the line is not an object.
    pub(super) fn find(line: &[u8]) -> Option<Self> {
        let mut members = Self::default();
        let mut at = blanks(line, 0);
        if *line.get(at)? != b'{' {
            return None;
        }
        at = blanks(line, at + 1);
        while *line.get(at)? == b'"' {
            let key = at + 1;
            let key_end = string_end(line, key)?;
            at = blanks(line, key_end);
            if *line.get(at)? != b':' {
                return None;
            }
            let start = blanks(line, at + 1);
            let end = value_end(line, start)?;
            match &line[key..key_end - 1] {
                b"service" => members.service = start..end,
                b"uid" => members.uid = start..end,
                b"requester" => members.requester = start..end,
                b"result" => members.result = start..end,
                b"args" => members.args = start..end,
                _ => {}
            }
            at = blanks(line, end);
            if *line.get(at)? != b',' {
                break;
            }
            at = blanks(line, at + 1);
        }
        members.end = at;
        (*line.get(at)? == b'}').then_some(members)
    }
}

fn blanks(line: &[u8], mut at: usize) -> usize {
    while line.get(at).is_some_and(u8::is_ascii_whitespace) {
        at += 1;
    }
    at
}

/// Returns the position of the next matching byte.
fn find(
    line: &[u8],
    at: usize,
    is_one: impl Fn(u8) -> bool,
    far: impl FnOnce(&[u8]) -> Option<usize>,
) -> Option<usize> {
    let near = line.len().min(at + SHORT);
    let found = line.get(at..near)?.iter().position(|byte| is_one(*byte));
    found.map_or_else(|| Some(near + far(&line[near..])?), |offset| Some(at + offset))
}

/// Returns the end of a string, including its last quote. `at` is after its first quote.
fn string_end(line: &[u8], mut at: usize) -> Option<usize> {
    loop {
        at = find(
            line,
            at,
            |byte| byte == b'"' || byte == b'\\',
            |rest| memchr2(b'"', b'\\', rest),
        )?;
        if line[at] == b'"' {
            return Some(at + 1);
        }
        at += 2;
    }
}

/// Returns the end of the value that begins at `start`.
fn value_end(line: &[u8], start: usize) -> Option<usize> {
    match *line.get(start)? {
        b'"' => string_end(line, start + 1),
        b'[' => nested_end(line, start + 1, b'[', b']'),
        b'{' => nested_end(line, start + 1, b'{', b'}'),
        _ => {
            let is_end = |byte| matches!(byte, b',' | b'}' | b' ' | b'\t' | b'\r' | b'\n');
            find(line, start, is_end, |rest| {
                rest.iter().position(|byte| is_end(*byte))
            })
        }
    }
}

/// Returns the end of the array or object. Brackets of the other kind come in pairs, so only its
/// own are counted.
fn nested_end(line: &[u8], mut at: usize, open: u8, close: u8) -> Option<usize> {
    let mut depth = 1_usize;
    loop {
        at = find(
            line,
            at,
            |byte| byte == b'"' || byte == open || byte == close,
            |rest| memchr3(b'"', open, close, rest),
        )?;
        let found = line[at];
        at += 1;
        if found == b'"' {
            at = string_end(line, at)?;
        } else if found == open {
            depth += 1;
        } else {
            depth -= 1;
            if depth == 0 {
                return Some(at);
            }
        }
    }
}

/// Returns the name in an identity, with its quotes.
pub(super) fn name(identity: &[u8]) -> Option<&[u8]> {
    let at = memchr::memmem::find(identity, b"\"name\":")? + 7;
    let name = identity[at..].trim_ascii_start();
    let end = 2 + memchr(b'"', name.get(1..)?)?;
    Some(&name[..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_are_found_whatever_stands_in_their_values() {
        let long = "x".repeat(100);
        for args in [
            "[]".to_owned(),
            "[[1, 2], {\"uid\": \"no\"}, \"]}\\\\\\\"\", NaN]".to_owned(),
            format!("[\"{long}\\\"{long}]\", [{long}]]"),
            "5".to_owned(),
            "null".to_owned(),
            "{\"result\": [{}, \"}\"]}".to_owned(),
        ] {
            let line = format!(
                "{{\"args\": {args}, \"error\":false ,\"kwargs\": {{}}, \"service\": \"s\", \"uid\":\"u\"}}\r\n"
            );
            let members = Members::find(line.as_bytes()).expect("an object");
            assert_eq!(&line[members.args], args);
            assert_eq!(&line[members.service], "\"s\"");
            assert_eq!(&line[members.uid], "\"u\"");
            assert_eq!(members.requester, 0..0);
            assert_eq!(&line[members.end..], "}\r\n");
        }
    }

    #[test]
    fn what_is_no_object_has_no_members() {
        for line in [
            "",
            "\r\n",
            "[]\n",
            "{\"a\": \"",
            "{\"a\": [1, 2}\n",
            "{\"a\" 1}\n",
            "client Ada\n",
        ] {
            assert_eq!(Members::find(line.as_bytes()), None, "{line}");
        }
        assert_eq!(Members::find(b"{}\n").map(|members| members.end), Some(1));
    }
}
