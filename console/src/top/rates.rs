//! The traffic between two reports of the manager.

use std::collections::HashMap;
use std::time::Duration;

use serde::Serialize;

use crate::report::{Away, Lock, Peer};

/// The traffic of a client or a service in an interval. Rates are per second.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub(super) struct Row {
    pub(super) name: String,
    /// Requests that were answered.
    pub(super) calls_per_second: f64,
    /// Those of them that were answered with an error.
    pub(super) errors_per_second: f64,
    /// The latencies of half, and of 99 %, of the calls that were answered, in seconds; `None` if
    /// there were none.
    pub(super) p50_seconds: Option<f64>,
    pub(super) p99_seconds: Option<f64>,
    pub(super) in_flight: u64,
    /// How long a service has held its oldest request, in seconds.
    pub(super) oldest_seconds: Option<f64>,
    pub(super) request_bytes_per_second: f64,
    pub(super) reply_bytes_per_second: f64,
    pub(super) notifications_per_second: f64,
    /// The bytes that wait until the peer reads them.
    pub(super) queued_bytes: u64,
    /// Set while its connection is broken and its place is kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) away: Option<Away>,
    pub(super) link_count: u64,
    pub(super) links: Vec<String>,
    pub(super) lock_count: u64,
    /// The holders of its locks.
    pub(super) locked_by: Vec<String>,
    /// The number of calls with each latency: the least value of each bucket, in microseconds, and
    /// its count.
    #[serde(skip)]
    pub(super) latencies: Vec<(u64, u64)>,
}

/// Returns the rows of the peers in a report, in its order. `before` is the report that was taken
/// `elapsed` earlier. The sums of a peer that is not in it count from zero.
pub(super) fn rows(before: &[Peer], now: &[Peer], elapsed: Duration) -> Vec<Row> {
    let before: HashMap<_, _> = before.iter().map(|peer| (&*peer.name, peer)).collect();
    now.iter()
        .map(|peer| {
            // The sums of a service that has registered again count from zero, too.
            let before = before.get(&*peer.name).filter(|before| {
                before.requests <= peer.requests
                    && before.replies <= peer.replies
                    && before.notifications <= peer.notifications
            });
            row(before.copied().unwrap_or(&Peer::default()), peer, elapsed)
        })
        .collect()
}

fn row(before: &Peer, peer: &Peer, elapsed: Duration) -> Row {
    #[expect(clippy::cast_precision_loss, reason = "rates are shown with three digits")]
    let rate = |before: u64, now: u64| {
        now.saturating_sub(before) as f64 / elapsed.as_secs_f64().max(f64::MIN_POSITIVE)
    };
    let latencies = difference(&before.latencies, &peer.latencies);
    Row {
        name: peer.name.clone(),
        calls_per_second: rate(before.replies, peer.replies),
        errors_per_second: rate(before.errors, peer.errors),
        p50_seconds: percentile(&latencies, 50),
        p99_seconds: percentile(&latencies, 99),
        in_flight: peer.in_flight,
        oldest_seconds: peer.oldest_seconds,
        request_bytes_per_second: rate(before.request_bytes, peer.request_bytes),
        reply_bytes_per_second: rate(before.reply_bytes, peer.reply_bytes),
        notifications_per_second: rate(before.notifications, peer.notifications),
        queued_bytes: peer.queued_bytes,
        away: peer.away,
        link_count: peer.link_count,
        links: peer.links.clone(),
        lock_count: peer.lock_count,
        locked_by: peer
            .locks
            .iter()
            .map(|Lock { client, .. }| client.clone())
            .collect(),
        latencies,
    }
}

/// Returns the counts that were added to a histogram.
fn difference(before: &[(u64, u64)], now: &[(u64, u64)]) -> Vec<(u64, u64)> {
    let before: HashMap<_, _> = before.iter().copied().collect();
    let added = now.iter().map(|&(least, count)| {
        let before = before.get(&least).copied().unwrap_or_default();
        (least, count.saturating_sub(before))
    });
    added.filter(|(_, count)| *count > 0).collect()
}

/// Returns a percentile of the latencies in a histogram, in seconds: the middle of its bucket,
/// which is exact to an eighth.
fn percentile(latencies: &[(u64, u64)], percent: u64) -> Option<f64> {
    // A manager may report any counts.
    let total: u128 = latencies.iter().map(|(_, count)| u128::from(*count)).sum();
    let rank = (total * u128::from(percent)).div_ceil(100).max(1);
    let mut below = 0;
    let (least, _) = latencies.iter().find(|(_, count)| {
        below += u128::from(*count);
        below >= rank
    })?;
    #[expect(clippy::cast_precision_loss, reason = "a latency is shown with three digits")]
    let middle = *least as f64 + width(*least) as f64 / 2.0;
    Some(middle / 1e6)
}

/// Returns the width of the bucket with that least value, in microseconds, as in protocol.md.
fn width(least: u64) -> u64 {
    if least < 4 { 1 } else { 1 << (least.ilog2() - 2) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(name: &str, replies: u64, latencies: &[(u64, u64)]) -> Peer {
        Peer {
            name: name.to_owned(),
            requests: replies,
            replies,
            latencies: latencies.to_vec(),
            ..Peer::default()
        }
    }

    #[test]
    fn rates_and_percentiles_are_those_of_the_interval() {
        let before = [peer("A", 100, &[(16, 100)]), peer("B", 50, &[(8, 50)])];
        let now = [
            peer("A", 300, &[(16, 290), (1_024, 10)]),
            peer("B", 20, &[(8, 20)]),
            peer("C", 0, &[]),
        ];
        let rows = rows(&before, &now, Duration::from_secs(2));
        assert!((rows[0].calls_per_second - 100.0).abs() < 1e-9);
        assert_eq!(rows[0].latencies, [(16, 190), (1_024, 10)]);
        assert_eq!(
            (rows[0].p50_seconds, rows[0].p99_seconds),
            (Some(18e-6), Some(1_152e-6))
        );
        // It has registered again.
        assert!((rows[1].calls_per_second - 10.0).abs() < 1e-9);
        assert_eq!(rows[2].p50_seconds, None);
    }
}
