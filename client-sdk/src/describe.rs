//! What a service tells about itself.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::error::CallError;
use crate::value::Value;

/// What a service tells about itself, for people.
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
    /// What it is.
    pub description: String,
    /// What it offers, by name.
    pub attributes: BTreeMap<String, AttributeDescription>,
}

/// What a service tells about one of its attributes.
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
    /// How it is called, as in `(x: float, y: float = 1.0) -> float`; a value has none.
    pub signature: Option<String>,
    /// The value; a method has none.
    pub value: Option<Value>,
    /// What it does.
    pub description: String,
    /// What it takes, in order.
    pub parameters: Vec<ParameterDescription>,
}

/// What a service tells about a parameter.
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
    /// Its name.
    pub name: String,
    /// The type of its values, as in `float`.
    #[serde(rename = "type")]
    pub kind: Option<String>,
    /// The value that it has when none is given, as Python writes it.
    pub default: Option<String>,
}

/// What an outcome of a service's `describe()` means.
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
