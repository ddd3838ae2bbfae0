//! The end of commands that run until they are stopped, such as `watch`.

use std::time::Duration;

use tokio::sync::watch;

/// A shutdown signal for a command. All clones receive it.
#[derive(Clone, Debug)]
pub(crate) struct Stop(watch::Receiver<bool>);

impl Stop {
    /// Returns a sender and its receiver. Send `true` to request the end.
    pub(crate) fn new() -> (watch::Sender<bool>, Self) {
        let (sender, receiver) = watch::channel(false);
        (sender, Self(receiver))
    }

    /// Waits until the end is asked for. Cancel safe.
    pub(crate) async fn requested(&mut self) {
        // An error means that the sender was dropped: the process is ending.
        let _ = self.0.wait_for(|is_requested| *is_requested).await;
    }
}

/// The time that a command has for its last output once it was asked to end.
pub(crate) const GRACE: Duration = Duration::from_secs(10);

/// Waits for a signal that asks a program to end: Ctrl-C, the end of its terminal, or another
/// program's request.
#[cfg(unix)]
pub(crate) async fn signalled() {
    use tokio::signal::unix::{Signal, SignalKind, signal};

    async fn received(signal: std::io::Result<Signal>) {
        match signal {
            Ok(mut signal) => {
                signal.recv().await;
            }
            // Its default action ends the process.
            Err(_) => std::future::pending().await,
        }
    }

    tokio::select! {
        () = received(signal(SignalKind::interrupt())) => {}
        () = received(signal(SignalKind::terminate())) => {}
        () = received(signal(SignalKind::hangup())) => {}
    }
}

/// Waits for a signal that asks a program to end: Ctrl-C, the end of its terminal, or another
/// program's request.
#[cfg(windows)]
pub(crate) async fn signalled() {
    use tokio::signal::windows::{ctrl_break, ctrl_c, ctrl_close, ctrl_shutdown};

    macro_rules! received {
        ($signal:expr) => {
            async {
                match $signal {
                    Ok(mut signal) => {
                        signal.recv().await;
                    }
                    // Its default action ends the process.
                    Err(_) => std::future::pending().await,
                }
            }
        };
    }

    tokio::select! {
        () = received!(ctrl_c()) => {}
        () = received!(ctrl_break()) => {}
        () = received!(ctrl_close()) => {}
        () = received!(ctrl_shutdown()) => {}
    }
}
