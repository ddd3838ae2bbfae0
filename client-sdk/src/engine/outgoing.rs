//! What waits to be written.

use bytes::Bytes;

use crate::command::Room;

/// A frame that waits to be written.
#[derive(Debug)]
pub(super) enum Outgoing {
    /// A request that is written if somebody waits for its reply then.
    Request {
        uid: u64,
        frame: Bytes,
        /// Another caller may queue a request when this is dropped.
        #[expect(dead_code, reason = "it is held, not read")]
        room: Option<Room>,
    },
    /// A request that is written in any case: it ends a link or a lock.
    Ending { uid: u64, frame: Bytes },
    /// The answer to a question of the manager.
    Answer(Bytes),
    /// The last frame of a connection.
    Goodbye(Bytes),
}
