//! Binds the arguments of a request to the parameters of a method, with Python's rules and error
//! messages.

use labwire_device::payload::{DecodeError, Received, SplitArguments};
use labwire_wire::quoted;
use serde::de::DeserializeOwned;

use crate::error::ServiceError;
use crate::rest::{Keywords, Positional};

/// A parameter of a method.
///
/// ```
/// # mod support { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/lab.rs")); }
/// # fn main() {
/// # use std::sync::Arc;
/// # use labwire_service::{Attribute, Attributes, Reply, Request, Service, ServiceError, args};
/// use labwire_service::Parameter;
///
/// /// `(x, n=…, *rest, unit, **options)`
/// const PARAMETERS: &[Parameter] = &[
///     Parameter::required("x"),
///     Parameter::optional("n"),
///     Parameter::rest("rest"),
///     Parameter::required("unit").keyword_only(),
///     Parameter::keywords("options"),
/// ];
///
/// # struct Meter;
/// # impl Service for Meter {
/// #     fn attributes(&self) -> Attributes { Attributes::new().with(Attribute::method("read", "(…)")) }
/// #     async fn call(self: Arc<Self>, request: Request) -> Result<Reply, ServiceError> {
/// #         request.bind(PARAMETERS)?;
/// #         Ok(Reply::nothing())
/// #     }
/// # }
/// # support::serve(Meter, async |meter| {
/// // Clients of a method `read` with these parameters:
/// meter.call::<()>("read", args![1, unit = "V"]).await?;
/// meter.call::<()>("read", args![1, 2, 3, 4, unit = "V", range = 10]).await?;
/// let error = meter.call::<()>("read", args![1, 2]).await.unwrap_err();
/// assert!(error.to_string().contains("read() missing 1 required argument: 'unit'"));
/// # Ok(())
/// # });
/// # }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parameter {
    name: &'static str,
    kind: Kind,
    keyword_only: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Required,
    Optional,
    Rest,
    Keywords,
}

impl Parameter {
    /// A parameter whose argument is required.
    ///
    /// See the example of [`Parameter`].
    pub const fn required(name: &'static str) -> Self {
        Self::of(name, Kind::Required)
    }

    /// A parameter whose argument may be omitted.
    ///
    /// See the example of [`Parameter`].
    pub const fn optional(name: &'static str) -> Self {
        Self::of(name, Kind::Optional)
    }

    /// Takes all remaining positional arguments, as `*args` does in Python.
    ///
    /// See the example of [`Parameter`].
    pub const fn rest(name: &'static str) -> Self {
        Self::of(name, Kind::Rest)
    }

    /// Takes all remaining keyword arguments, as `**kwargs` does in Python.
    ///
    /// See the example of [`Parameter`].
    pub const fn keywords(name: &'static str) -> Self {
        Self::of(name, Kind::Keywords)
    }

    /// Makes the parameter keyword-only.
    ///
    /// See the example of [`Parameter`].
    #[must_use]
    pub const fn keyword_only(mut self) -> Self {
        self.keyword_only = true;
        self
    }

    const fn of(name: &'static str, kind: Kind) -> Self {
        Self {
            name,
            kind,
            keyword_only: false,
        }
    }

    fn is_named(&self) -> bool {
        matches!(self.kind, Kind::Required | Kind::Optional)
    }

    fn is_positional(&self) -> bool {
        self.is_named() && !self.keyword_only
    }
}

