//! The part that all handles of a client share.

use std::sync::Arc;

use labwire_wire::Executed;
use tokio::sync::{Semaphore, mpsc, watch};

use crate::command::{Command, Room, Target};
use crate::error::CallError;
use crate::options::ClientOptions;
use crate::status::{ConnectionState, Status};
use crate::uids::Uids;

/// The most requests of callers that wait to be written. Further callers wait for a permit. This
/// bounds what is written at once, and what is lost with a connection.
const ROOM: usize = 1024;

/// The part that all handles of a client share: the sender of commands and the published state.
///
/// The channel itself has no capacity, since dropping a handle cannot wait for one. Its length is
/// bounded all the same: a call carries a permit ([`Room`]), and there are only a few other
/// commands for each handle.
pub(crate) struct Handle {
    name: Arc<str>,
    options: ClientOptions,
    uids: Uids,
    status: watch::Receiver<Status>,
    room: Arc<Semaphore>,
    commands: mpsc::UnboundedSender<Command>,
}

impl Handle {
    /// Returns the handle, and the receiver of its commands.
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

    /// Waits for a permit to queue a request. Cancel safe.
    pub(crate) async fn room(&self) -> Room {
        let permit = Arc::clone(&self.room).acquire_owned().await;
        Room::new(permit.expect("the semaphore is never closed"))
    }

    /// Takes a permit to queue a request if one is free.
    pub(crate) fn try_room(&self) -> Option<Room> {
        Arc::clone(&self.room).try_acquire_owned().ok().map(Room::new)
    }

    /// Sends a command. Fails if the driver has ended.
    pub(crate) fn send(&self, command: Command, target: &Target) -> Result<(), CallError> {
        self.commands.send(command).map_err(|_| self.gone(target))
    }

    /// Sends a command that needs no reply. Does nothing if the driver has ended: there is no
    /// connection then.
    pub(crate) fn notice(&self, command: Command) {
        let _ = self.commands.send(command);
    }

    /// Returns the error of a request that the driver did not receive before it ended.
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
