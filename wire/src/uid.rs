//! Request uids.

use std::borrow::Cow;
use std::fmt;

use crate::frames::json_string;
use crate::json;

/// Prefix of a number's text. UTF-8 never contains this byte, so no string is taken for a number.
const NUMBER: u8 = 0xff;

/// The value that pairs a reply with its request, chosen by the client: a string or a number.
///
/// A number keeps the digits with which it was written. The number `5` and the string `"5"` are
/// different uids.
///
/// ```
/// use labwire_wire::Uid;
///
/// let number = Uid::from_json(b"5").expect("a number may be a uid");
/// let string = Uid::from_json(br#""5""#).expect("a string may be a uid");
/// assert_ne!(number, string);
/// assert_eq!((number.to_json(), string.to_json()), ("5".into(), "\"5\"".into()));
/// assert_eq!((number.as_str(), string.as_str()), ("5", "5"));
/// assert_eq!(Uid::from_json(b"null"), None);
/// ```
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Uid<'a>(Cow<'a, [u8]>);

impl<'a> Uid<'a> {
    /// The uid of a request without one, such as a request typed at a terminal.
    pub const EMPTY: Uid<'static> = Uid(Cow::Borrowed(b""));

    /// Reads a uid from a value of well-formed JSON. Returns `None` if the value is neither a
    /// decodable string nor a number.
    pub fn from_json(value: &'a [u8]) -> Option<Self> {
        match value {
            [b'"', ..] => json::as_string(value)?.decode().map(Self::from),
            [b'0'..=b'9', ..] | [b'-', b'0'..=b'9', ..] => Some(Self([&[NUMBER], value].concat().into())),
            _ => None,
        }
    }

    /// Creates a uid from its [bytes](Self::as_bytes).
    pub fn from_bytes(bytes: &'a [u8]) -> Self {
        Self(Cow::Borrowed(bytes))
    }

    /// Returns bytes that are unique to this uid.
    #[inline]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Returns the string, or the number as it was written.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(self.number().unwrap_or(&self.0)).unwrap_or_default()
    }

    /// Returns the uid as JSON text.
    pub fn to_json(&self) -> Cow<'_, str> {
        match self.number() {
            Some(_) => Cow::Borrowed(self.as_str()),
            None => Cow::Owned(json_string(self.as_str())),
        }
    }

    /// Returns whether it is the empty string.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns the length of its text, in bytes.
    #[inline]
    pub fn len(&self) -> usize {
        self.number().unwrap_or(&self.0).len()
    }

    /// Returns whether it is a number.
    pub fn is_number(&self) -> bool {
        self.number().is_some()
    }

    /// Returns whether both are the same number, possibly written differently: a service that
    /// parses and formats the number `1e2` may answer `100.0`.
    ///
    /// ```
    /// use labwire_wire::Uid;
    ///
    /// let [plain, power, string] = ["100.0", "1e2", "\"1e2\""].map(|text| Uid::from_json(text.as_bytes()).unwrap());
    /// assert!(plain.is_same_number(&power) && plain != power);
    /// assert!(!plain.is_same_number(&string));
    /// ```
    pub fn is_same_number(&self, other: &Uid<'_>) -> bool {
        let value = |uid: &Uid<'_>| {
            uid.is_number()
                .then(|| uid.as_str().parse::<f64>().ok())
                .flatten()
        };
        match (value(self), value(other)) {
            (Some(own), Some(other)) => own.is_finite() && own.total_cmp(&other).is_eq(),
            _ => false,
        }
    }

    /// Returns the string with the text of this number, or the number with the text of this string.
    ///
    /// ```
    /// use labwire_wire::Uid;
    ///
    /// let number = Uid::from_json(b"5").unwrap();
    /// assert_eq!(number.other_type(), Some("5".into()));
    /// assert_eq!(Uid::from("5").other_type(), Some(number));
    /// assert_eq!(Uid::from("0f").other_type(), None);
    /// ```
    pub fn other_type(&self) -> Option<Uid<'static>> {
        if let Some(number) = self.number() {
            return Some(Uid(number.to_vec().into()));
        }
        json::is_number(&self.0).then(|| Uid([&[NUMBER], self.as_bytes()].concat().into()))
    }

    /// Copies the uid into its own memory.
    pub fn into_owned(self) -> Uid<'static> {
        Uid(Cow::Owned(self.0.into_owned()))
    }

    /// Creates a uid from a string that is known to be ASCII.
    #[inline]
    pub(crate) fn of_ascii(bytes: &'a [u8]) -> Self {
        Self(Cow::Borrowed(bytes))
    }

    pub(crate) fn number(&self) -> Option<&[u8]> {
        self.0.strip_prefix(&[NUMBER])
    }
}

