//! Malformed replies: what a service prints, what of it can be read, and what must come of that.

use labwire_wire::{EnvelopeError, JsonError, Member};
use serde_json::{Number, json};

use super::model::{InFlight, Key, Model, Predicted};
use crate::refusal::Refusal;

/// Among how many callers a reply without a requester is looked for.
const SEARCHED_CALLERS: usize = 64;

/// How deep a line may be nested.
const NESTING: usize = 1_024;

/// What goes wrong with a reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Garble {
    Text,
    Number,
    EmptyObject,
    WithoutUid,
    WithoutRequester,
    NullUid,
    NanInFront,
    NanBehind,
    Cut,
    CutWithoutRequester,
    NotUtf8,
    Twice,
    TooDeep,
    LostBracket,
    Glued,
    Report,
}

impl Garble {
    pub(crate) const ALL: [Self; 16] = [
        Self::Text,
        Self::Number,
        Self::EmptyObject,
        Self::WithoutUid,
        Self::WithoutRequester,
        Self::NullUid,
        Self::NanInFront,
        Self::NanBehind,
        Self::Cut,
        Self::CutWithoutRequester,
        Self::NotUtf8,
        Self::Twice,
        Self::TooDeep,
        Self::LostBracket,
        Self::Glued,
        Self::Report,
    ];

