//! Conversion of buffers for receivers without the feature `binary`.

use labwire_wire::buffers::Buffers;
use labwire_wire::{Frame, FrameView, Payload, Plain};

use super::{Incoming, Step};

/// How a converted message is routed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Conversion {
    /// In place of the message: its only receiver lacks the feature.
    Instead,
    /// Beside the message: some receivers have the feature.
    Beside,
}

/// Returns the step if a message must be converted for its only receiver; `None` if it need not or
/// cannot be.
#[inline]
pub(super) fn must_convert(frame: FrameView<'_>, takes_buffers: bool) -> Option<Step> {
    let payload = frame.payload().filter(|_| !takes_buffers)?;
    (*payload.plain() == Plain::Unknown).then_some(Step::Convert(Conversion::Instead))
}

/// Converts a message whose payload has at most `limit` bytes. Takes a millisecond for a mebibyte.
pub(crate) fn convert(incoming: Incoming, conversion: Conversion, limit: usize) -> Incoming {
    let Incoming { frame, kind } = incoming;
    let Some(payload) = frame.payload() else {
        return Incoming { frame, kind };
    };
    let plain = Buffers::read(frame.content())
        .ok()
        .and_then(|buffers| buffers.without_feature(frame.content(), payload.bytes(), limit));
    let plain = match plain {
        Some(line) if conversion == Conversion::Instead => {
            Incoming { frame, kind }.free();
            return Incoming::of(labwire_wire::Line::new(line.freeze()), true);
        }
        Some(line) => Plain::Line(line.freeze()),
        None => Plain::TooLong,
    };
    let head = frame.head().clone();
    let payload = payload.clone().with_plain(plain);
    Incoming {
        frame: Frame::new(head, Some(payload)),
        kind,
    }
}

/// Returns whether the message is too long to be converted.
pub(super) fn is_too_long(payload: Option<&Payload>) -> bool {
    payload.is_some_and(|payload| *payload.plain() == Plain::TooLong)
}
