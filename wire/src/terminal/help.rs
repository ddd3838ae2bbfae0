//! The reply to `help`.

use crate::frames::json_string;

/// The commands and their descriptions.
const WORDS: [(&str, &str); 12] = [
    ("client MY NAME", "say who you are, before anything else"),
    ("identity", "show the manager and who is connected"),
    ("whoami", "show your name on the network"),
    ("link SERVICE", "link with a service"),
    ("unlink SERVICE", "end the link"),
    (
        "lock SERVICE",
        "lock a service that nobody else is linked with; lock SERVICE shared: together with all linked clients; add ttl=60 to hold it for a minute, reason=\"a text\", wait=10 to wait for it for ten seconds",
    ),
    ("unlock SERVICE", "release your lock"),
    (
        "cancel",
        "ask for what you typed and has no answer yet to be stopped; cancel SERVICE: only what you asked that service",
    ),
    (
        "SERVICE ATTRIBUTE [value ...] [key=value ...]",
        "call a service; put names and texts with spaces in quotes, and a service's name that is one of these words",
    ),
    (
        "Manager subscribe TOPIC",
        "receive the values of a topic, or with * for any word and > for the rest, of all that match: lab.>; unsubscribe ends it",
    ),
    (
        "Manager publish TOPIC VALUE",
        "send a value to the subscribers of a topic; add retain=true to keep it for later ones",
    ),
    ("exit", "leave, as do quit and disconnect"),
];

/// Returns the commands and their descriptions: the JSON text of an object.
pub fn help() -> String {
    let members = WORDS.map(|(typed, meaning)| format!("{}:{}", json_string(typed), json_string(meaning)));
    format!("{{{}}}", members.join(","))
}