    /// A malformed reply to that client's request with that uid, which is JSON text.
    pub(crate) fn reply(self, requester: &str, uid: &str) -> Garbled {
        use EnvelopeError::{Duplicate, Json, Missing, WrongType};
        let name = json!(requester);
        let (brackets, closing) = ("[".repeat(1_100), "]".repeat(1_100));
        let both = [true, true];
        let (line, readable, error) = match self {
            Self::Text => ("nan".into(), [false; 2], None),
            Self::Number => ("1.5".into(), [false; 2], Some(Json(JsonError::NotAnObject))),
            Self::EmptyObject => ("{}".into(), [false; 2], Some(Missing(Member::Requester))),
            Self::WithoutUid => (
                format!(r#"{{"error":false,"requester":{name},"result":1}}"#),
                [true, false],
                Some(Missing(Member::Uid)),
            ),
            Self::WithoutRequester => (
                format!(r#"{{"error":false,"result":1,"uid":{uid}}}"#),
                [false, true],
                Some(Missing(Member::Requester)),
            ),
            Self::NullUid => (
                format!(r#"{{"error":false,"requester":{name},"result":{{"uid":{uid}}},"uid":null}}"#),
                [true, false],
                Some(WrongType {
                    member: Member::Uid,
                    expected: "a string of whole characters or a number",
                }),
            ),
            Self::NanInFront => (
                format!(r#"{{"result":[nan,{{"uid":"inner"}}],"uid":{uid},"requester":{name}}}"#),
                both,
                Some(Json(JsonError::UnexpectedByte(12))),
            ),
            Self::NanBehind => (
                format!(r#"{{"uid":{uid},"requester":{name},"result":nan}}"#),
                both,
                None,
            ),
            Self::Cut => (
                format!(r#"{{"requester":{name},"result":[{{"uid":{uid}}},"#),
                [true, false],
                Some(Json(JsonError::UnexpectedEnd)),
            ),
            Self::CutWithoutRequester => (
                format!(r#"{{"uid":{uid},"result":"1.5"#),
                [false, true],
                Some(Json(JsonError::UnexpectedEnd)),
            ),
            Self::NotUtf8 => (
                format!(r#"{{"requester":{name},"result":"?","uid":{uid}}}"#),
                both,
                None,
            ),
            Self::Twice => (
                format!(r#"{{"result":1,"requester":{name},"result":1,"uid":{uid}}}"#),
                both,
                Some(Duplicate(Member::Result)),
            ),
            Self::TooDeep => (
                format!(r#"{{"requester":{name},"result":{brackets}{closing},"uid":{uid}}}"#),
                both,
                Some(Json(JsonError::TooDeep)),
            ),
            Self::LostBracket => (
                format!(r#"{{"requester":{name},"result":[[{{"uid":"inner"}}],"uid":{uid}}}"#),
                both,
                None,
            ),
            Self::Glued => (
                format!(
                    r#"{{"requester":"nobody[h:1]","result":1,"uid":"1"}}{{"requester":{name},"result":1,"uid":{uid}}}"#
                ),
                both,
                None,
            ),
            Self::Report => (
                r#"{"error": true, "message": "E: \u00e9", "requester": null, "result": null, "traceback": ["x"], "uid": ""}"#
                    .into(),
                [false; 2],
                None,
            ),
        };
        let mut line = line.into_bytes();
        if self == Self::NotUtf8 {
            let place = line.iter().position(|byte| *byte == b'?').expect("it is there");
            line[place] = 0xff;
        }
        Garbled {
            garble: self,
            line,
            requester: readable[0].then(|| requester.to_owned()),
            uid: readable[1].then(|| uid.to_owned()),
            error,
        }
    }
}

/// A malformed reply.
#[derive(Clone, Debug)]
pub(crate) struct Garbled {
    garble: Garble,
    pub(crate) line: Vec<u8>,
    /// What can be read: the client's name, and the uid as JSON text.
    requester: Option<String>,
    uid: Option<String>,
    /// What is wrong, where the service may be told.
    error: Option<EnvelopeError>,
}

impl Garbled {
    /// What the caller is told by that service.
    fn frame(&self, model: &Model, held: &InFlight) -> Vec<u8> {
        let client = &model.peers[&held.client];
        let (requester, uid) = (client.full_name(), &held.uid);
        if self.garble == Garble::Report {
            let requester = json!(requester);
            return format!(
                "{{\"error\":true,\"message\":\"E: \\u00e9\",\"requester\":{requester},\"result\":null,\"traceback\":[\"x\"],\"uid\":{uid}}}\r\n"
            )
            .into();
        }
        let service = model.peers[&held.service].identity.name.clone();
        let refusal = match self.garble {
            Garble::TooDeep => Refusal::ReplyTooDeep {
                service,
                limit: NESTING,
            },
            _ => Refusal::MalformedReply { service },
        };
        refusal_frame(&refusal, &requester, uid, client.identity.features.origin)
    }

    /// What the service is told if nobody waits for it.
    fn refusal(&self) -> Option<Refusal> {
        match self.garble {
            Garble::Report => None,
            Garble::Text => Some(Refusal::ServiceTypes),
            _ => self.error.map(Refusal::from),
        }
    }
}

/// The error frame with a uid that is JSON text.
pub(super) fn refusal_frame(refusal: &Refusal, requester: &str, uid: &str, origin: bool) -> Vec<u8> {
    let uid = labwire_wire::Uid::from_json(uid.as_bytes()).expect("it is a string or a number");
    refusal.frame(requester, &uid, origin).to_vec()
}

/// The other type with the text of a uid: a string for a number, a number for a string.
pub(super) fn other_type(uid: &str) -> Option<String> {
    match serde_json::from_str::<String>(uid) {
        Ok(text) => {
            let is_number = text.trim() == text && serde_json::from_str::<Number>(&text).is_ok();
            is_number.then_some(text)
        }
        Err(_) => Some(json!(uid).to_string()),
    }
}

/// The value of a uid that is a number.
pub(super) fn number(uid: &str) -> Option<f64> {
    serde_json::from_str(uid).ok()
}

impl Model {
    /// The place of the request that a malformed reply is for.
    fn identify(&self, service: Key, requester: Option<&str>, uid: Option<&str>) -> Option<usize> {
        let caller = match requester {
            Some(name) => Some(self.client_named(name)?),
            None => None,
        };
        let uid = uid.filter(|uid| requester.is_some() || *uid != "\"\"");
        let held: Vec<usize> = (0..self.in_flight.len())
            .filter(|place| {
                let held = &self.in_flight[*place];
                held.service == service && caller.is_none_or(|caller| held.client == caller)
            })
            .collect();
        let Some(uid) = uid else {
            return (held.len() == 1).then(|| held[0]);
        };
        let mut clients: Vec<Key> = held.iter().map(|place| self.in_flight[*place].client).collect();
        clients.dedup();
        clients.sort_unstable();
        clients.dedup();
        if requester.is_none() && clients.len() > SEARCHED_CALLERS {
            return None;
        }
        let first = |client: Key, uid: &str| {
            let is_it = |place: &&usize| {
                let held = &self.in_flight[**place];
                held.client == client && held.uid == uid
            };
            held.iter().find(is_it).copied()
        };
        let found: Vec<usize> = clients
            .into_iter()
            .filter_map(|client| {
                first(client, uid)
                    .or_else(|| other_type(uid).and_then(|other| first(client, &other)))
                    .or_else(|| self.other_spelling(client, service, uid))
            })
            .collect();
        (found.len() == 1).then(|| found[0])
    }

    /// A service sends what is no proper reply.
    pub(super) fn malformed_reply(&mut self, from: Key, garbled: &Garbled) -> Predicted {
        let (requester, uid) = (garbled.requester.as_deref(), garbled.uid.as_deref());
        if let Some(place) = self.identify(from, requester, uid) {
            return self.end_malformed(from, place, |model, held| garbled.frame(model, held));
        }
        if requester.is_some() && uid.is_some() {
            self.sums.unsolicited += 1;
            return Predicted::Next;
        }
        let holds = self.in_flight.iter().any(|held| held.service == from);
        let refusal = garbled
            .refusal()
            .filter(|_| !holds && !self.was_told.contains(&from));
        if refusal.is_some()
            && let Some(wait) = self.own_room(from)
        {
            return wait;
        }
        self.sums.malformed += 1;
        self.sums.unattributed_replies += 1;
        if let Some(refusal) = refusal {
            self.was_told.insert(from);
            self.refuse(from, "\"\"", &refusal);
        }
        Predicted::Next
    }

    /// A request ends with an error, since its reply was malformed.
    pub(super) fn end_malformed(
        &mut self,
        from: Key,
        place: usize,
        frame: impl FnOnce(&Self, &InFlight) -> Vec<u8>,
    ) -> Predicted {
        let held = self.in_flight[place].clone();
        let frame = frame(self, &held);
        if !self.takes(from, held.client, frame.len(), true) {
            return Predicted::Wait(vec![held.client]);
        }
        self.tell(held.client, frame);
        self.in_flight.remove(place);
        self.sums.malformed += 1;
        self.sums.malformed_replies += 1;
        Predicted::Next
    }
}
