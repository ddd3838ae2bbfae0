//! Sessions: what survives a broken connection, for peers with the feature `sessions`.

use bytes::{BufMut, Bytes, BytesMut};
use serde_json::{Map, Value, json};

use crate::frames::{TERMINATOR, json_string, put_string};

/// The longest secret of a session that is read, in bytes.
pub const MAX_SECRET_BYTES: usize = 128;

/// What a peer asks for in the member `session` of its identity.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SessionRequest {
    /// For how many seconds its place is to be kept after a broken connection. `None` means the
    /// manager's default.
    pub grace: Option<u64>,
    /// Whether the callers of a service wait while it is away. Clients ignore it.
    pub keep_callers: bool,
    /// The session that it returns to, if it had one.
    pub resume: Option<ResumeRequest>,
}

/// The session that a peer returns to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResumeRequest {
    /// The secret that it received when it registered.
    pub secret: String,
    /// The position up to which it has received what the manager sent.
    pub received: u64,
}

impl SessionRequest {
    /// Reads it from the JSON text of an object. Returns a description of what is expected if it is
    /// malformed. Unknown members are ignored.
    pub(crate) fn from_json(text: &[u8]) -> Result<Self, &'static str> {
        let Ok(Value::Object(members)) = serde_json::from_slice(text) else {
            return Err("an object");
        };
        let number = |key: &str, expected| match members.get(key) {
            None | Some(Value::Null) => Ok(None),
            Some(value) => whole_number(value).map(Some).ok_or(expected),
        };
        let grace = number("grace", "an object whose \"grace\" is a number of seconds")?;
        let received = number("received", "an object whose \"received\" is a whole number")?;
        let keep_callers = match members.get("keep_callers") {
            None | Some(Value::Null) => false,
            Some(Value::Bool(keep)) => *keep,
            Some(_) => return Err("an object whose \"keep_callers\" is true or false"),
        };
        let resume = match members.get("secret") {
            None | Some(Value::Null) => None,
            Some(Value::String(secret)) if secret.len() <= MAX_SECRET_BYTES => Some(ResumeRequest {
                secret: secret.clone(),
                received: received.unwrap_or_default(),
            }),
            Some(_) => return Err("an object whose \"secret\" is the secret of a session"),
        };
        Ok(Self {
            grace,
            keep_callers,
            resume,
        })
    }

    /// Returns the JSON text of the member `session` of an identity.
    pub fn to_json(&self) -> String {
        let mut members = Map::new();
        if let Some(grace) = self.grace {
            members.insert("grace".to_owned(), grace.into());
        }
        if self.keep_callers {
            members.insert("keep_callers".to_owned(), true.into());
        }
        if let Some(ResumeRequest { secret, received }) = &self.resume {
            members.insert("secret".to_owned(), secret.as_str().into());
            members.insert("received".to_owned(), (*received).into());
        }
        Value::Object(members).to_string()
    }
}

/// Returns a whole number, also one with a fraction of zeros: LabVIEW writes those.
fn whole_number(value: &Value) -> Option<u64> {
    if let Some(number) = value.as_u64() {
        return Some(number);
    }
    let number = value
        .as_f64()
        .filter(|number| number.fract() == 0.0 && *number >= 0.0)?;
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a cast saturates, as a limit should"
    )]
    Some(number as u64)
}

/// A session that begins: the member `session` in the keyword arguments of `registered`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionBegun {
    /// The secret with which the peer can return.
    pub secret: String,
    /// For how many seconds its place is kept after a broken connection.
    pub grace: u64,
    /// How many bytes the manager keeps that the peer has not confirmed.
    pub kept: u64,
    /// The services on which a lock is kept for a client since the manager was restarted: it held
    /// them before, and has priority.
    pub locks: Vec<String>,
}

impl SessionBegun {
    /// Reads it from the keyword arguments of `registered`. Returns `None` if they have none.
    pub fn from_kwargs(kwargs: &[u8]) -> Option<Self> {
        let session = session_of(kwargs)?;
        Some(Self {
            secret: session.get("secret")?.as_str()?.to_owned(),
            grace: session.get("grace")?.as_u64()?,
            kept: session.get("kept")?.as_u64()?,
            locks: match session.get("locks") {
                Some(Value::Array(locks)) => locks
                    .iter()
                    .filter_map(Value::as_str)
                    .map(str::to_owned)
                    .collect(),
                _ => Vec::new(),
            },
        })
    }

