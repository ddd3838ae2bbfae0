//! Replies to requests.

use bytes::Bytes;
use labwire_device::payload::{Attached, to_json};
use labwire_wire::{Uid, frames};
use serde::Serialize;

use crate::error::ServiceError;

/// Size in bytes from which a result is not copied into one buffer with its frame.
const LARGE: usize = 16 * 1024;

/// The result of a request, encoded for the wire.
///
/// ```
/// # use labwire_service::Reply;
/// assert_eq!(Reply::value(&[1.5, f64::NAN]).unwrap().json(), "[1.5,NaN]");
/// assert_eq!(Reply::nothing().json(), "null");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    json: String,
    attached: Attached,
}

impl Reply {
    /// Encodes a value as the result. `NaN` and infinities are written as in Python.
    ///
    /// Fails with a `TypeError` if the value cannot be encoded as JSON, for instance a map whose
    /// keys are lists.
    ///
    /// See the example of [`Reply`].
    pub fn value<T: Serialize + ?Sized>(value: &T) -> Result<Self, ServiceError> {
        let mut attached = Attached::default();
        match attached.encode(value) {
            Ok(json) => Ok(Self { json, attached }),
            Err(error) => Err(ServiceError::new("TypeError", error.to_string())),
        }
    }

    /// Returns `null`, the result of a method that returns nothing.
    ///
    /// See the example of [`Reply`].
    pub fn nothing() -> Self {
        Self::from_json("null")
    }

    /// Uses JSON text as the result. It is sent unchanged and must be one line; the manager refuses
    /// malformed JSON.
    ///
    /// ```
    /// # use labwire_service::Reply;
    /// assert_eq!(Reply::from_json("[1.10, NaN]").json(), "[1.10, NaN]");
    /// ```
    pub fn from_json(json: impl Into<String>) -> Self {
        Self {
            json: json.into(),
            attached: Attached::default(),
        }
    }

    /// Returns the result as JSON text. An array in it is a reference.
    ///
    /// See the example of [`Reply`].
    pub fn json(&self) -> &str {
        &self.json
    }

    /// Returns the frame of the result. A large result, and arrays, stay separate pieces, to avoid a
    /// copy. `binary` is whether the manager accepts frames with buffers.
    pub(crate) fn into_frame(self, requester: &str, uid: &Uid<'_>, binary: bool) -> Vec<Bytes> {
        if self.attached.is_empty() {
            return self.into_line(requester, uid);
        }
        if binary {
            let attached = self.attached.clone();
            return attached.frame(self.into_line(requester, uid));
        }
        Self::from_json(self.attached.inlined(self.json)).into_line(requester, uid)
    }

    fn into_line(self, requester: &str, uid: &Uid<'_>) -> Vec<Bytes> {
        if self.json.len() < LARGE {
            return vec![frames::result(requester, uid, self.json.as_bytes())];
        }
        let (head, tail) = frames::long_result_around(requester, uid);
        vec![head, Bytes::from(self.json), tail]
    }
}

/// Returns the frame of an error reply.
pub(crate) fn error_frame(error: &ServiceError, requester: &str, uid: &Uid<'_>) -> Bytes {
    let traceback = to_json(error.traceback()).expect("texts have a JSON form");
    frames::error(&error.to_string(), requester, uid, traceback.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_large_result_is_not_copied_and_reads_as_any_other() {
        let text = "x".repeat(LARGE);
        let reply = Reply::value(&text).unwrap();
        let place = reply.json().as_ptr();
        let pieces = reply.into_frame("Ada[h:1]", &"7".into(), true);
        assert_eq!(pieces[1].as_ptr(), place);
        let whole: serde_json::Value = serde_json::from_slice(&pieces.concat()).unwrap();
        assert_eq!(whole["result"], text);
        assert_eq!(
            (&whole["requester"], &whole["uid"]),
            (&"Ada[h:1]".into(), &"7".into())
        );
    }
}
