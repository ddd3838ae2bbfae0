//! Predicts the routing of requests, replies and notifications, and their refusals.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::garble::{number, other_type, refusal_frame};
use super::model::Model;
use super::speech::{Asked, Form, Payload, Say, Spoken, escaped};
use super::state::{InFlight, Key, MANAGER, ModelPhase, Predicted};
use crate::refusal::{CallRefusal, LockRefusal, Refusal};

/// The most requests of a client that are searched for a uid that is the same number in another
/// spelling.
const SEARCHED_REQUESTS: usize = 256;

/// The bytes that are added to a frame's length when it needs room: the most that the router adds.
const ENVELOPE_BYTES: usize = 128;

impl Model {
    pub(super) fn route_with_permits(&mut self, from: Key, spoken: &Spoken, is_held: bool) -> Predicted {
        let peer = &self.peers[&from];
        let is_service = peer.is_service();
        if self.needs_own_room(from, &spoken.say, is_held)
            && let Some(wait) = self.own_room(from)
        {
            return wait;
        }
        match &spoken.say {
            Say::Blank if is_service => Predicted::Next,
            Say::Reply {
                requester, uid, form, ..
            } if is_service => self.reply(from, requester, uid, *form, spoken),
            Say::Garbled(garbled) if is_service => self.malformed_reply(from, garbled),
            Say::Notify { service, payload } if is_service => {
                if self.peers[&from].identity.name != *service {
                    self.sums.unsolicited += 1;
                } else if *payload == Payload::Deep {
                    self.refuse_malformed(from, "\"\"", &Refusal::UnreadableNotification);
                } else if is_held {
                    return self.notify_rest(from, spoken);
                } else {
                    return self.notify(from, spoken);
                }
                Predicted::Next
            }
            Say::AboutTopics(about) => self.about_topics(from, about, is_held),
            Say::Disconnect => Predicted::Leave,
            Say::Blank => Predicted::Next,
            Say::Nonsense(nonsense) => {
                let (refusal, uid) = nonsense.refusal(is_service);
                self.refuse_malformed(from, uid, &refusal);
                Predicted::Next
            }
            Say::Identity { uid } => {
                self.answer(from, uid, &self.identity());
                Predicted::Next
            }
            // A client never sends one: see `Schedule::word_of_client`.
            Say::Garbled(_) => unreachable!("only services say so"),
            say if is_service => {
                self.refuse_request_of_service(from, say);
                Predicted::Next
            }
            Say::Reply { .. } | Say::Notify { .. } => {
                self.client_speaks_for_a_service(from, &spoken.say);
                Predicted::Next
            }
            Say::Administer { .. } => Predicted::Ask,
            Say::Credential { text, is_typed } => {
                self.answer_to_nobody(from, text, *is_typed);
                Predicted::Next
            }
            Say::TypedLink { service } => self.ask(from, Asked::Link, service, "\"\""),
            Say::Ask { asked, service, uid } => self.ask(from, *asked, service, uid),
            Say::Call {
                service,
                uid,
                payload,
            }
            | Say::LongCall {
                service,
                uid,
                payload,
            } => self.call(from, service, uid, *payload, spoken),
        }
    }

    pub(super) fn refuse_request_of_service(&mut self, from: Key, say: &Say) {
        let (uid, refusal) = match say {
            Say::Administer { uid, .. }
            | Say::Ask { uid, .. }
            | Say::Call { uid, .. }
            | Say::LongCall { uid, .. } => (uid.as_str(), Refusal::ServiceRequests),
            _ => unreachable!("everything else is no request"),
        };
        self.refuse_malformed(from, uid, &refusal);
    }

