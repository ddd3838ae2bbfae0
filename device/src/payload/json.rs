//! A value that stays the JSON text that it is.

use serde::ser::{Serialize, Serializer};

/// The name by which [`to_json`](super::to_json) knows such a value.
pub(super) const TOKEN: &str = "$labwire::Json";

/// A value as JSON text, which [`to_json`](super::to_json) writes as it is: numbers keep their digits, `NaN` stays
/// what it is, nothing is parsed. Other serialisers see a string.
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
    /// A value of this text, which must be JSON on one line: it goes onto the wire as it is.
    ///
    /// See the example of [`Json`].
    pub fn new(text: impl Into<String>) -> Self {
        Self { text: text.into() }
    }

    /// The text.
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