/// Arguments that are bound to parameters, to be taken in the order of the parameters.
///
/// Returned by [`Request::bind`](crate::Request::bind), which has an example.
///
/// ```
/// # mod support { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/lab.rs")); }
/// # fn main() {
/// # use std::sync::Arc;
/// # use labwire_service::{Attribute, Attributes, Reply, Service, args};
/// use labwire_service::{Bound, Parameter, Request, ServiceError};
///
/// /// `(x, n=2, *rest, **options)`
/// fn summary(request: &Request) -> Result<String, ServiceError> {
///     let mut bound: Bound = request.bind(&[
///         Parameter::required("x"),
///         Parameter::optional("n"),
///         Parameter::rest("rest"),
///         Parameter::keywords("options"),
///     ])?;
///     let x: f64 = bound.required()?;
///     let n: i32 = bound.optional(|| 2)?;
///     let rest = bound.rest();
///     let options = bound.keywords();
///     Ok(format!("{x}^{n}, {} more, {} options", rest.len(), options.len()))
/// }
///
/// # struct Math;
/// # impl Service for Math {
/// #     fn attributes(&self) -> Attributes { Attributes::new().with(Attribute::method("summary", "(…)")) }
/// #     async fn call(self: Arc<Self>, request: Request) -> Result<Reply, ServiceError> {
/// #         Reply::value(&summary(&request)?)
/// #     }
/// # }
/// # support::serve(Math, async |math| {
/// // What clients of it get:
/// let text: String = math.call("summary", args![1.5]).await?;
/// assert_eq!(text, "1.5^2, 0 more, 0 options");
/// let text: String = math.call("summary", args![1.5, 3, 4, 5, unit = "V"]).await?;
/// assert_eq!(text, "1.5^3, 2 more, 1 options");
/// # Ok(())
/// # });
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Bound<'a> {
    method: &'a str,
    values: std::vec::IntoIter<(Parameter, Option<&'a str>)>,
    rest: Positional,
    keywords: Keywords,
    /// The arrays of the request.
    arrays: Received,
}

impl<'a> Bound<'a> {
    pub(crate) fn new(
        method: &'a str,
        parameters: &[Parameter],
        arguments: SplitArguments<'a>,
        arrays: Received,
    ) -> Result<Self, ServiceError> {
        let mut values: Vec<Option<&str>> = vec![None; parameters.len()];
        let mut rest = Positional::default();
        let mut keywords = Keywords::default();
        let given = arguments.positional.len();
        let mut positional = arguments.positional.into_iter();
        for (parameter, value) in parameters.iter().zip(&mut values) {
            if parameter.is_positional() {
                *value = positional.next();
            }
        }
        let takes_rest = parameters.iter().any(|parameter| parameter.kind == Kind::Rest);
        if takes_rest {
            positional.for_each(|value| rest.push(&arrays.inlined(value)));
        } else if positional.next().is_some() {
            return Err(too_many(method, parameters, given));
        }
        let takes_keywords = parameters
            .iter()
            .any(|parameter| parameter.kind == Kind::Keywords);
        for (name, value) in arguments.keywords {
            let index = parameters
                .iter()
                .position(|parameter| parameter.is_named() && parameter.name == name);
            let is_new = match index {
                Some(index) => values[index].replace(value).is_none(),
                None if takes_keywords => keywords.insert(&name, &arrays.inlined(value)),
                None => {
                    let text = format!("{method}() got an unexpected keyword argument {}", quoted(&name));
                    return Err(type_error(text));
                }
            };
            if !is_new {
                let text = format!("{method}() got multiple values for argument {}", quoted(&name));
                return Err(type_error(text));
            }
        }
        check_missing(method, parameters, &values)?;
        let values: Vec<_> = parameters.iter().copied().zip(values).collect();
        Ok(Self {
            method,
            values: values.into_iter(),
            rest,
            keywords,
            arrays,
        })
    }

    fn next(&mut self) -> (Parameter, Option<&'a str>) {
        let next = self.values.next();
        next.expect("no more arguments are taken than there are parameters")
    }

    fn decode<T: DeserializeOwned>(&self, name: &str, text: &str) -> Result<T, ServiceError> {
        let value = self.arrays.decode_text(text);
        value.map_err(|error: DecodeError| {
            type_error(format!("{}() argument {}: {error}", self.method, quoted(name)))
        })
    }

