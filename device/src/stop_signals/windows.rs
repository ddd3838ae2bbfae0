//! Windows: the events of the console, and requests by the service manager of Windows.
//!
//! Windows ends a program some seconds after it was told that its console is closed or that the computer
//! is shut down. That somebody logs off is not listened to: a service runs on.

use std::io;
use std::sync::LazyLock;

use tokio::signal::windows::{
    CtrlBreak, CtrlC, CtrlClose, CtrlShutdown, ctrl_break, ctrl_c, ctrl_close, ctrl_shutdown,
};

use tokio::sync::watch;

use super::StopSignal;

/// The number of requests to stop.
static REQUESTS: LazyLock<watch::Sender<u64>> = LazyLock::new(|| watch::Sender::new(0));

/// Requests that this program ends: all [`StopSignals`](super::StopSignals) return
/// [`StopSignal::Terminate`]. For what the service manager of Windows asks of a service.
pub fn request_stop() {
    REQUESTS.send_modify(|requests| *requests += 1);
}

#[derive(Debug)]
pub(super) struct Signals {
    interrupt: CtrlC,
    break_key: CtrlBreak,
    close: CtrlClose,
    shutdown: CtrlShutdown,
    requests: watch::Receiver<u64>,
}

impl Signals {
    pub(super) fn listen() -> io::Result<Self> {
        Ok(Self {
            interrupt: ctrl_c()?,
            break_key: ctrl_break()?,
            close: ctrl_close()?,
            shutdown: ctrl_shutdown()?,
            requests: REQUESTS.subscribe(),
        })
    }

    pub(super) async fn next(&mut self) -> StopSignal {
        tokio::select! {
            _ = self.interrupt.recv() => StopSignal::Interrupt,
            _ = self.break_key.recv() => StopSignal::Terminate,
            _ = self.close.recv() => StopSignal::Terminate,
            _ = self.shutdown.recv() => StopSignal::Terminate,
            // Its sender is never dropped.
            _ = self.requests.changed() => StopSignal::Terminate,
        }
    }
}
