//! Frames that wait to be written.

use bytes::Bytes;

use crate::command::Room;

/// A frame that waits to be written.
#[derive(Debug)]
pub(super) enum Outgoing {
    /// A request. It is dropped if its caller no longer waits.
    Request {
        uid: u64,
        frame: Bytes,
        /// The permit; dropping it lets another caller queue a request.
        #[expect(dead_code, reason = "it is held, not read")]
        room: Option<Room>,
    },
    /// A request that ends a link or a lock. It is written in any case.
    Ending { uid: u64, frame: Bytes },
    /// The answer to a question of the manager.
    Answer(Bytes),
    /// The last frame of a connection.
    Goodbye(Bytes),
}

impl Outgoing {
    /// Returns the uid of a request.
    pub(super) fn uid(&self) -> Option<u64> {
        match self {
            Self::Request { uid, .. } | Self::Ending { uid, .. } => Some(*uid),
            Self::Answer(_) | Self::Goodbye(_) => None,
        }
    }
}
