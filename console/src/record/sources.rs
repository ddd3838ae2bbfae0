//! The sources of a recording, notifications, topics and repeated calls, as they are written on the command
//! line and in a file.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use labwire_client::Arguments;
use labwire_wire::{TopicError, TopicPattern};

use super::nesting::{arguments, closing};
use crate::key::Key;
use crate::names::is_name;
use crate::output::one_line;
use crate::seconds::Seconds;

/// The default timeout of a call.
pub(super) const TIMEOUT: Duration = Duration::from_secs(10);

const POLL_FORM: &str = "SERVICE.METHOD(ARGUMENTS) every TIME was expected, as in 'DMM.read(3) every 1s'";
const WATCH_FORM: &str = "SERVICE or SERVICE.KEY was expected, as in DMM.voltage";

/// A call that is repeated.
#[derive(Clone, Debug)]
pub(crate) struct Poll {
    pub(crate) service: Arc<str>,
    pub(crate) attribute: String,
    pub(crate) arguments: Arguments,
    /// The call as it was written, without the service.
    pub(crate) call: Arc<str>,
    pub(crate) every: Duration,
    pub(crate) timeout: Duration,
}

/// The notifications of a service, or one value of them.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Subscription {
    pub(crate) service: Arc<str>,
    pub(crate) key: Option<Key>,
}

/// The topics of a pattern.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Topics(pub(crate) Arc<str>);

impl FromStr for Topics {
    type Err = TopicError;

    fn from_str(text: &str) -> Result<Self, TopicError> {
        TopicPattern::new(text).map(|pattern| Self(Arc::from(pattern.as_str())))
    }
}

impl fmt::Display for Topics {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// Returns a source as it is written on the command line: a service, and a call or a key of it.
pub(super) fn written(service: &str, part: Option<&str>) -> String {
    let is_plain = |character: char| !character.is_whitespace() && !".\"'(".contains(character);
    let quote = if service.contains('"') { '\'' } else { '"' };
    let mut text = if service.chars().all(is_plain) {
        service.to_owned()
    } else {
        format!("{quote}{service}{quote}")
    };
    text.extend(part.into_iter().flat_map(|part| [".", part]));
    text
}

impl fmt::Display for Subscription {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let key = self.key.as_ref().map(ToString::to_string);
        formatter.write_str(&written(&self.service, key.as_deref()))
    }
}

impl fmt::Display for Poll {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&written(&self.service, Some(&self.call)))
    }
}

impl FromStr for Poll {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (service, rest) = if let Some((service, rest)) = quoted_name(text)? {
            (service, rest.strip_prefix('.').ok_or(POLL_FORM)?)
        } else {
            // The name of a service may contain points, that of a method does not.
            let end = text.find('(').or_else(|| text.find(" every "));
            let end = end.ok_or_else(|| unreadable(text))?;
            let before = text[..end].rsplit_once('.');
            let (service, method) = before.ok_or_else(|| unreadable(text))?;
            if !is_name(method) {
                return Err(unreadable(text));
            }
            (service.trim().to_owned(), &text[service.len() + 1..])
        };
        let end = rest.find(|character: char| character == '(' || character.is_whitespace());
        let (attribute, rest) = rest.split_at(end.ok_or(POLL_FORM)?);
        let (inner, times) = match rest.strip_prefix('(') {
            Some(rest) => {
                let close = closing(rest).ok_or("the parenthesis after the method is not closed")?;
                (&rest[..close], &rest[close + 1..])
            }
            None => ("", rest),
        };
        if service.is_empty() || attribute.is_empty() {
            return Err(POLL_FORM.to_owned());
        }
        let (every, timeout) = schedule(times)?;
        let written = &text[text.len() - rest.len() - attribute.len()..text.len() - times.len()];
        Ok(Self {
            service: Arc::from(service),
            attribute: attribute.to_owned(),
            arguments: arguments(inner)?,
            call: Arc::from(written),
            every,
            timeout: timeout.unwrap_or(TIMEOUT),
        })
    }
}

/// Returns the reason why a text is no call, with the call that its words may stand for: as on the
/// command line of `labwire call`, without points and parentheses.
fn unreadable(text: &str) -> String {
    let (call, schedule) = match text.find(" every ") {
        Some(end) => (&text[..end], text[end..].trim()),
        None => (text, "every 1s"),
    };
    let words: Vec<_> = call.split_whitespace().collect();
    let [service, method, values @ ..] = &words[..] else {
        return POLL_FORM.to_owned();
    };
    // What follows a whole call is its schedule.
    if service.contains('(') || (service.contains('.') && *method == "every") {
        return POLL_FORM.to_owned();
    }
    let service = written(service, None);
    let values = values.join(", ");
    let suggested = if method.contains('(') {
        format!("{service}.{method}{values} {schedule}")
    } else {
        format!("{service}.{method}({values}) {schedule}")
    };
    match suggested.parse::<Poll>() {
        Ok(_) => format!("did you mean '{}'?", one_line(&suggested)),
        Err(_) => POLL_FORM.to_owned(),
    }
}

impl FromStr for Subscription {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (service, key) = match quoted_name(text)? {
            Some((service, "")) => (service, None),
            Some((service, rest)) => (service, Some(rest.strip_prefix('.').ok_or(WATCH_FORM)?)),
            None => match text.split_once('.') {
                Some((service, key)) => (service.to_owned(), Some(key)),
                None => (text.to_owned(), None),
            },
        };
        if service.is_empty() {
            return Err(WATCH_FORM.to_owned());
        }
        Ok(Self {
            service: Arc::from(service),
            key: key.map(str::parse).transpose()?,
        })
    }
}

