//! What was requested of a peer or by it, and how long the replies took.

/// The number of [buckets](bucket) with one value each, and in each doubling of the value above.
const PARTS: u64 = 4;

/// The logarithm of [`PARTS`].
const PART_BITS: u32 = 2;

/// The longest latency with a bucket of its own, in microseconds: about a month. A longer one counts
/// as this.
const LONGEST: u64 = 1 << 41;

/// The requests and replies between the manager and one client or service, since it connected.
#[derive(Debug, Default)]
pub(super) struct Traffic {
    /// Requests that were forwarded to a service.
    pub(super) requests: u64,
    /// Requests that were answered, with a result or with an error.
    pub(super) replies: u64,
    /// Those of them that were answered with an error, of the service or about a malformed reply.
    pub(super) errors: u64,
    /// The size of the requests, in bytes.
    pub(super) request_bytes: u64,
    /// The size of the replies, in bytes.
    pub(super) reply_bytes: u64,
    /// Notifications that a service emitted.
    pub(super) notifications: u64,
    /// The times from requests to their replies.
    pub(super) latencies: Latencies,
}

/// How a request ended.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Answered {
    /// The present, in microseconds since the manager started.
    pub(crate) now: u64,
    /// The size of the reply, in bytes.
    pub(crate) bytes: usize,
    pub(crate) is_error: bool,
}

impl Answered {
    /// A request that the manager answers with an error in the place of its service.
    pub(crate) fn with_refusal(now: u64) -> Self {
        Self {
            now,
            bytes: 0,
            is_error: true,
        }
    }
}

impl Traffic {
    /// Counts a request of that size.
    #[inline]
    pub(super) fn request(&mut self, bytes: usize) {
        self.requests += 1;
        self.request_bytes += bytes as u64;
    }

    /// Counts the end of a request that was forwarded at `begun`, in microseconds since the manager
    /// started.
    #[inline]
    pub(super) fn answer(&mut self, begun: u64, answered: Answered) {
        self.replies += 1;
        self.errors += u64::from(answered.is_error);
        self.reply_bytes += answered.bytes as u64;
        self.latencies.add(answered.now.saturating_sub(begun));
    }
}

/// A histogram of latencies.
///
/// Values below 4 µs have a bucket each, and each doubling above has 4 buckets of the same width, so
/// that a bucket is at most a fourth as wide as its values are large.
#[derive(Debug, Default)]
pub(super) struct Latencies {
    /// The number of values in each bucket, up to the last one that is not empty.
    counts: Vec<u64>,
}

impl Latencies {
    #[inline]
    fn add(&mut self, micros: u64) {
        let bucket = bucket(micros);
        match self.counts.get_mut(bucket) {
            Some(count) => *count += 1,
            None => self.add_bucket(bucket),
        }
    }

    #[cold]
    fn add_bucket(&mut self, bucket: usize) {
        self.counts.reserve_exact(bucket + 1 - self.counts.len());
        self.counts.resize(bucket, 0);
        self.counts.push(1);
    }

    /// Returns the buckets that are not empty: the least value of each, in microseconds, and its
    /// count.
    pub(super) fn buckets(&self) -> impl Iterator<Item = (u64, u64)> {
        let counts = self.counts.iter().zip(0..);
        counts
            .filter(|(count, _)| **count > 0)
            .map(|(count, bucket)| (least(bucket), *count))
    }
}

#[inline]
fn bucket(micros: u64) -> usize {
    let micros = micros.min(LONGEST);
    // 4 for the values below, 4 for each doubling below, and the part of this one.
    let bucket = if micros < PARTS {
        micros
    } else {
        let doublings = micros.ilog2() - PART_BITS;
        PARTS * u64::from(doublings) + (micros >> doublings)
    };
    // It is far below 256.
    usize::try_from(bucket).unwrap_or_default()
}

/// Returns the least value of a bucket.
fn least(bucket: u64) -> u64 {
    if bucket < PARTS {
        return bucket;
    }
    (PARTS + bucket % PARTS) << (bucket / PARTS - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_latency_has_a_bucket_that_is_narrow_beside_it() {
        for micros in (0..5_000).chain((0..60).map(|doubling| 1 << doubling)) {
            let bucket = bucket(micros) as u64;
            let (begin, end) = (least(bucket), least(bucket + 1));
            let value = micros.min(LONGEST);
            assert!((begin..end).contains(&value), "{micros}: {begin}..{end}");
            assert!(end - begin <= 1 + value / PARTS, "{micros}: {begin}..{end}");
        }
        assert!((0..5_000).all(|micros| (0..=1).contains(&(bucket(micros + 1) - bucket(micros)))));
    }

    #[test]
    fn a_histogram_lists_what_occurred() {
        let mut traffic = Traffic::default();
        for (begun, now, is_error) in [(10, 11, false), (10, 11, true), (10, 1_010, false), (7, 3, false)] {
            traffic.request(100);
            let answered = Answered {
                now,
                bytes: 10,
                is_error,
            };
            traffic.answer(begun, answered);
        }
        assert_eq!(
            traffic.latencies.buckets().collect::<Vec<_>>(),
            [(0, 1), (1, 2), (896, 1)]
        );
        assert_eq!((traffic.requests, traffic.replies, traffic.errors), (4, 4, 1));
        assert_eq!((traffic.request_bytes, traffic.reply_bytes), (400, 40));
    }
}
