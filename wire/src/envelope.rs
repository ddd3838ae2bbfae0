//! The envelope of a frame: the few top-level members that the manager reads.

use std::borrow::Cow;
use std::ops::Range;

use crate::json::{self, JsonError, Members, RawString, Shape};
use crate::text::Text;

mod member;
#[cfg(test)]
mod tests;

pub use member::Member;

/// The `uid` of every notification; no request may carry it.
pub const NOTIFICATION_UID: &str = "notification";

/// How long a `uid` may be, in bytes. It is kept as long as its request is under way; Python's have 36.
pub const MAX_UID_BYTES: usize = 256;

/// Why a line is not a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EnvelopeError {
    /// The line is not a JSON object.
    #[error(transparent)]
    Json(#[from] JsonError),
    /// A member of the envelope stands there twice: two parsers could disagree about which one counts.
    #[error("the member \"{0}\" stands there twice")]
    Duplicate(Member),
    /// A member of the envelope is missing.
    #[error("the member \"{0}\" is missing")]
    Missing(Member),
    /// A member of the envelope has another type than it must have.
    #[error("the member \"{member}\" must be {expected}")]
    WrongType {
        /// The member.
        member: Member,
        /// What it must be, in words.
        expected: &'static str,
    },
    /// A request says that it is an error.
    #[error("a request's member \"error\" must be false")]
    RequestWithError,
    /// A request's `uid` is longer than it may be.
    #[error("a uid may not be longer than {MAX_UID_BYTES} bytes")]
    LongUid,
    /// A request carries the `uid` that belongs to notifications.
    #[error("the uid \"{NOTIFICATION_UID}\" is reserved for notifications; choose another one")]
    ReservedUid,
}

impl EnvelopeError {
    /// The same for a line of which so many bytes, in front of what is wrong, were taken out.
    pub(crate) fn behind(self, bytes: usize) -> Self {
        match self {
            Self::Json(error) => Self::Json(error.behind(bytes)),
            other => other,
        }
    }

    /// The name of the Python exception that says this best; error messages on the wire begin with it.
    pub fn exception(self) -> &'static str {
        match self {
            Self::Json(JsonError::NotAnObject) | Self::WrongType { .. } => "TypeError",
            Self::Json(_)
            | Self::Duplicate(_)
            | Self::RequestWithError
            | Self::LongUid
            | Self::ReservedUid => "ValueError",
            Self::Missing(_) => "KeyError",
        }
    }
}

/// Where the members of a frame's envelope stand in its line.
///
/// Nothing of the line is copied; the methods take the same bytes again.
#[derive(Clone, Debug, Default)]
pub struct Envelope {
    /// Where each member's value starts and ends, if the frame has it.
    spans: [(usize, usize); Member::COUNT],
    /// One bit for each member that the frame has.
    present: u16,
    /// One bit for each member that is known to be a string of ASCII without escapes.
    plain: u16,
    /// Whether the frame has members that mean nothing to the manager.
    has_others: bool,
    shape: Shape,
}

impl<'a> Members<'a> for Envelope {
    type Key = Member;
    type Error = EnvelopeError;

    #[inline]
    fn known(text: &[u8]) -> Option<(Member, usize)> {
        Member::at_start(text)
    }

    #[inline]
    fn member(
        &mut self,
        key: Member,
        value: Range<usize>,
        is_plain_string: bool,
    ) -> Result<(), EnvelopeError> {
        self.plain |= u16::from(is_plain_string) << key as u16;
        self.note_member(key, value)
    }

    fn other(&mut self, key: RawString<'a>, value: Range<usize>) -> Result<(), EnvelopeError> {
        self.note(key, value)
    }
}

impl Envelope {
    /// Checks that the whole line is one well-formed JSON object, and notes where its envelope stands.
    pub fn scan(line: &[u8]) -> Result<Self, EnvelopeError> {
        let mut envelope = Self::default();
        envelope.read(line)?;
        Ok(envelope)
    }

    /// The same for who has a place for it, where another line's may have been. It means nothing after an error.
    #[inline]
    pub fn read(&mut self, line: &[u8]) -> Result<(), EnvelopeError> {
        // Where a member stood that the frame does not have is of no account.
        (self.present, self.plain, self.has_others) = (0, 0, false);
        self.shape = json::scan_members(line, self)?;
        Ok(())
    }

