//! Values that are already JSON text.

use serde::ser::{Serialize, Serializer};

/// The type name by which [`to_json`](super::to_json) recognises such a value.
pub(super) const TOKEN: &str = "$labwire::Json";

/// A value as JSON text, which [`to_json`](super::to_json) writes unchanged: numbers keep their
/// digits, `NaN` is kept, nothing is parsed. Other serialisers see a string.
///
/// ```
/// # use labwire_device::payload::{Json, to_json};
/// assert_eq!(to_json(&vec![Json::new("1.10"), Json::new("NaN")]).unwrap(), "[1.10,NaN]");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Json {
    text: String,
}

impl Json {
    /// Creates a value from this text, which must be JSON on one line: it is sent unchanged.
    ///
    /// See the example of [`Json`].
    pub fn new(text: impl Into<String>) -> Self {
        Self { text: text.into() }
    }

    /// Returns the text.
    ///
    /// ```
    /// # use labwire_device::payload::Json;
    /// assert_eq!(Json::new("1.10").text(), "1.10");
    /// ```
    pub fn text(&self) -> &str {
        &self.text
    }
}

impl Serialize for Json {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_newtype_struct(TOKEN, &self.text)
    }
}