    /// Decodes the argument of the next parameter, which must be a required one.
    ///
    /// See the example of [`Bound`].
    ///
    /// # Panics
    ///
    /// If there is no next parameter, or it is not a required one.
    pub fn required<T: DeserializeOwned>(&mut self) -> Result<T, ServiceError> {
        let (parameter, value) = self.next();
        let text = value.expect("a required parameter was bound");
        self.decode(parameter.name, text)
    }

    /// Decodes the argument of the next parameter, or returns `default()` if it was omitted.
    ///
    /// See the example of [`Bound`].
    ///
    /// # Panics
    ///
    /// If there is no next parameter.
    pub fn optional<T: DeserializeOwned>(&mut self, default: impl FnOnce() -> T) -> Result<T, ServiceError> {
        match self.next() {
            (parameter, Some(text)) => self.decode(parameter.name, text),
            (_, None) => Ok(default()),
        }
    }

    /// Returns the remaining positional arguments, for the next parameter, a [`Parameter::rest`].
    ///
    /// See the example of [`Bound`].
    ///
    /// # Panics
    ///
    /// If there is no next parameter.
    pub fn rest(&mut self) -> Positional {
        self.next();
        std::mem::take(&mut self.rest)
    }

    /// Returns the remaining keyword arguments, for the next parameter, a [`Parameter::keywords`].
    ///
    /// See the example of [`Bound`].
    ///
    /// # Panics
    ///
    /// If there is no next parameter.
    pub fn keywords(&mut self) -> Keywords {
        self.next();
        std::mem::take(&mut self.keywords)
    }
}

fn type_error(text: String) -> ServiceError {
    ServiceError::new("TypeError", text)
}

fn too_many(method: &str, parameters: &[Parameter], given: usize) -> ServiceError {
    let positional = parameters.iter().filter(|parameter| parameter.is_positional());
    let most = positional.clone().count();
    let least = positional
        .filter(|parameter| parameter.kind == Kind::Required)
        .count();
    let takes = if least == most {
        most.to_string()
    } else {
        format!("from {least} to {most}")
    };
    let arguments = if most == 1 { "argument" } else { "arguments" };
    let were = if given == 1 { "was" } else { "were" };
    type_error(format!(
        "{method}() takes {takes} positional {arguments} but {given} {were} given"
    ))
}

fn check_missing(
    method: &str,
    parameters: &[Parameter],
    values: &[Option<&str>],
) -> Result<(), ServiceError> {
    let missing: Vec<String> = parameters
        .iter()
        .zip(values)
        .filter(|(parameter, value)| parameter.kind == Kind::Required && value.is_none())
        .map(|(parameter, _)| quoted(parameter.name))
        .collect();
    let names = match &missing[..] {
        [] => return Ok(()),
        [name] => name.clone(),
        [first, second] => format!("{first} and {second}"),
        [names @ .., last] => format!("{}, and {last}", names.join(", ")),
    };
    let arguments = if missing.len() == 1 {
        "argument"
    } else {
        "arguments"
    };
    let text = format!(
        "{method}() missing {} required {arguments}: {names}",
        missing.len()
    );
    Err(type_error(text))
}

#[cfg(test)]
mod tests {
    use labwire_device::payload::split_arguments;

    use super::*;

