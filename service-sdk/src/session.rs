//! The life of a service, from connection to connection.

use std::sync::Arc;
use std::time::Duration;

use labwire_device::{ConnectOptions, Connection, Introduction, Reconnector};
use tokio::task::JoinSet;
use tracing::{info, warn};

use crate::conversation::{Conversation, End};
use crate::error::RunError;
use crate::outbox::{Outbox, OutboxReceiver};
use crate::runner::{Background, Handler};
use crate::running::{ServiceHandle, ServiceState};
use crate::service::Service;

/// How much the service takes on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// How many blocking requests are executed at once.
    pub(crate) concurrency: usize,
    /// How many requests may be under way.
    pub(crate) queue: usize,
    /// How long those that are executing at the end are waited for.
    pub(crate) grace: Duration,
}

/// What a service needs to live.
pub(crate) struct Session<S> {
    pub(crate) service: Arc<S>,
    pub(crate) handle: ServiceHandle,
    pub(crate) options: ConnectOptions,
    pub(crate) introduction: Introduction,
    pub(crate) limits: Limits,
    /// The answer to `describe()`, as JSON text.
    pub(crate) described: String,
    /// Whether the service answers `describe()` in its own way instead.
    pub(crate) describes_itself: bool,
}

/// However it ends, who waits for the end hears of it: also when it is dropped, or the runtime goes down.
impl<S> Drop for Session<S> {
    fn drop(&mut self) {
        self.handle.notifier().ended();
        self.handle.set_state(ServiceState::Ended);
    }
}

impl<S: Service> Session<S> {
    pub(crate) async fn run(
        self,
        connection: Connection,
        outbox: (Outbox, OutboxReceiver),
        background: Vec<Background>,
        on_shutdown: Vec<Handler>,
    ) -> Result<(), RunError> {
        let mut tasks = JoinSet::new();
        for task in background {
            let handle = self.handle.clone();
            // What makes the task may panic as well as the task.
            tasks.spawn(async move { task(handle).await });
        }
        let ended = tokio::select! {
            ended = self.serve(connection, outbox) => ended,
            () = self.handle.interrupted() => Err(RunError::Interrupted),
        };
        match &ended {
            Ok(()) => info!("the service {} has ended", self.handle.name()),
            Err(error) => warn!("the service {} has ended: {error}", self.handle.name()),
        }
        self.handle.notifier().ended();
        tasks.shutdown().await;
        for handler in on_shutdown {
            // A handler that panics must not keep the next one from its instrument.
            if tokio::task::spawn_blocking(handler).await.is_err() {
                warn!("a shutdown handler panicked");
            }
        }
        self.handle.set_state(ServiceState::Ended);
        ended
    }

    async fn serve(
        &self,
        mut connection: Connection,
        mut outbox: (Outbox, OutboxReceiver),
    ) -> Result<(), RunError> {
        let mut reconnector = Reconnector::new(&self.options, &self.introduction);
        loop {
            let error = match Conversation::new(self, &connection.manager)
                .hold(connection.reader, connection.writer, outbox)
                .await
            {
                End::Orderly => return Ok(()),
                End::Lost(error) => error,
            };
            let Some(reconnector) = &mut reconnector else {
                return Err(error);
            };
            warn!("{error}; the service {} connects again", self.handle.name());
            self.handle.notifier().disconnected();
            self.handle.set_state(ServiceState::Reconnecting);
            connection = tokio::select! {
                connection = reconnector.reconnect() => connection?,
                () = self.handle.shutting_down() => return Ok(()),
            };
            // Who hears that it is connected may notify at once.
            outbox = self.handle.notifier().connected();
            self.handle.connected(connection.network_name.clone());
            info!(
                "the service {} is connected to {} again",
                connection.network_name, connection.manager
            );
        }
    }
}
