//! What all handles of a client share: the way to the task that owns the connection.

use std::sync::Arc;

use labwire_wire::Executed;
use tokio::sync::{Semaphore, mpsc, watch};

use crate::command::{Command, Room, Target};
use crate::error::CallError;
use crate::options::ClientOptions;
use crate::status::{ConnectionState, Status};
use crate::uids::Uids;

/// How many requests wait to be written before callers are held back. Each caller holds its own request anyway; this
/// keeps what is written at once, and what is lost with a connection, small.
const ROOM: usize = 1024;

/// What all handles of a client share: the way to the task that owns the connection.
///
/// The channel itself is not bounded, since a handle that is dropped cannot wait. What bounds it is that a request has
/// a [`Room`] with it, and that every other command is about a request or a handle that exists.
pub(crate) struct Handle {
    name: Arc<str>,
    options: ClientOptions,
    uids: Uids,
    status: watch::Receiver<Status>,
    room: Arc<Semaphore>,
    commands: mpsc::UnboundedSender<Command>,
}

impl Handle {
    /// Returns the handles' end, and the end at which the task takes out commands.
    pub(crate) fn new(
        name: Arc<str>,
        options: ClientOptions,
        uids: Uids,
        status: watch::Receiver<Status>,
    ) -> (Self, mpsc::UnboundedReceiver<Command>) {
        let (commands, receiver) = mpsc::unbounded_channel();
        let handle = Self {
            name,
            options,
            uids,
            status,
            room: Arc::new(Semaphore::new(ROOM)),
            commands,
        };
        (handle, receiver)
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn options(&self) -> &ClientOptions {
        &self.options
    }

    pub(crate) fn reconnects(&self) -> bool {
        self.options.connect.backoff().is_some()
    }

    pub(crate) fn status(&self) -> &watch::Receiver<Status> {
        &self.status
    }

    pub(crate) fn uid(&self) -> u64 {
        self.uids.next()
    }

    /// Waits for the permit of a request.
    pub(crate) async fn room(&self) -> Room {
        let permit = Arc::clone(&self.room).acquire_owned().await;
        Room::new(permit.expect("the semaphore is never closed"))
    }

    /// Takes the permit of a request if there is one.
    pub(crate) fn try_room(&self) -> Option<Room> {
        Arc::clone(&self.room).try_acquire_owned().ok().map(Room::new)
    }

    /// Gives a command that is about `target` to the task.
    pub(crate) fn send(&self, command: Command, target: &Target) -> Result<(), CallError> {
        self.commands.send(command).map_err(|_| self.gone(target))
    }

    /// Gives a command to the task that nobody waits for. Without the task there is no connection, and nothing to do.
    pub(crate) fn notice(&self, command: Command) {
        let _ = self.commands.send(command);
    }

    /// The error of a request that the task did not take before it ended.
    pub(crate) fn gone(&self, target: &Target) -> CallError {
        let reason = match &self.status.borrow().connection {
            ConnectionState::Closed(reason) => Arc::clone(reason),
            ConnectionState::Connected | ConnectionState::Reconnecting => {
                Arc::from("the runtime of the client has ended")
            }
        };
        target.disconnected(&reason, Executed::No)
    }
}