    /// Predicts the outcome of a client's reply or notification. It is dropped, except that an
    /// error without a result is refused as a request.
    pub(super) fn client_speaks_for_a_service(&mut self, from: Key, say: &Say) {
        match say {
            Say::Reply {
                form: Form::PartialError,
                uid,
                ..
            } => {
                let refusal = labwire_wire::EnvelopeError::RequestWithError.into();
                self.refuse_malformed(from, uid, &refusal);
            }
            Say::Reply {
                form: Form::WithoutResult,
                uid,
                ..
            } => {
                let refusal = labwire_wire::EnvelopeError::Missing(labwire_wire::Member::Service).into();
                self.refuse_malformed(from, uid, &refusal);
            }
            _ => self.sums.unsolicited += 1,
        }
    }

    /// Predicts the refusal of a username or password while no question is open.
    pub(super) fn answer_to_nobody(&mut self, from: Key, text: &str, is_typed: bool) {
        let refusal = if is_typed {
            no_request(text)
        } else {
            Some(Refusal::ClientReplies)
        };
        if let Some(refusal) = refusal {
            self.refuse_malformed(from, "\"\"", &refusal);
        }
    }

    pub(super) fn call(
        &mut self,
        from: Key,
        name: &str,
        uid: &str,
        payload: Payload,
        spoken: &Spoken,
    ) -> Predicted {
        if self.phase > ModelPhase::Serving {
            self.refuse(from, uid, &Refusal::NotTaken);
            return Predicted::Next;
        }
        let service = match self.may_call(from, name, payload == Payload::Deep) {
            Ok(service) => service,
            Err(refusal) => {
                self.sums.refused += 1;
                self.refuse(from, uid, &refusal);
                return Predicted::Next;
            }
        };
        if self.is_owed(from, service, uid) {
            let refusal = CallRefusal::Owed {
                service: name.to_owned(),
                uid: text_of_uid(uid),
            };
            self.sums.refused += 1;
            self.refuse(from, uid, &refusal.into());
            return Predicted::Next;
        }
        let requester = json!(self.peers[&from].full_name()).to_string();
        let length = spoken.content().len() + requester.len() + ENVELOPE_BYTES;
        if !self.takes(from, service, length, false) {
            return Predicted::Wait(vec![service]);
        }
        let frame = format!(
            "{{\"args\":{},\"attribute\":\"\\u0061\",\"error\":false,\"kwargs\":{{}},\"service\":{},\"uid\":{},\"requester\":{requester}}}\r\n",
            payload.text(),
            json!(name),
            escaped(uid),
        );
        self.tell(service, frame);
        self.in_flight.push(InFlight {
            client: from,
            service,
            uid: uid.to_owned(),
        });
        self.sums.requests += 1;
        Predicted::Next
    }

    pub(super) fn may_call(&self, from: Key, name: &str, is_deep: bool) -> Result<Key, Refusal> {
        let service = name.to_owned();
        let Some(key) = self.service_named(name) else {
            return Err(Refusal::NoSuchService {
                service,
                manager: MANAGER.to_owned(),
            });
        };
        self.admits(from, key, is_deep)?;
        if let Some(refusal) = self.away_refusal(key) {
            return Err(refusal);
        }
        let client = self.peers[&from].full_name();
        let under_way = self.in_flight.iter().filter(|request| request.client == from);
        if under_way.count() >= self.in_flight_limit {
            let limit = self.in_flight_limit;
            return Err(Refusal::TooManyInFlight { client, limit });
        }
        Ok(key)
    }

    /// Predicts whether a service admits a client's request, by its links and locks.
    pub(super) fn admits(&self, from: Key, key: Key, is_deep: bool) -> Result<(), Refusal> {
        let found = &self.peers[&key];
        let service = found.identity.name.clone();
        if found.is_python() && is_deep {
            return Err(Refusal::UnreadableRequest { service });
        }
        let client = self.peers[&from].full_name();
        if let Some(end) = self.ended_locks.get(&(key, from)) {
            let end = end.clone();
            return Err(LockRefusal::Ended { service, client, end }.into());
        }
        if !self.links.contains(&(key, from)) {
            if self.has_reserved(key, from) {
                return Err(LockRefusal::NotAcquired { service, client }.into());
            }
            if let Some(held) = self.held(key, from) {
                return Err(Refusal::CallLocked {
                    service,
                    client,
                    held,
                });
            }
            if let Some(limit) = found.max_clients() {
                if let Some(refusal) = self.lock_awaited(key, from) {
                    return Err(refusal);
                }
                let is_full = self.linked(key).len() as u64 >= limit;
                return Err(Refusal::LinkBecauseLimited {
                    service,
                    client,
                    is_full,
                });
            }
        }
        Ok(())
    }

