//! Decides whether a peer that owes an acknowledgement has vanished, without I/O and without a
//! clock.

use std::time::Duration;

use tokio::time::Instant;

use crate::signs::Signs;

/// The result of checking a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Everything was acknowledged.
    Quiet,
    /// The peer owes an acknowledgement, or has no buffer space for more bytes.
    Owes {
        /// The time until the next check.
        look_in: Duration,
        /// The new `TCP_USER_TIMEOUT`; `None` to leave it unchanged.
        user_timeout: Option<Duration>,
    },
    /// The peer left probes unanswered for the whole time limit.
    Vanished,
}

/// The state of a connection between two checks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Judge {
    limit: Duration,
    looked: Instant,
    /// The time since which the peer has acknowledged nothing more.
    since: Instant,
    acknowledged: u64,
    /// The operating system's limit, as it was last set.
    user_timeout: Duration,
    /// Whether the peer had exceeded its time at the last check.
    is_suspected: bool,
}

impl Judge {
    /// Creates the state for a connection on which bytes were just written.
    pub(crate) fn new(limit: Duration, now: Instant) -> Self {
        Self {
            limit,
            looked: now,
            since: now,
            acknowledged: 0,
            user_timeout: limit,
            is_suspected: false,
        }
    }

    /// Returns the longest time between two checks.
    pub(crate) fn longest(&self) -> Duration {
        self.limit / 8
    }

    /// Returns the shortest time between two checks. Longer than any round trip, as far as the
    /// limit allows.
    pub(crate) fn shortest(&self) -> Duration {
        (self.limit / 16).min(Duration::from_secs(1))
    }

    /// Evaluates the current signs.
    ///
    /// Linux ends a connection whose peer acknowledges nothing more within its limit, even if the
    /// peer answers every probe and only has no buffer space because its program does not read. So
    /// that limit is moved.
    ///
    /// A peer without buffer space is probed at growing intervals, up to two minutes, unless Linux'
    /// limit comes first. So the limit is moved in small steps, which keeps the probes as frequent
    /// as for an idle peer.
    pub(crate) fn judge(&mut self, signs: &Signs, now: Instant) -> Verdict {
        let last_look = std::mem::replace(&mut self.looked, now);
        let has_progressed = signs.acknowledged != self.acknowledged;
        if has_progressed || !signs.is_pending() {
            self.acknowledged = signs.acknowledged;
            // It was acknowledged after the last check, at an unknown time.
            self.since = last_look;
        }
        if !signs.is_pending() {
            return Verdict::Quiet;
        }
        // All that was sent is acknowledged, but the peer has no buffer space for the rest.
        let has_no_room = signs.unacknowledged == 0;
        // Unacknowledged data is sent again and again, but a single probe for buffer space may be
        // lost.
        let enough = if has_no_room { 2 } else { 1 };
        let is_overdue = signs.silence >= self.limit && signs.unanswered() >= enough;
        if is_overdue && self.is_suspected {
            return Verdict::Vanished;
        }
        self.is_suspected = is_overdue;
        let look_in = self.limit.saturating_sub(signs.silence);
        let was_heard = signs.silence < now.duration_since(last_look);
        let elapsed = now.duration_since(self.since);
        let (moved, longest) = if has_no_room {
            (Some(elapsed + self.limit / 3), self.limit / 24)
        } else {
            (was_heard.then(|| elapsed + self.limit), self.longest())
        };
        Verdict::Owes {
            look_in: look_in.min(longest).max(self.shortest().min(longest)),
            user_timeout: moved.filter(|moved| self.moves_to(*moved)),
        }
    }

    /// Notes the operating system's limit. Returns whether it has changed.
    fn moves_to(&mut self, user_timeout: Duration) -> bool {
        std::mem::replace(&mut self.user_timeout, user_timeout) != user_timeout
    }

