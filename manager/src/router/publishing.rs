//! Routes the requests about topics, which clients and services may send.

use std::borrow::Cow;

use bytes::Bytes;
use labwire_access::Action;
use labwire_wire::buffers::Buffers;
use labwire_wire::{
    Envelope, Frame, FrameView, Line, Member, Payload, Plain, RawString, Request, Topic, TopicPattern,
    as_string, exact_elements,
};
use serde_json::{Map, Value};

use super::compose::ForAll;
use super::conversion::Conversion;
use super::from_service::{deliver, deliver_rest};
use super::permits::Begun;
use super::{Permits, Router, Sender, Step};
use crate::bounds::MOST_VALUE_BYTES;
use crate::counters::Counters;
use crate::record::About;
use crate::refusal::{Refusal, TopicRefusal};
use crate::registry::Reader;
use crate::topics::{APPROVALS, MANAGERS_EVENTS, Subscription, topic_frame};
use crate::work::{BYTES_PER_WORK, QUEUES_PER_WORK, REFUSAL_WORK};

/// The longest topic or keyword arguments of a request about a topic, in bytes of JSON: each
/// character of a topic may be an escape.
const SHORT_BYTES: usize = 2_048;

/// The arguments of a request to publish a value.
struct Publication<'a> {
    topic: Cow<'a, str>,
    /// JSON text.
    value: &'a [u8],
    retain: bool,
}