    /// Returns the frame `registered` for the peer with that network name. `features` are those of
    /// [`registered`](crate::frames::registered).
    pub fn frame(&self, name: &str, features: &[&str], manager: &str) -> Bytes {
        let Self {
            secret,
            grace,
            kept,
            locks,
        } = self;
        let features = features_member(features);
        let mut session = json!({ "grace": grace, "kept": kept, "secret": secret });
        if !locks.is_empty() {
            session["locks"] = locks.as_slice().into();
        }
        let kwargs = format!("{{{features}\"session\":{session}}}");
        manager_frame("registered", &json_string(name), &kwargs, manager)
    }
}

/// A session that goes on: the member `session` in the keyword arguments of `resumed`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionResumed {
    /// The position up to which the manager has handled the lines of the peer. What the peer sent
    /// after it is lost.
    pub received: u64,
    /// The position from which the manager goes on to send.
    pub from: u64,
    /// For how many seconds its place is kept after a broken connection.
    pub grace: u64,
    /// How many bytes the manager keeps that the peer has not confirmed.
    pub kept: u64,
    /// If bytes for the peer were lost: the uids of its requests that can still be answered, as
    /// JSON text each. `None` if nothing was lost, or if there are too many to list.
    pub in_flight: Option<Vec<String>>,
}

impl SessionResumed {
    /// Reads it from the keyword arguments of `resumed`. Returns `None` if they have none.
    pub fn from_kwargs(kwargs: &[u8]) -> Option<Self> {
        let session = session_of(kwargs)?;
        let number = |key: &str| session.get(key)?.as_u64();
        let in_flight = match session.get("in_flight") {
            Some(Value::Array(uids)) => Some(uids.iter().map(Value::to_string).collect()),
            _ => None,
        };
        Some(Self {
            received: number("received")?,
            from: number("from")?,
            grace: number("grace")?,
            kept: number("kept")?,
            in_flight,
        })
    }

    /// Returns the frame `resumed` for the peer with that network name. `features` are those of
    /// [`registered`](crate::frames::registered).
    pub fn frame(&self, name: &str, features: &[&str], manager: &str) -> Bytes {
        let Self {
            received,
            from,
            grace,
            kept,
            in_flight,
        } = self;
        let in_flight = in_flight
            .as_ref()
            .map_or_else(String::new, |uids| format!("\"in_flight\":[{}],", uids.join(",")));
        let features = features_member(features);
        let kwargs = format!(
            "{{{features}\"session\":{{\"from\":{from},\"grace\":{grace},{in_flight}\"kept\":{kept},\"received\":{received}}}}}"
        );
        manager_frame("resumed", &json_string(name), &kwargs, manager)
    }
}

/// Returns the member `features` and a comma; nothing if there are none.
fn features_member(features: &[&str]) -> String {
    if features.is_empty() {
        return String::new();
    }
    format!("\"features\":{},", Value::from(features))
}

fn session_of(kwargs: &[u8]) -> Option<Map<String, Value>> {
    let Ok(Value::Object(mut kwargs)) = serde_json::from_slice(kwargs) else {
        return None;
    };
    match kwargs.remove("session") {
        Some(Value::Object(session)) => Some(session),
        _ => None,
    }
}

/// Returns a request of the manager itself with one argument and keyword arguments, which are JSON
/// text.
fn manager_frame(attribute: &str, argument: &str, kwargs: &str, manager: &str) -> Bytes {
    let mut frame = BytesMut::with_capacity(128 + argument.len() + kwargs.len() + manager.len());
    frame.put_slice(b"{\"args\":[");
    frame.put_slice(argument.as_bytes());
    frame.put_slice(b"],\"attribute\":");
    put_string(&mut frame, attribute);
    frame.put_slice(b",\"error\":false,\"kwargs\":");
    frame.put_slice(kwargs.as_bytes());
    frame.put_slice(b",\"requester\":");
    put_string(&mut frame, manager);
    frame.put_slice(b",\"uid\":\"\"}\r\n");
    frame.freeze()
}

const CONFIRMATION: &[u8] = b"{\"received\":";

/// Returns the line by which a peer confirms that it has received everything up to a position.
///
/// ```
/// assert_eq!(labwire_wire::confirmation(65_536), "{\"received\":65536}\r\n");
/// ```
pub fn confirmation(position: u64) -> Bytes {
    let mut line = BytesMut::with_capacity(40);
    line.put_slice(CONFIRMATION);
    line.put_slice(position.to_string().as_bytes());
    line.put_u8(b'}');
    line.put_slice(TERMINATOR);
    line.freeze()
}

