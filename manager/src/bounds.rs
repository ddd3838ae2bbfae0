//! Limits on locks, topics and requests that no option changes.

use std::ops::RangeInclusive;
use std::time::Duration;

/// The longest reason of a lock, in bytes: a sentence.
pub(crate) const MOST_REASON: usize = 256;

/// The times to live that a lock can have, in seconds: a shorter one would end before its renewal
/// arrives. The longest is a year.
pub(crate) const TTL_SECONDS: RangeInclusive<f64> = 1.0..=31_622_400.0;

/// The times that a request for a lock can wait, in seconds: at most a week.
pub(crate) const WAIT_SECONDS: RangeInclusive<f64> = 0.0..=604_800.0;

/// The most requests that wait for locks on one service: more than a laboratory has programs. The
/// position of one is counted.
pub(crate) const MOST_WAITING: usize = 1_000;

/// The most requests for locks of one client that wait: one for each instrument of a measurement.
pub(crate) const MOST_WAITS: usize = 64;

/// The most requests for locks of all clients that wait: a hundred bytes each, and their uids.
pub(crate) const MOST_LOCK_WAITS: usize = 10_000;

/// The requests for locks of each client that may wait regardless of others.
pub(crate) const FREE_LOCK_WAITS: usize = 4;

/// The most subscriptions of one peer.
pub(crate) const MOST_PATTERNS: usize = 256;

/// The most subscriptions of all peers. The first value of a topic is compared with all of them,
/// which takes less than a millisecond.
pub(crate) const MOST_SUBSCRIPTIONS: usize = 10_000;

/// The most topics with a value that is retained. A new subscription is compared with all of them,
/// which takes less than a millisecond.
pub(crate) const MOST_RETAINED: usize = 10_000;

/// The most bytes of all values that are retained, with their frames. One copy serves all
/// subscribers.
pub(crate) const MOST_RETAINED_BYTES: usize = 16 * 1024 * 1024;

/// The values that are retained of each connected sender regardless of others: the state of an
/// instrument.
pub(crate) const FREE_RETAINED: usize = 4;

/// The bytes of those values, with their frames.
pub(crate) const FREE_RETAINED_BYTES: usize = 4 * 1024;

/// The most bytes of a value that is published. It is copied into the frame for its subscribers, in
/// less than a millisecond; the notifications of a service are not copied and have no such limit.
pub(crate) const MOST_VALUE_BYTES: usize = 1024 * 1024;

/// The deadlines that a request can have, in seconds: at most 31 days.
pub(crate) const DEADLINE_SECONDS: RangeInclusive<f64> = 0.001..=2_678_400.0;

/// The most bytes of a progress value: a number or a sentence, or a small picture.
pub(crate) const MOST_PROGRESS_BYTES: usize = 64 * 1024;

/// The most bytes of progress that wait for one client to read them.
pub(crate) const MOST_WAITING_PROGRESS: usize = 1024 * 1024;

/// The most bytes of progress that wait for all clients to read them.
pub(crate) const MOST_WAITING_PROGRESS_OF_ALL: usize = 16 * 1024 * 1024;

/// The most requests of a client that have ended before their reply and are kept, so that the late
/// reply is recognised.
pub(crate) const MOST_OWED: usize = 64;

/// The most such requests of all clients.
pub(crate) const MOST_OWED_OF_ALL: usize = 16_384;

/// From this many such requests of all clients on, each client may have [`LEAST_OWED`], so that a few
/// clients do not take the places of all others.
pub(crate) const CROWDED_OWED: usize = MOST_OWED_OF_ALL / 4 * 3;

/// The most such requests of a client while there are many of others.
pub(crate) const LEAST_OWED: usize = 4;

/// How long a request without a deadline waits for approval.
pub(crate) const APPROVAL_TIME: Duration = Duration::from_mins(10);

/// The most requests of one client that wait for approval.
pub(crate) const MOST_APPROVALS: usize = 16;

/// The most such requests of one user, or of one address without a user.
pub(crate) const MOST_APPROVALS_OF_USER: usize = 64;

/// The most such requests of all clients. All are searched when a client leaves.
pub(crate) const MOST_APPROVALS_OF_ALL: usize = 1_000;

/// The requests of each user that may wait for approval regardless of others.
pub(crate) const FREE_APPROVALS: usize = 2;

/// The most bytes of one such request.
pub(crate) const MOST_APPROVAL_BYTES: usize = 1024 * 1024;

/// The most bytes of all such requests.
pub(crate) const MOST_APPROVAL_BYTES_OF_ALL: usize = 16 * 1024 * 1024;

/// The bytes of such requests of each user that are allowed regardless of others.
pub(crate) const FREE_APPROVAL_BYTES: usize = 8 * 1024;

/// The most characters of the arguments that those see who decide.
pub(crate) const MOST_SHOWN_ARGUMENTS: usize = 200;

/// The most locks that are noted for the time after a restart of the manager, at about 500 bytes
/// each.
pub(crate) const MOST_LEASES: usize = 10_000;

/// The locks of each client that are noted regardless of others.
pub(crate) const FREE_LEASES: usize = 4;

/// The most locks from before a restart that one client gets back.
pub(crate) const MOST_CLAIMED: usize = 1_000;
