//! What a service tells about itself.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::error::CallError;
use crate::link::Link;
use crate::value::Value;

/// What a service tells about itself, for people.
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

pub(crate) async fn read_description(link: &Link) -> Result<ServiceDescription, CallError> {
    match link.call("describe", ()).await {
        Err(CallError::Service { service, message, .. }) if message.starts_with("AttributeError") => {
            Err(CallError::NotDescribed { service })
        }
        described => described,
    }
}
