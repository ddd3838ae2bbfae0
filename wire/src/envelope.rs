//! The envelope of a frame: the few top-level members that the manager reads.

use std::borrow::Cow;
use std::ops::Range;

use crate::json::{self, Members, RawString, Shape};
use crate::salvage::Names;
use crate::text::Text;
use crate::uid::Uid;

mod error;
mod member;
mod partial;
#[cfg(test)]
mod tests;

pub use error::EnvelopeError;
pub use member::Member;
pub use partial::{Partial, PartialKind};

/// The `uid` of every notification. No request may have it.
pub const NOTIFICATION_UID: &str = "notification";

/// The longest `uid` of a request, in bytes. It is stored as long as the request is in flight;
/// Python's have 36 bytes.
pub const MAX_UID_BYTES: usize = 256;

/// The longest `uid` to return to the sender in the error for a refused frame, in bytes.
pub(crate) const MAX_REFUSED_UID_BYTES: usize = 4 * 1024;

/// The positions of a frame's envelope members in its line.
///
/// Nothing of the line is copied; the methods take the same bytes again.
#[derive(Clone, Debug, Default)]
pub struct Envelope {
    /// The start and end of each member's value, valid if the frame has the member.
    spans: [(usize, usize); Member::COUNT],
    /// One bit for each member that the frame has.
    // As 16 bits, it would be read together with its neighbour, and the processor would wait until both
    // have left its store buffer.
    present: u32,
    /// One bit for each member that is known to be an ASCII string without escapes.
    plain: u32,
    /// Whether the frame has members outside the envelope.
    has_others: bool,
    /// Whether one of them is `buffers`.
    has_buffers: bool,
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
        self.plain |= u32::from(is_plain_string) << key as u16;
        self.note_member(key, value)
    }

    fn other(&mut self, key: RawString<'a>, value: Range<usize>) -> Result<(), EnvelopeError> {
        self.note(key, value)
    }
}

impl Envelope {
    /// Checks that the whole line is one well-formed JSON object, and records its envelope.
    pub fn scan(line: &[u8]) -> Result<Self, EnvelopeError> {
        let mut envelope = Self::default();
        envelope.read(line)?;
        Ok(envelope)
    }

    /// Does the same as [`scan`](Self::scan) in place, overwriting the envelope of another line.
    /// After an error the contents are meaningless.
    #[inline]
    pub fn read(&mut self, line: &[u8]) -> Result<(), EnvelopeError> {
        // The spans of absent members need no reset.
        (self.present, self.plain) = (0, 0);
        (self.has_others, self.has_buffers) = (false, false);
        self.shape = json::scan_members(line, self)?;
        Ok(())
    }

    /// Returns the frame's demands on its reader.
    pub fn shape(&self) -> Shape {
        self.shape
    }

    pub(crate) fn set_shape(&mut self, shape: Shape) {
        self.shape = shape;
    }

