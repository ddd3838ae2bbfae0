//! The attributes of a service, as clients see them.

use std::panic::{AssertUnwindSafe, catch_unwind};

use labwire_device::payload::to_json;
use labwire_wire::frames::json_string;
use serde::Serialize;
use tracing::warn;

use crate::error::ServiceError;
use crate::turn::panicked;

/// The attribute that the SDK answers for every service.
pub(crate) const DESCRIBE: &str = "describe";

/// The attributes of a service: methods with their signatures, and values.
///
/// ```
/// use labwire_service::{Attribute, Attributes};
///
/// let attributes = Attributes::new()
///     .description("Knows how to calculate.")
///     .with(Attribute::method("add", "(x: float, y: float) -> float").description("Adds."))
///     .with(Attribute::value("pi", &3.14));
/// assert_eq!(attributes.to_json(), r#"{"add":"(x: float, y: float) -> float","pi":3.14}"#);
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Attributes {
    description: String,
    list: Vec<Attribute>,
    asks_for_callers: bool,
}

/// One attribute of a service: a method or a value.
///
/// ```
/// use labwire_service::{Attribute, Attributes};
///
/// let power = Attribute::method("power", "(x: float, n: int = 2) -> float")
///     .description("Raises a number to a power.")
///     .parameter("x", "float", None)
///     .parameter("n", "int", Some("2"));
/// let model = Attribute::property("model", || Ok("T-1000"));
/// let secret = Attribute::method("calibrate", "()").hidden();
/// let attributes = Attributes::new().with(power).with(model).with(secret);
/// assert_eq!(attributes.names().collect::<Vec<_>>(), ["power", "model"]);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attribute {
    name: String,
    form: Form,
    description: String,
    parameters: Vec<Described>,
    hidden: bool,
    /// If its arguments are to be recorded, the parameters that are secret.
    recorded: Option<Vec<String>>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Form {
    Method {
        signature: String,
    },
    Value {
        json: String,
    },
    /// A value that could not be read.
    Unknown,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct Described {
    name: String,
    #[serde(rename = "type")]
    kind: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    default: Option<String>,
}

impl Attribute {
    fn of(name: impl Into<String>, form: Form) -> Self {
        Self {
            name: name.into(),
            form,
            description: String::new(),
            parameters: Vec::new(),
            hidden: false,
            recorded: None,
        }
    }

    /// Creates a method. The signature is for people, in Python's notation: `(x: float, n: int = 2)
    /// -> float`.
    ///
    /// See the example of [`Attribute`].
    pub fn method(name: impl Into<String>, signature: impl Into<String>) -> Self {
        let signature = signature.into();
        Self::of(name, Form::Method { signature })
    }

    /// Creates a value. It is part of the service's identity, and clients can request it.
    ///
    /// A value that cannot be encoded as JSON is not listed; a warning is logged.
    ///
    /// ```
    /// use labwire_service::{Attribute, Attributes};
    ///
    /// let attributes = Attributes::new().with(Attribute::value("channels", &[1, 2, 4]));
    /// assert_eq!(attributes.to_json(), r#"{"channels":[1,2,4]}"#);
    /// ```
    pub fn value<T: Serialize + ?Sized>(name: impl Into<String>, value: &T) -> Self {
        let name = name.into();
        let form = match to_json(value) {
            Ok(json) => Form::Value { json },
            Err(error) => {
                warn!("the value '{name}' is not listed: {error}");
                Form::Unknown
            }
        };
        Self::of(name, form)
    }

    /// Creates a value that is read now. If reading fails, it is not listed and a warning is
    /// logged; clients can still request it.
    ///
    /// ```
    /// use labwire_service::{Attribute, Attributes};
    ///
    /// let attributes = Attributes::new()
    ///     .with(Attribute::property("model", || Ok("T-1000")))
    ///     .with(Attribute::property("serial", || Ok(std::fs::read_to_string("/dev/meter/serial")?)));
    /// assert_eq!(attributes.to_json(), r#"{"model":"T-1000"}"#);
    /// ```
    pub fn property<T: Serialize>(
        name: impl Into<String>,
        read: impl FnOnce() -> Result<T, ServiceError>,
    ) -> Self {
        let name = name.into();
        let read = catch_unwind(AssertUnwindSafe(read));
        let error = match read {
            Ok(Ok(value)) => return Self::value(name, &value),
            Ok(Err(error)) => error,
            Err(panic) => panicked(panic.as_ref()),
        };
        warn!("the property '{name}' is not listed: {error}");
        Self::of(name, Form::Unknown)
    }

    /// Sets the description, for [`describe()`](crate#what-clients-see).
    ///
    /// See the example of [`Attribute`].
    #[must_use]
    pub fn description(mut self, text: impl Into<String>) -> Self {
        self.description = text.into();
        self
    }

    /// Adds the next parameter of a method: its name, its type and its default, if any.
    ///
    /// See the example of [`Attribute`].
    #[must_use]
    pub fn parameter(
        mut self,
        name: impl Into<String>,
        kind: impl Into<String>,
        default: Option<&str>,
    ) -> Self {
        self.parameters.push(Described {
            name: name.into(),
            kind: kind.into(),
            default: default.map(str::to_owned),
        });
        self
    }

    /// Hides the attribute from clients. They can still request it.
    ///
    /// See the example of [`Attribute`].
    #[must_use]
    pub fn hidden(mut self) -> Self {
        self.hidden = true;
        self
    }

    /// Asks the manager to record the arguments of each call of a method, if it records calls (`labwire start
    /// --record calls`): the first 512 bytes of their JSON. The values of the parameters in `secret` are left
    /// out, and with them whatever is no [parameter](Self::parameter) that was described.
    ///
    /// The macro does so for `#[record(arguments, secret = "…")]`.
    ///
    /// ```
    /// use labwire_service::{Attribute, Attributes};
    ///
    /// let unlock = Attribute::method("unlock", "(door: int, code: str) -> None")
    ///     .parameter("door", "int", None)
    ///     .parameter("code", "str", None)
    ///     .record_arguments(&["code"]);
    /// let attributes = Attributes::new().with(unlock);
    /// ```
    #[must_use]
    pub fn record_arguments(mut self, secret: &[&str]) -> Self {
        self.recorded = Some(secret.iter().map(|&name| name.to_owned()).collect());
        self
    }

    /// Returns how its arguments are recorded, as a member of the JSON text for the identity.
    fn recorded(&self) -> Option<String> {
        let name = json_string(&self.name);
        let secret = self.recorded.as_deref()?;
        if secret.is_empty() {
            return Some(format!("{name}:{{}}"));
        }
        let parameters = self.parameters.iter().map(|parameter| &*parameter.name);
        let parameters = parameters.filter(|name| !name.starts_with("**"));
        // What follows `*args` can be given by keyword only.
        let parameters = parameters.map(|name| if name.starts_with('*') { "*" } else { name });
        let list = |names: Vec<&str>| to_json(&names).expect("texts have a JSON form");
        let (parameters, secret) = (
            list(parameters.collect()),
            list(secret.iter().map(String::as_str).collect()),
        );
        Some(format!(
            "{name}:{{\"parameters\":{parameters},\"secret\":{secret}}}"
        ))
    }

    fn is_listed(&self) -> bool {
        !self.hidden && self.form != Form::Unknown
    }

    /// Returns its JSON in the identity: a signature or a value.
    fn to_json(&self) -> String {
        match &self.form {
            Form::Method { signature } => json_string(signature),
            Form::Value { json } => json.clone(),
            Form::Unknown => "null".to_owned(),
        }
    }

    fn describe(&self) -> String {
        let key = if matches!(self.form, Form::Method { .. }) {
            "signature"
        } else {
            "value"
        };
        let mut text = format!("{{\"{key}\":{}", self.to_json());
        text.push_str(",\"description\":");
        text.push_str(&json_string(&self.description));
        if matches!(self.form, Form::Method { .. }) {
            text.push_str(",\"parameters\":");
            text.push_str(&to_json(&self.parameters).expect("texts have a JSON form"));
        }
        text.push('}');
        text
    }
}

impl Attributes {
    /// Creates an empty list of attributes.
    ///
    /// See the example of [`Attributes`].
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the description of the service, for [`describe()`](crate#what-clients-see).
    ///
    /// See the example of [`Attributes`].
    #[must_use]
    pub fn description(mut self, text: impl Into<String>) -> Self {
        self.description = text.into();
        self
    }

    /// Adds an attribute. Replaces one of the same name.
    ///
    /// ```
    /// use labwire_service::{Attribute, Attributes};
    ///
    /// let attributes = Attributes::new()
    ///     .with(Attribute::value("range", &1))
    ///     .with(Attribute::value("range", &10));
    /// assert_eq!(attributes.to_json(), r#"{"range":10}"#);
    /// ```
    #[must_use]
    pub fn with(mut self, attribute: Attribute) -> Self {
        match self.list.iter_mut().find(|known| known.name == attribute.name) {
            Some(known) => *known = attribute,
            None => self.list.push(attribute),
        }
        self
    }

    /// Asks the manager to tell with each request who sends it: see
    /// [`Request::caller`](crate::Request::caller). The macro does so if a method needs it. Each request
    /// is about a hundred bytes longer.
    ///
    /// ```
    /// use labwire_service::{Attribute, Attributes};
    ///
    /// let attributes = Attributes::new()
    ///     .with(Attribute::method("sign", "() -> str"))
    ///     .with_callers();
    /// ```
    #[must_use]
    pub fn with_callers(mut self) -> Self {
        self.asks_for_callers = true;
        self
    }

    /// Returns whether the manager is asked who sends each request.
    pub(crate) fn asks_for_callers(&self) -> bool {
        self.asks_for_callers
    }

    /// Returns the methods whose arguments the manager is asked to record, hidden or not, as JSON text for the
    /// identity; `None` if there are none.
    pub(crate) fn recorded(&self) -> Option<String> {
        let recorded: Vec<_> = self.list.iter().filter_map(Attribute::recorded).collect();
        (!recorded.is_empty()).then(|| format!("{{{}}}", recorded.join(",")))
    }

    /// Returns whether there is an attribute of this name, hidden or not.
    ///
    /// ```
    /// use labwire_service::{Attribute, Attributes};
    ///
    /// let attributes = Attributes::new().with(Attribute::method("calibrate", "()").hidden());
    /// assert!(attributes.has("calibrate") && !attributes.has("read"));
    /// ```
    pub fn has(&self, name: &str) -> bool {
        self.list.iter().any(|attribute| attribute.name == name)
    }

    /// Returns the names of the listed attributes: all that are not hidden and could be read.
    ///
    /// ```
    /// use labwire_service::{Attribute, Attributes};
    ///
    /// let attributes = Attributes::new()
    ///     .with(Attribute::method("read", "() -> float"))
    ///     .with(Attribute::method("calibrate", "()").hidden());
    /// assert_eq!(attributes.names().collect::<Vec<_>>(), ["read"]);
    /// ```
    pub fn names(&self) -> impl Iterator<Item = &str> {
        let listed = self.list.iter().filter(|attribute| attribute.is_listed());
        listed.map(|attribute| attribute.name.as_str())
    }

    /// Hides an attribute. Returns `false` if there is none of this name.
    pub(crate) fn hide(&mut self, name: &str) -> bool {
        let found = self.list.iter_mut().find(|known| known.name == name);
        found.map(|attribute| attribute.hidden = true).is_some()
    }

    /// Returns the JSON text of an object with the listed attributes, for the identity.
    ///
    /// See the example of [`Attributes`].
    pub fn to_json(&self) -> String {
        self.object(Attribute::to_json)
    }

    fn object(&self, value: impl Fn(&Attribute) -> String) -> String {
        let listed = self.list.iter().filter(|attribute| attribute.is_listed());
        let members: Vec<String> = listed
            .map(|attribute| format!("{}:{}", json_string(&attribute.name), value(attribute)))
            .collect();
        format!("{{{}}}", members.join(","))
    }

    /// Returns the result of `describe()`: the JSON text of an object.
    pub(crate) fn describe(&self, service: &str) -> String {
        format!(
            "{{\"name\":{},\"description\":{},\"attributes\":{}}}",
            json_string(service),
            json_string(&self.description),
            self.object(Attribute::describe)
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_manager_is_asked_to_record_arguments_without_the_secret_ones() {
        let unlock = Attribute::method("unlock", "()")
            .parameter("door", "int", None)
            .parameter("*rest", "object", None)
            .parameter("code", "str", None)
            .parameter("**more", "object", None)
            .record_arguments(&["code"]);
        let attributes = Attributes::new()
            .with(Attribute::method("read", "()"))
            .with(Attribute::method("set", "()").hidden().record_arguments(&[]));
        assert_eq!(attributes.recorded().as_deref(), Some(r#"{"set":{}}"#));
        let recorded = attributes.with(unlock).recorded().unwrap();
        assert_eq!(
            recorded,
            r#"{"set":{},"unlock":{"parameters":["door","*","code"],"secret":["code"]}}"#
        );
        let recorded = labwire_wire::RecordedMethods::from_json(recorded.as_bytes()).unwrap();
        let unlock = recorded.of("unlock").unwrap();
        let written = unlock.write(b"[1,2]", br#"{"code":"1234","note":5}"#);
        assert_eq!(written, r#"[1,"<secret>"] {"code":"<secret>","note":"<secret>"}"#);
        assert_eq!(Attributes::new().recorded(), None);
    }

    #[test]
    fn what_is_hidden_or_cannot_be_read_is_not_listed() {
        let attributes = Attributes::new()
            .with(Attribute::method("secret", "()").hidden())
            .with(Attribute::property("broken", || {
                Err::<f64, _>("no instrument".into())
            }))
            .with(Attribute::property("panics", || -> Result<f64, ServiceError> {
                panic!("on purpose")
            }))
            .with(Attribute::value("nan", &f64::NAN));
        assert_eq!(attributes.to_json(), r#"{"nan":NaN}"#);
        assert!(attributes.has("secret") && attributes.has("broken"));
    }

    #[test]
    fn a_description_tells_all_that_is_known() {
        let attributes = Attributes::new()
            .description("A meter.")
            .with(
                Attribute::method("read", "(n: int = 1) -> float")
                    .description("Reads.")
                    .parameter("n", "int", Some("1")),
            )
            .with(Attribute::value("UNIT", "V"));
        let described: serde_json::Value = serde_json::from_str(&attributes.describe("Meter")).unwrap();
        let expected = serde_json::json!({
            "name": "Meter",
            "description": "A meter.",
            "attributes": {
                "read": {
                    "signature": "(n: int = 1) -> float",
                    "description": "Reads.",
                    "parameters": [{"name": "n", "type": "int", "default": "1"}],
                },
                "UNIT": {"value": "V", "description": ""},
            },
        });
        assert_eq!(described, expected);
    }
}
