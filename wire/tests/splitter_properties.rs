//! What holds for any stream that arrives: it gives the same lines however its bytes are cut.

use bytes::Bytes;
use labwire_wire::{Line, LineSplitter, LineTooLong};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

/// A stream with many line ends, in pieces; some pieces are appended in place, some are read at once.
#[derive(Clone, Debug)]
struct Piece {
    bytes: Vec<u8>,
    in_place: bool,
    read: bool,
}

fn pieces() -> impl Strategy<Value = Vec<Piece>> {
    let byte = prop_oneof![3 => select(b"\n\r\n".to_vec()), 7 => any::<u8>()];
    let piece = (vec(byte, 0..12), any::<bool>(), any::<bool>()).prop_map(|(bytes, in_place, read)| Piece {
        bytes,
        in_place,
        read,
    });
    vec(piece, 0..20)
}

/// What is left at the end of a stream, or why reading stopped before.
type End<'a> = Result<Option<&'a [u8]>, LineTooLong>;

/// The lines of a stream that arrives whole, with their terminators, and its end.
fn lines_of(stream: &[u8], limit: usize) -> (Vec<&[u8]>, End<'_>) {
    let mut lines = Vec::new();
    for line in stream.split_inclusive(|byte| *byte == b'\n') {
        let ended = line.ends_with(b"\n");
        // A line that has not ended needs at least one byte more.
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

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4_000))]

    #[test]
    fn a_stream_gives_the_same_lines_however_it_is_cut(pieces in pieces(), limit in 1..40usize) {
        let stream: Vec<u8> = pieces.iter().flat_map(|piece| piece.bytes.clone()).collect();
        let (expected, end) = lines_of(&stream, limit);
        let mut splitter = LineSplitter::new(limit);
        let mut lines = Vec::new();
        let mut outcome = Ok(());
        for piece in &pieces {
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
        let found: Vec<&[u8]> = lines.iter().map(|line| &line.terminated().unwrap()[..]).collect();
        prop_assert_eq!(found, expected);
        match end {
            Err(error) => prop_assert_eq!(outcome, Err(error)),
            Ok(rest) => {
                prop_assert_eq!(outcome, Ok(()));
                prop_assert_eq!(splitter.pending(), rest.map_or(0, <[u8]>::len));
                let last = splitter.finish();
                prop_assert_eq!(last.as_ref().map(Line::content), rest);
                prop_assert!(last.is_none_or(|line| line.terminated().is_none()));
                prop_assert_eq!(splitter.finish(), None);
            }
        }
    }

    #[test]
    fn a_line_is_its_content_and_one_terminator(content in vec(any::<u8>(), 0..20), end in select(vec!["\n", "\r\n"])) {
        let content = content.split(|byte| matches!(byte, b'\n' | b'\r')).next_back().unwrap_or_default();
        let line = Line::new(Bytes::from([content, end.as_bytes()].concat()));
        prop_assert_eq!(line.content(), content);
        prop_assert_eq!(line.terminated().unwrap().len(), content.len() + end.len());
        prop_assert_eq!(&line.slice(0..content.len())[..], content);
    }
}
