//! The envelope of a frame: the few top-level members that the manager reads.

use std::borrow::Cow;
use std::ops::Range;

use crate::json::{self, Members, RawString, Shape};
use crate::salvage::Names;
use crate::text::Text;
use crate::uid::Uid;

mod error;
mod member;
#[cfg(test)]
mod tests;

pub use error::EnvelopeError;
pub use member::Member;

/// The `uid` of every notification; no request may carry it.
pub const NOTIFICATION_UID: &str = "notification";

/// How long a `uid` may be, in bytes. It is kept as long as its request is under way; Python's have 36.
pub const MAX_UID_BYTES: usize = 256;

/// How long a `uid` may be that an error carries back to the sender of a frame that is refused, in bytes.
pub(crate) const MAX_REFUSED_UID_BYTES: usize = 4 * 1024;

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
    #[inline]
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

    /// The frame's `uid`, if it has one that is a string or a number.
    #[inline]
    pub fn uid<'a>(&self, line: &'a [u8]) -> Result<Option<Uid<'a>>, EnvelopeError> {
        if self.is_plain(Member::Uid)
            && let Some([_, inner @ .., _]) = self.raw(line, Member::Uid)
        {
            return Ok(Some(Uid::of_ascii(inner)));
        }
        self.decoded_uid(line)
    }

    #[cold]
    fn decoded_uid<'a>(&self, line: &'a [u8]) -> Result<Option<Uid<'a>>, EnvelopeError> {
        let Some(value) = self.raw(line, Member::Uid) else {
            return Ok(None);
        };
        match Uid::from_json(value) {
            Some(uid) => Ok(Some(uid)),
            None => Err(EnvelopeError::WrongType {
                member: Member::Uid,
                expected: "a string of whole characters or a number",
            }),
        }
    }

    /// The frame's `uid`, for an error that must carry it even though the frame is refused: the empty string when there
    /// is no usable one.
    pub fn uid_or_empty<'a>(&self, line: &'a [u8]) -> Uid<'a> {
        let uid = self.uid(line).ok().flatten();
        uid.filter(|uid| uid.len() <= MAX_REFUSED_UID_BYTES)
            .unwrap_or_default()
    }

    /// Whom the frame names, as far as that can be read.
    pub fn names(&self, line: &[u8]) -> Names {
        let requester = self.string(line, Member::Requester).ok().flatten();
        Names {
            requester: requester.map(Cow::into_owned),
            uid: self.uid(line).ok().flatten().map(Uid::into_owned),
            asks: self.has(Member::Attribute),
        }
    }

    /// Whether a service's frame answers a request, perhaps not as it should: with a result, with an error, or without
    /// asking for anything.
    #[inline]
    pub fn is_reply(&self, line: &[u8]) -> bool {
        self.has_result() || self.is_reply_without_result(line)
    }

    #[cold]
    fn is_reply_without_result(&self, line: &[u8]) -> bool {
        let asks = self.has(Member::Attribute) || self.has(Member::Service);
        !asks || (self.has(Member::Requester) && self.raw(line, Member::Error) == Some(b"true"))
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
        let uid = self.uid(line)?.unwrap_or_default();
        if uid.len() > MAX_UID_BYTES {
            return Err(EnvelopeError::LongUid);
        }
        if uid == *NOTIFICATION_UID {
            return Err(EnvelopeError::ReservedUid);
        }
        self.expect_start(line, Member::Args, b'[')?;
        if self.raw(line, Member::Kwargs) != Some(b"null") {
            self.expect_start(line, Member::Kwargs, b'{')?;
        }
        Ok(Request {
            service: self.required_text(line, Member::Service)?,
            attribute: self.required_text(line, Member::Attribute)?,
            uid,
        })
    }

    /// Reads the frame as an answer to a request.
    pub fn reply<'a>(&self, line: &'a [u8]) -> Result<Reply<'a>, EnvelopeError> {
        let (requester, uid) = self.answered(line)?;
        let form = self.reply_form(line)?;
        Ok(Reply { requester, uid, form })
    }

    /// The client and the uid of the request that the frame answers.
    #[inline]
    pub fn answered<'a>(&self, line: &'a [u8]) -> Result<(Text<'a>, Uid<'a>), EnvelopeError> {
        let requester = self.required_text(line, Member::Requester)?;
        let uid = self.uid(line)?;
        Ok((requester, uid.ok_or(EnvelopeError::Missing(Member::Uid))?))
    }

    fn reply_form(&self, line: &[u8]) -> Result<ReplyForm, EnvelopeError> {
        match self.raw(line, Member::Error) {
            Some(b"false") if self.has_result() => Ok(ReplyForm::Complete),
            None if self.has_result() => Ok(ReplyForm::ResultOnly),
            Some(b"true") => {
                let message = self
                    .raw(line, Member::Message)
                    .is_some_and(|value| value[0] == b'"');
                let traceback = self
                    .raw(line, Member::Traceback)
                    .is_some_and(json::is_string_array);
                if message && traceback && self.has_result() {
                    Ok(ReplyForm::Complete)
                } else {
                    Ok(ReplyForm::PartialError)
                }
            }
            Some(b"false") | None => Err(EnvelopeError::Missing(Member::Result)),
            Some(_) => Err(EnvelopeError::WrongType {
                member: Member::Error,
                expected: "true or false",
            }),
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
    pub uid: Uid<'a>,
}

/// The decoded names in a reply's envelope.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply<'a> {
    /// The client that the reply is for.
    pub requester: Text<'a>,
    /// The uid of the request that it answers.
    pub uid: Uid<'a>,
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
}
