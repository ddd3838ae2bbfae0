//! Serving: ends the manager with the last service, and the services with the manager.

use std::pin::pin;

use labwire_manager::Manager;
use labwire_service::{ConnectOptions, RunningService, ServiceHandle};
use tokio::sync::watch;

use super::error::RunServicesError;
use super::services::Services;

/// Serves until the services have ended, or the manager was stopped. `stop` makes the services end.
pub(super) async fn serve(
    manager: Manager,
    services: impl Future<Output = Result<(), RunServicesError>>,
    stop: watch::Sender<bool>,
) -> Result<(), RunServicesError> {
    let mut services = pin!(services);
    let mut outcome = None;
    manager
        .run(async { outcome = Some(services.as_mut().await) })
        .await;
    if let Some(outcome) = outcome {
        return outcome;
    }
    // The manager was stopped, so the loss of the connection is not an error of the services. They
    // would wait for a manager that does not come back.
    stop.send_replace(true);
    let _ = services.await;
    Ok(())
}

/// Connects the services, calls `connected`, and waits until all of them have ended. Asks them to
/// end when `stop` becomes true.
pub(super) async fn run_all(
    services: Services,
    options: ConnectOptions,
    mut stop: watch::Receiver<bool>,
    connected: impl FnOnce(Vec<ServiceHandle>),
) -> Result<(), RunServicesError> {
    let running = connect_all(services, &options).await?;
    let handles: Vec<_> = running.iter().map(|service| service.handle().clone()).collect();
    connected(handles.clone());
    let mut ended = pin!(wait_all(running));
    tokio::select! {
        ended = &mut ended => return ended,
        // If the sender of `stop` is dropped, the services continue.
        Ok(_) = stop.wait_for(|stop| *stop) => {}
    }
    for handle in handles {
        handle.shut_down();
    }
    ended.await
}

/// Connects the services in their order. If one cannot connect, the others end.
async fn connect_all(
    services: Services,
    options: &ConnectOptions,
) -> Result<Vec<RunningService>, RunServicesError> {
    let mut running: Vec<RunningService> = Vec::new();
    for connect in services.into_connects() {
        match connect(options.clone()).await {
            Ok(service) => running.push(service),
            Err(error) => {
                for service in running {
                    // The error to report is that of the service that cannot connect.
                    let _ = service.shut_down().await;
                }
                return Err(RunServicesError::Connect(error));
            }
        }
    }
    Ok(running)
}

/// Waits for all of them, also after a failure. Returns the first failure.
async fn wait_all(running: Vec<RunningService>) -> Result<(), RunServicesError> {
    let mut outcome = Ok(());
    for service in running {
        let ended = service.wait().await;
        outcome = outcome.and(ended.map_err(RunServicesError::from));
    }
    outcome
}
