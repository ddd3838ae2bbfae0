//! The lines of peers: their meaning for the model, and their bytes on the wire.

use std::sync::LazyLock;

use bytes::Bytes;
use labwire_wire::{EnvelopeError, JsonError, Line, Member};
use serde_json::json;

use super::garble::Garbled;
use super::topics::AboutTopics;
use crate::refusal::Refusal;
use crate::router::Incoming;

/// JSON arrays that peers send each other as arguments or as a result.
static PAYLOADS: LazyLock<[String; 5]> = LazyLock::new(|| {
    [
        "[]".to_owned(),
        "[1.10, 1e400 ,\"\\u00e9\"]".to_owned(),
        "[ NaN,{\"uid\":\"inner\"} ]".to_owned(),
        format!("[\"{}\"]", "x".repeat(5_000)),
        "[".repeat(950) + &"]".repeat(950),
    ]
});

/// An array that one peer sends another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Payload {
    Empty,
    Numbers,
    Tokens,
    /// Too large to be copied into a queue.
    Large,
    /// Nested deeper than Python can read.
    Deep,
}

impl Payload {
    pub(crate) fn text(self) -> &'static str {
        &PAYLOADS[self as usize]
    }
}

/// The form of a reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    Result,
    /// With the result last, so that it can be cut through.
    ResultLast,
    /// Without `error`.
    ResultOnly,
    /// An error with all members, and with members that only the manager may send.
    Error,
    /// An error without message and traceback.
    PartialError,
    /// With an `error` that is a number.
    Malformed,
    /// Without a result or an error.
    WithoutResult,
}

/// A client's request to the manager.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Asked {
    Link,
    Unlink,
    Lock {
        shared: bool,
        /// The terms: seconds, and whether there is a reason.
        ttl: Option<u32>,
        reason: bool,
        wait: Option<u32>,
    },
    Renew {
        ttl: Option<u32>,
    },
    Release,
}

/// The reason of every lock that has one.
pub(super) const REASON: &str = "a \"test\"";

impl Asked {
    /// Returns the line. `uid` is JSON text.
    fn text(self, service: &str, uid: &str) -> String {
        let (attribute, kwargs) = match self {
            Self::Link => ("link", json!({})),
            Self::Unlink => ("unlink", json!({})),
            Self::Lock {
                shared,
                ttl,
                reason,
                wait,
            } => (
                "acquire_lock",
                json!({ "shared": shared, "ttl": ttl, "reason": reason.then_some(REASON), "wait": wait }),
            ),
            Self::Renew { ttl } => ("renew_lock", json!({ "ttl": ttl })),
            Self::Release => ("release_lock", json!({})),
        };
        format!(
            r#"{{"service":"Manager","attribute":"{attribute}","args":{},"kwargs":{kwargs},"uid":{uid}}}"#,
            json!([service])
        )
    }
}

/// An administrator's request to the manager.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Administered {
    Port,
    Links,
    Locks,
    /// An unknown attribute.
    Nothing,
}

impl Administered {
    pub(crate) const ALL: [Self; 4] = [Self::Port, Self::Links, Self::Locks, Self::Nothing];

    pub(crate) fn attribute(self) -> &'static str {
        match self {
            Self::Port => "port",
            Self::Links => "links",
            Self::Locks => "locks",
            Self::Nothing => "nothing",
        }
    }
}

/// A line of a peer. Each uid is JSON text.
#[derive(Clone, Debug)]
pub(crate) enum Say {
    Ask {
        asked: Asked,
        service: String,
        uid: String,
    },
    /// A typed request for a link.
    TypedLink {
        service: String,
    },
    Identity {
        uid: String,
    },
    /// A request that only administrators may make.
    Administer {
        what: Administered,
        uid: String,
    },
    /// A username or a password: typed, or as a result.
    Credential {
        text: &'static str,
        is_typed: bool,
    },
    Call {
        service: String,
        uid: String,
        payload: Payload,
    },
    /// A request with its arguments last, so that it can be cut through.
    LongCall {
        service: String,
        uid: String,
        payload: Payload,
    },
    Reply {
        requester: String,
        uid: String,
        form: Form,
        payload: Payload,
    },
    /// A notification in the name of that service.
    Notify {
        service: String,
        payload: Payload,
    },
    /// A request about topics.
    AboutTopics(AboutTopics),
    /// A malformed reply of a service.
    Garbled(Garbled),
    Nonsense(Nonsense),
    Blank,
    Disconnect,
}