/// Splits a name in quotes from what follows it. Returns `None` if there are no quotes.
fn quoted_name(text: &str) -> Result<Option<(String, &str)>, String> {
    let Some(quote) = text.chars().next().filter(|first| matches!(first, '"' | '\'')) else {
        return Ok(None);
    };
    let (name, rest) = text[1..]
        .split_once(quote)
        .ok_or("the quotes around the service are not closed")?;
    Ok(Some((name.to_owned(), rest)))
}

/// Parses `every TIME`, which may be followed by `timeout TIME`.
fn schedule(text: &str) -> Result<(Duration, Option<Duration>), String> {
    let words: Vec<_> = text.split_whitespace().collect();
    let time = |text: &str| {
        let time: Result<Seconds, _> = text.parse();
        time.map(Seconds::duration)
            .map_err(|_| format!("{text} is not a time such as 0.5, 200ms, 1s or 10min"))
    };
    match words[..] {
        ["every", every] => Ok((time(every)?, None)),
        ["every", every, "timeout", timeout] => Ok((time(every)?, Some(time(timeout)?))),
        [] => Err(format!("how often? {POLL_FORM}")),
        _ => Err(format!(
            "after the call, 'every TIME' or 'every TIME timeout TIME' was expected, not '{}'",
            text.trim()
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn poll(text: &str) -> (String, String, String, String, String) {
        let poll: Poll = text.parse().unwrap_or_else(|error| panic!("{text}: {error}"));
        let (positional, keywords) = poll.arguments.finish().unwrap();
        (
            poll.service.to_string(),
            poll.attribute,
            positional,
            keywords,
            poll.call.to_string(),
        )
    }

    #[test]
    fn calls_are_written_as_in_a_program() {
        let expected = |service: &str, attribute: &str, positional: &str, keywords: &str, call: &str| {
            (
                service.to_owned(),
                attribute.to_owned(),
                positional.to_owned(),
                keywords.to_owned(),
                call.to_owned(),
            )
        };
        assert_eq!(
            poll("DMM.read(3) every 1s"),
            expected("DMM", "read", "[3]", "{}", "read(3)")
        );
        assert_eq!(
            poll("lab.DMM.read(-1e-6, [1, 2], 'a, b)', unit = \"V m\", n=2,) every 200ms timeout 5"),
            expected(
                "lab.DMM",
                "read",
                r#"[-1e-6,[1,2],"a, b)"]"#,
                r#"{"unit":"V m","n":2}"#,
                "read(-1e-6, [1, 2], 'a, b)', unit = \"V m\", n=2,)"
            )
        );
        assert_eq!(
            poll("'String Editor'.concat(a, it's) every 1min"),
            expected(
                "String Editor",
                "concat",
                r#"["a","it's"]"#,
                "{}",
                "concat(a, it's)"
            )
        );
        assert_eq!(
            poll("Oven.temperature every 2h"),
            expected("Oven", "temperature", "[]", "{}", "temperature")
        );
        let timed: Poll = "A.b() every 0.5 timeout 2min".parse().unwrap();
        assert_eq!(
            (timed.every, timed.timeout),
            (Duration::from_millis(500), Duration::from_mins(2))
        );
    }

    #[test]
    fn what_is_wrong_with_a_call_is_said() {
        for (text, reason) in [
            ("DMM.read(3)", "how often"),
            ("DMM.read(3) each 1s", "'every TIME'"),
            ("DMM.read(3 every 1s", "not closed"),
            ("DMM every 1s", "SERVICE.METHOD"),
            ("DMM read 1 every 1s", "did you mean 'DMM.read(1) every 1s'?"),
            ("DMM read 1.5 unit=V every 2s", "'DMM.read(1.5, unit=V) every 2s'"),
            ("lab.DMM read", "did you mean '\"lab.DMM\".read() every 1s'?"),
            ("DMM read(3) every 1s", "did you mean 'DMM.read(3) every 1s'?"),
            ("DMM read", "did you mean 'DMM.read() every 1s'?"),
            ("DMM.5 every 1s", "SERVICE.METHOD"),
            (".read() every 1s", "SERVICE.METHOD"),
            ("DMM.read(1,,2) every 1s", "missing"),
            ("DMM.read(-) every 1s", "standard input"),
            ("DMM.read(n=1, 2) every 1s", "values without a key"),
            ("DMM.read() every soon", "not a time"),
            ("'DMM.read() every 1s", "quotes"),
            ("DMM.read() every 0", "not a time"),
        ] {
            let error = text.parse::<Poll>().unwrap_err();
            assert!(error.contains(reason), "{text}: {error}");
        }
    }

    #[test]
    fn notifications_are_of_a_service_and_a_key() {
        let subscription = |text: &str| text.parse::<Subscription>();
        let expected = |service: &str, key: Option<&str>| {
            Ok(Subscription {
                service: Arc::from(service),
                key: key.map(|key| key.parse().unwrap()),
            })
        };
        assert_eq!(subscription("DMM"), expected("DMM", None));
        assert_eq!(subscription("DMM.probe.x"), expected("DMM", Some("probe.x")));
        assert_eq!(subscription("'lab.DMM'.0"), expected("lab.DMM", Some("0")));
        for text in [
            "DMM",
            "DMM.probe.x",
            "\"lab.DMM\".0",
            "\"Hewlett Packard\"",
            "'a\"b'.x",
        ] {
            assert_eq!(subscription(text).unwrap().to_string(), text);
        }
        for text in ["", ".x", "DMM.", "'DMM", "'DMM'x"] {
            assert!(subscription(text).is_err(), "{text}");
        }
    }
}
