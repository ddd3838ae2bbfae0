//! The members of a frame's envelope.

use std::fmt;

use crate::json::RawString;

/// A top-level member that belongs to the envelope.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub enum Member {
    /// The name of the service a request is for, or that a notification comes from.
    Service,
    /// The name of the method or value that is requested.
    Attribute,
    /// The value that pairs a reply with its request.
    Uid,
    /// The name of the peer that sent the request.
    Requester,
    /// Whether a frame reports an error.
    Error,
    /// Positional arguments.
    Args,
    /// Keyword arguments.
    Kwargs,
    /// The result of a request.
    Result,
    /// The text of an error.
    Message,
    /// The lines of an error's traceback.
    Traceback,
    /// Of a service's frame: how far it has come with a request. Of a request: whether its client
    /// wants to receive that, and the items.
    Progress,
    /// One part of the result of a request, before its reply.
    Item,
    /// How many seconds a request may take.
    Deadline,
    /// Who sends a request, in the words of the manager.
    Caller,
}

impl Member {
    pub(super) const COUNT: usize = 14;

    pub(super) const fn bit(self) -> u32 {
        1 << self as u32
    }

    /// Returns the member's key.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Service => "service",
            Self::Attribute => "attribute",
            Self::Uid => "uid",
            Self::Requester => "requester",
            Self::Error => "error",
            Self::Args => "args",
            Self::Kwargs => "kwargs",
            Self::Result => "result",
            Self::Message => "message",
            Self::Traceback => "traceback",
            Self::Progress => "progress",
            Self::Item => "item",
            Self::Deadline => "deadline",
            Self::Caller => "caller",
        }
    }

    fn from_name(name: &[u8]) -> Option<Self> {
        Some(match name {
            b"service" => Self::Service,
            b"attribute" => Self::Attribute,
            b"uid" => Self::Uid,
            b"requester" => Self::Requester,
            b"error" => Self::Error,
            b"args" => Self::Args,
            b"kwargs" => Self::Kwargs,
            b"result" => Self::Result,
            b"message" => Self::Message,
            b"traceback" => Self::Traceback,
            b"progress" => Self::Progress,
            b"item" => Self::Item,
            b"deadline" => Self::Deadline,
            b"caller" => Self::Caller,
            _ => return None,
        })
    }

    /// Returns the member whose unescaped key a text starts with, and the key's length including
    /// quotes.
    #[inline]
    pub(crate) fn at_start(text: &[u8]) -> Option<(Self, usize)> {
        /// A comparison with a literal of known length takes one or two instructions.
        macro_rules! if_it_is {
            ($member:ident, $key:literal) => {
                text.starts_with($key)
                    .then_some((Self::$member, $key.len()))
            };
        }
        match text {
            [_, b'a', b'r', ..] => if_it_is!(Args, b"\"args\""),
            [_, b'a', ..] => if_it_is!(Attribute, b"\"attribute\""),
            [_, b'c', ..] => if_it_is!(Caller, b"\"caller\""),
            [_, b'd', ..] => if_it_is!(Deadline, b"\"deadline\""),
            [_, b'e', ..] => if_it_is!(Error, b"\"error\""),
            [_, b'i', ..] => if_it_is!(Item, b"\"item\""),
            [_, b'k', ..] => if_it_is!(Kwargs, b"\"kwargs\""),
            [_, b'm', ..] => if_it_is!(Message, b"\"message\""),
            [_, b'p', ..] => if_it_is!(Progress, b"\"progress\""),
            [_, b'r', _, b'q', ..] => if_it_is!(Requester, b"\"requester\""),
            [_, b'r', ..] => if_it_is!(Result, b"\"result\""),
            [_, b's', ..] => if_it_is!(Service, b"\"service\""),
            [_, b't', ..] => if_it_is!(Traceback, b"\"traceback\""),
            [_, b'u', ..] => if_it_is!(Uid, b"\"uid\""),
            _ => None,
        }
    }

    pub(crate) fn from_key(key: RawString<'_>) -> Option<Self> {
        match key.plain() {
            Some(name) => Self::from_name(name),
            // A key that cannot be decoded is no known name.
            None => Self::from_name(key.decode()?.as_bytes()),
        }
    }
}

impl fmt::Display for Member {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}
