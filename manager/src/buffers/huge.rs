//! The memory of huge lines, of which one piece is kept for reuse, beside one that is in use.
//!
//! Clearing fresh memory takes the system longer than everything else that is done with a line of
//! hundreds of megabytes, and a reply is often as long as its request.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use bytes::BytesMut;

use super::released::release_slowly;

/// How long memory is kept for the next huge line: for a service to answer, or a detector to send
/// its next frame.
const KEPT: Duration = Duration::from_secs(1);

/// The memory that was used last.
pub(super) static SPARE: Spare = Spare::new();

/// Keeps one piece of memory.
pub(crate) struct Spare(Mutex<State>);

struct State {
    /// The memory that is kept, and since when.
    memory: Option<(BytesMut, Instant)>,
    /// Whether a line is arriving in lent memory.
    is_lent: bool,
    /// Whether a thread runs that will release the memory.
    is_watched: bool,
}

/// A loan of memory that may be much larger than the received part of its line.
///
/// No other line gets such memory as long as this one lives. So a peer that sends the beginning of
/// a long line and stops, as often as it likes, occupies one piece.
#[must_use]
pub(crate) struct Loan(&'static Spare);

impl Drop for Loan {
    fn drop(&mut self) {
        self.0.state().is_lent = false;
    }
}

impl Spare {
    const fn new() -> Self {
        Self(Mutex::new(State {
            memory: None,
            is_lent: false,
            is_watched: false,
        }))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // No code that can panic runs under this lock.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lends the memory, if its capacity is at least `bytes` and nothing is lent.
    pub(super) fn lend(&'static self, bytes: usize) -> Option<(BytesMut, Loan)> {
        let mut state = self.state();
        if state.is_lent {
            return None;
        }
        let has_room = |(memory, _): &mut (BytesMut, Instant)| memory.capacity() >= bytes;
        let (memory, _) = state.memory.take_if(has_room)?;
        state.is_lent = true;
        Some((memory, Loan(self)))
    }

    /// Keeps `memory`, which is empty, in place of the memory kept before: most likely the next
    /// line is as long as the last. Also while other memory is lent: a camera sends its next frame
    /// while the last one is being read, so that the two pieces are used in turn.
    pub(super) fn keep(&'static self, memory: BytesMut) {
        let mut state = self.state();
        let before = state.memory.replace((memory, Instant::now()));
        let was_watched = std::mem::replace(&mut state.is_watched, true);
        let unused = before.map(|(memory, _)| memory);
        drop(state);
        if unused.is_none() && was_watched {
            return;
        }
        // Releasing a quarter of a gigabyte takes the system dozens of milliseconds, and hundreds
        // in some virtual machines. Everybody would wait for that, as they do if no thread can be
        // started.
        let thread = thread::Builder::new().name("memory".to_owned());
        let spawned = thread.spawn(move || {
            if let Some(unused) = unused {
                release_slowly(unused);
            }
            if !was_watched {
                self.watch();
            }
        });
        if spawned.is_err() && !was_watched {
            let mut state = self.state();
            state.is_watched = false;
            let unwatched = state.memory.take();
            drop(state);
            drop(unwatched);
        }
    }

    /// Releases the memory when it has not been used for long enough.
    fn watch(&self) {
        loop {
            let mut state = self.state();
            let rest = match &state.memory {
                Some((_, since)) => KEPT.saturating_sub(since.elapsed()),
                None => Duration::ZERO,
            };
            if rest.is_zero() {
                state.is_watched = false;
                let unused = state.memory.take();
                drop(state);
                if let Some((unused, _)) = unused {
                    release_slowly(unused);
                }
                return;
            }
            drop(state);
            thread::sleep(rest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_piece_waits_a_while_for_a_line_that_it_has_room_for() {
        static SPARE: Spare = Spare::new();
        let lend = |bytes| SPARE.lend(bytes).map(|(memory, _)| memory.as_ptr());
        let piece = BytesMut::with_capacity(2_000);
        let address = piece.as_ptr();
        SPARE.keep(BytesMut::with_capacity(5_000));
        SPARE.keep(piece);
        assert_eq!(lend(2_001), None, "the larger one was given back");
        assert_eq!(lend(2_000), Some(address));
        assert_eq!(lend(1), None);

        SPARE.keep(BytesMut::with_capacity(1_000));
        let deadline = Instant::now() + Duration::from_mins(1);
        while SPARE.state().is_watched {
            // The thread that releases it notifies nobody, so this polls.
            assert!(Instant::now() < deadline, "it is never given back");
            thread::sleep(Duration::from_millis(5));
        }
        assert_eq!(lend(1), None, "nobody has used it");
    }

    #[test]
    fn one_piece_is_lent_at_a_time() {
        static SPARE: Spare = Spare::new();
        SPARE.keep(BytesMut::with_capacity(1_000));
        let (memory, loan) = SPARE.lend(1_000).unwrap();
        let other = BytesMut::with_capacity(1_000);
        let address = other.as_ptr();
        SPARE.keep(other);
        assert!(SPARE.lend(1_000).is_none());
        drop(loan);
        let (other, loan) = SPARE.lend(1_000).expect("it was kept meanwhile");
        assert_eq!(other.as_ptr(), address);
        SPARE.keep(memory);
        drop(loan);
        assert!(SPARE.lend(1_000).is_some());
    }
}