/// A line that is not a frame, or not one that a peer may send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Nonsense {
    Array,
    EmptyObject,
    ReservedUid,
    NumberForService,
    ObjectForArguments,
    BrokenRequest,
    ResultForNobody,
    NotificationWithoutPair,
}

impl Nonsense {
    pub(crate) const ALL: [Self; 8] = [
        Self::Array,
        Self::EmptyObject,
        Self::ReservedUid,
        Self::NumberForService,
        Self::ObjectForArguments,
        Self::BrokenRequest,
        Self::ResultForNobody,
        Self::NotificationWithoutPair,
    ];

    fn text(self) -> &'static str {
        match self {
            Self::Array => "[]",
            Self::EmptyObject => "{}",
            Self::ReservedUid => r#"{"service":"S","attribute":"a","uid":"notification"}"#,
            Self::NumberForService => r#"{"service":5,"attribute":"a","uid":"7"}"#,
            Self::ObjectForArguments => r#"{"service":"S","attribute":"a","uid":"7","args":{}}"#,
            Self::BrokenRequest => r#"{"attribute":"a","args":[{"uid":"6"},nan],"uid":7}"#,
            Self::ResultForNobody => r#"{"result":1,"requester":5,"uid":"7"}"#,
            Self::NotificationWithoutPair => {
                r#"{"result":[1],"service":"S","uid":"notification","error":false}"#
            }
        }
    }

    /// Returns the refusal that the peer receives, and the uid in it.
    pub(crate) fn refusal(self, is_service: bool) -> (Refusal, &'static str) {
        let wrong_type = |member, expected| EnvelopeError::WrongType { member, expected };
        let (error, uid) = match self {
            Self::Array => (EnvelopeError::Json(JsonError::NotAnObject), "\"\""),
            Self::EmptyObject => (EnvelopeError::Missing(Member::Service), "\"\""),
            Self::ReservedUid => (EnvelopeError::ReservedUid, "\"notification\""),
            Self::NumberForService => (
                wrong_type(Member::Service, "a string of whole characters"),
                "\"7\"",
            ),
            Self::ObjectForArguments => (wrong_type(Member::Args, "an array"), "\"7\""),
            Self::BrokenRequest => (EnvelopeError::Json(JsonError::UnexpectedByte(38)), "7"),
            Self::ResultForNobody => return (Refusal::ClientReplies, "\"7\""),
            Self::NotificationWithoutPair if is_service => {
                let error = wrong_type(Member::Result, "[args, kwargs], an array and an object");
                (error, "\"\"")
            }
            Self::NotificationWithoutPair => return (Refusal::ClientReplies, "\"notification\""),
        };
        (error.into(), uid)
    }
}

/// A line of a peer, and its scan by the manager.
#[derive(Debug)]
pub(crate) struct Spoken {
    pub(crate) say: Say,
    pub(crate) incoming: Incoming,
}

impl Spoken {
    /// Composes and scans a line. `bare_end` is whether it ends without a carriage return.
    pub(crate) fn new(say: Say, bare_end: bool) -> Self {
        let end = if bare_end { "\n" } else { "\r\n" };
        let line = match &say {
            Say::Garbled(garbled) => [&garbled.line, end.as_bytes()].concat(),
            say => (say.text() + end).into_bytes(),
        };
        let incoming = Incoming::of(Line::new(Bytes::from(line)), true);
        Self { say, incoming }
    }

    /// Returns the line without its end.
    pub(crate) fn content(&self) -> &[u8] {
        self.incoming.frame.content()
    }

    /// Returns the offset of the payload, if the line can be cut through.
    pub(crate) fn long_payload(&self) -> Option<usize> {
        let key: &[u8] = match &self.say {
            Say::LongCall { .. } => br#""args" : "#,
            Say::Reply {
                form: Form::ResultLast,
                ..
            } => br#""result" : "#,
            _ => return None,
        };
        let mut windows = self.content().windows(key.len());
        Some(windows.position(|window| window == key)? + key.len())
    }

    /// Returns the line with its end.
    pub(crate) fn whole(&self) -> Vec<u8> {
        [self.content(), self.incoming.frame.view().head().terminator()].concat()
    }

    /// As [`whole`](Self::whole), with this uid in a reply.
    pub(crate) fn with_uid(&self, uid: &str) -> Vec<u8> {
        let mut say = self.say.clone();
        if let Say::Reply { uid: own, .. } = &mut say {
            uid.clone_into(own);
        }
        [
            say.text().as_bytes(),
            self.incoming.frame.view().head().terminator(),
        ]
        .concat()
    }
}

