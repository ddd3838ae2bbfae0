//! Parses lines from the manager.

use bytes::Bytes;
use labwire_device::payload::{Received, from_json};
use labwire_wire::{
    Executed, JsonError, Line, NOTIFICATION_UID, RawString, array_elements, as_string, scan_object,
};

use crate::lock_state::LockState;

/// A parsed line from the manager.
pub(crate) enum Incoming {
    /// The result of a request, as JSON text.
    Result { uid: String, result: Received },
    /// The error of a request.
    Failure { uid: String, failure: Failure },
    /// A notification of a service: its name, and `[args, kwargs]` as JSON text.
    Notification { service: String, result: Received },
    /// Progress of a call, or an item of its result.
    Partial { uid: String, partial: Partial },
    /// A request of the manager, with its arguments as far as they are texts.
    Request {
        attribute: String,
        arguments: Vec<String>,
    },
}

/// Progress of a call, or an item of its result.
pub(crate) enum Partial {
    Progress {
        /// Its JSON text: arrays are in it as base64.
        value: Bytes,
        /// Whether the manager has marked it as its own.
        of_manager: bool,
    },
    Item(Received),
}

/// An error reply.
pub(crate) struct Failure {
    pub(crate) message: String,
    pub(crate) traceback: Vec<String>,
    /// Whether the manager marked the error as its own.
    pub(crate) of_manager: bool,
    /// The manager's statement whether the request was executed, if it made one.
    pub(crate) executed: Option<Executed>,
    /// What the manager says about the lock that is in the way, if it is one.
    pub(crate) lock: Option<Box<LockState>>,
    /// Why the manager has ended the request before its reply, if it has.
    pub(crate) ended: Option<String>,
}

#[derive(Default)]
struct Members<'a> {
    args: Option<&'a [u8]>,
    attribute: Option<&'a [u8]>,
    ended: Option<&'a [u8]>,
    error: Option<&'a [u8]>,
    executed: Option<&'a [u8]>,
    item: Option<std::ops::Range<usize>>,
    lock: Option<&'a [u8]>,
    message: Option<&'a [u8]>,
    origin: Option<&'a [u8]>,
    progress: Option<std::ops::Range<usize>>,
    result: Option<std::ops::Range<usize>>,
    service: Option<&'a [u8]>,
    traceback: Option<&'a [u8]>,
    uid: Option<&'a [u8]>,
}

impl<'a> Members<'a> {
    fn scan(content: &'a [u8]) -> Result<Self, JsonError> {
        let mut members = Self::default();
        scan_object(content, |key, span| {
            let value = Some(&content[span.clone()]);
            match key.decode().as_deref() {
                Some("args") => members.args = value,
                Some("attribute") => members.attribute = value,
                Some("ended") => members.ended = value,
                Some("error") => members.error = value,
                Some("executed") => members.executed = value,
                Some("item") => members.item = Some(span),
                Some("lock") => members.lock = value,
                Some("message") => members.message = value,
                Some("origin") => members.origin = value,
                Some("progress") => members.progress = Some(span),
                Some("result") => members.result = Some(span),
                Some("service") => members.service = value,
                Some("traceback") => members.traceback = value,
                Some("uid") => members.uid = value,
                _ => {}
            }
            Ok::<_, JsonError>(())
        })?;
        Ok(members)
    }

    /// Whether the manager has marked the frame as its own.
    fn is_managers(&self) -> bool {
        self.origin == Some(b"\"manager\"")
    }

    fn failure(&self) -> Failure {
        let lines = self.traceback.and_then(|lines| array_elements(lines).ok());
        Failure {
            message: text(self.message).unwrap_or_else(|| "an error without a message".to_owned()),
            traceback: lines
                .unwrap_or_default()
                .into_iter()
                .filter_map(|line| text(Some(line)))
                .collect(),
            of_manager: self.is_managers(),
            executed: match self.executed {
                Some(b"\"no\"") => Some(Executed::No),
                Some(_) => Some(Executed::Maybe),
                None => None,
            },
            ended: text(self.ended),
            lock: self
                .lock
                .and_then(|lock| from_json(std::str::from_utf8(lock).ok()?).ok()),
        }
    }
}

fn text(value: Option<&[u8]>) -> Option<String> {
    let text = as_string(value?).and_then(RawString::decode)?;
    Some(text.into_owned())
}

impl Incoming {
    /// Parses a line. Returns `None` if it is none that a manager sends.
    pub(crate) fn read(line: &Line) -> Option<Self> {
        let content = line.content();
        let members = Members::scan(content).ok()?;
        let uid = text(members.uid).unwrap_or_default();
        if members.error == Some(b"true") {
            let failure = members.failure();
            return Some(Self::Failure { uid, failure });
        }
        if let Some(span) = members.result.clone() {
            let result = Received::of_line(line, span);
            return Some(if uid == NOTIFICATION_UID {
                let service = text(members.service)?;
                Self::Notification { service, result }
            } else {
                Self::Result { uid, result }
            });
        }
        // A service has no word in frames with an attribute: those are the manager's.
        if members.attribute.is_none() {
            let of_manager = members.is_managers();
            let partial = match (members.item, members.progress) {
                (Some(span), _) => Partial::Item(Received::of_line(line, span)),
                (None, Some(span)) => Partial::Progress {
                    value: line.slice(span),
                    of_manager,
                },
                (None, None) => return None,
            };
            return Some(Self::Partial { uid, partial });
        }
        let arguments = members.args.and_then(|args| array_elements(args).ok());
        let arguments = arguments.unwrap_or_default().into_iter();
        Some(Self::Request {
            attribute: text(members.attribute)?,
            arguments: arguments.map_while(|argument| text(Some(argument))).collect(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &'static str) -> Option<Incoming> {
        Incoming::read(&Line::new(Bytes::from_static(text.as_bytes())))
    }

    #[test]
    fn a_result_is_what_was_written() {
        match read("{\"uid\": \"7\", \"result\": [1.10, NaN], \"error\": false}\r\n") {
            Some(Incoming::Result { uid, result }) => {
                assert_eq!((uid.as_str(), &result[..]), ("7", &b"[1.10, NaN]"[..]));
            }
            _ => panic!("a result"),
        }
    }

    #[test]
    fn an_error_says_whose_it_is() {
        let failure = |text| match read(text) {
            Some(Incoming::Failure { failure, .. }) => failure,
            _ => panic!("an error"),
        };
        let of_manager =
            failure(r#"{"error":true,"executed":"no","message":"m","origin":"manager","uid":"1"}"#);
        assert!(of_manager.of_manager);
        assert_eq!(of_manager.executed, Some(Executed::No));
        assert_eq!(of_manager.lock, None);
        let locked = failure(
            r#"{"error":true,"lock":{"holder":"Ada[h:1]","position":3,"service":"S","x":1},"message":"m","uid":"1"}"#,
        );
        let lock = locked.lock.unwrap();
        assert_eq!((lock.holder.as_deref(), lock.position), (Some("Ada[h:1]"), 3));
        let of_service =
            failure(r#"{"error":true,"message":"ValueError: x","traceback":["a","b"],"uid":"1"}"#);
        assert!(!of_service.of_manager);
        assert_eq!(of_service.traceback, ["a", "b"]);
        assert_eq!(of_service.executed, None);
    }

    #[test]
    fn what_is_no_frame_is_nothing() {
        assert!(read("Unexpected").is_none());
        assert!(read("{\"uid\":\"1\"}").is_none());
    }
}
