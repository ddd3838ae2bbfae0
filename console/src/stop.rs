//! The end of commands that run until they are stopped, such as `watch`.

use std::time::Duration;

use tokio::sync::watch;

use crate::failure::Failure;

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

/// A signal that asks a program to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum EndSignal {
    /// Ctrl-C.
    Interrupt,
    /// Another program's request.
    Terminate,
    /// The end of the terminal.
    HangUp,
}

impl EndSignal {
    /// Returns the failure of a command that this signal ends now.
    pub(crate) fn failure(self) -> Failure {
        match self {
            Self::Interrupt => Failure::interrupted(),
            Self::Terminate => Failure::Signalled(143),
            Self::HangUp => Failure::Signalled(129),
        }
    }
}

/// Listens to the signals that ask a program to end, and disables their default action. None is
/// missed between two calls of [`next`](Self::next).
#[cfg(unix)]
pub(crate) struct EndSignals {
    // `None` if it cannot be listened to: its default action ends the process.
    interrupt: Option<tokio::signal::unix::Signal>,
    terminate: Option<tokio::signal::unix::Signal>,
    hang_up: Option<tokio::signal::unix::Signal>,
}

#[cfg(unix)]
impl EndSignals {
    /// Starts to listen. Must be called within a runtime.
    pub(crate) fn listen() -> Self {
        use tokio::signal::unix::{SignalKind, signal};

        Self {
            interrupt: signal(SignalKind::interrupt()).ok(),
            terminate: signal(SignalKind::terminate()).ok(),
            hang_up: signal(SignalKind::hangup()).ok(),
        }
    }

    /// Starts to listen to Ctrl-C only: the other signals keep their default action, or stay ignored
    /// as by `nohup`. Must be called within a runtime.
    pub(crate) fn listen_to_interrupts() -> Self {
        Self {
            interrupt: tokio::signal::unix::signal(tokio::signal::unix::SignalKind::interrupt()).ok(),
            terminate: None,
            hang_up: None,
        }
    }
}

/// Listens to the signals that ask a program to end, and disables their default action. None is
/// missed between two calls of [`next`](Self::next).
#[cfg(windows)]
pub(crate) struct EndSignals {
    // `None` if it cannot be listened to: its default action ends the process.
    interrupt: Option<tokio::signal::windows::CtrlC>,
    terminate: Option<tokio::signal::windows::CtrlBreak>,
    hang_up: Option<tokio::signal::windows::CtrlClose>,
}

#[cfg(windows)]
impl EndSignals {
    /// Starts to listen. Must be called within a runtime.
    pub(crate) fn listen() -> Self {
        use tokio::signal::windows::{ctrl_break, ctrl_c, ctrl_close};

        Self {
            interrupt: ctrl_c().ok(),
            terminate: ctrl_break().ok(),
            hang_up: ctrl_close().ok(),
        }
    }

    /// Starts to listen to Ctrl-C only: the other signals keep their default action, or stay ignored
    /// as by `nohup`. Must be called within a runtime.
    pub(crate) fn listen_to_interrupts() -> Self {
        Self {
            interrupt: tokio::signal::windows::ctrl_c().ok(),
            terminate: None,
            hang_up: None,
        }
    }
}

/// Waits for one kind of signal, if it can be listened to.
macro_rules! received {
    ($signal:expr) => {
        async {
            match &mut $signal {
                Some(signal) => {
                    signal.recv().await;
                }
                None => std::future::pending().await,
            }
        }
    };
}

impl EndSignals {
    /// Waits for the next signal. Cancel safe.
    pub(crate) async fn next(&mut self) -> EndSignal {
        tokio::select! {
            () = received!(self.interrupt) => EndSignal::Interrupt,
            () = received!(self.terminate) => EndSignal::Terminate,
            () = received!(self.hang_up) => EndSignal::HangUp,
        }
    }
}

/// Waits for the next signal; for ever if none is listened to. Cancel safe.
pub(crate) async fn next_of(signals: &mut Option<EndSignals>) -> EndSignal {
    match signals {
        Some(signals) => signals.next().await,
        None => std::future::pending().await,
    }
}
