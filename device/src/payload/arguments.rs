//! The arguments of a call or a notification.

use serde::Serialize;

use super::encode::EncodeError;
use super::outgoing::Attached;

/// Positional and keyword arguments, encoded as JSON text.
///
/// Most programs write them with [`args!`](crate::args): `args![1, 2.5, unit = "V"]`.
///
/// ```
/// # use labwire_device::payload::Arguments;
/// let arguments = Arguments::new().positional(&1).positional("two").keyword("n", &3.5);
/// assert_eq!(arguments.finish().unwrap(), (r#"[1,"two"]"#.to_owned(), r#"{"n":3.5}"#.to_owned()));
/// ```
#[derive(Clone, Debug, Default)]
pub struct Arguments {
    positional: String,
    keywords: String,
    attached: Attached,
    error: Option<EncodeError>,
}

impl Arguments {
    /// Creates an empty list of arguments.
    ///
    /// See the example of [`Arguments`].
    pub fn new() -> Self {
        Self::default()
    }

    /// Appends a positional argument. If it cannot be encoded, [`finish`](Self::finish) returns the
    /// error.
    ///
    /// See the example of [`Arguments`].
    #[must_use]
    pub fn positional<T: Serialize + ?Sized>(mut self, value: &T) -> Self {
        match self.attached.encode(value) {
            Ok(text) => self.positional_json(&text),
            Err(error) => self.failed(error),
        }
    }

    /// Appends a keyword argument. If it cannot be encoded, [`finish`](Self::finish) returns the
    /// error.
    ///
    /// See the example of [`Arguments`].
    #[must_use]
    pub fn keyword<T: Serialize + ?Sized>(mut self, name: &str, value: &T) -> Self {
        match self.attached.encode(value) {
            Ok(text) => self.keyword_json(name, &text),
            Err(error) => self.failed(error),
        }
    }

    /// Appends a positional argument that is already JSON text. It is sent unchanged; a manager
    /// refuses malformed JSON.
    ///
    /// ```
    /// # use labwire_device::payload::Arguments;
    /// // As a number, its last digits would be lost.
    /// let arguments = Arguments::new().positional_json("3.14159265358979323846");
    /// assert_eq!(arguments.finish().unwrap().0, "[3.14159265358979323846]");
    /// ```
    #[must_use]
    pub fn positional_json(mut self, text: &str) -> Self {
        self.positional
            .push(if self.positional.is_empty() { '[' } else { ',' });
        self.positional.push_str(text);
        self
    }

    /// Appends a keyword argument that is already JSON text, as
    /// [`positional_json`](Self::positional_json) does.
    ///
    /// ```
    /// # use labwire_device::payload::Arguments;
    /// let arguments = Arguments::new().keyword_json("points", "[1,NaN]");
    /// assert_eq!(arguments.finish().unwrap().1, r#"{"points":[1,NaN]}"#);
    /// ```
    #[must_use]
    pub fn keyword_json(mut self, name: &str, text: &str) -> Self {
        self.keywords
            .push(if self.keywords.is_empty() { '{' } else { ',' });
        self.keywords.push_str(&labwire_wire::frames::json_string(name));
        self.keywords.push(':');
        self.keywords.push_str(text);
        self
    }

    /// Returns whether there are no arguments.
    ///
    /// ```
    /// # use labwire_device::payload::Arguments;
    /// assert!(Arguments::new().is_empty());
    /// assert!(!Arguments::new().keyword("n", &1).is_empty());
    /// ```
    pub fn is_empty(&self) -> bool {
        self.positional.is_empty() && self.keywords.is_empty() && self.error.is_none()
    }

    fn failed(mut self, error: EncodeError) -> Self {
        self.error.get_or_insert(error);
        self
    }

    /// Returns the JSON text of `args`, an array, and of `kwargs`, an object.
    ///
    /// Fails if an argument could not be encoded.
    ///
    /// ```
    /// use std::collections::BTreeMap;
    /// use labwire_device::payload::Arguments;
    ///
    /// let (args, kwargs) = Arguments::new().positional(&1).finish().unwrap();
    /// assert_eq!((args.as_str(), kwargs.as_str()), ("[1]", "{}"));
    ///
    /// let with_lists_as_keys = BTreeMap::from([([1, 2], "x")]);
    /// assert!(Arguments::new().positional(&with_lists_as_keys).finish().is_err());
    /// ```
    pub fn finish(self) -> Result<(String, String), EncodeError> {
        let (positional, keywords, attached) = self.finish_with_arrays()?;
        Ok((attached.inlined(positional), attached.inlined(keywords)))
    }

