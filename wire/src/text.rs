//! Strings of an envelope.

use std::borrow::Cow;

/// A string of an envelope, with its escapes decoded.
///
/// It is UTF-8, but stored as bytes: converting bytes to [`str`] would check all of them again, and
/// names are mostly compared and copied.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Text<'a>(Cow<'a, [u8]>);

impl<'a> Text<'a> {
    /// Creates a text from bytes that are known to be ASCII.
    #[inline]
    pub(crate) fn of_ascii(bytes: &'a [u8]) -> Self {
        Self(Cow::Borrowed(bytes))
    }

    /// Copies the text into its own memory.
    pub fn into_owned(self) -> Text<'static> {
        Text(Cow::Owned(self.0.into_owned()))
    }

    /// Returns the text's bytes.
    #[inline]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Returns the text as a string. Checks the UTF-8 again.
    pub fn as_str(&self) -> &str {
        // It is valid UTF-8, unless the envelope was used with another line.
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

impl<'a> From<Cow<'a, str>> for Text<'a> {
    fn from(text: Cow<'a, str>) -> Self {
        Self(match text {
            Cow::Borrowed(text) => Cow::Borrowed(text.as_bytes()),
            Cow::Owned(text) => Cow::Owned(text.into_bytes()),
        })
    }
}

impl PartialEq<str> for Text<'_> {
    #[inline]
    fn eq(&self, other: &str) -> bool {
        *self.0 == *other.as_bytes()
    }
}
