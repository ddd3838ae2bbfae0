//! The arguments of requests that the manager itself answers.

use labwire_wire::{Envelope, Member, Uid};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::refusal::Refusal;
use crate::registry::{Page, PageKind};

/// Positional and keyword arguments.
#[derive(Debug)]
pub(crate) struct Arguments {
    positional: Vec<Value>,
    keyword: Map<String, Value>,
}

impl Arguments {
    /// Parses the arguments of a request. Returns `None` if that fails, for example for `NaN`.
    pub(crate) fn read(content: &[u8], envelope: &Envelope) -> Option<Self> {
        Some(Self {
            positional: read(content, envelope, Member::Args)?,
            keyword: read(content, envelope, Member::Kwargs)?,
        })
    }

    /// Assigns the arguments to `parameters`, in their order. Returns `None` if one does not fit.
    pub(crate) fn bind(mut self, parameters: &[&str]) -> Option<Vec<Option<Value>>> {
        if self.positional.len() > parameters.len() {
            return None;
        }
        let mut values: Vec<Option<Value>> = self.positional.into_iter().map(Some).collect();
        for parameter in &parameters[values.len()..] {
            values.push(self.keyword.remove(*parameter));
        }
        self.keyword.is_empty().then_some(values)
    }
}

fn read<T: Default + DeserializeOwned>(content: &[u8], envelope: &Envelope, member: Member) -> Option<T> {
    match envelope.raw(content, member) {
        None | Some(b"null") => Some(T::default()),
        Some(raw) => serde_json::from_slice(raw).ok(),
    }
}

/// An administrator's request.
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) attribute: String,
    pub(crate) uid: Uid<'static>,
    /// `None` if the arguments cannot be parsed.
    pub(crate) arguments: Option<Arguments>,
}

/// Parses the arguments `kind` and `after` of a request for the status.
///
/// # Errors
/// [`Refusal::Arguments`].
pub(super) fn read_page(content: &[u8], envelope: &Envelope) -> Result<Page, Refusal> {
    let values = Arguments::read(content, envelope).and_then(|arguments| arguments.bind(&["kind", "after"]));
    let page = values.and_then(|values| {
        let text = |index: usize, default| match values.get(index) {
            None | Some(None | Some(Value::Null)) => Some(default),
            Some(Some(value)) => value.as_str(),
        };
        let kind = match text(0, "services")? {
            "services" => PageKind::Services,
            "clients" => PageKind::Clients,
            _ => return None,
        };
        let after = text(1, "")?.to_owned();
        Some(Page { kind, after })
    });
    page.ok_or_else(|| Refusal::Arguments {
        attribute: "status".to_owned(),
        expected: "kind=\"services\" or \"clients\" and, if wanted, after=\"NAME\"",
    })
}

/// The arguments of requests about links and locks.
pub(super) struct LinkArguments {
    pub(super) service: String,
    pub(super) shared: bool,
}

impl LinkArguments {
    /// Parses the arguments of the request with that attribute.
    pub(super) fn read(attribute: &str, content: &[u8], envelope: &Envelope) -> Result<Self, Refusal> {
        let (parameters, expected): (&[&str], _) = if attribute == "acquire_lock" {
            (
                &["service", "shared"],
                "the name of a service and, as shared=true or shared=false, whether the lock is shared",
            )
        } else {
            (&["service"], "the name of a service")
        };
        let bound = Arguments::read(content, envelope).and_then(|arguments| arguments.bind(parameters));
        let mut values = bound.unwrap_or_default().into_iter();
        match (values.next().flatten(), values.next().flatten()) {
            (Some(Value::String(service)), None) => Ok(Self {
                service,
                shared: false,
            }),
            (Some(Value::String(service)), Some(Value::Bool(shared))) => Ok(Self { service, shared }),
            _ => Err(Refusal::Arguments {
                attribute: attribute.to_owned(),
                expected,
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn bind(line: &str, parameters: &[&str]) -> Option<Vec<Option<Value>>> {
        let envelope = Envelope::scan(line.as_bytes()).unwrap();
        Arguments::read(line.as_bytes(), &envelope)?.bind(parameters)
    }

    #[test]
    fn arguments_bind_by_position_and_by_name() {
        let both = Some(vec![Some(json!("n")), Some(json!(true))]);
        assert_eq!(bind(r#"{"args":["n",true]}"#, &["name", "admin"]), both);
        assert_eq!(
            bind(r#"{"args":["n"],"kwargs":{"admin":true}}"#, &["name", "admin"]),
            both
        );
        assert_eq!(
            bind(r#"{"args":["n",true],"kwargs":null}"#, &["name", "admin"]),
            both
        );
        assert_eq!(
            bind(r#"{"kwargs":{"admin":true}}"#, &["name", "admin"]),
            Some(vec![None, Some(json!(true))])
        );
    }

    #[test]
    fn arguments_that_fit_no_parameter_are_refused() {
        for line in [
            r#"{"args":[1,2,3]}"#,
            r#"{"kwargs":{"x":1}}"#,
            r#"{"args":["n"],"kwargs":{"name":"m"}}"#,
        ] {
            assert_eq!(bind(line, &["name", "admin"]), None, "{line}");
        }
        assert_eq!(bind(r#"{"args":[NaN]}"#, &["name"]), None);
    }

    #[test]
    fn links_and_locks_take_a_service_and_only_locks_are_shared() {
        let read = |attribute: &str, line: &str| {
            let envelope = Envelope::scan(line.as_bytes()).unwrap();
            LinkArguments::read(attribute, line.as_bytes(), &envelope).map(|read| (read.service, read.shared))
        };
        let dmm = |shared| Ok(("DMM".to_owned(), shared));
        assert_eq!(read("link", r#"{"args":["DMM"]}"#), dmm(false));
        assert_eq!(read("link", r#"{"kwargs":{"service":"DMM"}}"#), dmm(false));
        assert_eq!(
            read("acquire_lock", r#"{"args":["DMM"],"kwargs":{"shared":true}}"#),
            dmm(true)
        );
        assert_eq!(read("acquire_lock", r#"{"args":["DMM",true]}"#), dmm(true));
        assert_eq!(read("acquire_lock", r#"{"args":["DMM"]}"#), dmm(false));
        for (attribute, line) in [
            ("link", "{}"),
            ("link", r#"{"args":[5]}"#),
            ("link", r#"{"args":["DMM"],"kwargs":{"shared":true}}"#),
            ("acquire_lock", r#"{"args":["DMM"],"kwargs":{"shared":1}}"#),
        ] {
            assert!(read(attribute, line).is_err(), "{attribute} {line}");
        }
    }
}
