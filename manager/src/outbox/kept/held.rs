//! The frames for a service that is away of which not one byte was written. A request among them
//! can be taken back: its service never receives it.

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};
use labwire_wire::{Envelope, Member};

use super::super::queue::{FrameWriter, Queue};
use super::super::{Outbox, State};
use super::Kept;

/// The frames, in order. They are behind the queue.
#[derive(Debug, Default)]
pub(super) struct Held {
    frames: VecDeque<HeldFrame>,
}

#[derive(Debug)]
struct HeldFrame {
    frame: Queue,
    bytes: usize,
    asked: Option<Asked>,
}

/// Whose request a frame is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Asked {
    /// The client's name, `NAME[HOST:PORT]`.
    pub(crate) requester: Box<str>,
    /// The [bytes](labwire_wire::Uid::as_bytes) of its uid.
    pub(crate) uid: Box<[u8]>,
}

impl Held {
    fn add(&mut self, frame: Queue, bytes: usize) {
        let asked = asked(&frame);
        self.frames.push_back(HeldFrame { frame, bytes, asked });
    }

    /// Puts the frames behind a queue.
    fn append_to(&mut self, queue: &mut Queue) {
        for held in self.frames.drain(..) {
            queue.append(held.frame);
        }
    }
}

/// Returns whose request a frame is; `None` if it is another frame.
fn asked(frame: &Queue) -> Option<Asked> {
    let mut line = BytesMut::new();
    for piece in frame.pieces() {
        // The buffers of a message follow its line.
        let end = memchr::memchr(b'\n', piece).map_or(piece.len(), |end| end + 1);
        line.extend_from_slice(&piece[..end]);
        if line.ends_with(b"\n") {
            break;
        }
    }
    let content = line.trim_ascii_end();
    let envelope = Envelope::scan(content).ok()?;
    if envelope.has_result() {
        return None;
    }
    let requester = envelope.string(content, Member::Requester).ok()??;
    Some(Asked {
        requester: requester.into(),
        uid: envelope.uid(content).ok()?.unwrap_or_default().as_bytes().into(),
    })
}

impl Kept {
    /// Moves the frames of which not one byte was written out of the queue of a service that goes
    /// away.
    pub(super) fn hold_unwritten(&mut self, queue: &mut Queue) {
        let Some(held) = &mut self.held else {
            return;
        };
        if queue.has_deferred() {
            // Their place among the others would be lost.
            return;
        }
        queue.seal_tail();
        let mut framing = self.framing.clone();
        let (mut position, mut begin) = (self.start, self.start);
        let mut current = VecDeque::new();
        for mut segment in std::mem::take(&mut queue.segments) {
            while !segment.is_empty() {
                if framing.begins() {
                    begin = position;
                }
                let piece = segment.split_to(framing.count_in(&segment));
                framing.pass(&piece);
                position += piece.len() as u64;
                current.push_back(piece);
                if !framing.begins() {
                    continue;
                }
                if begin < self.taken {
                    queue.segments.append(&mut current);
                } else {
                    let frame = Queue::of(std::mem::take(&mut current));
                    held.add(frame, usize::try_from(position - begin).unwrap_or_default());
                }
            }
        }
        queue.segments.append(&mut current);
    }

    /// Puts the frames that were held behind the queue.
    pub(super) fn release_held(&mut self, queue: &mut Queue) {
        if let Some(held) = &mut self.held {
            held.append_to(queue);
        }
    }
}

impl State {
    /// Returns whether frames are held, since the peer is a service that is away.
    #[inline]
    pub(in super::super) fn holds(&self) -> bool {
        self.kept
            .as_ref()
            .is_some_and(|kept| kept.is_away && kept.held.is_some())
    }
}

impl Outbox {
    /// Notes that the peer is a service: while it is away, requests can be taken back.
    pub(crate) fn hold_requests(&self) {
        if let Some(kept) = &mut self.state().kept {
            kept.held = Some(Held::default());
        }
    }

    /// Changes the most bytes that are kept: for the simulation.
    #[cfg(any(test, feature = "fuzzing"))]
    pub(crate) fn keep_at_most(&self, limit: usize) {
        if let Some(kept) = &mut self.state().kept {
            kept.limit = limit;
        }
    }

