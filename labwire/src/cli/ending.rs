//! The end of a command by a signal while it asks for a password: the terminal is restored first.

use std::io;
use std::process::exit;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use labwire_device::{StopSignal, StopSignals, restore_terminal};
use tokio::runtime::Builder;

/// Whether a thread waits for signals already.
static IS_LISTENING: AtomicBool = AtomicBool::new(false);

/// Whether the command handles signals itself from now on.
static IS_HANDED_OVER: AtomicBool = AtomicBool::new(false);

/// Returns the exit code of a command that a signal has ended: 128 and the number of the signal, as
/// shells report it.
pub(super) fn exit_code(signal: StopSignal) -> i32 {
    match signal {
        StopSignal::Interrupt => 130,
        StopSignal::Terminate => 143,
    }
}

/// From now on, `SIGINT` and `SIGTERM` restore the terminal and end the process, until
/// [`hand_over`].
///
/// # Errors
/// The error of the operating system.
pub(super) fn end_at_signals() -> io::Result<()> {
    if IS_LISTENING.swap(true, Ordering::SeqCst) {
        return Ok(());
    }
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let mut signals = runtime.block_on(async { StopSignals::listen() })?;
    let waiting = thread::Builder::new().name("signals".to_owned());
    waiting.spawn(move || {
        let signal = runtime.block_on(signals.next());
        if !IS_HANDED_OVER.load(Ordering::SeqCst) {
            restore_terminal();
            exit(exit_code(signal));
        }
    })?;
    Ok(())
}

/// Leaves signals to the command, which listens to them already.
pub(crate) fn hand_over() {
    IS_HANDED_OVER.store(true, Ordering::SeqCst);
}
