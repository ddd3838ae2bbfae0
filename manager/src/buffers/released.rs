//! Returns large memory to the system without blocking other threads.

use std::collections::VecDeque;
use std::thread::sleep;
use std::time::Duration;

use bytes::{Bytes, BytesMut};

/// The size in bytes up to which the allocator uses its own regions; the system maps larger
/// allocations separately. The GNU C library begins with this limit, and raises it to the size of
/// any larger allocation that is freed whole (`M_MMAP_THRESHOLD` in mallopt(3)).
const MAPPED: usize = 128 * 1024;

/// How much is returned at a time, in bytes: the work of a quarter of a millisecond, or of half of
/// one.
const STEP: usize = 1024 * 1024;

/// The pause after each step. Without it the releasing thread has the system's lock again before
/// those that wait for it have woken up, for 4 ms and more (`RWSEM_WAIT_TIMEOUT` in Linux).
const PAUSE: Duration = Duration::from_micros(200);

/// Returns memory that has no other owner to the system, a piece at a time. `each` is called after
/// each [`STEP`].
///
/// While the system takes pages back, no other thread of the process can map or unmap any: with a
/// quarter of a gigabyte the routing thread would wait for 25 ms when it next needs memory. If
/// memory is freed whole, the GNU C library also keeps pieces of that size in its own regions from
/// then on, under locks: freeing dozens of megabytes of them then takes 15 ms under the lock that
/// the routing thread needs.
fn release_in_steps(mut memory: BytesMut, mut each: impl FnMut()) {
    memory.clear();
    // Elsewhere shrinking an allocation may copy it.
    if cfg!(target_os = "linux") && memory.capacity() > MAPPED {
        let mut rest = Vec::from(memory);
        while rest.capacity() > MAPPED {
            let less = rest.capacity().saturating_sub(STEP).max(MAPPED / 2);
            rest.shrink_to(less);
            each();
        }
    }
}

/// Returns memory of a few megabytes to the system.
pub(super) fn release(memory: BytesMut) {
    release_in_steps(memory, || ());
}

/// Returns memory of any size to the system, on a thread for which nobody waits.
pub(super) fn release_slowly(memory: BytesMut) {
    release_in_steps(memory, || sleep(PAUSE));
}

/// Pieces that are [released](release_slowly) when they are dropped, each unless it has another
/// owner.
pub(super) struct Pieces(pub(super) VecDeque<Bytes>);

impl Drop for Pieces {
    fn drop(&mut self) {
        // The allocator returns only the end of its regions, so they shrink little by little.
        while let Some(piece) = self.0.pop_back() {
            if let Ok(memory) = piece.try_into_mut() {
                release_slowly(memory);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_of_any_size_are_released_also_when_somebody_has_a_part_in_them() {
        let sizes = [0, 1, MAPPED, MAPPED + 1, STEP, 3 * STEP + 1];
        let pieces: VecDeque<_> = sizes.map(|size| Bytes::from(vec![b'x'; size])).into();
        let mut cut = pieces.clone();
        let last = cut.pop_back().unwrap();
        let part = last.slice(MAPPED..);
        drop((Pieces(cut), last));
        drop(Pieces(pieces));
        assert!(part.len() == 3 * STEP + 1 - MAPPED && part.iter().all(|byte| *byte == b'x'));
        let mut whole = part.try_into_mut().unwrap();
        bytes::Buf::advance(&mut whole, STEP);
        release(whole);
    }
}