impl<'a> From<&'a str> for Uid<'a> {
    fn from(text: &'a str) -> Self {
        Self(Cow::Borrowed(text.as_bytes()))
    }
}

impl From<String> for Uid<'_> {
    fn from(text: String) -> Self {
        Self(Cow::Owned(text.into_bytes()))
    }
}

impl<'a> From<Cow<'a, str>> for Uid<'a> {
    fn from(text: Cow<'a, str>) -> Self {
        match text {
            Cow::Borrowed(text) => text.into(),
            Cow::Owned(text) => text.into(),
        }
    }
}

impl<'a> From<&'a Uid<'_>> for Uid<'a> {
    fn from(uid: &'a Uid<'_>) -> Self {
        Self::from_bytes(uid.as_bytes())
    }
}

impl PartialEq<str> for Uid<'_> {
    #[inline]
    fn eq(&self, other: &str) -> bool {
        *self.0 == *other.as_bytes()
    }
}

/// Formats the uid as JSON text.
impl fmt::Debug for Uid<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.to_json())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_keeps_its_digits_and_a_string_its_characters() {
        for (json, text) in [
            ("5", "5"),
            ("-0", "-0"),
            ("1.50", "1.50"),
            ("123456789012345678901234567890", "123456789012345678901234567890"),
            ("1E+400", "1E+400"),
            ("\"\"", ""),
            ("\"é\"", "é"),
            ("\"a\\u0062\"", "ab"),
        ] {
            let uid = Uid::from_json(json.as_bytes()).unwrap();
            assert_eq!(uid.as_str(), text);
            assert_eq!(uid.len(), text.len());
            assert_eq!(Uid::from_bytes(uid.as_bytes()), uid);
            assert_eq!(uid.is_number(), !json.starts_with('"'));
            let written = uid.to_json().into_owned();
            assert_eq!(Uid::from_json(written.as_bytes()), Some(uid));
        }
        for json in [
            "null",
            "true",
            "[1]",
            "{}",
            "NaN",
            "Infinity",
            "-Infinity",
            "\"\\ud800\"",
        ] {
            assert_eq!(Uid::from_json(json.as_bytes()), None, "{json}");
        }
    }

    #[test]
    fn the_same_number_may_be_written_in_several_ways() {
        let is_same = |a: &str, b: &str| {
            let [a, b] = [a, b].map(|text| Uid::from_json(text.as_bytes()).unwrap());
            a.is_same_number(&b)
        };
        for (a, b) in [("5", "5.0"), ("1e2", "100"), ("0.10000000000000000555", "0.1")] {
            assert!(is_same(a, b) && is_same(b, a), "{a} {b}");
        }
        for (a, b) in [("5", "6"), ("5", "\"5\""), ("\"5\"", "\"5\""), ("1e400", "1e500")] {
            assert!(!is_same(a, b), "{a} {b}");
        }
    }

    #[test]
    fn only_what_is_a_number_by_itself_has_a_number_of_the_same_text() {
        for text in ["5", "-1.5e3", "0"] {
            let string = Uid::from(text);
            let number = string.other_type().unwrap();
            assert!(number.is_number() && number.as_str() == text);
            assert_eq!(number.other_type(), Some(string));
        }
        for text in ["", "-", "05", "5 ", "1.", "NaN", "-Infinity", "5a", "[5"] {
            assert_eq!(Uid::from(text).other_type(), None, "{text}");
        }
    }
}
