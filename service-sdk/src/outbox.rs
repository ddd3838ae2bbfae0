//! The queue of frames to the manager, bounded in bytes.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use bytes::Bytes;
use labwire_device::ConnectionWriter;
use labwire_wire::confirmation;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

use crate::request::Request;
use crate::sent::{ReplyTo, Sent};

/// The capacity in units of [`UNIT`]: 16 MiB. A manager that does not read applies backpressure.
const ROOM: usize = 16 * 1024;

/// The unit of the capacity in bytes, so that many small replies fit.
const UNIT: usize = 1024;

/// The most frames to write at once.
const AT_ONCE: usize = 256;

/// The connection is lost, together with the frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Gone;

/// The reason why a frame was not queued at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NotTaken {
    Full,
    Gone,
}

enum Item {
    Frame {
        pieces: Vec<Bytes>,
        /// For a reply: the request.
        reply_to: Option<ReplyTo>,
        /// The permits for the frame's size; dropping it returns them.
        _room: Option<OwnedSemaphorePermit>,
    },
    /// The latest progress of a request, when the writer reaches it: at most one for each request.
    Latest(Request),
    /// The position that the manager has confirmed.
    Confirmed(u64),
    /// The last position that was received is to be confirmed.
    Confirm,
    End,
}

/// The sending half.
#[derive(Clone, Debug)]
pub(crate) struct Outbox {
    queue: mpsc::UnboundedSender<Item>,
    room: Arc<Semaphore>,
    received: Arc<Received>,
    /// Whether the manager accepts frames with buffers.
    binary: bool,
}

/// What is to be confirmed to the manager.
#[derive(Debug, Default)]
struct Received {
    position: AtomicU64,
    /// Whether a confirmation is queued.
    is_queued: AtomicBool,
}

/// The receiving half.
pub(crate) struct OutboxReceiver {
    queue: mpsc::UnboundedReceiver<Item>,
    received: Arc<Received>,
    /// The frames that the manager has not confirmed, if it keeps a session.
    sent: Option<Sent>,
    /// The frames to write again before all others.
    again: Vec<Bytes>,
}

pub(crate) fn outbox(binary: bool) -> (Outbox, OutboxReceiver) {
    let (sender, receiver) = mpsc::unbounded_channel();
    let confirms = Arc::new(Received::default());
    let outbox = Outbox {
        queue: sender,
        room: Arc::new(Semaphore::new(ROOM)),
        received: Arc::clone(&confirms),
        binary,
    };
    let receiver = OutboxReceiver {
        queue: receiver,
        received: confirms,
        sent: None,
        again: Vec::new(),
    };
    (outbox, receiver)
}

/// Returns the permits that a frame needs. A frame larger than the capacity takes all of them.
fn units(pieces: &[Bytes]) -> u32 {
    let length: usize = pieces.iter().map(Bytes::len).sum();
    let units = length.div_ceil(UNIT).min(ROOM);
    u32::try_from(units).expect("the room is counted in few units")
}

impl Outbox {
    /// Returns whether the manager accepts frames with buffers.
    pub(crate) fn takes_buffers(&self) -> bool {
        self.binary
    }

    /// Queues a frame once there is capacity. Cancel safe: a frame is queued as a whole or not at
    /// all.
    pub(crate) async fn send(&self, pieces: Vec<Bytes>) -> Result<(), Gone> {
        let room = Arc::clone(&self.room).acquire_many_owned(units(&pieces));
        self.put(pieces, None, Some(room.await.map_err(|_| Gone)?))
    }

    /// Queues a reply once there is capacity. Cancel safe, like [`send`](Self::send).
    pub(crate) async fn reply(&self, pieces: Vec<Bytes>, reply_to: ReplyTo) -> Result<(), Gone> {
        let room = Arc::clone(&self.room).acquire_many_owned(units(&pieces));
        self.put(pieces, Some(reply_to), Some(room.await.map_err(|_| Gone)?))
    }

