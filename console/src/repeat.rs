//! Repeats a request to the manager, for commands that show its answers until they are stopped.

use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::{MissedTickBehavior, interval};

use crate::connection::Connection;
use crate::failure::Failure;

/// A request that can be repeated.
pub(crate) trait Request: Send + 'static {
    type Answer: Send + 'static;

    /// Returns the connection that it uses.
    fn connection(&self) -> &Connection;

    /// Sends it, and returns its answer.
    fn send(&mut self) -> impl Future<Output = Result<Self::Answer, Failure>> + Send;
}

/// Sends a request again and again, the first time after `every`, and returns the answers. While
/// the manager is away, no request is sent. It has a task of its own: a key that is pressed must
/// not interrupt a request.
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
            request.connection().client().connected().await;
            if sender.send(request.send().await).await.is_err() {
                return;
            }
        }
    });
    answers
}
