//! Turns of long conversions of buffers, for peers without the feature `binary`.

use tokio::sync::{Semaphore, SemaphorePermit};

/// How many conversions of one size are made at the same time. The longest need memory for the
/// converted message, up to twice `--convert`, which counts as an unfinished line only afterwards, and
/// the processor for a tenth of a second.
const AT_ONCE: usize = 2;

/// The sizes, by the most bytes of the converted message. Those of each size have turns of their own: an
/// array of a mebibyte, whose conversion takes two milliseconds, does not wait for one of 64 MiB. The
/// system divides the processors among them.
const SIZES: [usize; 3] = [4 << 20, 32 << 20, usize::MAX];

/// Turns of conversions that are made by another thread. Those of the same size are served in their
/// order.
#[derive(Debug)]
pub(crate) struct Conversions {
    turns: [Semaphore; SIZES.len()],
}

impl Conversions {
    pub(crate) fn new() -> Self {
        Self::with([AT_ONCE; SIZES.len()])
    }

    /// Creates as many turns of each size.
    fn with(counts: [usize; SIZES.len()]) -> Self {
        Self {
            turns: counts.map(Semaphore::new),
        }
    }

    /// Waits for the turn of a conversion to so many bytes, which lasts until the permit is dropped.
    /// Cancel safe.
    pub(crate) async fn turn(&self, bytes: usize) -> Option<SemaphorePermit<'_>> {
        let size = SIZES.iter().position(|most| bytes <= *most)?;
        // It fails if the semaphore is closed, which it is not.
        self.turns[size].acquire().await.ok()
    }

    /// Creates turns of those sizes only that are not taken, from the shortest on.
    #[cfg(test)]
    pub(crate) fn all_but(taken: &[usize]) -> Self {
        let counts = std::array::from_fn(|size| usize::from(!taken.contains(&size)));
        Self::with(counts)
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    use super::*;

    #[test]
    fn a_conversion_waits_for_none_of_another_size() {
        const MIB: usize = 1 << 20;
        let conversions = Conversions::new();
        let turn = |bytes| {
            let turn = pin!(conversions.turn(bytes));
            match turn.poll(&mut Context::from_waker(Waker::noop())) {
                Poll::Ready(permit) => permit,
                Poll::Pending => None,
            }
        };
        let long = [64 * MIB, usize::MAX].map(turn);
        assert!(long.iter().all(Option::is_some));
        assert!(turn(33 * MIB).is_none(), "two are made at once");
        let shorter = [MIB, 4 * MIB, 5 * MIB, 32 * MIB].map(turn);
        assert!(shorter.iter().all(Option::is_some));
        assert!(turn(1).is_none() && turn(6 * MIB).is_none());
        drop(long);
        assert!(turn(33 * MIB).is_some() && turn(1).is_none());
    }
}
