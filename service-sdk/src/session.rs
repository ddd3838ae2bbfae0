//! The session of a service, across its connections.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use labwire_device::Connection;
use tokio::task::JoinSet;
use tracing::{info, warn};

use crate::conversation::{Conversation, End};
use crate::error::RunError;
use crate::outbox::{Outbox, OutboxReceiver};
use crate::registration::Registration;
use crate::running::{ServiceHandle, ServiceState};
use crate::service::Service;

/// A function that is called after the service has ended.
pub(crate) type Handler = Box<dyn FnOnce() + Send>;

/// A function that creates a task to run beside the service.
pub(crate) type Background =
    Box<dyn FnOnce(ServiceHandle) -> Pin<Box<dyn Future<Output = ()> + Send>> + Send>;

/// The limits of a service.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// The most blocking requests that execute at once.
    pub(crate) concurrency: usize,
    /// The most requests in flight.
    pub(crate) queue: usize,
    /// How long a shutdown waits for executing requests.
    pub(crate) grace: Duration,
}

/// The data of a running service.
pub(crate) struct Session<S> {
    pub(crate) service: Arc<S>,
    pub(crate) handle: ServiceHandle,
    pub(crate) limits: Limits,
    /// The reply to `describe()`, as JSON text.
    pub(crate) described: String,
    /// Whether the service has its own `describe()`.
    pub(crate) describes_itself: bool,
}

/// Publishes the end in every case: also when the session is dropped, or the runtime shuts down.
impl<S> Drop for Session<S> {
    fn drop(&mut self) {
        self.handle.notifier().ended();
        self.handle.set_state(ServiceState::Ended);
    }
}

impl<S: Service> Session<S> {
    pub(crate) async fn run(
        self,
        registration: Registration,
        connection: Connection,
        outbox: (Outbox, OutboxReceiver),
        background: Vec<Background>,
        on_shutdown: Vec<Handler>,
    ) -> Result<(), RunError> {
        let mut tasks = JoinSet::new();
        for task in background {
            let handle = self.handle.clone();
            // Creating the task's future may panic as well as the task.
            tasks.spawn(async move { task(handle).await });
        }
        let ended = tokio::select! {
            ended = self.serve(registration, connection, outbox) => ended,
            () = self.handle.interrupted() => Err(RunError::Interrupted),
        };
        match &ended {
            Ok(()) => info!("the service {} has ended", self.handle.name()),
            Err(error) => warn!("the service {} has ended: {error}", self.handle.name()),
        }
        self.handle.notifier().ended();
        tasks.shutdown().await;
        for handler in on_shutdown {
            // A handler that panics must not prevent the next one from bringing its instrument into
            // a safe state.
            if tokio::task::spawn_blocking(handler).await.is_err() {
                warn!("a shutdown handler panicked");
            }
        }
        self.handle.set_state(ServiceState::Ended);
        ended
    }

    async fn serve(
        &self,
        mut registration: Registration,
        mut connection: Connection,
        mut outbox: (Outbox, OutboxReceiver),
    ) -> Result<(), RunError> {
        loop {
            let error = match Conversation::new(self, &connection.manager)
                .hold(connection.reader, connection.writer, outbox)
                .await
            {
                End::Orderly => return Ok(()),
                End::Lost(error) => error,
            };
            let Some(renewal) = registration.renew(&error) else {
                return Err(error);
            };
            self.handle.notifier().disconnected();
            self.handle.set_state(ServiceState::Reconnecting);
            connection = tokio::select! {
                connection = renewal.finish() => connection?,
                () = self.handle.shutting_down() => return Ok(()),
            };
            // The outbox is set first: a notification must be possible once the state is
            // `Connected`.
            outbox = self.handle.notifier().connected();
            self.handle.connected(connection.network_name.clone());
        }
    }
}
