//! Where an answer ends. Nothing is read here: received bytes are looked at.

use std::ops::Range;

/// What an answer is on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Framing {
    /// A line.
    Line,
    /// A definite-length block of IEEE 488.2, `#` with the number of digits, the length and the bytes, and
    /// a line end. A line if it does not begin with `#`.
    Block,
}

/// The most bytes between a block and its line end, which are blanks.
const MOST_BLANKS: usize = 64;

/// How far an answer has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Arrived {
    /// More has to come.
    Partly,
    /// All but the line end has come: an answer of this length.
    AllButTheEnd(usize),
    /// An answer of this length, which has this one with its line end.
    Whole { answer: usize, with_end: usize },
    /// It is longer than allowed.
    TooLong,
    /// It cannot be an answer; contains what is wrong.
    Wrong(&'static str),
}

impl Framing {
    /// Looks at the bytes that have arrived, of which the first `looked` were looked at before. `is_message`
    /// is whether the connection marks the end of a message, and it came.
    pub(crate) fn look(
        self,
        bytes: &[u8],
        looked: usize,
        end: &[u8],
        is_message: bool,
        longest: usize,
    ) -> Arrived {
        if self == Self::Block && bytes.first() == Some(&b'#') {
            return look_at_block(bytes, end, is_message, longest);
        }
        // A part of the line end may have been there. Looking at all again would take quadratic time.
        let from = looked.saturating_sub(end.len()).min(bytes.len());
        let arrived = match find(&bytes[from..], end) {
            Some(at) => Arrived::Whole {
                answer: from + at,
                with_end: from + at + end.len(),
            },
            None if is_message && !bytes.is_empty() => Arrived::Whole {
                answer: bytes.len(),
                with_end: bytes.len(),
            },
            None => Arrived::Partly,
        };
        match arrived {
            Arrived::Whole { answer, .. } if answer > longest => Arrived::TooLong,
            Arrived::Partly if bytes.len() > longest.saturating_add(end.len()) => Arrived::TooLong,
            arrived => arrived,
        }
    }
}

fn look_at_block(bytes: &[u8], end: &[u8], is_message: bool, longest: usize) -> Arrived {
    let whole = match header(bytes) {
        Header::Partly => return Arrived::Partly,
        Header::Wrong(why) => return Arrived::Wrong(why),
        Header::Data(data) => data.end,
    };
    if whole > longest {
        return Arrived::TooLong;
    }
    let Some(rest) = bytes.get(whole..) else {
        return Arrived::Partly;
    };
    let with_end = |length| Arrived::Whole {
        answer: whole,
        with_end: length,
    };
    if is_message {
        return with_end(bytes.len());
    }
    // Blanks, such as the first half of "\r\n" where the line end is "\n", may stand before the line end.
    for at in 0..=rest.len() {
        match &rest[at..] {
            _ if at > MOST_BLANKS => {
                return Arrived::Wrong("no line end stands behind the block");
            }
            line_end if line_end.starts_with(end) => return with_end(whole + at + end.len()),
            part if end.starts_with(part) => break,
            [first, ..] if !first.is_ascii_whitespace() => {
                return Arrived::Wrong("something else than a line end stands behind the block");
            }
            _ => {}
        }
    }
    Arrived::AllButTheEnd(whole)
}