    /// Notes that the operating system's limit is reset to the initial one. Returns whether it was
    /// another one.
    pub(crate) fn moves_back(&mut self) -> bool {
        self.moves_to(self.limit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_secs(90);

    fn seconds(number: u64) -> Duration {
        Duration::from_secs(number)
    }

    /// Checks a connection at the requested times, until it is quiet or vanished or the time is
    /// over. Returns the verdict, its time, and the limits of the operating system with the times
    /// at which they were set.
    fn watch(
        time: Duration,
        signs: impl Fn(Duration) -> Signs,
    ) -> (Verdict, Duration, Vec<(Duration, Duration)>) {
        let begun = Instant::now();
        let mut judge = Judge::new(LIMIT, begun);
        let mut moved = vec![(Duration::ZERO, LIMIT)];
        let mut at = judge.shortest();
        loop {
            let verdict = judge.judge(&signs(at), begun + at);
            let Verdict::Owes {
                look_in,
                user_timeout,
            } = verdict
            else {
                return (verdict, at, moved);
            };
            moved.extend(user_timeout.map(|timeout| (at, timeout)));
            if at > time {
                return (verdict, at, moved);
            }
            at += look_in;
        }
    }

    /// Returns how often Linux has retransmitted by then: after 0.2 s, 0.6 s, 1.4 s and so on.
    fn retransmits(time: Duration) -> u8 {
        u8::try_from((time.as_millis() / 200 + 1).ilog2()).unwrap()
    }

    #[test]
    fn a_peer_behind_a_cut_cable_has_vanished_at_the_limit_whenever_the_bytes_were_written() {
        for idle in [0, 20, 60, 89] {
            let signs = |time: Duration| Signs {
                silence: seconds(idle) + time,
                unacknowledged: 1,
                retransmits: retransmits(time),
                ..Signs::default()
            };
            let (verdict, at, moved) = watch(LIMIT * 3, signs);
            assert_eq!(verdict, Verdict::Vanished, "after {idle} s without a word");
            let silence = seconds(idle) + at;
            assert!(
                (LIMIT..LIMIT + seconds(4)).contains(&silence),
                "{silence:?} after {idle} s"
            );
            assert_eq!(moved.len(), 1, "the limit was moved for a peer that is not there");
        }
    }

    /// Linux probes for buffer space at growing intervals, up to two minutes.
    #[test]
    fn a_peer_that_answers_and_reads_nothing_is_kept_and_the_operating_system_is_told_in_time() {
        let signs = |time: Duration| {
            let interval = seconds(120).min(time / 2);
            Signs {
                silence: Duration::from_secs_f64(time.as_secs_f64() % interval.as_secs_f64()),
                unsent: 1_000,
                ..Signs::default()
            }
        };
        let (verdict, at, moved) = watch(seconds(3_600), signs);
        assert!(
            matches!(verdict, Verdict::Owes { .. }),
            "{verdict:?} after {at:?}"
        );
        for pair in moved.windows(2) {
            let [(_, before), (at, after)] = pair else {
                unreachable!("windows of two");
            };
            assert!(
                *at + LIMIT / 6 < *before,
                "told {after:?} at {at:?} only, after {before:?}"
            );
        }
    }

    #[test]
    fn a_peer_that_reads_nothing_and_vanishes_is_noticed_once_it_was_asked() {
        let cut = seconds(300);
        // The next probe comes after that.
        let asked = seconds(350);
        let signs = |time: Duration| Signs {
            silence: time.saturating_sub(cut),
            unsent: 1_000,
            probes: match time.checked_sub(asked) {
                None => 0,
                Some(since) => u8::try_from(since.as_secs() / 30).unwrap() + 1,
            },
            ..Signs::default()
        };
        let (verdict, at, _) = watch(seconds(3_600), signs);
        assert_eq!(verdict, Verdict::Vanished);
        assert!((cut + LIMIT..cut + LIMIT + seconds(6)).contains(&at), "{at:?}");
    }

    #[test]
    fn one_question_that_is_just_under_way_is_no_proof() {
        let begun = Instant::now();
        let mut judge = Judge::new(LIMIT, begun);
        let asked = Signs {
            silence: LIMIT,
            unacknowledged: 1,
            retransmits: 1,
            ..Signs::default()
        };
        let verdict = judge.judge(&asked, begun + LIMIT);
        assert!(matches!(verdict, Verdict::Owes { look_in, .. } if look_in == seconds(1)));
        let answered = Signs {
            silence: seconds(1),
            retransmits: 0,
            ..asked
        };
        let verdict = judge.judge(&answered, begun + LIMIT + seconds(1));
        assert!(matches!(verdict, Verdict::Owes { .. }), "{verdict:?}");
    }

    #[test]
    fn one_probe_for_room_may_be_lost() {
        let signs = |time: Duration| Signs {
            silence: seconds(time.as_secs() % (2 * LIMIT.as_secs())),
            unsent: 1_000,
            probes: 1,
            ..Signs::default()
        };
        let (verdict, at, _) = watch(seconds(3_600), signs);
        assert!(
            matches!(verdict, Verdict::Owes { .. }),
            "{verdict:?} after {at:?}"
        );
    }

    #[test]
    fn what_was_acknowledged_is_quiet() {
        let now = Instant::now();
        let verdict = Judge::new(LIMIT, now).judge(&Signs::default(), now + seconds(1));
        assert_eq!(verdict, Verdict::Quiet);
    }
}
