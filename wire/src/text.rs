//! The strings of an envelope.

use std::borrow::Cow;

/// A string that stands in an envelope, without its escapes.
///
/// It is UTF-8, but held as bytes: to make a [`str`] of bytes is to look at all of them again, and names are mostly
/// compared and copied.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Text<'a>(Cow<'a, [u8]>);

impl<'a> Text<'a> {
    /// A text of bytes that are known to be ASCII.
    #[inline]
    pub(crate) fn of_ascii(bytes: &'a [u8]) -> Self {
        Self(Cow::Borrowed(bytes))
    }

    /// The text with memory of its own.
    pub fn into_owned(self) -> Text<'static> {
        Text(Cow::Owned(self.0.into_owned()))
    }

    /// The text's bytes.
    #[inline]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The text, looked at again.
    pub fn as_str(&self) -> &str {
        // It is known to be UTF-8, unless an envelope was asked about a line that is not its own.
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