impl Say {
    /// Returns whether the manager itself answers this line if a service of that name sends it.
    pub(crate) fn is_answered(&self, name: &str) -> bool {
        match self {
            Self::Blank | Self::Reply { .. } | Self::Garbled(_) => false,
            Self::Notify { service, payload } => service == name && *payload == Payload::Deep,
            _ => true,
        }
    }

    fn text(&self) -> String {
        match self {
            Self::Ask { asked, service, uid } => asked.text(service, uid),
            Self::TypedLink { service } => format!("link {service}"),
            Self::Identity { uid } => {
                format!(r#"{{"service":"Manager","attribute":"identity","uid":{uid},"kwargs":null}}"#)
            }
            Self::Administer { what, uid } => {
                format!(
                    r#"{{"service":"Manager","attribute":"{}","uid":{uid}}}"#,
                    what.attribute()
                )
            }
            Self::Credential { text, is_typed: true } => (*text).to_owned(),
            Self::Credential {
                text,
                is_typed: false,
            } => json!({ "result": text }).to_string(),
            Self::Call {
                service,
                uid,
                payload,
            } => format!(
                r#"{{"requester":"Manager[h:1]", "args" : {} ,"service":{},"attribute":"\u0061","uid":{},"x":1}}"#,
                payload.text(),
                json!(service),
                escaped(uid),
            ),
            Self::LongCall {
                service,
                uid,
                payload,
            } => format!(
                r#"{{"service":{},"attribute":"\u0061","uid":{},"requester":"Manager[h:1]","args" : {} }}"#,
                json!(service),
                escaped(uid),
                payload.text(),
            ),
            Self::Reply {
                requester,
                uid,
                form,
                payload,
            } => {
                let requester = json!(requester);
                match form {
                    Form::Result => format!(
                        r#"{{"error": false,"requester":{requester},"result": {},"uid":{uid}}}"#,
                        payload.text()
                    ),
                    Form::ResultLast => format!(
                        r#"{{"error":false, "uid":{uid},"requester":{requester},"result" : {} }}"#,
                        payload.text()
                    ),
                    Form::ResultOnly => format!(
                        r#"{{"uid":{uid},"requester":{requester},"result": {} }}"#,
                        payload.text()
                    ),
                    Form::Error => format!(
                        r#"{{"error":true,"executed":"no","message":"E: x","origin":"manager","result": null,"traceback":["x"],"requester":{requester},"uid":{uid}}}"#
                    ),
                    Form::PartialError => {
                        format!(r#"{{"error":true,"requester":{requester},"uid":{uid}}}"#)
                    }
                    Form::Malformed => {
                        format!(r#"{{"error":5,"requester":{requester},"result":1,"uid":{uid}}}"#)
                    }
                    Form::WithoutResult => {
                        format!(r#"{{"error":false,"requester":{requester},"uid":{uid}}}"#)
                    }
                }
            }
            Self::Notify { service, payload } => format!(
                r#"{{"result":[{},{{}}],"service":{},"uid":"notification","error":false}}"#,
                payload.text(),
                json!(service)
            ),
            Self::AboutTopics(about) => about.text(),
            Self::Garbled(_) => unreachable!("it may be no text"),
            Self::Nonsense(nonsense) => nonsense.text().to_owned(),
            Self::Blank => " ".to_owned(),
            Self::Disconnect => r#"{"service":"Manager","attribute":"__disconnect__"}"#.to_owned(),
        }
    }

    /// Returns whether the forwarded frame is nested deeper than Python can read.
    pub(crate) fn is_deep(&self) -> bool {
        match self {
            Self::Call { payload, .. } | Self::LongCall { payload, .. } | Self::Notify { payload, .. } => {
                *payload == Payload::Deep
            }
            Self::Reply { payload, form, .. } => {
                *payload == Payload::Deep
                    && matches!(form, Form::Result | Form::ResultLast | Form::ResultOnly)
            }
            _ => false,
        }
    }
}

/// Returns a uid; if it is a string that begins with `1`, with that character as an escape. Uids
/// are compared by their decoded text and forwarded as they were written.
pub(crate) fn escaped(uid: &str) -> String {
    match uid.strip_prefix("\"1") {
        Some(rest) => format!("\"\\u0031{rest}"),
        None => uid.to_owned(),
    }
}
