//! Requests to the manager that concern the connection on which they are sent: its links, locks and
//! subscriptions. The shell sends requests to the manager on a second connection, where these would
//! belong to another client.

use labwire_wire::MANAGER_NAME;
use serde_json::Value;

use super::split::typed_name;
use crate::failure::Failure;
use crate::output::{one_line, shell_argument};

/// The request, and the word of the shell for it, or `None` for subscriptions.
const REQUESTS: [(&str, Option<&str>); 7] = [
    ("link", Some("link")),
    ("unlink", Some("unlink")),
    ("acquire_lock", Some("lock")),
    ("renew_lock", Some("lock")),
    ("release_lock", Some("unlock")),
    ("subscribe", None),
    ("unsubscribe", None),
];

/// Returns whether a request to a service is one that the shell does not send.
pub(super) fn is_of_connection(service: &str, attribute: &str) -> bool {
    service == MANAGER_NAME && REQUESTS.iter().any(|(name, _)| *name == attribute)
}

/// Returns the failure for such a request, with what to type instead. `args` are its arguments, as an
/// array of JSON.
pub(super) fn refused(attribute: &str, args: &str) -> Failure {
    let values = serde_json::from_str::<Vec<Value>>(args).unwrap_or_default();
    let first = values.first().and_then(Value::as_str).map(one_line);
    let word = REQUESTS.iter().find(|(name, _)| *name == attribute);
    let (reason, hint) = if let Some(word) = word.and_then(|(_, word)| *word) {
        let service = first.as_deref().map_or("SERVICE".to_owned(), typed_name);
        (
            "it has words for links and locks",
            format!("type: {word} {service}"),
        )
    } else {
        let pattern = first.as_deref().map_or("PATTERN".to_owned(), shell_argument);
        let command = format!("type in another terminal: labwire subscribe {pattern}");
        ("it shows no values of topics", command)
    };
    Failure::Usage(format!("the shell sends no {attribute} to the manager: {reason}")).with_hint(Some(hint))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_refusal_says_what_to_type_instead() {
        for (attribute, args, expected) in [
            ("link", r#"["DMM"]"#, "type: link DMM"),
            ("acquire_lock", r#"["My DMM", true]"#, "type: lock \"My DMM\""),
            ("release_lock", "[]", "type: unlock SERVICE"),
            (
                "subscribe",
                r#"["lab.x"]"#,
                "type in another terminal: labwire subscribe lab.x",
            ),
        ] {
            assert!(is_of_connection(MANAGER_NAME, attribute));
            let text = refused(attribute, args).to_string();
            assert!(text.contains(expected), "{text}");
        }
        assert!(!is_of_connection(MANAGER_NAME, "break_lock"));
        assert!(!is_of_connection("DMM", "link"));
    }
}
