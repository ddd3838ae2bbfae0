//! Predicts lines that are cut through.

use serde_json::json;

use super::model::Model;
use super::speech::{Payload, Say, Spoken, escaped};
use super::state::{Behind, CutThrough, Ended, InFlight, Key, ModelPhase};
use crate::bounds::{MOST_OWED, MOST_OWED_OF_ALL};
use crate::refusal::Refusal;

/// The most unread bytes of a peer to which a line is cut through.
const KEEPS_UP_BYTES: usize = 1024 * 1024;

impl Model {
    /// Predicts whether a line is cut through whose beginning has arrived. `is_deep` is whether
    /// that beginning is nested deeper than Python can read.
    pub(super) fn begin(&mut self, from: Key, spoken: &Spoken, is_deep: bool) -> bool {
        let line = match &spoken.say {
            Say::LongCall {
                service,
                uid,
                payload,
            } => self.forwarded_request(from, service, uid, *payload, is_deep),
            Say::Reply { requester, uid, .. } => self.forwarded_reply(from, requester, uid, spoken, is_deep),
            _ => None,
        };
        let Some(line) = line else {
            return false;
        };
        let receiver = &self.peers[&line.to];
        if self.peers[&from].queue.is_full()
            || receiver.behind.is_some()
            || receiver.away.is_some()
            || receiver.queue.unread > KEEPS_UP_BYTES
            || receiver.queue.has_line()
        {
            return false;
        }
        if !line.is_reply {
            self.in_flight.push(InFlight {
                client: from,
                service: line.service,
                uid: line.uid.clone(),
            });
            self.sums.requests += 1;
        }
        self.sums.cut_through += 1;
        if let Some(receiver) = self.peers.get_mut(&line.to) {
            receiver.behind = Some(Behind {
                sender: from,
                frames: Vec::new(),
                in_any_order: false,
            });
        }
        self.cut_through_lines.insert(from, line);
        true
    }

    /// Returns the cut-through of a request, if its service asked for that, has no other client,
    /// and admits the request.
    fn forwarded_request(
        &self,
        from: Key,
        name: &str,
        uid: &str,
        payload: Payload,
        is_deep: bool,
    ) -> Option<CutThrough> {
        if self.peers[&from].is_service() || self.phase > ModelPhase::Serving {
            return None;
        }
        let service = self.may_call(from, name, is_deep).ok()?;
        if self.is_owed(from, service, uid) {
            return None;
        }
        let found = &self.peers[&service];
        let has_it_alone = self.locks.contains_key(&(service, from)) || found.max_clients() == Some(1);
        let is_alone = (has_it_alone && self.reserved_on(service).next().is_none())
            && self.linked(service) == [from]
            && self
                .in_flight
                .iter()
                .all(|held| held.service != service || held.client == from);
        if !is_alone || !found.identity.features.cut_through {
            return None;
        }
        let frame = format!(
            "{{\"attribute\":\"\\u0061\",\"service\":{},\"uid\":{},\"error\":false,\"requester\":{},\"args\":{},\"kwargs\":{{}}}}\r\n",
            json!(name),
            escaped(uid),
            json!(self.peers[&from].full_name()),
            payload.text(),
        );
        Some(CutThrough {
            to: service,
            client: from,
            service,
            uid: uid.to_owned(),
            is_reply: false,
            is_deep: payload == Payload::Deep,
            frame: frame.into(),
        })
    }

    /// Returns the cut-through of a reply, if its request is in flight, and if its client asked for
    /// that and has no requests or links at other services.
    fn forwarded_reply(
        &self,
        from: Key,
        requester: &str,
        uid: &str,
        spoken: &Spoken,
        is_deep: bool,
    ) -> Option<CutThrough> {
        if !self.peers[&from].is_service() {
            return None;
        }
        let client = self.client_named(requester)?;
        let is_awaited =
            |held: &InFlight| (held.client, held.service, held.uid.as_str()) == (client, from, uid);
        let found = &self.peers[&client];
        let others_are_linked = self
            .links
            .iter()
            .any(|(service, linked)| *linked == client && *service != from);
        let others_are_asked = self
            .in_flight
            .iter()
            .any(|held| held.client == client && held.service != from);
        if !self.in_flight.iter().any(is_awaited)
            || !found.identity.features.cut_through
            || others_are_linked
            || others_are_asked
            || (found.is_python() && is_deep)
        {
            return None;
        }
        Some(CutThrough {
            to: client,
            client,
            service: from,
            uid: uid.to_owned(),
            is_reply: true,
            is_deep: spoken.say.is_deep(),
            frame: spoken.whole(),
        })
    }

