//! The arguments of requests that the manager itself answers.

use std::ops::RangeInclusive;
use std::time::Duration;

use labwire_wire::{Envelope, Member, Uid};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::bounds::{MOST_REASON, TTL_SECONDS, WAIT_SECONDS};
use crate::refusal::{LockRefusal, Refusal};
use crate::registry::{Page, PageKind, Terms};

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

    /// Returns the text that is the first argument, or has that name.
    pub(crate) fn first_text(&self, name: &str) -> Option<&str> {
        let value = self.positional.first().or_else(|| self.keyword.get(name));
        value.and_then(Value::as_str)
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
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct LinkArguments {
    pub(super) service: String,
    pub(super) terms: Terms,
    /// How long a request for a lock may wait. `None`: it does not, and needs a link.
    pub(super) wait: Option<Duration>,
    /// Whether only a wait for a lock is to end, and not the lock.
    pub(super) wait_only: bool,
}

impl LinkArguments {
    /// Parses the arguments of the request with that attribute.
    ///
    /// # Errors
    /// [`Refusal::Arguments`], or the refusal of a number or text that is out of range.
    pub(super) fn read(attribute: &str, content: &[u8], envelope: &Envelope) -> Result<Self, Refusal> {
        let (parameters, expected): (&[&str], _) = match attribute {
            "acquire_lock" => (
                &["service", "shared", "ttl", "reason", "wait"],
                "the name of a service and, if wanted, shared=true or shared=false, ttl=SECONDS, reason=\"TEXT\" and \
                 wait=SECONDS",
            ),
            "renew_lock" => (
                &["service", "ttl"],
                "the name of a service and, if wanted, ttl=SECONDS",
            ),
            "release_lock" => (
                &["service", "wait_only"],
                "the name of a service and, if wanted, wait_only=true",
            ),
            _ => (&["service"], "the name of a service"),
        };
        let wrong = || Refusal::Arguments {
            attribute: attribute.to_owned(),
            expected,
        };
        let bound = Arguments::read(content, envelope).and_then(|arguments| arguments.bind(parameters));
        let values = parameters.iter().zip(bound.ok_or_else(wrong)?);
        let mut arguments = Self::default();
        let mut is_named = false;
        for (parameter, value) in values {
            match (*parameter, value) {
                ("service", Some(Value::String(service))) => {
                    (arguments.service, is_named) = (service, true);
                }
                ("shared", Some(Value::Bool(shared))) => arguments.terms.shared = shared,
                ("wait_only", Some(Value::Bool(wait_only))) => arguments.wait_only = wait_only,
                (_, None) | ("ttl" | "reason" | "wait", Some(Value::Null)) => {}
                ("ttl", Some(value)) => {
                    let ttl = seconds(&value, &TTL_SECONDS).ok_or(LockRefusal::Ttl)?;
                    arguments.terms.ttl = Some(ttl);
                }
                ("wait", Some(value)) => {
                    let wait = seconds(&value, &WAIT_SECONDS).ok_or(LockRefusal::Wait)?;
                    arguments.wait = Some(wait);
                }
                ("reason", Some(Value::String(reason))) if reason.len() <= MOST_REASON => {
                    arguments.terms.reason = Some(reason.into());
                }
                ("reason", Some(_)) => return Err(LockRefusal::Reason.into()),
                _ => return Err(wrong()),
            }
        }
        if is_named { Ok(arguments) } else { Err(wrong()) }
    }
}

/// Returns a number of seconds in that range as a duration.
fn seconds(value: &Value, range: &RangeInclusive<f64>) -> Option<Duration> {
    let seconds = value.as_f64().filter(|seconds| range.contains(seconds))?;
    Duration::try_from_secs_f64(seconds).ok()
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
            LinkArguments::read(attribute, line.as_bytes(), &envelope)
                .map(|read| (read.service, read.terms.shared))
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

    #[test]
    fn the_terms_of_a_lock_are_within_their_bounds() {
        let read = |attribute: &str, kwargs: &str| -> Result<_, Refusal> {
            let line = format!(r#"{{"args":["S"],"kwargs":{kwargs}}}"#);
            let envelope = Envelope::scan(line.as_bytes()).unwrap();
            let read = LinkArguments::read(attribute, line.as_bytes(), &envelope)?;
            Ok((read.terms.ttl, read.terms.reason, read.wait))
        };
        let acquire = |kwargs: &str| read("acquire_lock", kwargs);
        let seconds = |seconds| Some(Duration::from_secs_f64(seconds));
        assert_eq!(
            acquire(r#"{"ttl":null,"wait":null,"reason":null}"#),
            Ok((None, None, None))
        );
        assert_eq!(
            acquire(r#"{"ttl":1.5,"wait":0,"reason":"a test"}"#),
            Ok((seconds(1.5), Some("a test".into()), seconds(0.0)))
        );
        assert_eq!(
            read("renew_lock", r#"{"ttl":60}"#),
            Ok((seconds(60.0), None, None))
        );
        for wrong in ["0", "0.5", "-1", "1e9", "1e400", "\"60\"", "true", "[1]"] {
            let refused = acquire(&format!(r#"{{"ttl":{wrong}}}"#));
            // Numbers beyond those of Rust are no arguments.
            let is_refused =
                refused == Err(LockRefusal::Ttl.into()) || matches!(refused, Err(Refusal::Arguments { .. }));
            assert!(is_refused, "{wrong}");
        }
        for wrong in ["-0.1", "604801", "\"1\""] {
            let refused = acquire(&format!(r#"{{"wait":{wrong}}}"#));
            assert_eq!(refused, Err(LockRefusal::Wait.into()), "{wrong}");
        }
        let long = format!(r#"{{"reason":"{}"}}"#, "x".repeat(MOST_REASON + 1));
        assert_eq!(acquire(&long), Err(LockRefusal::Reason.into()));
        assert_eq!(acquire(r#"{"reason":5}"#), Err(LockRefusal::Reason.into()));
        assert!(matches!(
            read("renew_lock", r#"{"wait":5}"#),
            Err(Refusal::Arguments { .. })
        ));
    }
}
