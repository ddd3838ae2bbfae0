//! Received lines and their kinds.

use labwire_wire::terminal::{self, NotText, TerminalError, TerminalLine};
use labwire_wire::{
    Envelope, EnvelopeError, Frame, JsonError, Line, Member, NOTIFICATION_UID, Salvage, is_arguments_pair,
};

use crate::buffers;
use crate::config::MANAGERS_LINE;

/// A waiting message and its kind.
#[derive(Debug)]
pub(crate) struct Incoming {
    pub(crate) frame: Frame,
    pub(crate) kind: Kind,
}

/// The kind of a line, as far as it follows from the line alone.
#[derive(Debug)]
pub(crate) enum Kind {
    /// A request or a reply.
    Frame(Envelope),
    /// A service's notification for all its clients, and whether its result is a pair
    /// `[args, kwargs]`, as they require.
    Notification(Envelope, bool),
    /// Not JSON: typed by a person.
    Typed(Typed, Box<Unframed>),
    /// A malformed frame, or JSON that is not a frame.
    Broken(Box<Unframed>),
    /// Only white space.
    Blank,
}

/// A line that is not a frame.
#[derive(Debug)]
pub(crate) struct Unframed {
    /// Why it is not.
    pub(crate) error: EnvelopeError,
    /// The names and uids that were found in it.
    pub(crate) salvage: Salvage,
}

/// A typed line.
#[derive(Debug)]
pub(crate) enum Typed {
    Meant(TerminalLine),
    Wrong(TerminalError),
    NotText(NotText),
    TooLong,
    Unterminated,
}

impl Default for Kind {
    /// Returns a frame without any member.
    fn default() -> Self {
        Self::Frame(Envelope::default())
    }
}

impl Incoming {
    /// Scans the whole line.
    ///
    /// `is_whole` is `false` for a last line without its line end. JSON shows whether it is
    /// complete; a typed line does not, and half a command must not reach an instrument.
    pub(crate) fn of(line: Line, is_whole: bool) -> Self {
        let line = line.without_mark();
        let kind = match Kind::of(line.content()) {
            Kind::Typed(_, unframed) if !is_whole => Kind::Typed(Typed::Unterminated, unframed),
            kind => kind,
        };
        Self {
            frame: line.into(),
            kind,
        }
    }
}

impl Incoming {
    /// Returns its memory to the pool, for the next lines.
    pub(crate) fn give_back(self) {
        let (head, payload) = self.frame.into_parts();
        buffers::give_back(head);
        if let Some(payload) = payload {
            buffers::give_back(payload.into_bytes());
        }
    }

    /// Frees its memory.
    pub(crate) fn free(self) {
        let (head, payload) = self.frame.into_parts();
        buffers::free(head);
        if let Some(payload) = payload {
            buffers::free(payload.into_bytes());
        }
    }
}

impl Kind {
    /// Scans a whole line. `content` is the line without its terminator.
    pub(crate) fn of(content: &[u8]) -> Self {
        let mut kind = Self::default();
        kind.look(content);
        kind
    }

    /// As [`of`](Self::of), but overwrites the kind of another line: an envelope is large, and
    /// moving it takes a tenth of the time of the scan.
    pub(crate) fn look(&mut self, content: &[u8]) {
        let envelope = match self {
            Self::Frame(envelope) => envelope,
            other => {
                *other = Self::default();
                return other.look(content);
            }
        };
        match envelope.read(content) {
            Ok(()) if !is_notification(content, envelope) => {}
            Ok(()) => *self = Self::of_frame(content, std::mem::take(envelope)),
            Err(error) => *self = Self::of_other(content, error),
        }
    }

    /// Returns the kind of a line that is not a frame.
    #[cold]
    fn of_other(content: &[u8], error: EnvelopeError) -> Self {
        let Some(first) = content.trim_ascii_start().first() else {
            return Self::Blank;
        };
        let salvage = Salvage::of(content);
        let unframed = Box::new(Unframed { error, salvage });
        if *first == b'{' || error == EnvelopeError::Json(JsonError::NotAnObject) {
            Self::Broken(unframed)
        } else {
            Self::Typed(Typed::of(content), unframed)
        }
    }

    /// Returns the kind of a line with this envelope.
    pub(crate) fn of_frame(content: &[u8], envelope: Envelope) -> Self {
        if !is_notification(content, &envelope) {
            return Self::Frame(envelope);
        }
        let is_pair = envelope
            .raw(content, Member::Result)
            .is_some_and(is_arguments_pair);
        Self::Notification(envelope, is_pair)
    }
}

/// Returns whether a frame is a notification. Then its result must be checked as well.
pub(crate) fn is_notification(content: &[u8], envelope: &Envelope) -> bool {
    envelope.has_result() && envelope.is_string(content, Member::Uid, NOTIFICATION_UID)
}

impl Typed {
    fn of(content: &[u8]) -> Self {
        if content.len() > MANAGERS_LINE {
            return Self::TooLong;
        }
        match terminal::typed_text(content).map(|text| terminal::parse(&text)) {
            Ok(Ok(meaning)) => Self::Meant(meaning),
            Ok(Err(error)) => Self::Wrong(error),
            Err(error) => Self::NotText(error),
        }
    }
}