    /// Ends a line that was cut through.
    pub(super) fn end_cut_through(&mut self, from: Key) {
        let Some(line) = self.cut_through_lines.remove(&from) else {
            return;
        };
        let service = self.peers.get(&line.service);
        let client = self.peers.get(&line.client);
        let refusal = match (service, client) {
            (Some(service), Some(client)) if line.is_deep => {
                let name = service.identity.name.clone();
                if line.is_reply {
                    client
                        .is_python()
                        .then_some(Refusal::UnreadableReply { service: name })
                } else {
                    service
                        .is_python()
                        .then_some(Refusal::UnreadableRequest { service: name })
                }
            }
            _ => None,
        };
        if refusal.is_some() && !line.is_reply {
            self.sums.malformed += 1;
        }
        // The link or the lock may have ended meanwhile.
        let refusal = match (service, client) {
            (Some(_), Some(_)) if !line.is_reply && refusal.is_none() => {
                self.admits(line.client, line.service, false).err()
            }
            _ => refusal,
        };
        let awaited = self.awaited(&line);
        match awaited {
            Some(awaited) if refusal.is_none() => {
                if line.is_reply {
                    self.in_flight.remove(awaited);
                    self.sums.replies += 1;
                }
                self.end_told(&line, Ended::Whole(line.frame.clone()));
            }
            _ => self.break_off(&line, refusal.as_ref()),
        }
    }

    /// Breaks off such a line because it is malformed.
    pub(super) fn break_cut_through(&mut self, from: Key, refusal: &Refusal) {
        let Some(line) = self.cut_through_lines.remove(&from) else {
            return;
        };
        if line.is_reply {
            self.sums.malformed += 1;
            self.sums.malformed_replies += 1;
            let service = self.name_of_service(&line);
            let owed = self.end_same(&line, &Refusal::MalformedReply { service });
            self.owe(owed.clone());
            // The rest of the line has come.
            if let Some(owed) = owed.first() {
                self.take_owed(owed.client, owed.service, &owed.uid);
            }
        } else {
            self.sums.malformed += 1;
            self.break_off(&line, Some(refusal));
        }
    }

    /// Breaks off such a line because its rest does not arrive.
    pub(super) fn stall_cut_through(&mut self, from: Key) {
        let Some(line) = self.cut_through_lines.remove(&from) else {
            return;
        };
        let service = self.name_of_service(&line);
        let refusal = if line.is_reply {
            Refusal::ReplyStalled { service }
        } else {
            Refusal::RequestStalled { service }
        };
        let owed = self.end_same(&line, &refusal);
        self.owe(owed);
    }

    /// Breaks off such a line because its sender leaves.
    pub(super) fn leave_cut_through(&mut self, from: Key) {
        if let Some(line) = self.cut_through_lines.remove(&from) {
            self.break_off(&line, None);
        }
    }

    fn name_of_service(&self, line: &CutThrough) -> String {
        let service = self.peers.get(&line.service);
        service.map_or_else(String::new, |service| service.identity.name.clone())
    }

    /// Returns the index of the line's request, if it is still in flight.
    fn awaited(&self, line: &CutThrough) -> Option<usize> {
        let mut in_flight = self.in_flight.iter();
        in_flight
            .position(|held| (held.client, held.service, &held.uid) == (line.client, line.service, &line.uid))
    }

    /// Breaks off a line before its end. With a reply, all requests of its client with its uid end.
    /// Returns those whose reply is owed.
    fn end_same(&mut self, line: &CutThrough, refusal: &Refusal) -> Vec<InFlight> {
        let mut owed = Vec::new();
        if line.is_reply
            && let Some(place) = self.awaited(line)
        {
            owed.push(self.in_flight[place].clone());
        }
        self.break_off(line, Some(refusal));
        while line.is_reply
            && let Some(place) = self.awaited(line)
        {
            owed.push(self.in_flight.remove(place));
            self.refuse(line.client, &line.uid, refusal);
        }
        owed
    }

    /// Notes replies as owed, as far as there is room.
    fn owe(&mut self, owed: Vec<InFlight>) {
        for request in owed {
            let is_same = |other: &InFlight| other.client == request.client;
            if self.owed.iter().filter(|other| is_same(other)).count() >= MOST_OWED {
                let oldest = self.owed.iter().position(is_same);
                oldest.map(|oldest| self.owed.remove(oldest));
            } else if self.owed.len() >= MOST_OWED_OF_ALL {
                continue;
            }
            self.owed.push(request);
        }
    }

    fn break_off(&mut self, line: &CutThrough, refusal: Option<&Refusal>) {
        self.sums.broken_off += 1;
        if let Some(refusal) = refusal
            && let Some(awaited) = self.awaited(line)
        {
            self.in_flight.remove(awaited);
            self.refuse(line.client, &line.uid, refusal);
        }
        self.end_told(line, Ended::BrokenOff(line.frame.clone()));
    }

    /// Expects the end of the line at its receiver, and then the frames behind it.
    fn end_told(&mut self, line: &CutThrough, ended: Ended) {
        let Some(receiver) = self.peers.get_mut(&line.to) else {
            return;
        };
        let Some(behind) = receiver.behind.take() else {
            return;
        };
        let told = self.told.entry(line.to).or_default();
        told.ended = Some(ended);
        told.frames.extend(behind.frames);
        if behind.in_any_order {
            told.in_any_order = told.frames.len();
        }
    }
}
