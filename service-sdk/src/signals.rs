//! A service that a person or the system ends with a signal.

use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing::info;

use crate::error::RunError;
use crate::runner::Runner;
use crate::service::Service;

/// Runs a service until it ends, or until it is asked to by a signal.
pub(crate) async fn until_signal<S: Service>(runner: Runner<S>) -> Result<(), RunError> {
    let mut signals = Signals::new()?;
    let running = tokio::select! {
        running = runner.connect() => running?,
        () = signals.next() => return Ok(()),
    };
    let handle = running.handle().clone();
    let ended = running.wait();
    tokio::pin!(ended);
    tokio::select! {
        ended = &mut ended => return ended,
        () = signals.next() => {}
    }
    info!("the service is to end; what is executing is finished first");
    handle.shut_down();
    tokio::select! {
        ended = ended => ended,
        () = signals.next() => Err(RunError::Interrupted),
    }
}

struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    fn new() -> Result<Self, RunError> {
        let listen = |kind| signal(kind).map_err(RunError::Start);
        Ok(Self {
            interrupt: listen(SignalKind::interrupt())?,
            terminate: listen(SignalKind::terminate())?,
        })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}
