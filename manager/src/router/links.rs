//! What requests about links and locks are given.

use labwire_wire::{Envelope, Member};

use super::incoming::read_json;
use crate::refusal::Refusal;

/// The arguments of the requests about links and locks: the service, by position or as `service=…`, and
/// whether a lock is shared.
pub(super) struct LinkArguments {
    pub(super) service: String,
    pub(super) shared: bool,
}

impl LinkArguments {
    /// Reads the arguments of the request with that attribute.
    pub(super) fn read(attribute: &str, content: &[u8], envelope: &Envelope) -> Result<Self, Refusal> {
        let expected = if attribute == "acquire_lock" {
            "the name of a service and, as shared=true or shared=false, whether the lock is shared"
        } else {
            "the name of a service"
        };
        let wrong = || Refusal::Arguments {
            attribute: attribute.to_owned(),
            expected,
        };
        let mut args: Vec<serde_json::Value> =
            read_json(envelope, content, Member::Args).ok_or_else(wrong)?;
        let mut kwargs: serde_json::Map<String, serde_json::Value> =
            read_json(envelope, content, Member::Kwargs).ok_or_else(wrong)?;
        let shared = if args.len() == 2 {
            args.pop()
        } else {
            kwargs.remove("shared")
        };
        let service = if args.len() == 1 {
            args.pop()
        } else {
            kwargs.remove("service")
        };
        match (service, shared) {
            _ if !args.is_empty() || !kwargs.is_empty() => Err(wrong()),
            (Some(serde_json::Value::String(service)), None) => Ok(Self {
                service,
                shared: false,
            }),
            (Some(serde_json::Value::String(service)), Some(serde_json::Value::Bool(shared)))
                if attribute == "acquire_lock" =>
            {
                Ok(Self { service, shared })
            }
            _ => Err(wrong()),
        }
    }
}