impl Router<'_> {
    /// Routes a request about topics. Returns `None` if it is about something else.
    pub(super) fn route_about_topics(
        &mut self,
        from: &Sender<'_>,
        frame: FrameView<'_>,
        envelope: &Envelope,
        request: &Request<'_>,
    ) -> Option<Step> {
        let outcome = match request.attribute.as_str() {
            "publish" => match self.publish(from, frame, envelope) {
                Ok(Step::Next) => Ok(()),
                Ok(wait) => return Some(wait),
                Err(refusal) => Err(refusal),
            },
            "subscribe" => self.subscribe(from, frame, envelope),
            "unsubscribe" => self.unsubscribe(from, frame, envelope),
            _ => return None,
        };
        match outcome {
            Ok(()) => {
                from.answer(&request.uid, |writer| writer.copied(b"true"));
            }
            Err(refusal) => {
                self.work += REFUSAL_WORK;
                self.counters.count_limit(&refusal);
                self.note_refusal(from, About::managers(request.attribute.as_str(), None), &refusal);
                from.refuse(&request.uid, &refusal);
            }
        }
        Some(Step::Next)
    }

    /// Delivers a value to the subscribers of its topic. As with a notification, a subscriber whose
    /// queue is full delays the sender, and one that cannot receive the buffers is left out: the sender
    /// receives an error.
    fn publish(
        &mut self,
        from: &Sender<'_>,
        frame: FrameView<'_>,
        envelope: &Envelope,
    ) -> Result<Step, Refusal> {
        if let Some(begun) = self.permits.take_begun() {
            return self.publish_rest(begun);
        }
        // Scanning it, and copying it into the frame for the subscribers.
        self.work += 2 * frame.content().len() / BYTES_PER_WORK;
        let Publication { topic, value, retain } = read_publication(frame.content(), envelope)?;
        let (topic, remembered) = match self.events.topics.remembered(&topic) {
            Some((topic, receivers)) => (topic, Some(receivers)),
            None => (Topic::new(&topic).map_err(TopicRefusal::from)?, None),
        };
        if remembered.is_none() && topic.looks_like_managers() {
            return Err(TopicRefusal::Managers.into());
        }
        self.permit(from, Action::Publish, topic.as_str())?;
        // The frame that subscribers receive has one level more.
        let mut shape = envelope.shape();
        shape.depth += 1;
        if !Reader::Python.can_read(shape) {
            return Err(Refusal::UnreadableNotification);
        }
        let (mut line, mut payload) = (Line::new(topic_frame(&topic, value, from.name, false)), None);
        if let Some(buffers) = frame.payload() {
            (line, payload) = self.with_buffers(&topic, frame, buffers, &line, from.name)?;
        }
        let (receivers, compared) = match remembered {
            Some(receivers) => (receivers, 0),
            None => self.events.topics.receivers(&topic),
        };
        self.work += compared + receivers.len() / QUEUES_PER_WORK;
        if let Some(buffers) = &payload
            && *buffers.plain() == Plain::Unknown
            && (retain || receivers.iter().any(|(_, outbox)| !outbox.takes_buffers()))
        {
            if !is_too_long_in_base64(frame) {
                return Ok(Step::Convert(Conversion::Beside));
            }
            payload = payload.map(|buffers| buffers.with_plain(Plain::TooLong));
        }
        if retain {
            self.work += value.len() / BYTES_PER_WORK;
            let frame = match frame.payload().map(Payload::plain) {
                // Kept in the form that every later subscriber can read.
                Some(Plain::Line(plain)) => Some(plain_topic_frame(&topic, plain, from.name, true)?),
                Some(_) => return Err(TopicRefusal::TooLargeToRetain.into()),
                None => (value != b"null").then(|| topic_frame(&topic, value, from.name, true)),
            };
            self.work += self.events.topics.retain(&topic, from.id, frame)?;
        }
        Counters::count(&self.counters.published);
        let frame = Frame::new(line, payload);
        let receivers = receivers.iter().map(|(peer, outbox)| (*peer, outbox));
        let delivered = deliver(&ForAll::of(frame.view()), receivers, self.counters);
        let begun = Begun {
            topic,
            frame,
            subscribers: delivered.queues,
            left_out: delivered.left_out,
        };
        wait_or_end(delivered.waiting, begun)
    }

    /// Returns the notification of a value that refers to buffers, and the buffers.
    #[cold]
    fn with_buffers(
        &mut self,
        topic: &Topic,
        frame: FrameView<'_>,
        buffers: &Payload,
        line: &Line,
        sender: &str,
    ) -> Result<(Line, Option<Payload>), Refusal> {
        if frame.size() > MOST_VALUE_BYTES {
            return Err(TopicRefusal::TooLarge.into());
        }
        self.work += frame.size() / BYTES_PER_WORK;
        let description = buffers.description(frame.content());
        let rest = line.view().terminated().unwrap_or_default();
        let line = [description, b",", rest.get(1..).unwrap_or_default()].concat();
        let plain = match buffers.plain() {
            Plain::Line(plain) => Plain::Line(plain_topic_frame(topic, plain, sender, false)?),
            other => other.clone(),
        };
        let payload = Payload::new(buffers.bytes().clone(), description.len()).with_plain(plain);
        Ok((Line::new(line.into()), Some(payload)))
    }

    /// Delivers a value to the subscribers whose queues were full and have room now.
    #[cold]
    fn publish_rest(&mut self, begun: Begun) -> Result<Step, Refusal> {
        let permits = std::mem::take(&mut self.permits);
        let receives = |peer| self.events.topics.receives(peer, &begun.topic);
        let notification = ForAll::of(begun.frame.view());
        let waiting = deliver_rest(&notification, permits, receives, self.counters);
        wait_or_end(waiting, begun)
    }

    fn subscribe(
        &mut self,
        from: &Sender<'_>,
        frame: FrameView<'_>,
        envelope: &Envelope,
    ) -> Result<(), Refusal> {
        let pattern = read_pattern("subscribe", frame.content(), envelope)?;
        // Each subscriber receives what it may decide about, and nothing else.
        if pattern.as_str() != APPROVALS {
            self.permit(from, Action::Subscribe, pattern.as_str())?;
        }
        self.work += self
            .events
            .topics
            .subscribe(from.id, from.outbox, Subscription::Pattern(pattern))?;
        self.restrict_events(from);
        Ok(())
    }

    fn unsubscribe(
        &mut self,
        from: &Sender<'_>,
        frame: FrameView<'_>,
        envelope: &Envelope,
    ) -> Result<(), Refusal> {
        let pattern = read_pattern("unsubscribe", frame.content(), envelope)?;
        // Ending what does not exist succeeds, as when the manager was restarted meanwhile.
        let ended = self
            .events
            .topics
            .unsubscribe(from.id, &Subscription::Pattern(pattern));
        self.work += REFUSAL_WORK + ended.unwrap_or_default();
        Ok(())
    }

    /// Links a client with the manager itself: it receives the manager's own topics as
    /// notifications. Returns the identity, as that of a service.
    pub(super) fn link_with_manager(&mut self, from: &Sender<'_>) -> Result<Bytes, Refusal> {
        self.permit(from, Action::Subscribe, MANAGERS_EVENTS)?;
        self.work += self
            .events
            .topics
            .subscribe(from.id, from.outbox, Subscription::Manager)?;
        self.restrict_events(from);
        Ok(self.registry.manager_as_service().into())
    }

    /// Restricts what a subscriber learns of the manager's own topics to what it may see.
    fn restrict_events(&mut self, from: &Sender<'_>) {
        if self.registry.has_rules() {
            self.events.topics.set_eyes(from.id, self.registry.eyes(from.id));
        }
    }

    /// Ends a client's link with the manager itself. Returns `false` if it has none.
    pub(super) fn unlink_from_manager(&mut self, from: &Sender<'_>) -> bool {
        let ended = self.events.topics.unsubscribe(from.id, &Subscription::Manager);
        self.work += ended.unwrap_or_default();
        ended.is_some()
    }
}