    /// The `uid` of a line that is no frame, so that its sender learns which request failed: the only one
    /// that stands before the mistake, if there is one.
    pub fn salvage_uid(line: &[u8]) -> Option<String> {
        let mut found = Vec::new();
        // Where the line is broken is known already.
        let _ = json::scan_object::<JsonError, _>(line, |key, span| {
            if key.decode().as_deref() == Some(Member::Uid.name()) {
                found.push(span);
            }
            Ok(())
        });
        let [span] = &found[..] else {
            return None;
        };
        let uid = json::as_string(&line[span.clone()])?.decode()?;
        (uid.len() <= MAX_UID_BYTES).then(|| uid.into_owned())
    }

    /// What the frame asks of its reader.
    pub fn shape(&self) -> Shape {
        self.shape
    }

    pub(crate) fn set_shape(&mut self, shape: Shape) {
        self.shape = shape;
    }

    pub(crate) fn note(&mut self, key: RawString<'_>, span: Range<usize>) -> Result<(), EnvelopeError> {
        let Some(member) = Member::from_key(key) else {
            self.has_others = true;
            return Ok(());
        };
        self.note_member(member, span)
    }

    #[inline]
    fn note_member(&mut self, member: Member, span: Range<usize>) -> Result<(), EnvelopeError> {
        if self.has(member) {
            return Err(EnvelopeError::Duplicate(member));
        }
        self.present |= member.bit();
        self.spans[member as usize] = (span.start, span.end);
        Ok(())
    }

    /// Where a member's value stands, or `None` when the frame does not have the member.
    pub fn span(&self, member: Member) -> Option<Range<usize>> {
        let (start, end) = self.spans[member as usize];
        self.has(member).then_some(start..end)
    }

    #[inline]
    fn has(&self, member: Member) -> bool {
        self.present & member.bit() != 0
    }

    #[inline]
    fn is_plain(&self, member: Member) -> bool {
        self.plain & member.bit() != 0
    }

    /// Whether the frame has these members, and no others.
    pub fn has_exactly(&self, members: &[Member]) -> bool {
        let expected = members.iter().fold(0, |bits, member| bits | member.bit());
        !self.has_others && self.present == expected
    }

