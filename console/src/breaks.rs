//! Reports on standard error that the connection is broken, and what became of its session.

use std::convert::Infallible;
use std::time::Duration;

use labwire_client::{CallError, Client, Executed, SessionState};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};

use crate::output::tell;

/// What a client has kept that has returned to its session.
pub(crate) const SESSION_KEPT: &str = "session kept";

/// What a person is told when the connection breaks.
pub(crate) const RETURNING: &str = "disconnected; returning to the session";

/// The task that reports the breaks of a client. They are not reported any more after it is dropped.
pub(crate) struct Breaks(JoinHandle<Infallible>);

impl Breaks {
    /// Starts to report the breaks of a client.
    pub(crate) fn report(client: &Client) -> Self {
        let client = client.clone();
        Self(tokio::spawn(
            async move { reported(&client, || SESSION_KEPT).await },
        ))
    }

    /// Starts to tell a line at each break of a client, and nothing else.
    pub(crate) fn tell(client: &Client, line: String) -> Self {
        let client = client.clone();
        Self(tokio::spawn(async move {
            let mut state = client.session();
            loop {
                state = changed(&client, state).await;
                if state == SessionState::Away {
                    tell(format_args!("labwire: {line}"));
                }
            }
        }))
    }
}

impl Drop for Breaks {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Reports each break of a client and each return, for which `kept` says what was kept. Never
/// returns.
pub(crate) async fn reported(client: &Client, kept: impl Fn() -> &'static str) -> Infallible {
    let mut state = client.session();
    let mut since = Instant::now();
    loop {
        state = changed(client, state).await;
        match state {
            SessionState::Away => {
                since = Instant::now();
                tell(format_args!("labwire: {RETURNING}"));
            }
            SessionState::Kept => tell(format_args!(
                "labwire: back after {:.1} s, {}",
                since.elapsed().as_secs_f64(),
                kept()
            )),
            SessionState::Lost => {
                tell(
                    "labwire: the session is lost, and with it calls in flight and locks; links are made again",
                );
            }
            _ => {}
        }
    }
}

/// Waits until the state of the session is another one; for ever once the client has ended. Cancel
/// safe.
pub(crate) async fn changed(client: &Client, from: SessionState) -> SessionState {
    let now = client.session_changed(from).await;
    if now == from {
        return std::future::pending().await;
    }
    now
}

/// Returns whether a request has failed that the manager had not read when the connection broke, and
/// whose client has returned to its session or may do so: it can be sent again.
pub(crate) async fn is_unread(error: &CallError, client: &Client) -> bool {
    let is_unread = matches!(
        error,
        CallError::Disconnected {
            executed: Executed::No,
            ..
        }
    );
    let keeps_session = matches!(client.session(), SessionState::Away | SessionState::Kept);
    is_unread && keeps_session && timeout(Duration::ZERO, client.closed()).await.is_err()
}
