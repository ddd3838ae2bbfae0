//! Random streams for the check that lines do not depend on how their bytes are split.

use bytes::Bytes;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use super::splitter::{Piece, check_splitter};
use crate::Line;

fn pieces() -> impl Strategy<Value = Vec<Piece>> {
    let byte = prop_oneof![3 => select(b"\n\r\n".to_vec()), 7 => any::<u8>()];
    let piece = (vec(byte, 0..12), any::<bool>(), any::<bool>()).prop_map(|(bytes, in_place, read)| Piece {
        bytes,
        in_place,
        read,
    });
    vec(piece, 0..20)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4_000))]

    #[test]
    fn a_stream_gives_the_same_lines_however_it_is_cut(pieces in pieces(), limit in 1..40usize) {
        check_splitter(&pieces, limit);
    }

    #[test]
    fn a_line_is_its_content_and_one_terminator(content in vec(any::<u8>(), 0..20), end in select(vec!["\n", "\r\n"])) {
        let content = content.split(|byte| matches!(byte, b'\n' | b'\r')).next_back().unwrap_or_default();
        let line = Line::new(Bytes::from([content, end.as_bytes()].concat()));
        prop_assert_eq!(line.content(), content);
        prop_assert_eq!(line.view().terminated().unwrap().len(), content.len() + end.len());
        prop_assert_eq!(&line.slice(0..content.len())[..], content);
    }
}
