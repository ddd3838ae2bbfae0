//! Probes whether a peer is alive at this moment.

use std::time::Duration;

use socket2::TcpKeepalive;
use tokio::time::{Instant, sleep};

use crate::WatchedSocket;
use crate::signs::Signs;

/// Interval at which the peer's answer is checked.
const LOOK: Duration = Duration::from_millis(50);

/// Interval at which an idle peer is probed: one packet can get lost.
const ASK: Duration = Duration::from_millis(250);

/// The shortest idle time before a probe that operating systems accept.
const SHORTEST: Duration = Duration::from_secs(1);

/// The number of unanswered probes after which a peer counts as vanished.
const UNANSWERED: u8 = 2;

/// More probes than are sent, so that the operating system does not end the connection.
const MANY: u32 = 100;

/// The precision of the operating system's packet times.
const PRECISION: Duration = Duration::from_millis(20);

/// The result of a probe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Presence {
    /// The peer has answered, or there is no evidence that it has vanished.
    Present,
    /// The peer left several probes unanswered. The connection has been ended.
    Vanished,
    /// The connection has ended meanwhile.
    Left,
}

impl WatchedSocket {
    /// Probes the peer, and ends the connection if it does not answer within `time`, which must be
    /// more than a second.
    ///
    /// An idle peer is probed by TCP keep-alive, which a running computer's operating system
    /// answers, whatever its programs do. A peer that owes acknowledgements is probed by TCP's
    /// retransmissions. It counts as vanished if earlier ones are unanswered, even if none is sent
    /// during `time`.
    ///
    /// Probing a peer that is alive may take a second, which is the shortest idle time before a
    /// probe that operating systems accept. Cancel safe, except that an idle peer may then be
    /// probed more often than necessary.
    ///
    /// See the example of [`WatchedSocket`].
    pub async fn probe(&self, time: Duration) -> Presence {
        let begun = Instant::now();
        let mut silence_before = None;
        let mut asked_at = None;
        let mut presence = Presence::Present;
        loop {
            let Some(shared) = self.upgrade() else {
                return Presence::Left;
            };
            if shared.has_vanished() {
                return Presence::Vanished;
            }
            let Ok(signs) = shared.signs() else {
                break;
            };
            let elapsed = begun.elapsed();
            let silence_before = *silence_before.get_or_insert(signs.silence);
            if signs.silence + PRECISION < silence_before + elapsed {
                break;
            }
            if elapsed >= time {
                if is_unanswered(&signs) {
                    shared.vanish();
                    presence = Presence::Vanished;
                }
                break;
            }
            let is_due = asked_at.is_none_or(|at: Instant| at.elapsed() >= ASK);
            if is_due && !signs.is_pending() {
                // Setting the options makes the operating system send a probe if the connection has
                // been idle long enough.
                let often = TcpKeepalive::new()
                    .with_time(SHORTEST)
                    .with_interval(SHORTEST)
                    .with_retries(MANY);
                // Fails only if the connection has ended.
                let _ = shared.socket().set_tcp_keepalive(&often);
                asked_at = Some(Instant::now());
            }
            drop(shared);
            sleep(LOOK).await;
        }
        if let Some(shared) = self.upgrade()
            && presence == Presence::Present
        {
            let usual = shared.watch().keep_alive().probes();
            let _ = shared.socket().set_tcp_keepalive(&usual);
        }
        presence
    }
}

/// Returns whether enough probes are unanswered.
fn is_unanswered(signs: &Signs) -> bool {
    signs.unanswered() >= UNANSWERED
}