    pub(super) fn reply(
        &mut self,
        from: Key,
        requester: &str,
        uid: &str,
        form: Form,
        spoken: &Spoken,
    ) -> Predicted {
        let Some(client) = self.client_named(requester) else {
            self.sums.unsolicited += 1;
            return Predicted::Next;
        };
        let of_client = |held: &InFlight| (held.client, held.service) == (client, from);
        let place = |uid: &str| {
            let mut held = self.in_flight.iter();
            held.position(|held| of_client(held) && held.uid == uid)
        };
        let is_proper = !matches!(form, Form::Malformed | Form::WithoutResult);
        let proper = place(uid).or_else(|| self.other_spelling(client, from, uid));
        let Some(held) = proper.filter(|_| is_proper) else {
            let exact = place(uid).filter(|_| !is_proper);
            let other = exact.or_else(|| other_type(uid).and_then(|other| place(&other)));
            let Some(held) = other.or(proper.filter(|_| !is_proper)) else {
                if !self.take_late(from, Some(requester), Some(uid)) {
                    self.sums.unsolicited += 1;
                } else if !is_proper {
                    self.sums.malformed += 1;
                }
                return Predicted::Next;
            };
            return self.end_malformed(from, held, |model, held| {
                let service = model.peers[&held.service].identity.name.clone();
                let client = &model.peers[&held.client];
                let features = client.identity.features;
                refusal_frame(
                    &Refusal::MalformedReply { service },
                    &client.full_name(),
                    &held.uid,
                    features,
                )
            });
        };
        let uid = self.in_flight[held].uid.clone();
        let key = self.in_flight[held].client;
        let length = spoken.content().len() + ENVELOPE_BYTES;
        if !self.takes(from, key, length, true) {
            return Predicted::Wait(vec![key]);
        }
        let client = &self.peers[&key];
        let features = client.identity.features;
        let service = self.peers[&from].identity.name.clone();
        let frame = if client.is_python() && spoken.say.is_deep() {
            let refusal = Refusal::UnreadableReply { service };
            refusal_frame(&refusal, requester, &uid, features)
        } else {
            passed_on(requester, &uid, form, features.origin || features.leases, spoken)
        };
        self.tell(key, frame);
        self.in_flight.remove(held);
        self.was_told.remove(&from);
        self.sums.replies += 1;
        Predicted::Next
    }

    /// Returns whether a service may still reply to a request that has ended.
    pub(super) fn is_owed(&self, client: Key, service: Key, uid: &str) -> bool {
        self.place_of_owed(client, service, uid).is_some()
    }

    fn place_of_owed(&self, client: Key, service: Key, uid: &str) -> Option<usize> {
        let is_it = |owed: &InFlight| (owed.client, owed.service, &*owed.uid) == (client, service, uid);
        self.owed.iter().position(is_it)
    }

    /// Notes that a service has replied to a request that has ended. Returns whether there was one.
    pub(super) fn take_owed(&mut self, client: Key, service: Key, uid: &str) -> bool {
        let place = self.place_of_owed(client, service, uid);
        if let Some(place) = place {
            self.owed.remove(place);
        }
        place.is_some()
    }

