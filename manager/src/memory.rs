//! Memory for large lines, which is used again.
//!
//! The system gives fresh memory page by page, and clears each page: that takes as long as filling it. What was used last
//! is in the processor's caches still.

use std::cell::RefCell;

use bytes::{Bytes, BytesMut};

/// How much memory a line gets that turns out to be longer than what is usually read at once: a mebibyte, and what a
/// frame has beside such a payload.
pub(crate) const LARGE_BYTES: usize = 1024 * 1024 + 64 * 1024;

/// How many such pieces wait to be used again.
const KEPT: usize = 8;

thread_local! {
    static SPARE: RefCell<Vec<BytesMut>> = const { RefCell::new(Vec::new()) };
}

/// Memory for a large line, which begins with these bytes.
pub(crate) fn with(beginning: &[u8]) -> BytesMut {
    let mut memory = SPARE
        .with_borrow_mut(Vec::pop)
        .unwrap_or_else(|| BytesMut::with_capacity(LARGE_BYTES));
    memory.extend_from_slice(beginning);
    memory
}

/// Keeps memory that is not needed any more, if it is of the right size and nobody else has a part in it.
pub(crate) fn give_back(bytes: Bytes) {
    if let Ok(memory) = bytes.try_into_mut() {
        give(memory);
    }
}

fn give(mut memory: BytesMut) {
    memory.clear();
    // What was cut off at its front becomes a part of it again.
    if !memory.try_reclaim(LARGE_BYTES) || memory.capacity() > LARGE_BYTES {
        return;
    }
    SPARE.with_borrow_mut(|spare| {
        if spare.len() < KEPT {
            spare.push(memory);
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_used_again_once_nobody_has_a_part_in_it() {
        let mut line = with(b"begun ");
        line.resize(300_000, b'x');
        let address = line.as_ptr();
        let line = line.freeze();
        let mut part = line.slice(6..200_000);
        give_back(line);
        let other = with(b"");
        assert_ne!(other.as_ptr(), address, "a part of it waits to be written");
        drop(other);

        bytes::Buf::advance(&mut part, 100_000);
        give_back(part);
        let again = with(b"anew");
        assert_eq!((again.as_ptr(), &again[..]), (address, &b"anew"[..]));
        assert!(again.capacity() >= LARGE_BYTES);
    }

    #[test]
    fn no_more_is_kept_than_a_few_and_nothing_of_another_size() {
        let spare = || SPARE.with_borrow(Vec::len);
        let small = BytesMut::from(&b"small"[..]).freeze();
        let larger = BytesMut::zeroed(2 * LARGE_BYTES).freeze();
        for other in [small, larger, Bytes::from_static(b"static")] {
            give_back(other);
        }
        assert_eq!(spare(), 0);
        let lines: Vec<_> = (0..2 * KEPT).map(|_| with(b"line").freeze()).collect();
        lines.into_iter().for_each(give_back);
        assert_eq!(spare(), KEPT);
    }
}