    /// Holds a frame for a service that is away.
    #[cold]
    pub(in super::super) fn hold(&self, state: &mut State, write: impl FnOnce(&mut FrameWriter<'_>)) {
        let Some(held) = state.kept.as_mut().and_then(|kept| kept.held.as_mut()) else {
            return;
        };
        let mut frame = Queue::default();
        let bytes = frame.write(write);
        held.add(frame, bytes);
        state.queued += bytes;
        self.count(state);
    }

    /// Takes requests back of which nothing was written, since the peer is away: those that
    /// `is_meant` chooses, and at most `most`. Returns whose they were.
    pub(crate) fn take_back(&self, most: usize, mut is_meant: impl FnMut(&Asked) -> bool) -> Vec<Asked> {
        let mut state = self.state();
        if !state.holds() {
            return Vec::new();
        }
        let Some(held) = state.kept.as_mut().and_then(|kept| kept.held.as_mut()) else {
            return Vec::new();
        };
        let (mut taken, mut bytes) = (Vec::new(), 0);
        held.frames.retain_mut(|frame| {
            if taken.len() >= most || !frame.asked.as_ref().is_some_and(&mut is_meant) {
                return true;
            }
            bytes += frame.bytes;
            taken.extend(frame.asked.take());
            false
        });
        state.queued -= bytes.min(state.queued);
        self.count(&mut state);
        taken
    }

    /// Returns whether everything can be kept that is queued for a service whose connection is
    /// broken, and nothing was dropped before that it has not confirmed. Otherwise a request could be
    /// lost, whose caller would wait for ever.
    pub(crate) fn loses_nothing(&self) -> bool {
        let state = self.state();
        state.kept.as_ref().is_none_or(|kept| {
            let bytes = (state.queued - kept.unwritten.min(state.queued)).saturating_add(kept.bytes);
            kept.start <= kept.confirmed && bytes <= kept.limit && kept.budget.admits_pinned(bytes)
        })
    }
}

impl Queue {
    fn of(segments: VecDeque<Bytes>) -> Self {
        let mut queue = Self::default();
        queue.segments = segments;
        queue
    }

    fn pieces(&self) -> impl Iterator<Item = &[u8]> {
        let segments = self.segments.iter().map(AsRef::as_ref);
        segments.chain(std::iter::once(self.tail.as_ref()))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tokio::time::Instant;

    use super::*;
    use crate::outbox::SessionBudget;

    fn request(requester: &str, uid: usize) -> String {
        format!(
            "{{\"service\":\"D\",\"attribute\":\"x\",\"uid\":\"{uid}\",\"requester\":\"{requester}\"}}\r\n"
        )
    }

    fn push(outbox: &Outbox, text: &str) {
        outbox
            .push(text.len(), |frame| frame.copied(text.as_bytes()))
            .expect("there is room");
    }

    async fn service(limit: usize) -> Arc<Outbox> {
        let outbox = Outbox::alone(1 << 20);
        let budget = Arc::new(SessionBudget::new(1 << 20));
        outbox.begin_session(&Bytes::from_static(b"registered\n"), limit, &budget);
        outbox.hold_requests();
        write(&outbox, usize::MAX).await;
        outbox
    }

    /// Takes everything and writes the first `most` bytes. Returns them.
    async fn write(outbox: &Outbox, most: usize) -> String {
        let batch = outbox.next_batch().await.expect("something is queued");
        let bytes: Vec<u8> = batch.segments().flat_map(|segment| segment.to_vec()).collect();
        let count = bytes.len().min(most);
        outbox.written(count, 0, Instant::now);
        String::from_utf8_lossy(&bytes[..count]).into_owned()
    }

    #[tokio::test]
    async fn a_request_of_which_nothing_was_written_is_taken_back() {
        let outbox = service(10_000).await;
        for uid in 0..4 {
            push(&outbox, &request("A", uid));
        }
        // The first one is written, and half of the second one.
        let length = request("A", 0).len();
        write(&outbox, length + length / 2).await;
        push(&outbox, &request("A", 4));
        assert!(outbox.loses_nothing());
        outbox.go_away();
        push(&outbox, &request("B", 5));
        push(&outbox, &request("A", 6));
        let before = outbox.queued();
        let taken = outbox.take_back(usize::MAX, |asked| &*asked.requester == "A");
        let uids: Vec<_> = taken
            .iter()
            .map(|asked| String::from_utf8_lossy(&asked.uid).into_owned())
            .collect();
        assert_eq!(uids, ["2", "3", "4", "6"]);
        assert_eq!(outbox.queued(), before - 4 * length);
        push(&outbox, &request("A", 7));
        assert_eq!(outbox.take_back(1, |_| true)[0].requester, "B".into());
        outbox.come_back(0).unwrap();
        assert_eq!(outbox.take_back(1, |_| true), [], "it may be written now");
        let sent = [0, 1, 7].map(|uid| request("A", uid)).concat();
        let mut received = String::new();
        while outbox.queued() > 0 {
            received += &write(&outbox, usize::MAX).await;
        }
        assert_eq!(received, sent);
        // The positions go on.
        outbox.go_away();
        assert!(outbox.come_back(sent.len() as u64).is_ok());
    }

    #[tokio::test]
    async fn a_service_for_which_a_request_would_be_dropped_is_not_kept() {
        let outbox = service(3 * request("A", 0).len()).await;
        for uid in 0..3 {
            push(&outbox, &request("A", uid));
        }
        outbox.confirm(0).unwrap();
        assert!(outbox.loses_nothing());
        push(&outbox, &request("A", 3));
        assert!(
            !outbox.loses_nothing(),
            "it is not written and too long to be kept"
        );
        write(&outbox, usize::MAX).await;
        assert!(!outbox.loses_nothing(), "the first one is not kept any more");
        outbox.confirm(4 * request("A", 0).len() as u64).unwrap();
        assert!(outbox.loses_nothing());
    }
}
