//! The cost of work on the routing thread.
//!
//! A unit is the time to route a short line, a fraction of a microsecond.

/// The work of one turn: after it, other peers have theirs. With fifty flooding peers, another peer
/// waits for fifty turns.
pub(crate) const TURN_WORK: usize = 512;

/// The number of bytes that are copied in one unit.
pub(crate) const BYTES_PER_WORK: usize = 1_024;

/// The number of bytes of a large line that are read in one unit, into reused memory. A line of 1
/// MiB fits into one turn, while it is in the processor's caches.
pub(crate) const LARGE_BYTES_PER_WORK: usize = 2 * BYTES_PER_WORK;

/// The number of bytes of a huge line that are read in one unit, into fresh memory. The system
/// provides it page by page, which takes some virtual machines dozens of times as long.
pub(crate) const FRESH_BYTES_PER_WORK: usize = BYTES_PER_WORK / 2;

/// The number of queues that receive a notification, a value or an event in one unit.
pub(crate) const QUEUES_PER_WORK: usize = 16;

/// The work of an event of the manager for one peer that watches it, beside [`QUEUES_PER_WORK`]: its queue takes fresh
/// memory, since one that is read late is the rule.
pub(crate) const EVENT_WORK: usize = 2;

/// The number of subscriptions that are compared with a topic, or of topics with a subscription, in
/// one unit.
pub(crate) const COMPARED_PER_WORK: usize = 4;

/// The number of permissions that are compared with a short name in one unit: patterns with several `*` take 0.1 µs.
pub(crate) const PERMISSIONS_PER_WORK: usize = 4;

/// The work of a refusal, whose text must be composed.
pub(crate) const REFUSAL_WORK: usize = 8;

/// The least work of a frame that an event causes for one peer: an error for its requests, or the
/// answer to one that has waited.
pub(crate) const FRAME_WORK: usize = 4;
