//! The remaining arguments: `*args` and `**kwargs` in Python.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use labwire_device::payload::{DecodeError, Json, from_json};
use serde::de::DeserializeOwned;
use serde::ser::{Serialize, SerializeMap, Serializer};

/// All remaining positional arguments. As the type of a parameter it corresponds to `*args` in
/// Python.
///
/// Each value is kept as the client wrote it, and is returned unchanged if a method returns it.
///
/// ```
/// # mod support { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/lab.rs")); }
/// # fn main() {
/// use labwire_service::{Keywords, Positional, ServiceError, service};
///
/// struct Echo;
///
/// #[service]
/// impl Echo {
///     pub fn echo(&self, args: Positional, kwargs: Keywords) -> (Positional, Keywords) {
///         (args, kwargs)
///     }
///
///     pub fn sum(&self, args: Positional) -> Result<f64, ServiceError> {
///         Ok(args.all::<f64>()?.iter().sum())
///     }
///
///     pub fn first(&self, args: Positional) -> Result<f64, ServiceError> {
///         match args.get(0) {
///             Some(first) => Ok(first?),
///             None => Err(ServiceError::new("IndexError", "there are no arguments")),
///         }
///     }
///
///     pub fn look(&self, args: Positional) -> String {
///         if args.is_empty() {
///             return "nothing".to_owned();
///         }
///         format!("{} as {}", args.len(), args.texts().join(" and "))
///     }
/// }
///
/// # use labwire_service::args;
/// # support::serve(Echo, async |echo| {
/// // What a client gets:
/// let text: String = echo.call::<()>("echo", args![1.0, n = f64::NAN]).raw().await?;
/// assert_eq!(text, r#"[[1.0],{"n":NaN}]"#);
/// assert_eq!(echo.call::<f64>("sum", args![1, 2, 3.5]).await?, 6.5);
/// assert_eq!(echo.call::<f64>("first", args![1, 2]).await?, 1.0);
/// assert_eq!(echo.call::<String>("look", args![1, "x"]).await?, r#"2 as 1 and "x""#);
/// assert_eq!(echo.call::<String>("look", args![]).await?, "nothing");
/// # Ok(())
/// # });
/// # }
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Positional {
    values: Vec<Json>,
}

impl Positional {
    pub(crate) fn push(&mut self, text: &str) {
        self.values.push(Json::new(text));
    }

    /// Returns the number of arguments.
    ///
    /// See the example of [`Positional`].
    pub fn len(&self) -> usize {
        self.values.len()
    }

    /// Returns whether there are no arguments.
    ///
    /// See the example of [`Positional`].
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// Decodes the argument at an index, counted from 0. Returns `None` if there are fewer.
    ///
    /// See the example of [`Positional`].
    pub fn get<T: DeserializeOwned>(&self, index: usize) -> Option<Result<T, DecodeError>> {
        Some(from_json(self.values.get(index)?.text()))
    }

    /// Decodes all arguments as one type.
    ///
    /// See the example of [`Positional`].
    pub fn all<T: DeserializeOwned>(&self) -> Result<Vec<T>, DecodeError> {
        self.values.iter().map(|value| from_json(value.text())).collect()
    }

    /// Returns the arguments as JSON texts.
    ///
    /// See the example of [`Positional`].
    pub fn texts(&self) -> Vec<&str> {
        self.values.iter().map(Json::text).collect()
    }
}

impl Serialize for Positional {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(&self.values)
    }
}

/// All remaining keyword arguments. As the type of a parameter it corresponds to `**kwargs` in
/// Python.
///
/// Each value is kept as the client wrote it, and is returned unchanged if a method returns it.
///
/// ```
/// # mod support { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/lab.rs")); }
/// # fn main() {
/// use labwire_service::{Keywords, ServiceError, service};
///
/// struct Scope;
///
/// #[service]
/// impl Scope {
///     pub fn configure(&self, settings: Keywords) -> Result<f64, ServiceError> {
///         match settings.get::<f64>("timebase") {
///             Some(timebase) => Ok(timebase?),
///             None => Err(ServiceError::new("KeyError", "timebase")),
///         }
///     }
///
///     pub fn look(&self, settings: Keywords) -> String {
///         if settings.is_empty() {
///             return "nothing".to_owned();
///         }
///         let texts: Vec<_> = settings.texts().map(|(name, value)| format!("{name}={value}")).collect();
///         format!("{}: {}", settings.len(), texts.join(" "))
///     }
/// }
///
/// # use labwire_service::args;
/// # support::serve(Scope, async |scope| {
/// // What a client gets:
/// assert_eq!(scope.call::<f64>("configure", args![timebase = 1e-3]).await?, 1e-3);
/// assert!(scope.call::<f64>("configure", args![time = 1]).await.is_err());
/// let text: String = scope.call("look", args![range = 10, unit = "V"]).await?;
/// assert_eq!(text, r#"2: range=10 unit="V""#);
/// # Ok(())
/// # });
/// # }
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Keywords {
    values: Vec<(String, Json)>,
    /// The index of each name's value, since a client may send a million of them.
    places: HashMap<String, usize>,
}

impl Keywords {
    /// Adds an argument. Returns `false` if there is already one of that name.
    pub(crate) fn insert(&mut self, name: &str, text: &str) -> bool {
        let Entry::Vacant(place) = self.places.entry(name.to_owned()) else {
            return false;
        };
        place.insert(self.values.len());
        self.values.push((name.to_owned(), Json::new(text)));
        true
    }

    fn text(&self, name: &str) -> Option<&str> {
        let place = *self.places.get(name)?;
        self.values.get(place).map(|(_, value)| value.text())
    }

    /// Returns the number of arguments.
    ///
    /// See the example of [`Keywords`].
    pub fn len(&self) -> usize {
        self.values.len()
    }

    /// Returns whether there are no arguments.
    ///
    /// See the example of [`Keywords`].
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// Decodes the argument of this name. Returns `None` if it was not given.
    ///
    /// See the example of [`Keywords`].
    pub fn get<T: DeserializeOwned>(&self, name: &str) -> Option<Result<T, DecodeError>> {
        Some(from_json(self.text(name)?))
    }

    /// Returns the names, and the values as JSON texts, in the client's order.
    ///
    /// See the example of [`Keywords`].
    pub fn texts(&self) -> impl Iterator<Item = (&str, &str)> {
        self.values
            .iter()
            .map(|(name, value)| (name.as_str(), value.text()))
    }
}

impl Serialize for Keywords {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.values.len()))?;
        for (name, value) in &self.values {
            map.serialize_entry(name, value)?;
        }
        map.end()
    }
}

#[cfg(test)]
mod tests {
    use labwire_device::payload::to_json;

    use super::*;

    #[test]
    fn values_go_back_as_they_came() {
        let mut positional = Positional::default();
        positional.push("1.10");
        positional.push("[NaN, 1e400]");
        let mut keywords = Keywords::default();
        assert!(keywords.insert("é", "{\"a\": -Infinity}"));
        assert!(!keywords.insert("é", "1"));
        assert_eq!(
            to_json(&(&positional, &keywords)).unwrap(),
            r#"[[1.10,[NaN, 1e400]],{"é":{"a": -Infinity}}]"#
        );
        assert_eq!(positional.get::<f64>(0), Some(Ok(1.1)));
        assert_eq!(positional.get::<f64>(2), None);
        assert!(keywords.get::<f64>("é").unwrap().is_err());
        assert!(positional.all::<f64>().is_err());
    }
}
