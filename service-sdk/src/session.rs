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
use crate::status_lines::StatusLines;

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
    pub(crate) lines: StatusLines,
    /// Whether callers wait while the service is away.
    pub(crate) keeps_callers: bool,
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
        let mut conversation = Conversation::new(self);
        loop {
            let (error, back) = match conversation.hold(connection, &mut outbox).await {
                End::Orderly => return Ok(()),
                End::Lost(error, back) => (error, back),
            };
            let grace = back.as_ref().map(|(session, _)| session.grace());
            let Some(renewal) = registration.renew(&error, back) else {
                return Err(error);
            };
            self.handle.notifier().disconnected();
            self.handle.set_state(ServiceState::Reconnecting);
            let finishing = renewal.finish();
            tokio::pin!(finishing);
            let expiry = tokio::time::sleep(grace.unwrap_or_default());
            tokio::pin!(expiry);
            let mut waits = grace.is_some();
            connection = loop {
                tokio::select! {
                    connection = &mut finishing => break connection?,
                    () = self.handle.shutting_down() => return Ok(()),
                    () = &mut expiry, if waits => {
                        waits = false;
                        conversation.abandon();
                    }
                }
            };
            // The outbox is set first: a notification must be possible once the state is
            // `Connected`.
            if let Some(resumed) = &connection.resumed {
                outbox.1.resume(resumed.received);
                self.handle.notifier().resumed(&outbox.0);
            } else {
                conversation.give_up();
                conversation = Conversation::new(self);
                outbox = self.handle.notifier().connected(connection.binary);
            }
            let is_kept = connection.resumed.is_some();
            self.handle.connected(connection.network_name.clone(), is_kept);
        }
    }
}
