//! What waits to be written to the manager, bounded in bytes.

use std::io;
use std::sync::Arc;

use bytes::Bytes;
use labwire_device::ConnectionWriter;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

/// How much may wait, in units of [`UNIT`]: 16 MiB. A manager that does not read holds back those who produce more.
const ROOM: usize = 16 * 1024;

/// What room is counted in, in bytes: small replies are many.
const UNIT: usize = 1024;

/// How many frames are written together at most.
const AT_ONCE: usize = 256;

/// The connection is gone, and what was to be sent with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Gone;

/// Why something was not taken at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NotTaken {
    Full,
    Gone,
}

enum Item {
    Frame {
        pieces: Vec<Bytes>,
        /// Gives the room back when it is dropped.
        _room: Option<OwnedSemaphorePermit>,
    },
    End,
}

/// The end at which frames are put in.
#[derive(Clone, Debug)]
pub(crate) struct Outbox {
    queue: mpsc::UnboundedSender<Item>,
    room: Arc<Semaphore>,
}

/// The end at which frames are taken out.
pub(crate) struct OutboxReceiver {
    queue: mpsc::UnboundedReceiver<Item>,
}

pub(crate) fn outbox() -> (Outbox, OutboxReceiver) {
    let (sender, receiver) = mpsc::unbounded_channel();
    let outbox = Outbox {
        queue: sender,
        room: Arc::new(Semaphore::new(ROOM)),
    };
    (outbox, OutboxReceiver { queue: receiver })
}

/// The room that a frame takes. One that is larger than all the room goes out alone.
fn units(pieces: &[Bytes]) -> u32 {
    let length: usize = pieces.iter().map(Bytes::len).sum();
    let units = length.div_ceil(UNIT).min(ROOM);
    u32::try_from(units).expect("the room is counted in few units")
}

impl Outbox {
    /// Puts a frame in, once there is room for it. Cancel safe: a frame is in as a whole or not at all.
    pub(crate) async fn send(&self, pieces: Vec<Bytes>) -> Result<(), Gone> {
        let room = Arc::clone(&self.room).acquire_many_owned(units(&pieces));
        self.put(pieces, Some(room.await.map_err(|_| Gone)?))
    }

    /// Puts a frame in if there is room for it now.
    pub(crate) fn try_send(&self, pieces: Vec<Bytes>) -> Result<(), NotTaken> {
        if self.queue.is_closed() {
            return Err(NotTaken::Gone);
        }
        let room = Arc::clone(&self.room).try_acquire_many_owned(units(&pieces));
        let room = room.map_err(|_| NotTaken::Full)?;
        self.put(pieces, Some(room)).map_err(|Gone| NotTaken::Gone)
    }

    /// Puts a frame in whatever room there is: for what is bounded elsewhere.
    pub(crate) fn force(&self, frame: Bytes) -> Result<(), Gone> {
        self.put(vec![frame], None)
    }

    fn put(&self, pieces: Vec<Bytes>, room: Option<OwnedSemaphorePermit>) -> Result<(), Gone> {
        let item = Item::Frame { pieces, _room: room };
        self.queue.send(item).map_err(|_| Gone)
    }

    /// Says that nothing more is to be written: the writer ends when it comes to this.
    pub(crate) fn end(&self) {
        // Without a writer it has ended already.
        let _ = self.queue.send(Item::End);
    }
}

impl OutboxReceiver {
    /// Writes what is put in until it is said that nothing more will come.
    pub(crate) async fn write_to(mut self, mut writer: ConnectionWriter) -> io::Result<()> {
        let mut items = Vec::new();
        loop {
            if self.queue.recv_many(&mut items, AT_ONCE).await == 0 {
                return Ok(());
            }
            let mut frames = Vec::with_capacity(items.len());
            let mut ends = false;
            for item in &items {
                match item {
                    Item::Frame { pieces, .. } => frames.extend(pieces.iter().cloned()),
                    Item::End => {
                        ends = true;
                        break;
                    }
                }
            }
            writer.write(&frames).await?;
            items.clear();
            if ends {
                return Ok(());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_full_outbox_holds_producers_back_until_frames_are_taken() {
        let (outbox, mut receiver) = outbox();
        let large = vec![Bytes::from(vec![b'x'; ROOM * UNIT * 2])];
        outbox.try_send(large.clone()).unwrap();
        assert_eq!(
            outbox.try_send(vec![Bytes::from_static(b"x")]),
            Err(NotTaken::Full)
        );
        let waiting = outbox.send(vec![Bytes::from_static(b"y")]);
        tokio::pin!(waiting);
        assert!(
            std::future::poll_fn(|context| std::task::Poll::Ready(waiting.as_mut().poll(context)))
                .await
                .is_pending()
        );
        drop(receiver.queue.recv().await);
        assert_eq!(waiting.await, Ok(()));
        drop(receiver);
        assert_eq!(outbox.try_send(large.clone()), Err(NotTaken::Gone));
        assert_eq!(outbox.send(large).await, Err(Gone));
    }
}
