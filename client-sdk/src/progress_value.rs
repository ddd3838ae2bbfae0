//! How far a call has come.

use bytes::Bytes;
use labwire_device::payload::{DecodeError, from_json};
use serde::de::DeserializeOwned;

use crate::approval::Approval;
use crate::value::Value;

/// A progress value of a call, as its service has reported it.
///
/// By convention it is a number from 0 to 1, or an object with the members `done`, `total` and
/// `message`, each of them optional: what a progress bar shows. Anything else is possible, too.
///
/// ```
/// use labwire_client::ProgressValue;
///
/// let value = ProgressValue::from_json(r#"{"done": 3, "total": 12, "message": "filter 3"}"#);
/// assert_eq!((value.done(), value.total(), value.ratio()), (Some(3.0), Some(12.0), Some(0.25)));
/// assert_eq!(value.message().as_deref(), Some("filter 3"));
/// assert_eq!(ProgressValue::from_json("0.5").ratio(), Some(0.5));
/// assert_eq!(ProgressValue::from_json("\"warming up\"").message().as_deref(), Some("warming up"));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProgressValue {
    json: Bytes,
    approval: Option<Approval>,
}

impl ProgressValue {
    pub(crate) fn new(json: Bytes) -> Self {
        Self { json, approval: None }
    }

    /// Creates a value that the manager has sent.
    pub(crate) fn of_manager(json: Bytes) -> Self {
        Self {
            approval: Approval::read(&json),
            json,
        }
    }

    /// Creates a value from its JSON text, for tests of what reads it.
    pub fn from_json(json: impl Into<String>) -> Self {
        Self::new(Bytes::from(json.into()))
    }

    /// Returns what the manager tells about a call that needs approval; `None` for a value that the
    /// service has reported.
    pub fn approval(&self) -> Option<&Approval> {
        self.approval.as_ref()
    }

    /// Returns the JSON text, as the service wrote it.
    pub fn json(&self) -> &str {
        std::str::from_utf8(&self.json).unwrap_or_default()
    }

    /// Decodes the value.
    ///
    /// # Errors
    /// [`DecodeError`] if it is of another type.
    pub fn decode<T: DeserializeOwned>(&self) -> Result<T, DecodeError> {
        from_json(self.json())
    }

    /// Returns how much is done, from 0 to 1, if the value says so.
    pub fn ratio(&self) -> Option<f64> {
        let ratio = match self.decode::<Value>().ok()? {
            value @ (Value::Integer(_) | Value::Float(_)) => number(&value)?,
            _ => self.done()? / self.total()?,
        };
        ratio.is_finite().then(|| ratio.clamp(0.0, 1.0))
    }

    /// Returns the member `done`, if it is a number.
    pub fn done(&self) -> Option<f64> {
        self.member("done").as_ref().and_then(number)
    }

    /// Returns the member `total`, if it is a number.
    pub fn total(&self) -> Option<f64> {
        self.member("total").as_ref().and_then(number)
    }

    /// Returns the member `message`, or the value itself if it is a text.
    pub fn message(&self) -> Option<String> {
        match self.decode::<Value>().ok()? {
            Value::Text(text) => Some(text),
            Value::Map(members) => Some(members.get("message")?.as_text()?.to_owned()),
            _ => None,
        }
    }

    fn member(&self, name: &str) -> Option<Value> {
        match self.decode::<Value>().ok()? {
            Value::Map(mut members) => members.remove(name),
            _ => None,
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "a bar needs no more digits")]
fn number(value: &Value) -> Option<f64> {
    match value {
        Value::Integer(number) => Some(*number as f64),
        Value::Float(number) => Some(*number),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_ratio_has_none() {
        for json in [
            "null",
            "NaN",
            "[1]",
            "{}",
            r#"{"done":1}"#,
            r#"{"done":1,"total":0}"#,
            r#"{"done":"1","total":2}"#,
            "\"0.5\"",
        ] {
            assert_eq!(ProgressValue::from_json(json).ratio(), None, "{json}");
        }
        assert_eq!(ProgressValue::from_json("7").ratio(), Some(1.0));
        assert_eq!(ProgressValue::from_json("-1").ratio(), Some(0.0));
    }
}
