//! The requests that a manager itself answers, as `labwire describe Manager` lists them.

use std::fmt::Write;

use labwire_client::Identities;
use labwire_wire::MANAGER_NAME;
use serde::Serialize;

use crate::failure::Failure;
use crate::output::{FAINT, STRONG, one_line, say, say_json};
use crate::report::is_reported;

/// Which managers answer a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Of {
    /// MSL-Network's, too.
    Both,
    Labwire,
}

use Of::{Both, Labwire};

/// A request: its name, its arguments as they are typed, which managers answer it, and what it does.
type Request = (&'static str, &'static str, Of, &'static str);

/// The requests of everyone. For most there is a command or a word of the shell.
const OF_EVERYONE: [Request; 11] = [
    ("identity", "", Both, "the manager and all its peers"),
    ("link", "SERVICE", Both, "link with a service"),
    ("unlink", "SERVICE", Both, "end the link"),
    (
        "acquire_lock",
        "SERVICE [shared= wait= ttl=]",
        Both,
        "lock a service",
    ),
    (
        "renew_lock",
        "SERVICE [ttl=]",
        Labwire,
        "let your lock last longer",
    ),
    ("release_lock", "SERVICE", Both, "release your lock"),
    ("cancel", "UID [reason=]", Labwire, "cancel a request of yours"),
    (
        "publish",
        "TOPIC VALUE [retain=]",
        Labwire,
        "send a value to subscribers",
    ),
    ("subscribe", "TOPIC", Labwire, "receive the values of a topic"),
    ("unsubscribe", "TOPIC", Labwire, "receive them no more"),
    (
        "status",
        "[kind= after=]",
        Labwire,
        "what services and clients do",
    ),
];

/// The requests of administrators.
const OF_ADMINISTRATORS: [Request; 23] = [
    ("sessions", "", Labwire, "who has logged in"),
    ("stats", "", Labwire, "the manager's counters"),
    (
        "break_lock",
        "SERVICE [client= reason=]",
        Labwire,
        "end the lock of another client",
    ),
    ("clients", "", Both, "the clients"),
    ("services", "", Both, "the services"),
    ("service_links", "", Both, "who is linked with which service"),
    ("service_locks", "", Both, "who has locked which service"),
    ("port", "", Both, "the manager's port"),
    ("password", "", Both, "null, or an error if it has one"),
    ("set_logging_level", "LEVEL", Both, "log more or less from now on"),
    ("shutdown_manager", "", Both, "stop the manager"),
    ("users_table.users", "", Both, "the users and their rights"),
    ("users_table.usernames", "", Both, "the names of the users"),
    ("users_table.is_user_registered", "NAME", Both, "is it a user?"),
    ("users_table.is_admin", "NAME", Both, "is it an administrator?"),
    (
        "users_table.is_password_valid",
        "NAME PASSWORD",
        Both,
        "is it the password?",
    ),
    ("users_table.insert", "NAME PASSWORD IS_ADMIN", Both, "add a user"),
    (
        "users_table.update",
        "NAME [password= is_admin=]",
        Both,
        "change a user",
    ),
    ("users_table.delete", "NAME", Both, "remove a user"),
    ("hostnames_table.hostnames", "", Both, "the trusted computers"),
    ("hostnames_table.insert", "HOSTNAME", Both, "trust a computer"),
    ("hostnames_table.delete", "HOSTNAME", Both, "trust it no more"),
    (
        "connections_table.connections",
        "[start= end=]",
        Both,
        "the log of connections",
    ),
];

/// The columns of a request with its arguments.
const COLUMNS: usize = 46;

/// A manager, as an object of JSON.
#[derive(Serialize)]
struct Described<'a> {
    name: &'static str,
    address: String,
    language: &'a str,
    os: &'a str,
    attributes: Vec<Attribute>,
}

/// A request, as an object of JSON.
#[derive(Serialize)]
struct Attribute {
    name: &'static str,
    arguments: &'static str,
    /// Whether only administrators may send it.
    administrator: bool,
    description: &'static str,
}

/// Shows the manager with the requests that it answers itself.
pub(crate) fn show(identities: &Identities, is_json: bool) -> Result<(), Failure> {
    let is_labwire = is_reported(identities);
    let answered = |requests: &'static [Request]| {
        let answered = requests.iter();
        answered.filter(move |(_, _, of, _)| is_labwire || *of == Both)
    };
    let address = format!("{}:{}", identities.hostname, identities.port);
    if is_json {
        let attribute = |is_admin| {
            move |&(name, arguments, _, description): &Request| Attribute {
                name,
                arguments,
                administrator: is_admin,
                description,
            }
        };
        let of_everyone = answered(&OF_EVERYONE).map(attribute(false));
        return say_json(&Described {
            name: MANAGER_NAME,
            address,
            language: &identities.language,
            os: &identities.os,
            attributes: of_everyone
                .chain(answered(&OF_ADMINISTRATORS).map(attribute(true)))
                .collect(),
        });
    }
    let mut text = format!("{STRONG}{MANAGER_NAME}{STRONG:#}\n");
    let origin = format!("{}, {} at {address}", identities.language, identities.os);
    // Writing to a string cannot fail.
    let _ = writeln!(text, "{FAINT}{}{FAINT:#}", one_line(&origin));
    for (title, requests) in [
        ("Requests of everyone", answered(&OF_EVERYONE)),
        (
            "Requests of administrators, with labwire admin",
            answered(&OF_ADMINISTRATORS),
        ),
    ] {
        let _ = writeln!(text, "\n{title}:");
        for (name, arguments, _, meaning) in requests {
            let rest = COLUMNS.saturating_sub(name.len() + 1);
            let _ = writeln!(text, "  {STRONG}{name}{STRONG:#} {arguments:<rest$}{meaning}");
        }
    }
    say(text.trim_end())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_request_has_a_line_of_80_columns() {
        for (name, arguments, _, meaning) in OF_EVERYONE.iter().chain(&OF_ADMINISTRATORS) {
            assert!(name.len() + 1 + arguments.len() < COLUMNS, "{name}");
            assert!(2 + COLUMNS + meaning.chars().count() <= 80, "{name}");
        }
    }
}
