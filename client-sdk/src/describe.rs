//! The description of a service.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::error::CallError;
use crate::value::Value;

/// The documentation of a service, for people. Returned by
/// [`Link::describe`](crate::Link::describe).
///
/// ```
/// # mod support { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/lab.rs")); }
/// use labwire_client::ServiceDescription;
/// use labwire_service::{Runner, service};
///
/// struct Supply;
///
/// /// The supply under the bench.
/// #[service]
/// impl Supply {
///     /// The unit of all voltages.
///     pub const UNIT: &str = "V";
///
///     /// Sets the voltage of a channel.
///     pub fn set(&self, voltage: f64, #[default(1)] channel: u8) {}
/// }
///
/// # fn main() { support::empty_lab(|options| async move {
/// # use labwire_client::{Client, Value};
/// # let service = Runner::new(Supply).options(options.clone()).connect().await?;
/// # let client = Client::connect("Ada", options).await?;
/// // What a client learns:
/// let described: ServiceDescription = client.link("Supply").await?.describe().await?;
/// assert_eq!(described.name, "Supply");
/// assert_eq!(described.description, "The supply under the bench.");
/// assert_eq!(described.attributes["UNIT"].value, Some(Value::Text("V".to_owned())));
/// assert_eq!(described.attributes["set"].description, "Sets the voltage of a channel.");
/// # Ok(())
/// # }); }
/// ```
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct ServiceDescription {
    /// The service's name.
    pub name: String,
    /// The description of the service.
    pub description: String,
    /// The descriptions of its attributes, by name.
    pub attributes: BTreeMap<String, AttributeDescription>,
}

/// The documentation of one attribute of a service.
///
/// ```
/// # mod support { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/lab.rs")); }
/// # use labwire_service::{Runner, service};
/// # struct Supply;
/// # #[service]
/// # impl Supply {
/// #     /// Sets the voltage of a channel.
/// #     pub fn set(&self, voltage: f64, #[default(1)] channel: u8) {}
/// # }
/// # fn main() { support::empty_lab(|options| async move {
/// # use labwire_client::Client;
/// # let service = Runner::new(Supply).options(options.clone()).connect().await?;
/// # let client = Client::connect("Ada", options).await?;
/// use labwire_client::AttributeDescription;
///
/// let described = client.link("Supply").await?.describe().await?;
/// let set: &AttributeDescription = &described.attributes["set"];
/// assert_eq!(set.signature.as_deref(), Some("(voltage: float, channel: int = 1) -> None"));
/// assert_eq!(set.description, "Sets the voltage of a channel.");
/// assert_eq!((set.value.as_ref(), set.parameters.len()), (None, 2));
/// # Ok(())
/// # }); }
/// ```
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct AttributeDescription {
    /// The signature of a method, as in `(x: float, y: float = 1.0) -> float`; `None` for a value.
    pub signature: Option<String>,
    /// The value; `None` for a method.
    pub value: Option<Value>,
    /// The description of the attribute.
    pub description: String,
    /// The parameters of a method, in order.
    pub parameters: Vec<ParameterDescription>,
}

/// The documentation of a parameter.
///
/// ```
/// # mod support { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/lab.rs")); }
/// # use labwire_service::{Runner, service};
/// # struct Supply;
/// # #[service]
/// # impl Supply {
/// #     /// Sets the voltage of a channel.
/// #     pub fn set(&self, voltage: f64, #[default(1)] channel: u8) {}
/// # }
/// # fn main() { support::empty_lab(|options| async move {
/// # use labwire_client::Client;
/// # let service = Runner::new(Supply).options(options.clone()).connect().await?;
/// # let client = Client::connect("Ada", options).await?;
/// use labwire_client::ParameterDescription;
///
/// let described = client.link("Supply").await?.describe().await?;
/// let channel: &ParameterDescription = &described.attributes["set"].parameters[1];
/// assert_eq!(channel.name, "channel");
/// assert_eq!((channel.kind.as_deref(), channel.default.as_deref()), (Some("int"), Some("1")));
/// # Ok(())
/// # }); }
/// ```
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct ParameterDescription {
    /// The parameter's name.
    pub name: String,
    /// The type, as in `float`.
    #[serde(rename = "type")]
    pub kind: Option<String>,
    /// The default value in Python's notation; `None` if an argument is required.
    pub default: Option<String>,
}

/// Converts the outcome of a service's `describe()`: a missing attribute means that the service has
/// no description.
pub(crate) fn description(
    outcome: Result<ServiceDescription, CallError>,
) -> Result<ServiceDescription, CallError> {
    match outcome {
        Err(CallError::Service { service, message, .. }) if message.starts_with("AttributeError") => {
            Err(CallError::NotDescribed { service })
        }
        described => described,
    }
}
