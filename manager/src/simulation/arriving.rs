//! Lines that arrive in pieces, and are cut through where that is allowed.

use labwire_wire::{ArrivingEnvelope, Line, frames};

use super::model::Model;
use super::speech::Spoken;
use super::state::{Ended, Key};
use super::waiting::Arriving;
use super::world::{Failure, Peer, World};
use crate::router::{Kind, Router, Sender};

/// A payload with this many levels is nested deeper than Python can read, together with the line
/// around it.
const PYTHON_DEPTH: usize = 900;

impl World {
    /// Returns whether a line of the peer is being cut through.
    pub(super) fn is_arriving(&self, key: Key) -> bool {
        self.peers.get(&key).is_some_and(|peer| peer.arriving.is_some())
    }

    /// Sends the first `come` bytes of a peer's line. If the line is not cut through, sends the
    /// rest at once.
    pub(super) fn begin(&mut self, key: Key, spoken: Spoken, come: usize) -> Result<(), Failure> {
        if self
            .peers
            .get(&key)
            .is_none_or(|peer| !peer.attachment.login.is_idle())
        {
            // The line may answer a login question.
            return self.say(key, spoken);
        }
        let content = spoken.content();
        let come = come.min(content.len() - 1);
        let left = content[..come].to_vec();
        let mut envelope = ArrivingEnvelope::default();
        envelope.look(&left);
        let is_service = self.model.peers[&key].is_service();
        let begun = self.with_router(key, |router, from| {
            if is_service {
                router.cut_reply_through(from, &left, &envelope)
            } else {
                router.cut_request_through(from, &left, &envelope)
            }
        });
        // The payload has begun, and nothing after it has arrived.
        let payload = spoken.long_payload().filter(|start| {
            let end = content.len() - " }".len();
            (start + 1..end).contains(&come)
        });
        let is_deep = |payload: usize| memchr::memchr_iter(b'[', &left[payload..]).count() >= PYTHON_DEPTH;
        let predicted = payload.is_some_and(|payload| self.model.begin(key, &spoken, is_deep(payload)));
        if begun.is_some() != predicted {
            return Err(format!(
                "a line goes on before its end: {}, not {predicted}",
                begun.is_some()
            ));
        }
        let Some(cut_through) = begun else {
            return self.say(key, spoken);
        };
        let mut arriving = Arriving {
            spoken,
            come,
            left,
            envelope,
            cut_through,
        };
        arriving.go_on(0);
        if let Some(peer) = self.peers.get_mut(&key) {
            peer.arriving = Some(arriving);
        }
        Ok(())
    }

    /// Sends up to `count` more bytes of the line that is being cut through.
    pub(super) fn go_on(&mut self, key: Key, count: usize) -> Result<(), Failure> {
        let peer = self.peers.get_mut(&key);
        let Some(arriving) = peer.and_then(|peer| peer.arriving.as_mut()) else {
            return Ok(());
        };
        arriving.go_on(count);
        match arriving.envelope.failure() {
            None => Ok(()),
            Some(error) => Err(format!("nothing is wrong with the line: {error}")),
        }
    }

    /// Sends the rest of that line.
    pub(super) fn end(&mut self, key: Key) -> Result<(), Failure> {
        let Some(mut arriving) = self.take_arriving(key) else {
            return Ok(());
        };
        arriving
            .left
            .extend_from_slice(&arriving.spoken.whole()[arriving.come..]);
        let line = Line::new(arriving.left.into());
        let envelope = arriving.envelope.finish(line.content());
        let kind = Kind::Frame(envelope.map_err(|error| format!("nothing is wrong with the line: {error}"))?);
        self.with_router(key, |router, from| {
            router.end_cut_through(from, arriving.cut_through, line.view().into(), &kind);
        });
        self.model.end_cut_through(key);
        Ok(())
    }

    /// Sends a rest of that line that is not JSON.
    pub(super) fn go_wrong(&mut self, key: Key) -> Result<(), Failure> {
        let Some(mut arriving) = self.take_arriving(key) else {
            return Ok(());
        };
        arriving.left.extend_from_slice(b"\x01\n");
        let line = Line::new(arriving.left.into());
        let Err(error) = arriving.envelope.finish(line.content()) else {
            return Err("a control character was let pass".to_owned());
        };
        self.with_router(key, |router, from| {
            if let Some(rest) = router.break_off_broken(from, arriving.cut_through, error) {
                router.end_rest(from, &rest);
            }
        });
        self.model.break_cut_through(key, &error.into());
        Ok(())
    }

    /// Breaks that line off, as if others had waited too long for its end. Its rest does not come.
    pub(super) fn stall(&mut self, key: Key) {
        if let Some(arriving) = self.take_arriving(key) {
            self.with_router(key, |router, from| {
                router.break_off_stalled(from, arriving.cut_through);
            });
            self.model.stall_cut_through(key);
        }
    }

    /// Breaks that line off, if there is one, since its sender leaves.
    pub(super) fn leave_arriving(&mut self, key: Key) {
        if let Some(arriving) = self.take_arriving(key) {
            self.with_router(key, |router, _| router.break_off_left(arriving.cut_through));
            self.model.leave_cut_through(key);
        }
    }

    fn take_arriving(&mut self, key: Key) -> Option<Arriving> {
        self.peers.get_mut(&key)?.arriving.take()
    }

    pub(super) fn with_router<T>(
        &mut self,
        key: Key,
        act: impl FnOnce(&mut Router<'_>, &Sender<'_>) -> T,
    ) -> T {
        self.peers[&key].attachment.with_router(act)
    }
}

impl Peer {
    /// Takes the bytes that the peer received of a line that is being cut through or has just
    /// ended, and compares them with the model. Returns the other frames.
    pub(super) fn take_arriving(
        &mut self,
        model: &mut Model,
        key: Key,
        bytes: Vec<u8>,
        ended: Option<Ended>,
    ) -> Result<Vec<Vec<u8>>, Failure> {
        let counted = self.partial.len();
        let mut told = std::mem::take(&mut self.partial);
        told.extend(bytes);
        let mut lines: Vec<Vec<u8>> = told
            .split_inclusive(|byte| *byte == b'\n')
            .map(<[u8]>::to_vec)
            .collect();
        let unexpected = |line: &[u8], expected: &[u8]| {
            let [line, expected] = [line, expected].map(String::from_utf8_lossy);
            Err(format!(
                "a line that arrives is told as {line:?}, of {expected:?}"
            ))
        };
        let mut grown = 0;
        if let Some(ended) = ended {
            let line = if lines.is_empty() {
                Vec::new()
            } else {
                lines.remove(0)
            };
            match ended {
                Ended::Whole(frame) if line == frame => {}
                Ended::BrokenOff(frame)
                    if line
                        .strip_suffix(frames::BROKEN_OFF)
                        .is_some_and(|part| frame.starts_with(part)) => {}
                Ended::Whole(frame) | Ended::BrokenOff(frame) => return unexpected(&line, &frame),
            }
            grown += line.len() - counted;
        } else if let Some(behind) = &model.peers[&key].behind {
            let part = lines.pop().unwrap_or_default();
            let frame = &model.cut_through_lines[&behind.sender].frame;
            if !frame.starts_with(&part) || part.len() == frame.len() {
                return unexpected(&part, frame);
            }
            grown += part.len() - counted;
            self.partial = part;
        }
        if let Some(found) = model.peers.get_mut(&key) {
            found.queue.unread += grown;
        }
        Ok(lines)
    }
}
