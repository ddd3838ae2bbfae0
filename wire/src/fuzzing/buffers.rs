//! Checks that a description of buffers is refused, or says what follows its line.

use bytes::BytesMut;

use super::envelope::is_json;
use crate::buffers::{BEGINNING, Buffers, END, MAX_BUFFERS, MAX_DIMENSIONS};

/// The most bytes of buffers that are composed for the check of their conversion.
const CONVERTED: usize = 4 * 1024;

/// Reads the description of a line, writes it again, and converts the line.
///
/// # Panics
///
/// If a description is read differently the second time, or a well-formed line becomes malformed.
pub fn check_buffers(rest: &[u8]) {
    let line = [BEGINNING, rest].concat();
    let buffers = match Buffers::read(&line) {
        Ok(buffers) => buffers,
        Err(wrong) => {
            let end = END.len() as u64;
            assert!(wrong.following.is_none_or(|following| following >= end));
            assert!(!wrong.error.to_string().is_empty());
            return;
        }
    };
    let list = buffers.list();
    assert!(list.len() <= MAX_BUFFERS && buffers.end() <= line.len());
    let bytes: usize = list.iter().map(crate::buffers::Buffer::bytes).sum();
    assert_eq!(buffers.bytes(), bytes);
    for buffer in list {
        let items: usize = buffer.shape().iter().product();
        assert_eq!(buffer.bytes(), items * buffer.dtype().item_bytes());
        assert!(buffer.shape().len() <= MAX_DIMENSIONS);
    }
    let mut again = BytesMut::new();
    buffers.put(&mut again);
    let read = Buffers::read(&again).expect("what is written is valid");
    assert_eq!((read.list(), read.end()), (list, again.len()));
    let is_json = |text: &[u8]| std::str::from_utf8(text).is_ok_and(is_json);
    if bytes <= CONVERTED && is_json(&line) {
        let converted = buffers.without_feature(&line, &vec![7; bytes], CONVERTED);
        if let Some(converted) = converted {
            assert!(is_json(converted.trim_ascii_end()));
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn any_bytes_are_refused_or_describe_buffers(rest in any::<Vec<u8>>()) {
            check_buffers(&rest);
        }

        #[test]
        fn descriptions_that_are_nearly_right_are_too(
            dtype in "[<>|][biufcSVx][0-9]{1,2}",
            shape in prop::collection::vec(0..9_u64, 0..4),
            bytes in 0..200_u64,
            index in 0..3_usize,
        ) {
            let text = format!(
                r#"{{"dtype":"{dtype}","shape":{shape:?},"bytes":{bytes}}}],"args":[{{"$buffer":{index}}},"$buffer"]}}"#
            );
            check_buffers(text.as_bytes());
        }
    }
}