    /// Queues a frame if there is capacity now.
    pub(crate) fn try_send(&self, pieces: Vec<Bytes>) -> Result<(), NotTaken> {
        if self.queue.is_closed() {
            return Err(NotTaken::Gone);
        }
        let room = Arc::clone(&self.room).try_acquire_many_owned(units(&pieces));
        let room = room.map_err(|_| NotTaken::Full)?;
        self.put(pieces, None, Some(room)).map_err(|Gone| NotTaken::Gone)
    }

    /// Queues a frame regardless of the capacity, for frames that are bounded elsewhere.
    pub(crate) fn force(&self, pieces: Vec<Bytes>) -> Result<(), Gone> {
        self.put(pieces, None, None)
    }

    /// Queues the place of a request's latest progress.
    pub(crate) fn send_latest(&self, request: &Request) -> Result<(), Gone> {
        self.queue.send(Item::Latest(request.clone())).map_err(|_| Gone)
    }

    /// Notes that the manager has read everything up to this position.
    pub(crate) fn confirmed(&self, position: u64) {
        // An error means that the writer has already ended.
        let _ = self.queue.send(Item::Confirmed(position));
    }

    /// Confirms to the manager everything up to this position. At most one confirmation is queued.
    pub(crate) fn confirm(&self, position: u64) {
        self.received.position.store(position, Ordering::Relaxed);
        if !self.received.is_queued.swap(true, Ordering::AcqRel) {
            // An error means that the writer has already ended.
            let _ = self.queue.send(Item::Confirm);
        }
    }

    fn put(
        &self,
        pieces: Vec<Bytes>,
        reply_to: Option<ReplyTo>,
        room: Option<OwnedSemaphorePermit>,
    ) -> Result<(), Gone> {
        let item = Item::Frame {
            pieces,
            reply_to,
            _room: room,
        };
        self.queue.send(item).map_err(|_| Gone)
    }

    /// Ends the queue: the writer returns after the frames before this.
    pub(crate) fn end(&self) {
        // An error means that the writer has already ended.
        let _ = self.queue.send(Item::End);
    }
}

impl OutboxReceiver {
    /// Keeps what is written from now on, until the manager has confirmed it.
    pub(crate) fn keep(&mut self) {
        self.sent.get_or_insert_default();
    }

    /// Goes on after a return to the session, from the position up to which the manager has read.
    pub(crate) fn resume(&mut self, position: u64) {
        self.again = self
            .sent
            .as_mut()
            .map(|sent| sent.resume(position))
            .unwrap_or_default();
    }

    /// Writes queued frames until [`Outbox::end`], or until all senders are dropped.
    pub(crate) async fn write_to(&mut self, mut writer: ConnectionWriter) -> io::Result<()> {
        let again = std::mem::take(&mut self.again);
        if !again.is_empty() {
            writer.write(&again).await?;
        }
        let mut items = Vec::new();
        loop {
            if self.queue.recv_many(&mut items, AT_ONCE).await == 0 {
                return Ok(());
            }
            let mut frames = Vec::with_capacity(items.len());
            let mut ends = false;
            for item in &mut items {
                match item {
                    Item::Frame { pieces, reply_to, .. } => {
                        frames.extend(pieces.iter().cloned());
                        if let Some(sent) = &mut self.sent {
                            sent.push(std::mem::take(pieces), reply_to.take());
                        }
                    }
                    Item::Latest(request) => {
                        if let Some(frame) = request.latest().take() {
                            // Not sent again: a later one replaces it.
                            if let Some(sent) = &mut self.sent {
                                sent.count(frame.len());
                            }
                            frames.push(frame);
                        }
                    }
                    Item::Confirmed(position) => {
                        if let Some(sent) = &mut self.sent {
                            sent.confirmed(*position);
                        }
                    }
                    Item::Confirm => {
                        self.received.is_queued.store(false, Ordering::Release);
                        let frame = confirmation(self.received.position.load(Ordering::Relaxed));
                        if let Some(sent) = &mut self.sent {
                            sent.count(frame.len());
                            frames.push(frame);
                        }
                    }
                    Item::End => {
                        ends = true;
                        break;
                    }
                }
            }
            if !frames.is_empty() {
                writer.write(&frames).await?;
            }
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
        let (outbox, mut receiver) = outbox(false);
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