    /// Returns the index of a client's request at a service whose uid is the same number in another
    /// spelling, if that uid is the only one.
    pub(super) fn other_spelling(&self, client: Key, service: Key, uid: &str) -> Option<usize> {
        let value = number(uid)?;
        let of_both = |held: &&InFlight| (held.client, held.service) == (client, service);
        if self.in_flight.iter().filter(of_both).count() > SEARCHED_REQUESTS {
            return None;
        }
        let mut uids: BTreeSet<&str> = BTreeSet::new();
        let mut found = None;
        for (place, held) in self.in_flight.iter().enumerate() {
            let is_same = number(&held.uid).is_some_and(|held| held.total_cmp(&value).is_eq());
            if (held.client, held.service) == (client, service) && is_same && uids.insert(&held.uid) {
                found.get_or_insert(place);
            }
        }
        found.filter(|_| uids.len() == 1)
    }

    pub(super) fn notify(&mut self, from: Key, spoken: &Spoken) -> Predicted {
        let whole = spoken.whole();
        self.sums.notifications += 1;
        let mut waiting = Vec::new();
        for client in Self::with(&self.links, from) {
            let queue = &mut self.peers.get_mut(&client).expect("who is linked is here").queue;
            if queue.is_away || queue.has_room(whole.len(), false) {
                self.sums.deliveries += 1;
                self.tell(client, whole.clone());
            } else {
                queue.enter_for_all(from, whole.len());
                waiting.push(client);
            }
        }
        wait_unless_empty(waiting)
    }

    /// Delivers a notification to the clients that had no room for it, if they have room now and
    /// are still linked.
    pub(super) fn notify_rest(&mut self, from: Key, spoken: &Spoken) -> Predicted {
        let mut waiting = Vec::new();
        for client in Self::with(&self.links, from) {
            let Some(peer) = self.peers.get_mut(&client) else {
                continue;
            };
            match peer.queue.place_of(from) {
                None => {}
                Some(true) => {
                    peer.queue.use_grant(from);
                    self.sums.deliveries += 1;
                    self.tell(client, spoken.whole());
                }
                Some(false) => {
                    peer.queue.keep(from);
                    waiting.push(client);
                }
            }
        }
        wait_unless_empty(waiting)
    }
}

/// Returns the text of a uid, which is JSON text.
fn text_of_uid(uid: &str) -> String {
    match serde_json::from_str(uid) {
        Ok(Value::String(text)) => text,
        _ => uid.to_owned(),
    }
}

/// Returns the refusal of a typed text, unless it is empty.
fn no_request(text: &str) -> Option<Refusal> {
    if text.is_empty() {
        return None;
    }
    let error = labwire_wire::terminal::parse(text).expect_err("no username or password is a request");
    Some(error.into())
}

fn wait_unless_empty(waiting: Vec<Key>) -> Predicted {
    if waiting.is_empty() {
        Predicted::Next
    } else {
        Predicted::Wait(waiting)
    }
}

/// Returns the frame that the client receives for a reply.
fn passed_on(requester: &str, uid: &str, form: Form, marked: bool, spoken: &Spoken) -> Vec<u8> {
    let (name, mark) = (json!(requester), uid);
    let payload = match &spoken.say {
        Say::Reply { payload, .. } => payload.text(),
        _ => "",
    };
    match form {
        Form::Error if marked => format!(
            "{{\"error\":true,\"message\":\"E: x\",\"requester\":{name},\"result\":null,\"traceback\":[\"x\"],\"uid\":{mark}}}\r\n"
        )
        .into(),
        Form::Result | Form::ResultLast | Form::Error => spoken.with_uid(uid),
        Form::ResultOnly => {
            format!("{{\"error\":false,\"requester\":{name},\"result\":{payload},\"uid\":{mark}}}\r\n").into()
        }
        Form::PartialError => format!(
            "{{\"error\":true,\"message\":\"RuntimeError: the service gave no message\",\"requester\":{name},\"result\":null,\"traceback\":[],\"uid\":{mark}}}\r\n"
        )
        .into(),
        Form::Malformed | Form::WithoutResult => unreachable!("it does not go on"),
    }
}
