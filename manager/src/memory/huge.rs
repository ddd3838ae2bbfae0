//! The memory of huge lines, of which one piece waits to be used again.
//!
//! To clear fresh memory takes the system longer than everything else that is done with a line of hundreds of megabytes,
//! and a reply is often as long as its request.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use bytes::BytesMut;

/// How long memory waits for the next huge line: for a service to answer, or a detector to send its next frame.
const KEPT: Duration = Duration::from_secs(1);

/// What was used last.
pub(super) static SPARE: Spare = Spare(Mutex::new(Waiting {
    memory: None,
    is_watched: false,
}));

/// A place for one piece of memory.
pub(super) struct Spare(Mutex<Waiting>);

struct Waiting {
    /// Memory, and since when it waits.
    memory: Option<(BytesMut, Instant)>,
    /// Whether a thread is there that will give it back to the system.
    is_watched: bool,
}

impl Spare {
    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        // No code that can panic runs under this lock.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes what waits, if it has room for so many bytes.
    pub(super) fn take(&self, bytes: usize) -> Option<BytesMut> {
        let has_room = |(memory, _): &mut (BytesMut, Instant)| memory.capacity() >= bytes;
        let (memory, _) = self.waiting().memory.take_if(has_room)?;
        Some(memory)
    }

    /// Has memory wait, which is empty, instead of what waited before: the next line is as long as the last, most
    /// likely.
    pub(super) fn keep(&'static self, memory: BytesMut) {
        let mut waiting = self.waiting();
        let before = waiting.memory.replace((memory, Instant::now()));
        let was_watched = std::mem::replace(&mut waiting.is_watched, true);
        drop(waiting);
        if before.is_none() && was_watched {
            return;
        }
        // Taking a quarter of a gigabyte back takes the system dozens of milliseconds, and hundreds in some virtual
        // machines: everybody would wait for that. Without a thread they do.
        let thread = thread::Builder::new().name("memory".to_owned());
        let spawned = thread.spawn(move || {
            drop(before);
            if !was_watched {
                self.watch();
            }
        });
        if spawned.is_err() && !was_watched {
            let mut waiting = self.waiting();
            waiting.is_watched = false;
            let unwatched = waiting.memory.take();
            drop(waiting);
            drop(unwatched);
        }
    }

    /// Gives what waits back to the system when nobody has used it for long enough.
    fn watch(&self) {
        loop {
            let mut waiting = self.waiting();
            let rest = match &waiting.memory {
                Some((_, since)) => KEPT.saturating_sub(since.elapsed()),
                None => Duration::ZERO,
            };
            if rest.is_zero() {
                waiting.is_watched = false;
                let unused = waiting.memory.take();
                drop(waiting);
                drop(unused);
                return;
            }
            drop(waiting);
            thread::sleep(rest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_piece_waits_a_while_for_a_line_that_it_has_room_for() {
        static SPARE: Spare = Spare(Mutex::new(Waiting {
            memory: None,
            is_watched: false,
        }));
        let piece = BytesMut::with_capacity(2_000);
        let address = piece.as_ptr();
        SPARE.keep(BytesMut::with_capacity(5_000));
        SPARE.keep(piece);
        assert_eq!(SPARE.take(2_001), None, "the larger one was given back");
        assert_eq!(SPARE.take(2_000).map(|piece| piece.as_ptr()), Some(address));
        assert_eq!(SPARE.take(1), None);

        SPARE.keep(BytesMut::with_capacity(1_000));
        while SPARE.waiting().is_watched {
            thread::sleep(Duration::from_millis(5));
        }
        assert_eq!(SPARE.take(1), None, "nobody has used it");
    }
}
