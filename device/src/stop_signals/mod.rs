//! The signals that ask a program to end.

use std::io;

#[cfg(unix)]
mod unix;
#[cfg(windows)]
mod windows;

#[cfg(unix)]
use unix::Signals;
#[cfg(windows)]
use windows::Signals;
#[cfg(windows)]
pub use windows::request_stop;

/// A signal that asks a program to end; [`StopSignals`] has an example.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StopSignal {
    /// `SIGINT`: a person has pressed Ctrl-C. On Windows, also the event of Ctrl-C.
    Interrupt,
    /// `SIGTERM`: from another program, such as the system's service manager. On Windows, Ctrl-Break,
    /// or that the console is closed or the computer is shut down.
    Terminate,
}

/// Waits for signals that ask a program to end, and disables their default action.
///
/// ```
/// use labwire_device::StopSignals;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> std::io::Result<()> {
/// # let work = async {};
/// let mut signals = StopSignals::listen()?;
/// tokio::select! {
///     () = work => println!("done"),
///     signal = signals.next() => println!("asked to end by {signal:?}"),
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct StopSignals {
    signals: Signals,
}

impl StopSignals {
    /// Starts listening to the signals of this process, for as long as it runs. Must be called
    /// within a tokio runtime with I/O.
    ///
    /// # Errors
    /// The error of the operating system.
    pub fn listen() -> io::Result<Self> {
        Ok(Self {
            signals: Signals::listen()?,
        })
    }

    /// Waits for the next signal. Cancel safe: a signal that arrives between two calls is kept.
    pub async fn next(&mut self) -> StopSignal {
        self.signals.next().await
    }
}
