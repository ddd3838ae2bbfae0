//! Checks that a stream yields the same lines however its bytes are split.

use crate::{Line, LineSplitter, LineTooLong};

/// A piece of a stream with many line ends; some pieces are appended in place, some are read at
/// once.
#[derive(Clone, Debug)]
pub(super) struct Piece {
    pub(super) bytes: Vec<u8>,
    pub(super) in_place: bool,
    pub(super) read: bool,
}

/// The rest at the end of a stream, or the error that ended reading.
type End<'a> = Result<Option<&'a [u8]>, LineTooLong>;

/// Returns the lines of a complete stream, with their terminators, and its end.
fn lines_of(stream: &[u8], limit: usize) -> (Vec<&[u8]>, End<'_>) {
    let mut lines = Vec::new();
    for line in stream.split_inclusive(|byte| *byte == b'\n') {
        let ended = line.ends_with(b"\n");
        // An incomplete line needs at least one more byte.
        if line.len() + usize::from(!ended) > limit {
            return (lines, Err(LineTooLong { limit }));
        }
        if !ended {
            return (lines, Ok(Some(line)));
        }
        lines.push(line);
    }
    (lines, Ok(None))
}

fn drain(splitter: &mut LineSplitter, lines: &mut Vec<Line>) -> Result<(), LineTooLong> {
    while let Some(line) = splitter.next_line()? {
        lines.push(line);
    }
    Ok(())
}

/// Compares the splitter with the lines of the whole stream.
pub(super) fn check_splitter(pieces: &[Piece], limit: usize) {
    let stream: Vec<u8> = pieces.iter().flat_map(|piece| piece.bytes.clone()).collect();
    let (expected, end) = lines_of(&stream, limit);
    let mut splitter = LineSplitter::new(limit);
    let mut lines = Vec::new();
    let mut outcome = Ok(());
    for piece in pieces {
        if piece.in_place {
            splitter.buffer_mut().extend_from_slice(&piece.bytes);
        } else {
            splitter.extend(&piece.bytes);
        }
        if piece.read && outcome.is_ok() {
            outcome = drain(&mut splitter, &mut lines);
        }
    }
    let outcome = outcome.and_then(|()| drain(&mut splitter, &mut lines));
    let found: Vec<&[u8]> = lines
        .iter()
        .map(|line| {
            line.view()
                .terminated()
                .expect("a line that was given out has its end")
        })
        .collect();
    assert_eq!(found, expected);
    match end {
        Err(error) => assert_eq!(outcome, Err(error)),
        Ok(rest) => {
            assert_eq!(outcome, Ok(()));
            assert_eq!(splitter.pending(), rest.map_or(0, <[u8]>::len));
            let last = splitter.finish();
            assert_eq!(last.as_ref().map(Line::content), rest);
            assert!(last.is_none_or(|line| line.view().terminated().is_none()));
            assert_eq!(splitter.finish(), None);
        }
    }
}

/// Does the same for arbitrary bytes: the first is the limit, the others are pieces, each after one
/// byte with its length and how it is read.
///
/// # Panics
///
/// If the lines differ from those of the whole stream.
pub fn check_lines(data: &[u8]) {
    let Some((&limit, mut rest)) = data.split_first() else {
        return;
    };
    let mut pieces = Vec::new();
    while let Some((&head, after)) = rest.split_first() {
        let (bytes, after) = after.split_at(usize::from(head >> 2).min(after.len()));
        pieces.push(Piece {
            bytes: bytes.to_vec(),
            in_place: head & 1 == 1,
            read: head & 2 == 2,
        });
        rest = after;
    }
    check_splitter(&pieces, usize::from(limit) + 1);
}
