//! The frames that the manager may not have read yet. A service that returns to its session sends
//! them again.

use std::collections::VecDeque;

use bytes::Bytes;
use labwire_wire::Uid;

use crate::error::ServiceError;
use crate::reply::error_frame;

/// The most bytes to keep: 16 MiB. The newest frame is kept whatever its length.
const KEPT: usize = 16 * 1024 * 1024;

/// The request that a frame replies to.
#[derive(Clone, Debug)]
pub(crate) struct ReplyTo {
    pub(crate) requester: String,
    pub(crate) uid: Uid<'static>,
}

/// A frame that was handed out for writing.
#[derive(Debug)]
struct Frame {
    /// The position of its end in the session.
    end: u64,
    /// Empty if it could not be kept.
    pieces: Vec<Bytes>,
    /// For a reply: the request.
    reply_to: Option<ReplyTo>,
}

/// The frames of a session that the manager has not confirmed. Replies are safe to send again: the
/// manager drops those that it does not wait for.
///
/// Keeps 16 MiB. Of older replies, only the request is kept: its caller gets an error.
#[derive(Debug, Default)]
pub(crate) struct Sent {
    /// The number of bytes that were handed out for writing.
    position: u64,
    frames: VecDeque<Frame>,
    /// The size of the frames that are kept, in bytes.
    bytes: usize,
    /// The number of frames at the front that could not be kept.
    dropped: usize,
}

impl Sent {
    /// Counts bytes that need not be sent again.
    pub(crate) fn count(&mut self, length: usize) {
        self.position += length as u64;
    }

    /// Keeps a frame that is handed out for writing.
    pub(crate) fn push(&mut self, pieces: Vec<Bytes>, reply_to: Option<ReplyTo>) {
        let length = length(&pieces);
        self.count(length);
        self.bytes += length;
        self.frames.push_back(Frame {
            end: self.position,
            pieces,
            reply_to,
        });
        while self.bytes > KEPT && self.dropped + 1 < self.frames.len() {
            let Some(oldest) = self.frames.get_mut(self.dropped) else {
                break;
            };
            self.bytes -= self::length(&oldest.pieces);
            oldest.pieces.clear();
            self.dropped += 1;
        }
    }

    /// Notes that the manager has read everything up to this position.
    pub(crate) fn confirmed(&mut self, position: u64) {
        while self.frames.front().is_some_and(|frame| frame.end <= position)
            && let Some(frame) = self.frames.pop_front()
        {
            self.bytes -= length(&frame.pieces);
            self.dropped = self.dropped.saturating_sub(1);
        }
    }

    /// Goes on from the position up to which the manager has read. Returns the frames to write again,
    /// in their order.
    pub(crate) fn resume(&mut self, position: u64) -> Vec<Bytes> {
        self.confirmed(position);
        let unread = std::mem::take(self).frames;
        self.position = position;
        let mut again = Vec::new();
        for Frame { pieces, reply_to, .. } in unread {
            let pieces = match (&reply_to, pieces.is_empty()) {
                (_, false) => pieces,
                (Some(reply_to), true) => vec![lost(reply_to)],
                (None, true) => continue,
            };
            again.extend(pieces.iter().cloned());
            self.push(pieces, reply_to);
        }
        again
    }
}

fn length(pieces: &[Bytes]) -> usize {
    pieces.iter().map(Bytes::len).sum()
}

/// Returns the reply in place of one that could not be kept.
fn lost(reply_to: &ReplyTo) -> Bytes {
    let text = "the request was executed, and its reply was lost: the connection broke, and the reply was longer \
                than what a service keeps, 16 MiB";
    let error = ServiceError::new("ConnectionError", text);
    error_frame(&error, &reply_to.requester, &reply_to.uid)
}

#[cfg(test)]
mod tests {
    use fastrand::Rng;

    use super::*;

    fn frame(text: &str) -> Vec<Bytes> {
        vec![Bytes::from(format!("{text}\r\n"))]
    }

    fn reply_to(uid: u64) -> ReplyTo {
        ReplyTo {
            requester: "Ada[h:1]".to_owned(),
            uid: uid.to_string().into(),
        }
    }

    #[test]
    fn what_was_not_read_is_sent_again_from_the_position_of_the_manager() {
        let mut sent = Sent::default();
        sent.push(frame("one"), None);
        sent.count(7);
        sent.push(frame("two"), None);
        sent.push(frame("three"), None);
        assert_eq!(sent.resume(12).concat(), b"two\r\nthree\r\n");
        // The positions go on from there.
        assert_eq!(sent.resume(17).concat(), b"three\r\n");
        sent.confirmed(24);
        assert!(sent.frames.is_empty() && sent.bytes == 0);
    }

    #[test]
    fn a_reply_that_could_not_be_kept_becomes_an_error() {
        let mut sent = Sent::default();
        sent.push(vec![Bytes::from(vec![b'x'; KEPT])], Some(reply_to(1)));
        sent.push(vec![Bytes::from_static(b"a notification\r\n")], None);
        sent.push(vec![Bytes::from(vec![b'y'; KEPT + 1])], Some(reply_to(2)));
        assert_eq!(sent.bytes, KEPT + 1);
        let again = sent.resume(0);
        assert_eq!(again.len(), 2);
        let first: serde_json::Value = serde_json::from_slice(&again[0]).unwrap();
        assert_eq!((&first["uid"], &first["error"]), (&"1".into(), &true.into()));
        assert!(again[1].starts_with(b"yy"));
    }

    /// A manager that reads, confirms and breaks off at random reads each frame once, in order.
    #[test]
    fn each_frame_is_read_once_whatever_breaks() {
        for seed in 0..3_000 {
            let mut rng = Rng::with_seed(seed);
            let mut sent = Sent::default();
            let mut wire: VecDeque<Bytes> = VecDeque::new();
            let (mut read, mut position, mut next) = (Vec::new(), 0, 0_u64);
            for _ in 0..200 {
                match rng.u8(0..10) {
                    0..4 => {
                        next += 1;
                        let text = format!("{next}{}", "x".repeat(rng.usize(0..40)));
                        sent.push(frame(&text), Some(reply_to(next)));
                        wire.extend(frame(&text));
                    }
                    4..8 => {
                        if let Some(frame) = wire.pop_front() {
                            position += frame.len() as u64;
                            read.push(frame);
                        }
                    }
                    8 => sent.confirmed(rng.u64(0..=position)),
                    _ => wire = sent.resume(position).into(),
                }
            }
            read.extend(sent.resume(position));
            let numbers: Vec<u64> = read
                .iter()
                .map(|frame| {
                    let text = std::str::from_utf8(frame).unwrap();
                    text.trim_end().trim_end_matches('x').parse().unwrap()
                })
                .collect();
            assert_eq!(numbers, (1..=next).collect::<Vec<_>>(), "seed {seed}");
        }
    }
}
