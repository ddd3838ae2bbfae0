//! Budgets for all peers together, and the rules for whom they refuse first.
//!
//! Beside each limit per peer there is a budget for all of them. Its default follows from the
//! memory that the manager may use. A peer that uses little of a budget loses nothing by it:
//!
//! - What cannot be taken back (a request in flight, an identity) is a [`Pool`]: its last quarter
//!   is for peers that have less than their fair share, and a little is free for everyone.
//! - What can be taken back (bytes of unfinished lines) is in [`LineBudget`]: the peer that holds
//!   most loses its line.
//! - What can wait (bytes that are queued) is in [`QueueBudget`]: it waits until those who have
//!   more than their share have read, or are disconnected because they do not.

mod lines;
mod memory;
mod pool;
mod queues;
mod sessions;

pub(crate) use lines::{LineBudget, LineShare};
pub use memory::{Memory, MemorySource};
pub(crate) use pool::Pool;
pub(crate) use queues::{Pressing, QueueBudget, STEP as QUEUED_STEP, Waiting};
pub(crate) use sessions::SessionBudget;

const MIB: u64 = 1 << 20;

/// Returns whether one user of a budget may have `wanted`, if all users together then have `used`.
///
/// The last quarter is for users that have less than their fair share, which is the same for each.
/// The less of that quarter is left, the smaller the part of its share that a user may reach. So it
/// never goes to users that have much already.
fn is_fair(budget: usize, users: usize, used: usize, wanted: usize) -> bool {
    let reserve = budget / 4;
    let Some(left) = budget.checked_sub(used) else {
        return false;
    };
    let share = budget / users.max(1);
    left >= reserve || (wanted as u128) * (reserve as u128) <= (share as u128) * (left as u128)
}

/// Limits for all peers together, beside each limit per peer. The default is
/// [`for_memory`](Self::for_memory) with the memory of this process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budgets {
    /// Bytes of lines that are unfinished or wait to be routed. Default: a quarter of the memory,
    /// at least 16 MiB.
    pub lines: usize,
    /// Bytes queued for peers. Default: a quarter of the memory, at least 16 MiB.
    pub queues: usize,
    /// Bytes of the descriptions of services in their identities. Default: 1/64 of the memory, 1
    /// MiB to 64 MiB.
    pub identities: usize,
    /// Requests in flight. Default: one per 4 KiB of memory, at least 16,384.
    pub in_flight: usize,
    /// Bytes that are kept for peers with sessions until they confirm them, and while they are away.
    /// Default: 1/16 of the memory, at least 8 MiB.
    pub sessions: usize,
}

impl Budgets {
    /// Returns the budgets for a process that may use `bytes` bytes of memory.
    ///
    /// With 1 GiB, two lines of 110 MB can arrive at the same time; with 4 GiB, one of 1 GiB.
    ///
    /// ```
    /// use labwire_manager::Budgets;
    ///
    /// let budgets = Budgets::for_memory(1 << 30);
    /// assert_eq!(budgets.lines, 256 << 20);
    /// assert_eq!(budgets.queues, 256 << 20);
    /// assert_eq!(budgets.identities, 16 << 20);
    /// assert_eq!(budgets.in_flight, 262_144);
    /// ```
    pub fn for_memory(bytes: u64) -> Self {
        let part = |part: u64, least: u64, most: u64| {
            let bytes = (bytes / part / MIB * MIB).clamp(least * MIB, most * MIB);
            // A 32-bit process can use less than the computer has.
            usize::try_from(bytes).unwrap_or(usize::MAX / 4)
        };
        Self {
            lines: part(4, 16, u64::MAX / MIB),
            queues: part(4, 16, u64::MAX / MIB),
            // Every peer that requests the manager's identity receives all of them.
            identities: part(64, 1, 64),
            // A request in flight takes about 200 bytes, and twice as many with the longest uid: an
            // eighth of the memory.
            in_flight: usize::try_from((bytes / 4_096).max(16_384)).unwrap_or(usize::MAX / 4_096),
            sessions: part(16, 8, u64::MAX / MIB),
        }
    }
}

impl Default for Budgets {
    /// Returns the budgets for the memory of this process.
    fn default() -> Self {
        Self::for_memory(Memory::of_this_process().bytes)
    }
}
