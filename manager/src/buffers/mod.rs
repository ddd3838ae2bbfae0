//! Memory that is reused.
//!
//! The system provides fresh memory page by page and clears each page, which takes as long as
//! filling it. Its allocator tidies up each time that it gets back more than some dozens of
//! kilobytes. Memory that was used last is still in the processor's caches.

use std::cell::RefCell;
use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};

mod discarded;
mod huge;
mod released;

pub(crate) use discarded::discard;
pub(crate) use huge::Loan;
use released::{Pieces, release};

/// The size of a run of small pieces that wait to be written. A run that grew with its queue would
/// be moved each time it doubles: tens of megabytes, while the registry is locked and everybody
/// waits.
///
/// Larger than a read of short lines, 32 KiB: they grow by names when they are forwarded, and what was
/// read at once shall fit into one run for each of its receivers. With 32 KiB, the values of a topic took
/// a third more than notifications, which do not grow.
pub(crate) const RUN_BYTES: usize = 40 * 1024;

/// The memory of a line that turns out to be longer than the usual read: a mebibyte of payload, and
/// the rest of the frame.
pub(crate) const LARGE_BYTES: usize = 1024 * 1024 + 64 * 1024;

/// The number of bytes behind a large line from which they get as much at once. Moving fewer bytes
/// later costs less than a microsecond.
const WORTH_LARGE_BYTES: usize = 16 * 1024;

/// The memory of a line that is being cut through: one read, and the part of the line that is kept.
const PIECE_BYTES: usize = 256 * 1024 + 32 * 1024;

/// The size from which one piece at most is kept for reuse, and is freed by another thread: that
/// takes the system about a millisecond.
const HUGE_BYTES: usize = 4 * 1024 * 1024;

/// How many pieces for runs are kept for reuse: 1.25 MiB.
const KEPT_RUNS: usize = 32;

/// How many pieces for large lines are kept for reuse.
const KEPT_LARGE: usize = 16;

/// How many pieces for lines that are cut through are kept for reuse.
const KEPT_PIECES: usize = 8;

/// The most pieces, and the most bytes of them, that are freed by the thread that had them.
const GIVEN_BACK_HERE: usize = 1_024;
const BYTES_GIVEN_BACK_HERE: usize = LARGE_BYTES;

/// Pieces of one size that are kept for reuse.
#[derive(Debug)]
struct Spare {
    size: usize,
    limit: usize,
    pieces: Vec<BytesMut>,
}

impl Spare {
    const fn new(size: usize, limit: usize) -> Self {
        Self {
            size,
            limit,
            pieces: Vec::new(),
        }
    }

    fn take(&mut self) -> BytesMut {
        self.pieces
            .pop()
            .unwrap_or_else(|| BytesMut::with_capacity(self.size))
    }

    fn keep(&mut self, piece: BytesMut) {
        if self.pieces.len() < self.limit {
            self.pieces.push(piece);
        } else {
            release(piece);
        }
    }
}

thread_local! {
    static RUNS: RefCell<Spare> = const { RefCell::new(Spare::new(RUN_BYTES, KEPT_RUNS)) };
    static LARGE: RefCell<Spare> = const { RefCell::new(Spare::new(LARGE_BYTES, KEPT_LARGE)) };
    static PIECES: RefCell<Spare> = const { RefCell::new(Spare::new(PIECE_BYTES, KEPT_PIECES)) };
}

/// Returns memory for a run, filled with its beginning.
pub(crate) fn run(beginning: &[u8]) -> BytesMut {
    let mut memory = RUNS.with_borrow_mut(Spare::take);
    memory.extend_from_slice(beginning);
    memory
}

/// Returns memory for a large line, filled with its beginning.
pub(crate) fn large(beginning: &[u8]) -> BytesMut {
    let mut memory = LARGE.with_borrow_mut(Spare::take);
    memory.extend_from_slice(beginning);
    memory
}

/// Gives a large line more memory, at least twice as much. The first time its bytes are moved,
/// which are not many. Later that is left to the system, which moves pages and not bytes.
///
/// If the memory is lent, `loan` receives the loan, which must live as long as the line is
/// arriving.
pub(crate) fn grow(line: &mut BytesMut, loan: &mut Option<Loan>) {
    let is_first = line.capacity() <= LARGE_BYTES;
    if is_first && let Some((mut memory, lent)) = huge::SPARE.lend(2 * line.capacity()) {
        *loan = Some(lent);
        memory.extend_from_slice(line);
        give_back_mut(std::mem::replace(line, memory));
    } else {
        // Doubling keeps the number of moves small.
        line.reserve(line.len());
    }
}