    /// As [`finish`](Self::finish), with the arrays beside the texts.
    ///
    /// # Errors
    /// If an argument could not be encoded.
    ///
    /// ```
    /// # use labwire_device::payload::{Arguments, Array};
    /// let arguments = Arguments::new().positional(&Array::from(&b"abc"[..]));
    /// let (args, _, attached) = arguments.clone().finish_with_arrays().unwrap();
    /// assert_eq!(args, r#"[{"$buffer":0}]"#);
    /// assert_eq!(attached.inlined(args), arguments.finish().unwrap().0);
    /// ```
    pub fn finish_with_arrays(self) -> Result<(String, String, Attached), EncodeError> {
        if let Some(error) = self.error {
            return Err(error);
        }
        let close = |mut text: String, empty: &str, end: char| {
            if text.is_empty() {
                return empty.to_owned();
            }
            text.push(end);
            text
        };
        Ok((
            close(self.positional, "[]", ']'),
            close(self.keywords, "{}", '}'),
            self.attached,
        ))
    }
}

/// A type that can be converted into arguments: [`Arguments`], and tuples for positional arguments
/// only.
///
/// ```
/// # use labwire_device::payload::IntoArguments;
/// assert_eq!((1, "x").into_arguments().finish().unwrap().0, r#"[1,"x"]"#);
/// assert_eq!(().into_arguments().finish().unwrap().0, "[]");
/// ```
pub trait IntoArguments {
    /// Converts the value into arguments.
    ///
    /// See the example of [`IntoArguments`].
    fn into_arguments(self) -> Arguments;
}

impl IntoArguments for Arguments {
    fn into_arguments(self) -> Arguments {
        self
    }
}

impl IntoArguments for () {
    fn into_arguments(self) -> Arguments {
        Arguments::new()
    }
}

macro_rules! tuples {
    ($(($($name:ident)+))+) => {
        $(impl<$($name: Serialize),+> IntoArguments for ($($name,)+) {
            fn into_arguments(self) -> Arguments {
                #[expect(non_snake_case, reason = "one identifier names a type and its value")]
                let ($($name,)+) = self;
                Arguments::new()$(.positional(&$name))+
            }
        })+
    };
}

tuples! {
    (A)
    (A B)
    (A B C)
    (A B C D)
    (A B C D E)
    (A B C D E F)
    (A B C D E F G)
    (A B C D E F G H)
}

/// Creates the arguments of a call or a notification: positional ones first, then keyword ones with
/// their names.
///
/// Values are of any types that serde can serialise; they are borrowed.
///
/// ```
/// use labwire_device::args;
///
/// let voltages = vec![1.5, f64::NAN];
/// let arguments = args![voltages, 3, unit = "V", n = 2 * 2];
/// assert_eq!(
///     arguments.finish().unwrap(),
///     ("[[1.5,NaN],3]".to_owned(), r#"{"unit":"V","n":4}"#.to_owned())
/// );
/// ```
#[macro_export]
macro_rules! args {
    (@collect $arguments:expr;) => { $arguments };
    (@collect $arguments:expr; $name:ident = $value:expr $(, $($rest:tt)*)?) => {
        $crate::args!(@collect
            $arguments.keyword($crate::payload_name(stringify!($name)), &$value); $($($rest)*)?)
    };
    (@collect $arguments:expr; $value:expr $(, $($rest:tt)*)?) => {
        $crate::args!(@collect $arguments.positional(&$value); $($($rest)*)?)
    };
    ($($all:tt)*) => { $crate::args!(@collect $crate::payload::Arguments::new(); $($all)*) };
}

/// Returns the name of a keyword argument for the service: a Rust keyword has to be written as
/// `r#type`.
#[doc(hidden)]
pub fn payload_name(identifier: &str) -> &str {
    identifier.strip_prefix("r#").unwrap_or(identifier)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_macro_takes_values_in_order_then_keywords_and_a_trailing_comma() {
        let texts = |arguments: Arguments| arguments.finish().unwrap();
        assert_eq!(texts(args![]), ("[]".into(), "{}".into()));
        assert_eq!(texts(args![1, 1 == 1,]), ("[1,true]".into(), "{}".into()));
        assert_eq!(
            texts(args!["a", r#type = "b", x = [1, 2]]),
            (r#"["a"]"#.into(), r#"{"type":"b","x":[1,2]}"#.into())
        );
    }

    #[test]
    fn an_argument_without_a_json_form_is_told_at_the_end() {
        let bad = std::collections::BTreeMap::from([((1, 2), 3)]);
        assert!(args![1, bad, 2].finish().is_err());
    }
}