/// Returns the position in a [`confirmation`], which must be spelled exactly so. `line` is the line
/// without its end.
///
/// ```
/// assert_eq!(labwire_wire::confirmed(b"{\"received\":65536}"), Some(65_536));
/// assert_eq!(labwire_wire::confirmed(b"{ \"received\": 65536 }"), None);
/// ```
#[inline]
pub fn confirmed(line: &[u8]) -> Option<u64> {
    let digits = line.strip_prefix(CONFIRMATION)?.strip_suffix(b"}")?;
    if digits.is_empty() || digits.len() > 20 || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(digits).ok()?.parse().ok()
}

/// Returns the frame by which the manager confirms to a service that it has handled everything up to
/// a position.
pub fn received(position: u64, manager: &str) -> Bytes {
    manager_frame("received", &position.to_string(), "{}", manager)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_request_is_read_as_it_was_written() {
        let resume = || {
            Some(ResumeRequest {
                secret: "abc".to_owned(),
                received: 17,
            })
        };
        for (request, text) in [
            (SessionRequest::default(), "{}"),
            (
                SessionRequest {
                    grace: Some(60),
                    keep_callers: true,
                    resume: None,
                },
                r#"{"grace":60,"keep_callers":true}"#,
            ),
            (
                SessionRequest {
                    resume: resume(),
                    ..SessionRequest::default()
                },
                r#"{"received":17,"secret":"abc"}"#,
            ),
        ] {
            assert_eq!(SessionRequest::from_json(text.as_bytes()), Ok(request.clone()));
            assert_eq!(
                SessionRequest::from_json(request.to_json().as_bytes()),
                Ok(request)
            );
        }
        for text in [
            "[]",
            r#"{"grace":-1}"#,
            r#"{"grace":"1"}"#,
            r#"{"keep_callers":1}"#,
            r#"{"secret":7}"#,
        ] {
            assert!(SessionRequest::from_json(text.as_bytes()).is_err(), "{text}");
        }
        let long = format!(r#"{{"secret":"{}"}}"#, "x".repeat(MAX_SECRET_BYTES + 1));
        assert!(SessionRequest::from_json(long.as_bytes()).is_err());
    }

    #[test]
    fn frames_about_sessions_are_read_as_they_were_written() {
        let kwargs = |frame: &Bytes| {
            let frame: Value = serde_json::from_slice(frame).unwrap();
            assert_eq!(frame["args"], json!(["a[h:1]"]));
            frame["kwargs"].to_string().into_bytes()
        };
        let begun = SessionBegun {
            secret: "abc".to_owned(),
            grace: 30,
            kept: 1_048_576,
            locks: vec!["DMM".to_owned()],
        };
        for features in [&[][..], &["binary"]] {
            let frame = begun.frame("a[h:1]", features, "Manager[h:2]");
            let kwargs = kwargs(&frame);
            assert_eq!(SessionBegun::from_kwargs(&kwargs).as_ref(), Some(&begun));
            let kwargs: Value = serde_json::from_slice(&kwargs).unwrap();
            let named = (!features.is_empty()).then(|| json!(features));
            assert_eq!(kwargs.get("features"), named.as_ref());
        }
        for in_flight in [None, Some(vec![]), Some(vec!["\"1\"".to_owned(), "2".to_owned()])] {
            let resumed = SessionResumed {
                received: 1,
                from: 2,
                grace: 3,
                kept: 4,
                in_flight,
            };
            let frame = resumed.frame("a[h:1]", &["binary"], "Manager[h:2]");
            assert_eq!(SessionResumed::from_kwargs(&kwargs(&frame)), Some(resumed));
        }
        assert_eq!(SessionBegun::from_kwargs(b"{}"), None);
        assert_eq!(
            received(7, "Manager[h:2]"),
            concat!(
                r#"{"args":[7],"attribute":"received","error":false,"kwargs":{},"#,
                r#""requester":"Manager[h:2]","uid":""}"#,
                "\r\n"
            )
        );
    }

    #[test]
    fn a_confirmation_is_nothing_else() {
        let line = confirmation(u64::MAX);
        assert_eq!(confirmed(line.trim_ascii_end()), Some(u64::MAX));
        for line in [
            &b"{\"received\":}"[..],
            b"{\"received\":-1}",
            b"{\"received\":1.0}",
            b"{\"received\":99999999999999999999}",
            b"{\"received\":1,\"uid\":\"\"}",
        ] {
            assert_eq!(confirmed(line), None);
        }
    }
}
