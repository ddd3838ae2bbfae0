//! Ends a service on a signal.

use labwire_device::StopSignals;
use tracing::info;

use crate::error::RunError;
use crate::running::RunningService;

/// Waits until `connect` has connected a service, and then until the service ends or a signal shuts
/// it down.
pub(crate) async fn until_signal(
    connect: impl Future<Output = Result<RunningService, RunError>>,
) -> Result<(), RunError> {
    let mut signals = StopSignals::listen().map_err(RunError::Start)?;
    let running = tokio::select! {
        running = connect => running?,
        _ = signals.next() => return Ok(()),
    };
    let handle = running.handle().clone();
    let ended = running.wait();
    tokio::pin!(ended);
    tokio::select! {
        ended = &mut ended => return ended,
        _ = signals.next() => {}
    }
    info!("the service is to end; what is executing is finished first");
    handle.shut_down();
    tokio::select! {
        ended = &mut ended => return ended,
        _ = signals.next() => handle.interrupt(),
    }
    // Shutdown handlers bring instruments into a safe state. They are skipped only on a third
    // signal, in case one of them hangs.
    tokio::select! {
        ended = ended => ended,
        _ = signals.next() => Err(RunError::Interrupted),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};

    use labwire_testing::TestManager;

    use super::*;
    use crate::{Attributes, ConnectOptions, Reply, Request, Runner, Service, ServiceError};

    struct Quiet;

    impl Service for Quiet {
        fn name(&self) -> String {
            "Quiet".to_owned()
        }

        fn attributes(&self) -> Attributes {
            Attributes::new()
        }

        async fn call(self: Arc<Self>, request: Request) -> Result<Reply, ServiceError> {
            Err(request.unknown_attribute())
        }
    }

    #[tokio::test]
    async fn a_service_that_is_interrupted_still_calls_its_shutdown_handlers() {
        let manager = TestManager::start().await;
        let options = ConnectOptions::new()
            .host(TestManager::HOST)
            .port(manager.port())
            .without_tls();
        let called = Arc::new(AtomicBool::new(false));
        let seen = Arc::clone(&called);
        let running = Runner::new(Quiet)
            .options(options)
            .on_shutdown(move || seen.store(true, Ordering::SeqCst))
            .connect()
            .await
            .unwrap();
        running.handle().interrupt();
        assert!(matches!(running.wait().await, Err(RunError::Interrupted)));
        assert!(called.load(Ordering::SeqCst));
    }
}