    fn bind(
        parameters: &'static [Parameter],
        args: &'static str,
        kwargs: &'static str,
    ) -> Result<Bound<'static>, String> {
        let arguments = split_arguments(args.as_bytes(), kwargs.as_bytes()).unwrap();
        Bound::new("f", parameters, arguments, Received::default()).map_err(|error| error.to_string())
    }

    const THREE: &[Parameter] = &[
        Parameter::required("x"),
        Parameter::required("y"),
        Parameter::optional("n"),
    ];

    #[test]
    fn arguments_are_bound_by_place_and_by_name() {
        for (args, kwargs, expected) in [
            ("[1, 2]", "{}", (1.0, 2.0, 9)),
            ("[1, 2, 3]", "{}", (1.0, 2.0, 3)),
            ("[1]", r#"{"n": 4, "y": 2}"#, (1.0, 2.0, 4)),
            ("[]", r#"{"y": 2.5, "x": 1}"#, (1.0, 2.5, 9)),
        ] {
            let mut bound = bind(THREE, args, kwargs).unwrap();
            let x: f64 = bound.required().unwrap();
            let y: f64 = bound.required().unwrap();
            let n: i32 = bound.optional(|| 9).unwrap();
            assert_eq!((x, y, n), expected);
        }
    }

    #[test]
    fn what_does_not_fit_is_told_in_the_words_of_python() {
        const ONE: &[Parameter] = &[Parameter::required("x")];
        const NONE: &[Parameter] = &[];
        for (parameters, args, kwargs, expected) in [
            (THREE, "[1]", "{}", "f() missing 1 required argument: 'y'"),
            (THREE, "[]", "{}", "f() missing 2 required arguments: 'x' and 'y'"),
            (
                THREE,
                "[1,2,3,4]",
                "{}",
                "f() takes from 2 to 3 positional arguments but 4 were given",
            ),
            (
                ONE,
                "[1,2]",
                "{}",
                "f() takes 1 positional argument but 2 were given",
            ),
            (
                NONE,
                "[1]",
                "{}",
                "f() takes 0 positional arguments but 1 was given",
            ),
            (
                ONE,
                "[1]",
                r#"{"x": 2}"#,
                "f() got multiple values for argument 'x'",
            ),
            (
                ONE,
                "[]",
                r#"{"x": 2, "x": 3}"#,
                "f() got multiple values for argument 'x'",
            ),
            (
                ONE,
                "[1]",
                r#"{"it's": 2}"#,
                "f() got an unexpected keyword argument \"it's\"",
            ),
        ] {
            let error = bind(parameters, args, kwargs).unwrap_err();
            assert_eq!(error, format!("TypeError: {expected}"));
        }
    }

    #[test]
    fn an_argument_of_another_type_is_told_with_its_name() {
        let mut bound = bind(THREE, r#"["a", 2]"#, "{}").unwrap();
        assert_eq!(
            bound.required::<u8>().unwrap_err().to_string(),
            "TypeError: f() argument 'x': invalid type: string \"a\", expected u8"
        );
    }

    #[test]
    fn a_flood_of_names_costs_no_more_than_reading_it() {
        const ANY: &[Parameter] = &[Parameter::keywords("options")];
        let names: Vec<String> = (0..300_000).map(|name| format!("\"{name}\":0")).collect();
        let kwargs = format!("{{{}}}", names.join(","));
        let arguments = split_arguments(b"[]", kwargs.as_bytes()).unwrap();
        let begin = std::time::Instant::now();
        let mut bound = Bound::new("f", ANY, arguments, Received::default()).unwrap();
        assert_eq!(bound.keywords().len(), 300_000);
        // A linear search for each name would take quadratic time.
        assert!(begin.elapsed() < std::time::Duration::from_secs(20));
    }

    #[test]
    fn what_is_left_goes_to_the_parameters_that_take_it() {
        const REST: &[Parameter] = &[
            Parameter::required("x"),
            Parameter::rest("args"),
            Parameter::optional("unit").keyword_only(),
            Parameter::keywords("kwargs"),
        ];
        let mut bound = bind(REST, "[1, 2, NaN]", r#"{"unit": "V", "b": 1.10, "args": 0}"#).unwrap();
        assert_eq!(bound.required::<i32>().unwrap(), 1);
        let rest = bound.rest();
        assert_eq!(rest.texts(), ["2", "NaN"]);
        assert_eq!(bound.optional(String::new).unwrap(), "V");
        let keywords = bound.keywords();
        assert_eq!(
            keywords.texts().collect::<Vec<_>>(),
            [("b", "1.10"), ("args", "0")]
        );
    }
}
