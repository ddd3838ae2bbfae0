//! Sessions: what a device needs to return after its connection broke.

use std::fmt;
use std::time::Duration;

use bytes::BytesMut;
use labwire_wire::{ResumeRequest, SessionBegun, SessionResumed};

use crate::raw::{RawBytes, whole_frames};

/// A session that the manager keeps for a while after the connection broke.
///
/// ```
/// use labwire_device::Session;
///
/// /// How much may be under way to the device, in bytes, without being lost.
/// fn room(session: &Session) -> u64 {
///     session.kept()
/// }
/// ```
#[derive(Clone)]
pub struct Session {
    secret: String,
    grace: Duration,
    kept: u64,
    locks: Box<[String]>,
}

/// The secret is not shown.
impl fmt::Debug for Session {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Session")
            .field("grace", &self.grace)
            .field("kept", &self.kept)
            .finish_non_exhaustive()
    }
}

impl Session {
    pub(crate) fn begun(begun: SessionBegun) -> Self {
        Self {
            secret: begun.secret,
            grace: Duration::from_secs(begun.grace),
            kept: begun.kept,
            locks: begun.locks.into(),
        }
    }

    /// Returns the session after a return, with the bounds that the manager stated then.
    pub(crate) fn resumed(&self, resumed: &SessionResumed) -> Self {
        Self {
            secret: self.secret.clone(),
            grace: Duration::from_secs(resumed.grace),
            kept: resumed.kept,
            locks: Box::default(),
        }
    }

    /// Returns how long the manager keeps the session after the connection broke.
    ///
    /// ```
    /// # use labwire_device::Session;
    /// fn is_long(session: &Session) -> bool {
    ///     session.grace().as_secs() > 60
    /// }
    /// ```
    pub fn grace(&self) -> Duration {
        self.grace
    }

    /// Returns how many bytes the manager keeps that the device has not confirmed.
    ///
    /// See the example of [`Session`].
    pub fn kept(&self) -> u64 {
        self.kept
    }

    /// Returns the services on which a lock is kept for the device: it has begun this session with the
    /// secret of the one before, which a manager that was restarted does not know, and it held these
    /// locks then. It has priority for the grace period, and has to acquire them again.
    ///
    /// ```
    /// # use labwire_device::Session;
    /// fn has_priority(session: &Session, service: &str) -> bool {
    ///     session.locks().iter().any(|name| name == service)
    /// }
    /// ```
    pub fn locks(&self) -> &[String] {
        &self.locks
    }
}

/// What a connection leaves behind when it breaks: the position up to which the device has
/// received, and the bytes that it has not handled yet.
///
/// ```
/// use labwire_device::{ConnectionReader, Remains};
///
/// fn position(reader: ConnectionReader) -> u64 {
///     let remains: Remains = reader.into_remains();
///     remains.received()
/// }
/// ```
#[derive(Clone, Debug, Default)]
pub struct Remains {
    pub(crate) received: u64,
    pub(crate) unhandled: BytesMut,
    /// The frame whose buffers were arriving, before the other bytes.
    pub(crate) raw: Option<Box<RawBytes>>,
    /// Whether buffers may follow lines.
    pub(crate) is_binary: bool,
}

impl Remains {
    /// Returns the position up to which the device has received what the manager sent, in bytes
    /// since the session began.
    ///
    /// See the example of [`Remains`].
    pub fn received(&self) -> u64 {
        self.received
    }
}

/// A session to return to.
#[derive(Clone, Debug)]
pub(crate) struct Return {
    pub(crate) session: Session,
    pub(crate) remains: Remains,
}

impl Return {
    pub(crate) fn request(&self) -> ResumeRequest {
        ResumeRequest {
            secret: self.session.secret.clone(),
            received: self.remains.received,
        }
    }

    /// Returns what to handle before the bytes that the manager sends from this position on: the
    /// frame whose buffers were arriving, and the bytes after it. If bytes were lost, the beginning
    /// of a frame is discarded.
    pub(crate) fn unhandled(&self, from: u64) -> (BytesMut, Option<Box<RawBytes>>) {
        let Remains {
            received,
            unhandled,
            raw,
            is_binary,
        } = &self.remains;
        let (mut unhandled, mut raw) = (unhandled.clone(), raw.clone());
        if from != *received {
            let whole = if *is_binary {
                whole_frames(&unhandled)
            } else {
                unhandled
                    .iter()
                    .rposition(|byte| *byte == b'\n')
                    .map_or(0, |end| end + 1)
            };
            unhandled.truncate(whole);
            raw = raw.filter(|raw| raw.missing == 0);
        }
        (unhandled, raw)
    }
}

/// How the manager has taken up a session again.
///
/// ```
/// use labwire_device::Resumed;
///
/// fn is_complete(resumed: &Resumed) -> bool {
///     resumed.lost == 0
/// }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resumed {
    /// The position up to which the manager has handled what the device sent, in bytes since the
    /// session began. What followed was not executed.
    pub received: u64,
    /// The number of bytes for the device that are lost, because the manager could not keep them.
    pub lost: u64,
    /// If bytes are lost: the uids of the requests that the manager can still answer, each as JSON
    /// text. `None` if nothing is lost, or if there are too many to list.
    pub in_flight: Option<Vec<String>>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn returning(unhandled: &[u8]) -> Return {
        let begun = SessionBegun {
            secret: "s3cret".to_owned(),
            grace: 30,
            kept: 1024,
            locks: Vec::new(),
        };
        Return {
            session: Session::begun(begun),
            remains: Remains {
                received: 100,
                unhandled: BytesMut::from(unhandled),
                ..Remains::default()
            },
        }
    }

    #[test]
    fn the_beginning_of_a_line_is_kept_unless_bytes_were_lost() {
        let returning = returning(b"{\"a\":1}\r\n{\"b\":");
        assert_eq!(&returning.unhandled(100).0[..], b"{\"a\":1}\r\n{\"b\":");
        assert_eq!(&returning.unhandled(120).0[..], b"{\"a\":1}\r\n");
        let half = super::tests::returning(b"{\"b\":");
        assert_eq!(&half.unhandled(120).0[..], b"");
    }

    #[test]
    fn no_secret_is_shown() {
        let text = format!("{:?}", returning(b""));
        assert!(!text.contains("s3cret"), "{text}");
    }
}