/// Returns the step after a value was delivered to the queues with room; an error if it is complete and
/// some subscribers were left out.
fn wait_or_end(waiting: Permits, begun: Begun) -> Result<Step, Refusal> {
    if !waiting.is_empty() {
        return Ok(Step::Wait(waiting.begun(begun)));
    }
    match begun {
        Begun { left_out: 0, .. } => Ok(Step::Next),
        Begun {
            left_out,
            subscribers,
            ..
        } => Err(TopicRefusal::Unconvertible {
            left_out,
            subscribers,
        }
        .into()),
    }
}

/// Returns whether a value with buffers is longer in the converted form than a value may be. A short
/// line may have many references to one buffer.
#[cold]
fn is_too_long_in_base64(frame: FrameView<'_>) -> bool {
    let content = frame.content();
    Buffers::read(content)
        .is_ok_and(|buffers| buffers.converted_length(&content[buffers.end()..]) > MOST_VALUE_BYTES)
}

/// Composes the notification of a value for peers without the feature `binary`. `plain` is the
/// converted request.
fn plain_topic_frame(topic: &Topic, plain: &[u8], sender: &str, retained: bool) -> Result<Bytes, Refusal> {
    let content = plain.trim_ascii_end();
    let envelope = Envelope::scan(content)?;
    let args = envelope.raw(content, Member::Args).unwrap_or(b"[]");
    let value = exact_elements(args).map_or(&b"null"[..], |[_, value]| value);
    Ok(topic_frame(topic, value, sender, retained))
}

/// Parses `publish(topic, value, retain=false)`.
fn read_publication<'a>(content: &'a [u8], envelope: &Envelope) -> Result<Publication<'a>, Refusal> {
    let wrong = || Refusal::Arguments {
        attribute: "publish".to_owned(),
        expected: "the name of a topic, a value and, if wanted, retain=true",
    };
    let args = envelope.raw(content, Member::Args).ok_or_else(wrong)?;
    if args.len() > MOST_VALUE_BYTES + SHORT_BYTES {
        return Err(TopicRefusal::TooLarge.into());
    }
    let [name, value] = exact_elements(args).ok_or_else(wrong)?;
    if value.len() > MOST_VALUE_BYTES {
        return Err(TopicRefusal::TooLarge.into());
    }
    let name = as_string(name).and_then(RawString::decode).ok_or_else(wrong)?;
    let mut retain = false;
    match envelope.raw(content, Member::Kwargs) {
        None | Some(b"null" | b"{}") => {}
        Some(kwargs) if kwargs.len() <= SHORT_BYTES => {
            let kwargs: Map<String, Value> = serde_json::from_slice(kwargs).map_err(|_| wrong())?;
            for (key, value) in &kwargs {
                retain = match (key.as_str(), value) {
                    ("retain", Value::Null) => false,
                    ("retain", Value::Bool(retain)) => *retain,
                    _ => return Err(wrong()),
                };
            }
        }
        Some(_) => return Err(wrong()),
    }
    Ok(Publication {
        topic: name,
        value,
        retain,
    })
}

/// Parses `subscribe(pattern)` and `unsubscribe(pattern)`.
fn read_pattern(attribute: &str, content: &[u8], envelope: &Envelope) -> Result<TopicPattern, Refusal> {
    let wrong = || Refusal::Arguments {
        attribute: attribute.to_owned(),
        expected: "a topic, in which * stands for any word and > for the rest",
    };
    let args = envelope.raw(content, Member::Args);
    let args = args.filter(|args| args.len() <= SHORT_BYTES).ok_or_else(wrong)?;
    let kwargs = envelope.raw(content, Member::Kwargs).unwrap_or(b"null");
    let is_none = |kwargs: Option<Map<String, Value>>| kwargs.is_none_or(|kwargs| kwargs.is_empty());
    if kwargs.len() > SHORT_BYTES || !serde_json::from_slice(kwargs).is_ok_and(is_none) {
        return Err(wrong());
    }
    let [pattern] = exact_elements(args).ok_or_else(wrong)?;
    let pattern = as_string(pattern).and_then(RawString::decode).ok_or_else(wrong)?;
    Ok(TopicPattern::new(&pattern).map_err(TopicRefusal::from)?)
}
