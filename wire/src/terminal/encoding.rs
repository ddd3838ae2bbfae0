//! Converts the bytes of a terminal program to the typed text.
//!
//! Editors and shells put a byte order mark before a text; telnet programs insert commands. Neither
//! is part of the typed text.

use std::borrow::Cow;

/// The byte order mark of UTF-8, with which some programs begin a text.
pub const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// The first byte of every telnet command. It occurs in no UTF-8 text.
const COMMAND: u8 = 0xff;

/// Begins a telnet subnegotiation, which ends with [`COMMAND`] and [`SUBNEGOTIATION_END`].
const SUBNEGOTIATION: u8 = 0xfa;
const SUBNEGOTIATION_END: u8 = 0xf0;

/// The reason why bytes are not text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotText {
    /// The bytes are UTF-16, as some editors and shells write it.
    #[error("the line is UTF-16, send it as UTF-8")]
    Utf16,
    /// The bytes are text in some other encoding, or no text.
    #[error("the line is not valid UTF-8")]
    NotUtf8,
}

/// Removes a byte order mark at the start of a line.
#[inline]
pub fn without_mark(line: &[u8]) -> &[u8] {
    line.strip_prefix(BYTE_ORDER_MARK).unwrap_or(line)
}

/// Removes a byte order mark and telnet commands at the start of a line.
///
/// ```
/// use labwire_wire::terminal::without_preamble;
///
/// // IAC WILL NAWS, IAC DO ECHO: what a telnet program sends before the first line.
/// assert_eq!(without_preamble(b"\xff\xfb\x1f\xff\xfd\x01client"), b"client");
/// assert_eq!(without_preamble(b"\xef\xbb\xbfclient"), b"client");
/// ```
pub fn without_preamble(line: &[u8]) -> &[u8] {
    if is_utf16(line) {
        return line;
    }
    let mut rest = line;
    loop {
        let next = match command_length(rest) {
            Some(length) => &rest[length..],
            None => without_mark(rest),
        };
        if next.len() == rest.len() {
            return rest;
        }
        rest = next;
    }
}

/// Returns the text of a typed line, without a byte order mark at its start and without telnet
/// commands.
///
/// # Errors
///
/// If the line is not UTF-8. The error contains what it is instead.
pub fn typed_text(line: &[u8]) -> Result<Cow<'_, str>, NotText> {
    if is_utf16(line) {
        return Err(NotText::Utf16);
    }
    let line = without_preamble(line);
    if memchr::memchr(COMMAND, line).is_none() {
        let text = std::str::from_utf8(line).map_err(|_| NotText::NotUtf8)?;
        return Ok(Cow::Borrowed(text));
    }
    let mut text = Vec::with_capacity(line.len());
    let mut rest = line;
    while let Some(&byte) = rest.first() {
        if let Some(length) = command_length(rest) {
            rest = &rest[length..];
        } else {
            text.push(byte);
            rest = &rest[1..];
        }
    }
    let text = String::from_utf8(text).map_err(|_| NotText::NotUtf8)?;
    Ok(Cow::Owned(text))
}

/// Returns the length of the telnet command at the start of `bytes`. An incomplete command takes
/// all of them: the rest of a subnegotiation that contains a line feed begins the next line.
fn command_length(bytes: &[u8]) -> Option<usize> {
    match *bytes {
        [COMMAND, SUBNEGOTIATION, ..] => {
            let end = memchr::memmem::find(&bytes[2..], &[COMMAND, SUBNEGOTIATION_END]);
            Some(end.map_or(bytes.len(), |end| 2 + end + 2))
        }
        // WILL, WONT, DO, DONT, and the option.
        [COMMAND, 0xfb..=0xfe, _, ..] => Some(3),
        [COMMAND, 0xf0..=0xf9, ..] => Some(2),
        _ => None,
    }
}

/// Returns whether bytes are UTF-16: they begin with its byte order mark, or every second byte of
/// the first two characters is zero, which does not occur in typed text.
///
/// Telnet's command DONT begins with the same two bytes as one of the marks; it is followed by an
/// option and a command, not by a character below U+0100.
fn is_utf16(bytes: &[u8]) -> bool {
    matches!(
        bytes,
        [0xff, 0xfe, _, 0, ..]
            | [0xfe, 0xff, ..]
            | [0, 1..=0xff, 0, 1..=0xff, ..]
            | [1..=0xff, 0, 1..=0xff, 0, ..]
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_and_telnet_commands_do_not_belong_to_what_was_typed() {
        for (line, text) in [
            (&b"client"[..], "client"),
            (b"\xef\xbb\xbfclient", "client"),
            // Sent by PuTTY when its connection type is Telnet.
            (
                b"\xff\xfb\x1f\xff\xfb\x20\xff\xfb\x18\xff\xfb\x27\xff\xfd\x01\xff\xfb\x03\xff\xfd\x03client Ada\r",
                "client Ada\r",
            ),
            // A window size, and the rest of one whose height contains a line feed.
            (b"\xff\xfa\x1f\0\x50\0\x18\xff\xf0identity", "identity"),
            (b"\xff\xfa\x1f\0\x50\0", ""),
            (b"\xff\xf0identity", "identity"),
            // Ctrl-C in telnet, in the middle of a line.
            (b"iden\xff\xf4\xff\xfd\x06tity", "identity"),
            (b"\xff\xfb\x1f\xef\xbb\xbfclient", "client"),
            ("é\u{feff}".as_bytes(), "é\u{feff}"),
        ] {
            assert_eq!(typed_text(line).as_deref(), Ok(text), "{line:x?}");
        }
    }

    #[test]
    fn what_is_no_utf8_is_named() {
        let utf16 = |text: &str, order: fn(u16) -> [u8; 2]| -> Vec<u8> {
            text.encode_utf16().flat_map(order).collect()
        };
        for line in [
            utf16("\u{feff}client", u16::to_le_bytes),
            utf16("\u{feff}client", u16::to_be_bytes),
            utf16("client", u16::to_le_bytes),
            utf16("client", u16::to_be_bytes),
        ] {
            assert_eq!(typed_text(&line), Err(NotText::Utf16), "{line:x?}");
            assert_eq!(without_preamble(&line), line);
        }
        for line in [&b"\xff"[..], b"\xff\xff", b"\xff\xfb", b"caf\xe9", b"a\xffb"] {
            assert_eq!(typed_text(line), Err(NotText::NotUtf8), "{line:x?}");
        }
    }

    #[test]
    fn a_json_line_keeps_all_but_what_stands_before_it() {
        let frame = br#"{"result":"\ufeff"}"#;
        for before in [&b""[..], BYTE_ORDER_MARK, b"\xff\xfb\x1f"] {
            assert_eq!(without_preamble(&[before, frame].concat()), frame);
        }
    }
}