/// Returns memory for the bytes after a large line, most likely another one.
pub(crate) fn behind_large(beginning: &[u8]) -> BytesMut {
    if beginning.len() < WORTH_LARGE_BYTES {
        BytesMut::from(beginning)
    } else {
        large(beginning)
    }
}

/// Returns memory for a line that is being cut through.
pub(crate) fn piece() -> BytesMut {
    PIECES.with_borrow_mut(Spare::take)
}

/// Keeps memory for reuse, if it is of a size that is used and has no other owner.
pub(crate) fn give_back(bytes: Bytes) {
    if let Ok(memory) = bytes.try_into_mut() {
        give_back_mut(memory);
    }
}

/// As [`give_back`], for many pieces. Returning dozens of megabytes to the system takes
/// milliseconds, so another thread does that.
pub(crate) fn give_all_back(pieces: VecDeque<Bytes>) {
    let bytes: usize = pieces.iter().map(Bytes::len).sum();
    if pieces.len() > GIVEN_BACK_HERE || bytes > BYTES_GIVEN_BACK_HERE {
        discard(Pieces(pieces));
    } else {
        pieces.into_iter().for_each(give_back);
    }
}

/// As [`give_back`], but returns huge memory to the system.
pub(crate) fn free(bytes: Bytes) {
    if bytes.len() >= HUGE_BYTES {
        discard(Pieces(VecDeque::from([bytes])));
    } else {
        give_back(bytes);
    }
}

/// As [`give_back`], for memory that has no other owner.
pub(crate) fn give_back_mut(mut memory: BytesMut) {
    memory.clear();
    // Reclaims the bytes that were cut off at its front. If none were, there is no more room, and
    // none is allocated.
    let _ = memory.try_reclaim(memory.capacity() + 1);
    match memory.capacity() {
        RUN_BYTES => RUNS.with_borrow_mut(|runs| runs.keep(memory)),
        LARGE_BYTES => LARGE.with_borrow_mut(|large| large.keep(memory)),
        PIECE_BYTES => PIECES.with_borrow_mut(|pieces| pieces.keep(memory)),
        HUGE_BYTES.. => huge::SPARE.keep(memory),
        _ => release(memory),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_used_again_once_nobody_has_a_part_in_it() {
        let mut line = large(b"begun ");
        line.resize(300_000, b'x');
        let address = line.as_ptr();
        let line = line.freeze();
        let mut part = line.slice(6..200_000);
        give_back(line);
        let other = large(b"");
        assert_ne!(other.as_ptr(), address, "a part of it waits to be written");
        drop(other);

        bytes::Buf::advance(&mut part, 100_000);
        give_back(part);
        let again = large(b"anew");
        assert_eq!((again.as_ptr(), &again[..]), (address, &b"anew"[..]));
        assert!(again.capacity() >= LARGE_BYTES);
    }

    #[test]
    fn memory_that_was_given_out_piece_by_piece_is_whole_again() {
        let line = BytesMut::zeroed(3 * HUGE_BYTES);
        let (address, capacity) = (line.as_ptr(), line.capacity());
        let line = line.freeze();
        let mut part = line.clone();
        drop(line);
        bytes::Buf::advance(&mut part, HUGE_BYTES);
        give_back(part);
        let mut next = BytesMut::zeroed(LARGE_BYTES);
        let mut loan = None;
        grow(&mut next, &mut loan);
        assert!(loan.is_some());
        assert_eq!((next.as_ptr(), next.capacity()), (address, capacity));
        assert!(next.len() == LARGE_BYTES && next.iter().all(|byte| *byte == 0));
    }

    #[test]
    fn no_more_is_kept_than_a_few_and_nothing_of_another_size() {
        let spare = || LARGE.with_borrow(|large| large.pieces.len());
        let small = BytesMut::from(&b"small"[..]).freeze();
        let larger = BytesMut::zeroed(2 * LARGE_BYTES).freeze();
        for other in [small, larger, Bytes::from_static(b"static")] {
            give_back(other);
        }
        assert_eq!(spare(), 0);
        let lines: Vec<_> = (0..2 * KEPT_LARGE).map(|_| large(b"line").freeze()).collect();
        lines.into_iter().for_each(give_back);
        assert_eq!(spare(), KEPT_LARGE);
    }
}