enum Header {
    Partly,
    Wrong(&'static str),
    Data(Range<usize>),
}

fn header(bytes: &[u8]) -> Header {
    let digits = match bytes.get(1) {
        None => return Header::Partly,
        Some(b'0') => return Header::Wrong("a block of indefinite length has no end on this connection"),
        Some(digit) if digit.is_ascii_digit() => usize::from(digit - b'0'),
        Some(_) => return Header::Wrong("the length of the block is missing"),
    };
    let Some(length) = bytes.get(2..2 + digits) else {
        return Header::Partly;
    };
    let length = std::str::from_utf8(length)
        .ok()
        .filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
    match length.and_then(|text| text.parse::<usize>().ok()) {
        Some(length) => Header::Data(2 + digits..2 + digits + length),
        None => Header::Wrong("the length of the block is not a number"),
    }
}

/// Returns the bytes of a block that has arrived.
pub(crate) fn block_data(bytes: &[u8]) -> Option<&[u8]> {
    if bytes.first() != Some(&b'#') {
        return None;
    }
    match header(bytes) {
        Header::Data(range) => bytes.get(range),
        Header::Partly | Header::Wrong(_) => None,
    }
}

fn find(bytes: &[u8], end: &[u8]) -> Option<usize> {
    bytes.windows(end.len().max(1)).position(|window| window == end)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn whole(answer: usize, with_end: usize) -> Arrived {
        Arrived::Whole { answer, with_end }
    }

    #[test]
    fn an_answer_ends_with_its_line_or_its_length() {
        use Framing::{Block, Line};
        for (framing, bytes, is_message, expected) in [
            (Line, &b""[..], false, Arrived::Partly),
            (Line, b"1.5\r", false, Arrived::Partly),
            (Line, b"1.5\r\n", false, whole(3, 5)),
            (Line, b"1.5", true, whole(3, 3)),
            (Line, b"a\r\nb\r\n", false, whole(1, 3)),
            (Line, b"12345678901234567", false, Arrived::TooLong),
            (Block, b"#", false, Arrived::Partly),
            (Block, b"#15\r\n", false, Arrived::Partly),
            (Block, b"#15\r\n\r\nx", false, Arrived::AllButTheEnd(8)),
            (Block, b"#15\r\n\r\nx\r", false, Arrived::AllButTheEnd(8)),
            (Block, b"#15\r\n\r\nx\r\n", false, whole(8, 10)),
            (Block, b"#15\r\n\r\nx\r\r\n1", false, whole(8, 11)),
            (Block, b"#15\r\n\r\nx\n", false, Arrived::AllButTheEnd(8)),
            (
                Block,
                b"#15\r\n\r\nx 1",
                false,
                Arrived::Wrong("something else than a line end stands behind the block"),
            ),
            (Block, b"#15\r\n\r\nx", true, whole(8, 8)),
            (Block, b"#299", false, Arrived::TooLong),
            (Block, b"#9999999999", false, Arrived::TooLong),
            (Block, b"#2x", false, Arrived::Partly),
            (
                Block,
                b"#2xy",
                false,
                Arrived::Wrong("the length of the block is not a number"),
            ),
            (Block, b"-1\r\n", false, whole(2, 4)),
        ] {
            assert_eq!(
                framing.look(bytes, 0, b"\r\n", is_message, 14),
                expected,
                "{}",
                bytes.escape_ascii()
            );
        }
        // The line end has come in two parts.
        assert_eq!(Line.look(b"1.5\r\n", 4, b"\r\n", false, 14), whole(3, 5));
        // A line end whose parts come apart, where only the second one is expected.
        assert_eq!(
            Block.look(b"#13abc\r", 6, b"\n", false, 14),
            Arrived::AllButTheEnd(6)
        );
        assert_eq!(Block.look(b"#13abc\r\n", 7, b"\n", false, 14), whole(6, 8));
        assert_eq!(block_data(b"#13abc"), Some(&b"abc"[..]));
        assert_eq!(block_data(b"#14abc"), None);
    }

    proptest! {
        #[test]
        fn what_is_whole_lies_in_what_has_arrived(
            bytes in proptest::collection::vec(prop_oneof![Just(b'#'), Just(b'\n'), b'0'..=b'9', any::<u8>()], 0..40),
            is_message: bool,
        ) {
            for framing in [Framing::Line, Framing::Block] {
                match framing.look(&bytes, 0, b"\n", is_message, 20) {
                    Arrived::Whole { answer, with_end } => {
                        prop_assert!(answer <= with_end && with_end <= bytes.len() && answer <= 20);
                    }
                    Arrived::AllButTheEnd(answer) => prop_assert!(answer <= bytes.len() && answer <= 20),
                    _ => {}
                }
            }
        }
    }
}
