//! Repeats a request to the manager, for commands that show its answers until they are stopped.

use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::{MissedTickBehavior, interval};

use crate::connection::Connection;
use crate::failure::Failure;
use crate::output::one_line;

/// A request that can be repeated.
pub(crate) trait Request: Send + 'static {
    type Answer: Send + 'static;

    /// Returns the connection that it uses.
    fn connection(&self) -> &Connection;

    /// Sends it, and returns its answer.
    fn send(&mut self) -> impl Future<Output = Result<Self::Answer, Failure>> + Send;
}

/// Sends a request again and again, the first time after `every`, and returns the answers. While
/// the manager is away, no request is sent. A failure of the connection
/// ([`Failure::NoManager`]) is not the end; once the connection has ended for good, the last
/// answer is a [`Failure::Refused`]. It has a task of its own: a key that is pressed must not
/// interrupt a request.
pub(crate) fn repeat<R: Request>(
    mut request: R,
    every: Duration,
) -> mpsc::Receiver<Result<R::Answer, Failure>> {
    let (sender, answers) = mpsc::channel(1);
    tokio::spawn(async move {
        let mut pace = interval(every);
        pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
        pace.tick().await;
        loop {
            pace.tick().await;
            let client = request.connection().client();
            if !client.connected().await {
                let reason = client.closed().await;
                let failure = Failure::Refused(format!("the connection has ended: {}", one_line(&reason)));
                // Without a receiver the command is ending.
                let _ = sender.send(Err(failure)).await;
                return;
            }
            if sender.send(request.send().await).await.is_err() {
                return;
            }
        }
    });
    answers
}
