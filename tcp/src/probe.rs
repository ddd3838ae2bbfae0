//! Asking a peer whether it is there at this moment.

use std::time::Duration;

use socket2::TcpKeepalive;
use tokio::time::{Instant, sleep};

use crate::WatchedSocket;
use crate::signs::Signs;

/// How often it is looked whether the peer has answered.
const LOOK: Duration = Duration::from_millis(50);

/// How often an idle peer is asked: one packet can get lost.
const ASK: Duration = Duration::from_millis(250);

/// The shortest silence after which operating systems ask.
const SHORTEST: Duration = Duration::from_secs(1);

/// So many questions without an answer mean that nobody is there.
const UNANSWERED: u8 = 2;

/// More than are asked, so that the operating system does not decide.
const MANY: u32 = 100;

/// By how much the operating system's times of packets can be wrong.
const PRECISION: Duration = Duration::from_millis(20);

/// Whether a peer is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Presence {
    /// It has answered, or nothing is known that says that it is not there.
    Present,
    /// It was asked several times and has not answered. The connection has been ended.
    Vanished,
    /// The connection has ended meanwhile.
    Left,
}

impl WatchedSocket {
    /// Asks the peer whether it is there, and ends the connection if it does not answer within `time`, which must be
    /// more than a second.
    ///
    /// An idle peer is asked by the keep-alive probes of TCP, which the operating system of a computer that is there
    /// answers, whatever its programs do. A peer that owes acknowledgements is asked by the packets that are sent again
    /// anyway. It counts as vanished when those of the past are unanswered, also when none is sent during `time`.
    ///
    /// A peer that has been there all the time may take a second to be found so, since that is the shortest silence
    /// after which operating systems ask. Cancel safe, but for a peer that is asked more often from then on than it need.
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
                // Setting the options makes the operating system ask again if the silence has been long enough.
                let often = TcpKeepalive::new()
                    .with_time(SHORTEST)
                    .with_interval(SHORTEST)
                    .with_retries(MANY);
                // It fails only when the connection has ended.
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

/// Whether the peer was asked often enough to have answered.
fn is_unanswered(signs: &Signs) -> bool {
    signs.unanswered() >= UNANSWERED
}
