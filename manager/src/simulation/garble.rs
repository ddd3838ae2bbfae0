//! Malformed replies: the lines, their readable members, and the expected errors.

use labwire_wire::{EnvelopeError, Features, JsonError, Member};
use serde_json::{Number, json};

use crate::refusal::Refusal;

/// The defect of a malformed reply.
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

    /// Returns a malformed reply to the request of this client with this uid, which is JSON text.
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
    pub(super) garble: Garble,
    pub(crate) line: Vec<u8>,
    /// The readable members: the client's name, and the uid as JSON text.
    pub(super) requester: Option<String>,
    pub(super) uid: Option<String>,
    /// The error, where it may be sent to the service.
    pub(super) error: Option<EnvelopeError>,
}

/// Returns the error frame of a refusal. `uid` is JSON text.
pub(super) fn refusal_frame(refusal: &Refusal, requester: &str, uid: &str, features: Features) -> Vec<u8> {
    let uid = labwire_wire::Uid::from_json(uid.as_bytes()).expect("it is a string or a number");
    refusal.frame(requester, &uid, features).to_vec()
}

/// Returns the uid as the other type with the same text: a string for a number, a number for a
/// string.
pub(super) fn other_type(uid: &str) -> Option<String> {
    match serde_json::from_str::<String>(uid) {
        Ok(text) => {
            let is_number = text.trim() == text && serde_json::from_str::<Number>(&text).is_ok();
            is_number.then_some(text)
        }
        Err(_) => Some(json!(uid).to_string()),
    }
}

/// Returns the value of a uid that is a number.
pub(super) fn number(uid: &str) -> Option<f64> {
    serde_json::from_str(uid).ok()
}
