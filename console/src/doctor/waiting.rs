//! Tells a person what a step of the checks waits for.

use std::io::{self, IsTerminal, Write};
use std::pin::pin;
use std::time::Duration;

use tokio::time::timeout;

/// The time after which a person wonders what happens.
const SOON: Duration = Duration::from_millis(700);

/// Runs a step that takes `limit` at most. If it takes long, a line at the terminal says meanwhile
/// what it waits for; the line is removed afterwards.
pub(super) async fn with_notice<T>(what: &str, limit: Duration, step: impl Future<Output = T>) -> T {
    let mut step = pin!(step);
    if let Ok(done) = timeout(SOON.min(limit), &mut step).await {
        return done;
    }
    let mut stderr = io::stderr();
    if !stderr.is_terminal() {
        return step.await;
    }
    // There is no other place to report a failure to write.
    let _ = write!(
        stderr,
        "waiting for {what}, {} s at most …",
        limit.as_secs_f64().ceil()
    );
    let _ = stderr.flush();
    let done = step.await;
    let _ = write!(stderr, "\r\u{1b}[K");
    let _ = stderr.flush();
    done
}
