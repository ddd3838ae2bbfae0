//! The members that a frame's envelope has.

use std::fmt;

use crate::json::RawString;

/// A top-level member that means something to the manager.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub enum Member {
    /// The name of the service a request is for, or that a notification comes from.
    Service,
    /// The name of the method or value that is requested.
    Attribute,
    /// What pairs a reply with its request.
    Uid,
    /// The name of the peer that a request came from.
    Requester,
    /// Whether a frame reports an error.
    Error,
    /// Positional arguments.
    Args,
    /// Keyword arguments.
    Kwargs,
    /// What a request gave.
    Result,
    /// The text of an error.
    Message,
    /// The lines of an error's traceback.
    Traceback,
}

impl Member {
    pub(super) const COUNT: usize = 10;

    pub(super) const fn bit(self) -> u16 {
        1 << self as u16
    }

    /// The member's key.
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
            _ => return None,
        })
    }

    /// The member whose key a text starts with, spelled without escapes, and the key's length with its quotes.
    #[inline]
    pub(crate) fn at_start(text: &[u8]) -> Option<(Self, usize)> {
        /// Compared with each key on its own, whose length is known, that takes one or two comparisons.
        macro_rules! if_it_is {
            ($member:ident, $key:literal) => {
                text.starts_with($key)
                    .then_some((Self::$member, $key.len()))
            };
        }
        match text {
            [_, b'a', b'r', ..] => if_it_is!(Args, b"\"args\""),
            [_, b'a', ..] => if_it_is!(Attribute, b"\"attribute\""),
            [_, b'e', ..] => if_it_is!(Error, b"\"error\""),
            [_, b'k', ..] => if_it_is!(Kwargs, b"\"kwargs\""),
            [_, b'm', ..] => if_it_is!(Message, b"\"message\""),
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
            // A key that cannot be decoded is nobody's name.
            None => Self::from_name(key.decode()?.as_bytes()),
        }
    }
}

impl fmt::Display for Member {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}