    /// A member's value as it was written.
    pub fn raw<'a>(&self, line: &'a [u8], member: Member) -> Option<&'a [u8]> {
        Some(&line[self.span(member)?])
    }

    /// A member that must be a string, if the frame has it.
    pub fn string<'a>(&self, line: &'a [u8], member: Member) -> Result<Option<Cow<'a, str>>, EnvelopeError> {
        let Some(value) = self.raw(line, member) else {
            return Ok(None);
        };
        match json::as_string(value).and_then(RawString::decode) {
            Some(text) => Ok(Some(text)),
            None => Err(EnvelopeError::WrongType {
                member,
                expected: "a string of whole characters",
            }),
        }
    }

    /// The same for names, which are compared more often than read.
    #[inline]
    fn text<'a>(&self, line: &'a [u8], member: Member) -> Result<Option<Text<'a>>, EnvelopeError> {
        if self.is_plain(member)
            && let Some([_, inner @ .., _]) = self.raw(line, member)
        {
            return Ok(Some(Text::of_ascii(inner)));
        }
        self.decoded_text(line, member)
    }

    #[cold]
    fn decoded_text<'a>(&self, line: &'a [u8], member: Member) -> Result<Option<Text<'a>>, EnvelopeError> {
        Ok(self.string(line, member)?.map(Text::from))
    }

    /// Whether a member is this very string, however it is spelled.
    #[inline]
    pub fn is_string(&self, line: &[u8], member: Member, text: &str) -> bool {
        let Some([b'"', spelled @ .., b'"']) = self.raw(line, member) else {
            return false;
        };
        // An escape is longer than what it stands for.
        spelled == text.as_bytes()
            || (spelled.len() > text.len() && !self.is_plain(member) && self.means(line, member, text))
    }

    #[cold]
    fn means(&self, line: &[u8], member: Member, text: &str) -> bool {
        let has_escape = self
            .raw(line, member)
            .is_some_and(|spelled| memchr::memchr(b'\\', spelled).is_some());
        has_escape && matches!(self.string(line, member), Ok(Some(decoded)) if decoded == text)
    }

    #[inline]
    fn required_text<'a>(&self, line: &'a [u8], member: Member) -> Result<Text<'a>, EnvelopeError> {
        self.text(line, member)?.ok_or(EnvelopeError::Missing(member))
    }

    fn expect_start(&self, line: &[u8], member: Member, start: u8) -> Result<(), EnvelopeError> {
        match self.raw(line, member) {
            Some(value) if value[0] != start => {
                let expected = if start == b'[' { "an array" } else { "an object" };
                Err(EnvelopeError::WrongType { member, expected })
            }
            _ => Ok(()),
        }
    }

    /// Whether the frame is an answer or a notification, as opposed to a request.
    pub fn has_result(&self) -> bool {
        self.has(Member::Result)
    }

    /// The frame's `uid`, for an error that must name it even though the frame is of no use: the empty
    /// string when there is no usable one.
    pub fn uid_or_empty<'a>(&self, line: &'a [u8]) -> Cow<'a, str> {
        let uid = self.string(line, Member::Uid).ok().flatten();
        uid.filter(|uid| uid.len() <= MAX_UID_BYTES).unwrap_or_default()
    }

    /// Whether a service's frame answers a request: with a result, or with an error that forgets to say that
    /// its result is null.
    pub fn is_reply(&self, line: &[u8]) -> bool {
        self.has_result() || (self.has(Member::Requester) && self.raw(line, Member::Error) == Some(b"true"))
    }

    /// Reads the frame as a request.
    pub fn request<'a>(&self, line: &'a [u8]) -> Result<Request<'a>, EnvelopeError> {
        match self.raw(line, Member::Error) {
            None | Some(b"false") => {}
            Some(b"true") => return Err(EnvelopeError::RequestWithError),
            Some(_) => {
                return Err(EnvelopeError::WrongType {
                    member: Member::Error,
                    expected: "true or false",
                });
            }
        }
        let uid = self.text(line, Member::Uid)?.unwrap_or_default();
        if uid.as_bytes().len() > MAX_UID_BYTES {
            return Err(EnvelopeError::LongUid);
        }
        if uid == *NOTIFICATION_UID {
            return Err(EnvelopeError::ReservedUid);
        }
        self.expect_start(line, Member::Args, b'[')?;
        self.expect_start(line, Member::Kwargs, b'{')?;
        Ok(Request {
            service: self.required_text(line, Member::Service)?,
            attribute: self.required_text(line, Member::Attribute)?,
            uid,
        })
    }

    /// Reads the frame as an answer to a request.
    pub fn reply<'a>(&self, line: &'a [u8]) -> Result<Reply<'a>, EnvelopeError> {
        Ok(Reply {
            requester: self.required_text(line, Member::Requester)?,
            uid: self.required_text(line, Member::Uid)?,
            form: self.reply_form(line),
        })
    }

    fn reply_form(&self, line: &[u8]) -> ReplyForm {
        match self.raw(line, Member::Error) {
            Some(b"false") => ReplyForm::Complete,
            None => ReplyForm::ResultOnly,
            Some(b"true") => {
                let message = self
                    .raw(line, Member::Message)
                    .is_some_and(|value| value[0] == b'"');
                let traceback = self
                    .raw(line, Member::Traceback)
                    .is_some_and(json::is_string_array);
                if message && traceback && self.has_result() {
                    ReplyForm::Complete
                } else {
                    ReplyForm::PartialError
                }
            }
            Some(_) => ReplyForm::Malformed,
        }
    }

    /// Reads the frame as a notification: the name of the service that it says it comes from.
    ///
    /// `is_pair` says whether the result passed [`is_arguments_pair`](crate::is_arguments_pair).
    pub fn notification<'a>(&self, line: &'a [u8], is_pair: bool) -> Result<Text<'a>, EnvelopeError> {
        let service = self.required_text(line, Member::Service)?;
        if !is_pair {
            return Err(EnvelopeError::WrongType {
                member: Member::Result,
                expected: "[args, kwargs], an array and an object",
            });
        }
        if self.raw(line, Member::Error) != Some(b"false") {
            return Err(EnvelopeError::WrongType {
                member: Member::Error,
                expected: "false in a notification",
            });
        }
        Ok(service)
    }
}

/// The decoded names in a request's envelope.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request<'a> {
    /// The service that is asked, or `Manager`.
    pub service: Text<'a>,
    /// What is asked of it.
    pub attribute: Text<'a>,
    /// The requester's own mark; empty when it gave none, as people at terminals do.
    pub uid: Text<'a>,
}

/// The decoded names in a reply's envelope.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply<'a> {
    /// The client that the reply is for.
    pub requester: Text<'a>,
    /// The uid of the request that it answers.
    pub uid: Text<'a>,
    /// Whether it can go to the client as it is.
    pub form: ReplyForm,
}

/// How complete a reply is. A Python client stops working when a member that it counts on is not there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReplyForm {
    /// Everything that a client counts on is there: it goes on byte for byte.
    Complete,
    /// `error` is missing: it counts as `false`.
    ResultOnly,
    /// An error without a message or a traceback of the right type.
    PartialError,
    /// `error` is neither true nor false.
    Malformed,
}
