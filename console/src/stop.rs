//! The end of commands that run until they are stopped, such as `watch`.

use std::time::Duration;

use tokio::sync::watch;

use crate::failure::Failure;

/// The end of a command: whether it was asked to end, and whether it has something to shut down. All
/// clones share it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Stop(watch::Sender<State>);

#[derive(Debug, Default)]
struct State {
    ends_in_order: bool,
    signal: Option<EndSignal>,
}

impl Stop {
    /// Notes that the command has something to shut down from now on. Before, a signal ends it at
    /// once.
    ///
    /// # Errors
    /// If it was asked to end already: it must not begin.
    pub(crate) fn begin(&self) -> Result<(), Failure> {
        let mut begun = Ok(());
        self.0.send_modify(|state| match state.signal {
            Some(signal) => begun = Err(signal.failure()),
            None => state.ends_in_order = true,
        });
        begun
    }

    /// Returns whether the command has something to shut down.
    pub(crate) fn has_begun(&self) -> bool {
        self.0.borrow().ends_in_order
    }

    /// Asks the command to end. Returns `false` if it has nothing to shut down.
    pub(crate) fn ask(&self, signal: EndSignal) -> bool {
        self.0.send_modify(|state| state.signal = Some(signal));
        self.0.borrow().ends_in_order
    }

    /// Returns the signal that has asked for the end.
    pub(crate) fn asked(&self) -> Option<EndSignal> {
        self.0.borrow().signal
    }

    /// Waits until the end is asked for. Cancel safe.
    pub(crate) async fn requested(&self) -> EndSignal {
        let mut states = self.0.subscribe();
        let asked = states.wait_for(|state| state.signal.is_some()).await;
        match asked.ok().and_then(|state| state.signal) {
            Some(signal) => signal,
            // This holds a sender, so that the channel is open.
            None => std::future::pending().await,
        }
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
    /// Returns the name of the signal for people.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Interrupt => "Ctrl-C",
            Self::Terminate => "TERM",
            Self::HangUp => "HUP",
        }
    }

    /// Returns the failure of a command that this signal ends now.
    pub(crate) fn failure(self) -> Failure {
        match self {
            Self::Interrupt => Failure::interrupted(),
            Self::Terminate => Failure::Signalled(143),
            Self::HangUp => Failure::Signalled(129),
        }
    }

    /// Returns the outcome of a command that this signal has stopped: a failure if it was to end by
    /// itself, after `count` results.
    pub(crate) fn outcome(self, count: Option<u64>) -> Result<(), Failure> {
        match count {
            Some(_) => Err(self.failure()),
            None => Ok(()),
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
            hang_up: (!is_hang_up_ignored())
                .then(|| signal(SignalKind::hangup()).ok())
                .flatten(),
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
}

/// Returns whether this process was started with SIGHUP ignored, as by `nohup`: listening would end
/// that.
#[cfg(unix)]
fn is_hang_up_ignored() -> bool {
    use std::io::{self, IsTerminal};

    match std::fs::read_to_string("/proc/self/status") {
        Ok(status) => ignores_hang_up(&status),
        // Not Linux. Without a terminal, as below `nohup`, the default action remains.
        Err(_) => !(io::stdin().is_terminal() || io::stdout().is_terminal() || io::stderr().is_terminal()),
    }
}

/// Returns whether the ignored signals in the status of a process, as Linux reports it, contain
/// SIGHUP.
#[cfg(unix)]
fn ignores_hang_up(status: &str) -> bool {
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let ignored = ignored.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    // The number of SIGHUP is 1, and the bits count from 0.
    ignored.is_some_and(|mask| mask & 1 != 0)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_command_ends_at_once_until_it_has_something_to_shut_down() {
        let stop = Stop::default();
        assert!(!stop.ask(EndSignal::Interrupt));
        assert!(stop.begin().is_err());

        let stop = Stop::default();
        stop.clone().begin().unwrap();
        assert!(stop.ask(EndSignal::HangUp));
        assert_eq!(stop.requested().await, EndSignal::HangUp);
    }

    #[cfg(unix)]
    #[test]
    fn a_hang_up_that_nohup_ignores_is_recognized() {
        assert!(ignores_hang_up("Name:\tlabwire\nSigIgn:\t0000000000001001\n"));
        assert!(!ignores_hang_up(
            "SigBlk:\t0000000000000001\nSigIgn:\t0000000000001000\n"
        ));
        assert!(!ignores_hang_up(""));
    }
}
