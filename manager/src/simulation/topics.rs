//! Predicts what becomes of values that peers publish, and of their subscriptions.

use serde_json::json;

use super::model::Model;
use super::speech::{Payload, Say};
use super::state::{Key, Predicted};
use crate::refusal::Refusal;

/// The topics of all values.
pub(super) const TOPICS: [&str; 3] = ["t.a", "t.b", "u"];

/// The patterns of all subscriptions. None of them can match the manager's own topics.
pub(super) const PATTERNS: [&str; 4] = ["t.a", "t.*", "t.>", "u"];

/// A line about topics. Each uid is JSON text.
#[derive(Clone, Debug)]
pub(crate) enum AboutTopics {
    Publish {
        topic: &'static str,
        payload: Payload,
        retain: bool,
        uid: String,
    },
    Subscribe {
        pattern: &'static str,
        uid: String,
    },
    Unsubscribe {
        pattern: &'static str,
        uid: String,
    },
}

impl AboutTopics {
    /// Returns the line.
    pub(super) fn text(&self) -> String {
        let (attribute, args, kwargs, uid) = match self {
            Self::Publish {
                topic,
                payload,
                retain,
                uid,
            } => {
                let args = format!("[\"{topic}\", {} ]", value(*payload));
                ("publish", args, json!({ "retain": retain }), uid)
            }
            Self::Subscribe { pattern, uid } => ("subscribe", json!([pattern]).to_string(), json!({}), uid),
            Self::Unsubscribe { pattern, uid } => {
                ("unsubscribe", json!([pattern]).to_string(), json!({}), uid)
            }
        };
        format!(
            r#"{{"service":"Manager","attribute":"{attribute}","args":{args},"kwargs":{kwargs},"uid":{uid}}}"#
        )
    }
}

/// Returns the value that is published: null, which removes a value that is retained, in place of
/// the empty array.
fn value(payload: Payload) -> &'static str {
    match payload {
        Payload::Empty => "null",
        other => other.text(),
    }
}

fn matches(pattern: &str, topic: &str) -> bool {
    pattern == topic || matches!(pattern, "t.*" | "t.>") && topic.starts_with("t.")
}

fn frame(topic: &str, payload: Payload, sender: &str, retained: bool) -> Vec<u8> {
    format!(
        "{{\"error\":false,\"result\":[[\"{topic}\",{}],{{\"retained\":{retained},\"sender\":{}}}],\"service\":\"Manager\",\"uid\":\"notification\"}}\r\n",
        value(payload),
        json!(sender)
    )
    .into_bytes()
}

impl Model {
    /// Returns whether a line of a peer waits for room in the peer's own queue.
    pub(super) fn needs_own_room(&self, from: Key, say: &Say, is_held: bool) -> bool {
        let peer = &self.peers[&from];
        match say {
            Say::AboutTopics(AboutTopics::Publish { .. }) => {
                let is_begun = is_held && self.begun.contains(&from);
                !is_begun && (!peer.is_service() || peer.queue.is_overfull())
            }
            say => !peer.is_service() || say.is_answered(&peer.identity.name),
        }
    }

    pub(super) fn about_topics(&mut self, from: Key, about: &AboutTopics, is_held: bool) -> Predicted {
        let uid = match about {
            AboutTopics::Publish {
                topic,
                payload,
                retain,
                uid,
            } => {
                let waiting = if is_held && self.begun.contains(&from) {
                    self.publish_rest(from, topic, *payload)
                } else if *payload == Payload::Deep {
                    self.refuse(from, uid, &Refusal::UnreadableNotification);
                    return Predicted::Next;
                } else {
                    self.publish(from, topic, *payload, *retain)
                };
                if !waiting.is_empty() {
                    self.begun.insert(from);
                    return Predicted::Wait(waiting);
                }
                self.begun.remove(&from);
                uid
            }
            AboutTopics::Subscribe { pattern, uid } => {
                self.subscriptions.insert((from, pattern));
                let kept: Vec<_> = self
                    .retained
                    .iter()
                    .filter(|(topic, _)| matches(pattern, topic))
                    .map(|(_, frame)| frame.clone())
                    .collect();
                for frame in kept {
                    self.tell(from, frame);
                }
                uid
            }
            AboutTopics::Unsubscribe { pattern, uid } => {
                if self.subscriptions.remove(&(from, pattern)) {
                    let peer = self.peers.get_mut(&from).expect("who speaks is here");
                    peer.queue.recall();
                }
                uid
            }
        };
        self.answer(from, uid, "true");
        Predicted::Next
    }

    /// Delivers a value to the subscribers with room. Returns the others.
    fn publish(&mut self, from: Key, topic: &'static str, payload: Payload, retain: bool) -> Vec<Key> {
        let sender = self.peers[&from].full_name();
        if retain && payload == Payload::Empty {
            self.retained.remove(topic);
        } else if retain {
            let frame = frame(topic, payload, &sender, true);
            self.retained.insert(topic, frame);
        }
        let frame = frame(topic, payload, &sender, false);
        let matching = self.subscriptions.iter();
        let mut receivers: Vec<Key> = matching
            .filter(|(_, pattern)| matches(pattern, topic))
            .map(|(peer, _)| *peer)
            .collect();
        receivers.dedup();
        let mut waiting = Vec::new();
        for peer in receivers {
            let queue = &mut self.peers.get_mut(&peer).expect("who subscribes is here").queue;
            if queue.is_away || queue.has_room(frame.len(), false) {
                self.sums.deliveries += 1;
                self.sums.values += 1;
                self.tell(peer, frame.clone());
            } else {
                queue.enter_for_all(from, frame.len());
                waiting.push(peer);
            }
        }
        waiting
    }

    /// Delivers a value to the subscribers that had no room for it, if they have room now and still
    /// subscribe to its topic.
    fn publish_rest(&mut self, from: Key, topic: &'static str, payload: Payload) -> Vec<Key> {
        let frame = frame(topic, payload, &self.peers[&from].full_name(), false);
        let mut waiting = Vec::new();
        let matching = self.subscriptions.iter();
        let matching = matching.filter(|(_, pattern)| matches(pattern, topic));
        let mut receivers: Vec<Key> = matching.map(|(peer, _)| *peer).collect();
        receivers.dedup();
        for peer in receivers {
            let queue = &mut self.peers.get_mut(&peer).expect("who subscribes is here").queue;
            match queue.place_of(from) {
                None => {}
                Some(true) => {
                    queue.use_grant(from);
                    self.sums.deliveries += 1;
                    self.sums.values_late += 1;
                    self.tell(peer, frame.clone());
                }
                Some(false) => {
                    queue.keep(from);
                    waiting.push(peer);
                }
            }
        }
        waiting
    }

    /// Forgets the subscriptions of a peer that leaves.
    pub(super) fn forget_topics(&mut self, key: Key) {
        self.subscriptions.retain(|(peer, _)| *peer != key);
        self.begun.remove(&key);
    }
}
