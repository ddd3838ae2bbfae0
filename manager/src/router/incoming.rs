//! What a line is that a peer sent.

use labwire_wire::terminal::{self, NotText, TerminalError, TerminalLine};
use labwire_wire::{
    Envelope, EnvelopeError, Frame, JsonError, Line, Member, NOTIFICATION_UID, Salvage, is_arguments_pair,
};

use crate::buffers;
use crate::config::MANAGERS_LINE;

/// A message that waits, and what it is.
#[derive(Debug)]
pub(crate) struct Incoming {
    pub(crate) frame: Frame,
    pub(crate) kind: Kind,
}

/// What a line is: all that can be found out about it without the registry.
#[derive(Debug)]
pub(crate) enum Kind {
    /// A request or a reply.
    Frame(Envelope),
    /// A service's word to all its clients; and whether its result can be read by them.
    Notification(Envelope, bool),
    /// Not JSON: what a person typed.
    Typed(Typed, Box<Unframed>),
    /// A frame that is malformed, or JSON that is none.
    Broken(Box<Unframed>),
    /// Nothing but white space.
    Blank,
}

/// What is known of a line that is no frame.
#[derive(Debug)]
pub(crate) struct Unframed {
    /// Why it is none.
    pub(crate) error: EnvelopeError,
    /// Whom it names all the same.
    pub(crate) salvage: Salvage,
}

/// What was typed.
#[derive(Debug)]
pub(crate) enum Typed {
    Meant(TerminalLine),
    Wrong(TerminalError),
    NotText(NotText),
    TooLong,
    Unterminated,
}

impl Default for Kind {
    /// A frame without any member.
    fn default() -> Self {
        Self::Frame(Envelope::default())
    }
}

impl Incoming {
    /// Checks the whole line.
    ///
    /// `is_whole` is false for a last line whose end never came. JSON shows whether it is all there; what was typed
    /// does not, and half a command must not reach an instrument.
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
    /// Gives its memory back, for the next lines.
    pub(crate) fn give_back(self) {
        let (head, payload) = self.frame.into_parts();
        buffers::give_back(head);
        payload.into_iter().for_each(buffers::give_back);
    }

    /// Gives its memory back to the system.
    pub(crate) fn free(self) {
        let (head, payload) = self.frame.into_parts();
        buffers::free(head);
        payload.into_iter().for_each(buffers::free);
    }
}

impl Kind {
    /// Checks the whole line, which is given without its terminator.
    pub(crate) fn of(content: &[u8]) -> Self {
        let mut kind = Self::default();
        kind.look(content);
        kind
    }

    /// The same in a place where another line's kind was: an envelope is large, and to move it takes a tenth of the time
    /// that looking at it takes.
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

    /// What a line is that is no frame.
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

    /// What a line is whose envelope is known.
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

/// Whether a frame is a service's word to all its clients: what its result is must be looked at then.
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