    pub(crate) fn note(&mut self, key: RawString<'_>, span: Range<usize>) -> Result<(), EnvelopeError> {
        let Some(member) = Member::from_key(key) else {
            self.has_others = true;
            self.has_buffers |= key.plain() == Some(b"buffers");
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

    /// Returns the position of a member's value, or `None` if the frame does not have the member.
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

    /// Returns whether the frame has no member of the envelope.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.present == 0
    }

    /// Returns whether the frame has exactly these members.
    pub fn has_exactly(&self, members: &[Member]) -> bool {
        let expected = members.iter().fold(0, |bits, member| bits | member.bit());
        !self.has_others && self.present == expected
    }

    /// Returns whether the frame has a member `buffers`, wherever it stands.
    pub fn has_buffers(&self) -> bool {
        self.has_buffers
    }

    /// Returns a member's value as it was written.
    #[inline]
    pub fn raw<'a>(&self, line: &'a [u8], member: Member) -> Option<&'a [u8]> {
        Some(&line[self.span(member)?])
    }

    /// Returns a member that must be a string, or `None` if the frame does not have it.
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

    /// Does the same as [`string`](Self::string) for names, which are compared more often than
    /// read.
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

    /// Returns whether a member is this string, with or without escapes.
    #[inline]
    pub fn is_string(&self, line: &[u8], member: Member, text: &str) -> bool {
        let Some([b'"', spelled @ .., b'"']) = self.raw(line, member) else {
            return false;
        };
        // An escape is longer than the character that it encodes.
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

    /// Returns whether the frame is a reply or a notification, not a request.
    pub fn has_result(&self) -> bool {
        self.has(Member::Result)
    }

    /// Returns whether the frame reports an error: its member `error` is true.
    #[inline]
    pub fn reports_error(&self, line: &[u8]) -> bool {
        let value = self.span(Member::Error).and_then(|span| line.get(span));
        value == Some(b"true")
    }

    /// Returns the frame's `uid`, if it has one that is a string or a number.
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

    /// Returns the frame's `uid`, for an error that must carry it even though the frame is refused.
    /// Returns the empty string if there is no usable one.
    pub fn uid_or_empty<'a>(&self, line: &'a [u8]) -> Uid<'a> {
        let uid = self.uid(line).ok().flatten();
        uid.filter(|uid| uid.len() <= MAX_REFUSED_UID_BYTES)
            .unwrap_or_default()
    }

    /// Returns the names in the frame, as far as they can be read.
    pub fn names(&self, line: &[u8]) -> Names {
        let requester = self.string(line, Member::Requester).ok().flatten();
        Names {
            requester: requester.map(Cow::into_owned),
            uid: self.uid(line).ok().flatten().map(Uid::into_owned),
            asks: self.has(Member::Attribute),
            is_partial: self.has_partial() && !self.has_result(),
        }
    }

    /// Returns whether a service's frame answers a request, possibly incompletely: it has a result
    /// or an error, or names neither an attribute nor a service.
    #[inline]
    pub fn is_reply(&self, line: &[u8]) -> bool {
        self.has_result() || self.is_reply_without_result(line)
    }

    #[cold]
    fn is_reply_without_result(&self, line: &[u8]) -> bool {
        let asks = self.has(Member::Attribute) || self.has(Member::Service);
        !asks || (self.has(Member::Requester) && self.raw(line, Member::Error) == Some(b"true"))
    }

    /// Reads the frame as a request. `line` is the line that was scanned.
    ///
    /// # Errors
    /// [`EnvelopeError::Missing`] or [`EnvelopeError::WrongType`] for a member,
    /// [`EnvelopeError::RequestWithError`], [`EnvelopeError::LongUid`] or
    /// [`EnvelopeError::ReservedUid`].
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

    /// Reads the frame as a reply to a request. `line` is the line that was scanned.
    ///
    /// # Errors
    /// [`EnvelopeError::Missing`] or [`EnvelopeError::WrongType`] for a member.
    pub fn reply<'a>(&self, line: &'a [u8]) -> Result<Reply<'a>, EnvelopeError> {
        let (requester, uid) = self.answered(line)?;
        let form = self.reply_form(line)?;
        Ok(Reply { requester, uid, form })
    }

    /// Returns the client and the uid of the request that the frame answers.
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

    /// Reads the frame as a notification. Returns the name of the service in it.
    ///
    /// `line` is the line that was scanned. `is_pair` is whether the result passed
    /// [`is_arguments_pair`](crate::is_arguments_pair).
    ///
    /// # Errors
    /// [`EnvelopeError::Missing`] or [`EnvelopeError::WrongType`] for a member; the latter also if
    /// `is_pair` is `false`.
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
    /// The requested service, or `Manager`.
    pub service: Text<'a>,
    /// The requested attribute.
    pub attribute: Text<'a>,
    /// The client's uid; empty if it gave none, as at a terminal.
    pub uid: Uid<'a>,
}

/// The decoded names in a reply's envelope.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply<'a> {
    /// The client that the reply is for.
    pub requester: Text<'a>,
    /// The uid of the answered request.
    pub uid: Uid<'a>,
    /// Whether it can be passed to the client unchanged.
    pub form: ReplyForm,
}

/// The completeness of a reply. A Python client fails if a member that it expects is missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReplyForm {
    /// All members that a client expects are there: it is passed on byte for byte.
    Complete,
    /// `error` is missing, which counts as `false`.
    ResultOnly,
    /// An error without a message or a traceback of the right type.
    PartialError,
}
