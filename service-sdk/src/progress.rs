//! How far a request has come, and parts of its result.

use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use labwire_device::payload::{Attached, EncodeError, to_json};
use labwire_wire::frames::json_string;
use serde::Serialize;
use tokio::runtime::Handle;

use crate::error::ServiceError;
use crate::request::Request;

/// Reports how far a request has come, and sends parts of its result before the end.
///
/// A method with a parameter of this type, or of a reference to it, can report to the client of its
/// request; clients do not see the parameter. Clients that did not ask for it receive nothing, and
/// then nothing is encoded: see [`is_wanted`](Self::is_wanted).
///
/// Progress is a number from 0 to 1, or an object with the members `done`, `total` and `message`, if
/// commands are to show it as a bar; any other value is possible. Only the latest counts. Items
/// arrive each and in order, before the reply.
///
/// ```
/// # mod support { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/lab.rs")); }
/// # fn main() {
/// use labwire_service::{Progress, ServiceError, service};
///
/// struct Spectrometer;
///
/// #[service]
/// impl Spectrometer {
///     /// Measures at several wavelengths, and sends each value as soon as it is there.
///     pub async fn scan(&self, count: u32, progress: &Progress) -> Result<u32, ServiceError> {
///         for done in 0..count {
///             progress.set(f64::from(done) / f64::from(count))?;
///             progress.send_item(0.5 + f64::from(done)).await?;
///         }
///         Ok(count)
///     }
/// }
///
/// # support::serve(Spectrometer, async |spectrometer| {
/// // What a client gets that wants only the result:
/// assert_eq!(spectrometer.call::<u32>("scan", (3,)).await?, 3);
/// # Ok(())
/// # });
/// # }
/// ```
#[derive(Clone)]
pub struct Progress {
    request: Request,
}

/// The latest progress of a request, until it is written, as its [`Request`] keeps it.
#[derive(Debug, Default)]
pub(crate) struct Latest(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// The frame, while it is queued.
    frame: Option<Bytes>,
    /// Whether the request has been answered.
    has_ended: bool,
}

impl Latest {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the frame for writing.
    pub(crate) fn take(&self) -> Option<Bytes> {
        self.lock().frame.take()
    }

    /// Ends it: the request is answered.
    pub(crate) fn end(&self) {
        self.lock().has_ended = true;
    }
}

impl fmt::Debug for Progress {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Progress")
            .field("is_wanted", &self.is_wanted())
            .finish_non_exhaustive()
    }
}

impl Progress {
    pub(crate) fn new(request: Request) -> Self {
        Self { request }
    }

    /// Returns whether the client of the request wants its progress and its items. If not, both are
    /// dropped before they are encoded.
    pub fn is_wanted(&self) -> bool {
        self.request.listener().is_some()
    }

    /// Reports how far the request has come. Never waits: a value that was not sent yet is replaced.
    ///
    /// A value may have 64 KiB as JSON text, arrays in it as base64; the manager refuses a larger one. After the method has
    /// returned, nothing is sent any more.
    ///
    /// See the example of [`Progress`].
    ///
    /// # Errors
    /// A `TypeError` if the value cannot be encoded as JSON.
    pub fn set(&self, value: impl Serialize) -> Result<(), ServiceError> {
        let Some(outbox) = self.request.listener() else {
            return Ok(());
        };
        // Arrays go into it as base64.
        let frame = self.frame("progress", &encoded(to_json(&value))?);
        let is_queued = {
            let mut state = self.request.latest().lock();
            if state.has_ended {
                return Ok(());
            }
            state.frame.replace(frame).is_some()
        };
        if !is_queued {
            // An error means that the connection is lost, and nobody waits.
            let _ = outbox.send_latest(&self.request);
        }
        Ok(())
    }

    /// Sends a part of the result. Waits while too much is queued for the manager, which in turn waits
    /// for the client (backpressure).
    ///
    /// Cancel safe: an item is sent as a whole or not at all. After the method has returned, nothing
    /// is sent any more. Methods that are not `async` call
    /// [`send_item_blocking`](Self::send_item_blocking).
    ///
    /// See the example of [`Progress`].
    ///
    /// # Errors
    /// A `TypeError` if the item cannot be encoded as JSON; a `ConnectionError` if the connection to
    /// the manager is lost.
    pub async fn send_item(&self, item: impl Serialize) -> Result<(), ServiceError> {
        let Some(outbox) = self.request.listener() else {
            return Ok(());
        };
        let mut attached = Attached::default();
        let text = encoded(attached.encode(&item))?;
        drop(item);
        let frame = if outbox.takes_buffers() {
            attached.frame(vec![self.frame("item", &text)])
        } else {
            vec![self.frame("item", &attached.inlined(text))]
        };
        if self.request.latest().lock().has_ended {
            return Ok(());
        }
        outbox.send(frame).await.map_err(|_| {
            let text = "the connection to the manager is lost, nobody receives the item";
            ServiceError::new("ConnectionError", text)
        })
    }

    /// As [`send_item`](Self::send_item), for methods that are not `async`: blocks the thread.
    ///
    /// ```
    /// # mod support { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/lab.rs")); }
    /// # fn main() {
    /// use labwire_service::{Progress, ServiceError, service};
    ///
    /// struct Camera;
    ///
    /// #[service]
    /// impl Camera {
    ///     pub fn film(&self, pictures: u32, progress: &Progress) -> Result<(), ServiceError> {
    ///         for picture in 0..pictures {
    ///             progress.send_item_blocking(picture)?;
    ///         }
    ///         Ok(())
    ///     }
    /// }
    ///
    /// # support::serve(Camera, async |camera| {
    /// // What a client gets that wants only the result:
    /// camera.call::<()>("film", (3,)).await?;
    /// # Ok(())
    /// # });
    /// # }
    /// ```
    ///
    /// # Errors
    /// Those of [`send_item`](Self::send_item), and a `RuntimeError` outside of the threads of the
    /// service.
    ///
    /// # Panics
    /// In an `async` method, as [`Handle::block_on`].
    pub fn send_item_blocking(&self, item: impl Serialize) -> Result<(), ServiceError> {
        if !self.is_wanted() {
            return Ok(());
        }
        let runtime = Handle::try_current().map_err(|_| {
            let text = "items are sent from a method of the service or from its runtime";
            ServiceError::new("RuntimeError", text)
        })?;
        runtime.block_on(self.send_item(item))
    }

    /// Composes the frame of a value, which is JSON text.
    fn frame(&self, member: &str, value: &str) -> Bytes {
        let (requester, uid) = (
            json_string(self.request.requester()),
            self.request.typed_uid().to_json(),
        );
        format!("{{\"{member}\":{value},\"requester\":{requester},\"uid\":{uid}}}\r\n").into()
    }
}

fn encoded(text: Result<String, EncodeError>) -> Result<String, ServiceError> {
    text.map_err(|error| ServiceError::new("TypeError", error.to_string()))
}
