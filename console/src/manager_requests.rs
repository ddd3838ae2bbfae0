//! The requests that a manager itself answers, as `labwire describe Manager` and `labwire admin --help` list
//! them.

use std::fmt::Write;

use labwire_client::Identities;
use labwire_wire::MANAGER_NAME;
use serde::Serialize;

use crate::failure::Failure;
use crate::near::did_you_mean;
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
#[rustfmt::skip]
const OF_EVERYONE: [Request; 14] = [
    ("identity", "", Both, "the manager and all its peers"),
    ("link", "SERVICE", Both, "link with a service"),
    ("unlink", "SERVICE", Both, "end the link"),
    ("acquire_lock", "SERVICE [shared= wait= ttl=]", Both, "lock a service"),
    ("renew_lock", "SERVICE [ttl=]", Labwire, "let your lock last longer"),
    ("release_lock", "SERVICE", Both, "release your lock"),
    ("cancel", "UID [reason=]", Labwire, "cancel a request of yours"),
    ("publish", "TOPIC VALUE [retain=]", Labwire, "send a value to subscribers"),
    ("subscribe", "TOPIC", Labwire, "receive the values of a topic"),
    ("unsubscribe", "TOPIC", Labwire, "receive them no more"),
    ("status", "[kind= after=]", Labwire, "what services and clients do"),
    ("approvals", "[after=]", Labwire, "what waits for your approval"),
    ("approve", "ID", Labwire, "let a request go on that waits"),
    ("refuse", "ID [reason=]", Labwire, "refuse a request that waits"),
];

/// The requests of administrators, in the order of protocol.md as far as they are about one thing.
#[rustfmt::skip]
const OF_ADMINISTRATORS: [Request; 54] = [
    ("sessions", "", Labwire, "who has logged in"),
    ("stats", "", Labwire, "the manager's counters"),
    ("history", "[service= user= peer= kind= outcome= since= until= before= after= limit=]", Labwire, "a page of the record"),
    ("break_lock", "SERVICE [client= reason=]", Labwire, "end the lock of another client"),
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
    ("users_table.is_password_valid", "NAME PASSWORD", Both, "is it the password?"),
    ("users_table.insert", "NAME PASSWORD IS_ADMIN", Both, "add a user"),
    ("users_table.update", "NAME [password= is_admin=]", Both, "change a user"),
    ("users_table.delete", "NAME", Both, "remove a user"),
    ("hostnames_table.hostnames", "", Both, "the trusted computers"),
    ("hostnames_table.insert", "HOSTNAME", Both, "trust a computer"),
    ("hostnames_table.delete", "HOSTNAME", Both, "trust it no more"),
    ("connections_table.connections", "[start= end=]", Both, "the log of connections"),
    ("access.groups", "", Labwire, "the groups and their members"),
    ("access.roles", "", Labwire, "the roles and their permissions"),
    ("access.sets", "", Labwire, "the sets and their patterns"),
    ("access.grants", "", Labwire, "who was granted which role"),
    ("access.add_group", "GROUP", Labwire, "add a group of users"),
    ("access.remove_group", "GROUP", Labwire, "remove a group"),
    ("access.join_group", "GROUP USER", Labwire, "add a user to a group"),
    ("access.leave_group", "GROUP USER", Labwire, "remove a user from a group"),
    ("access.add_role", "ROLE PERMISSIONS", Labwire, "add a role, or permissions"),
    ("access.remove_role", "ROLE [permissions=]", Labwire, "remove a role, or permissions"),
    ("access.add_set", "SET PATTERNS", Labwire, "add a set, or patterns"),
    ("access.remove_set", "SET [patterns=]", Labwire, "remove a set, or patterns"),
    ("access.labels", "", Labwire, "the labels of services"),
    ("access.add_label", "SERVICE LABELS", Labwire, "give a service labels"),
    ("access.remove_label", "SERVICE [labels=]", Labwire, "take labels of a service back"),
    ("access.grant", "ROLE user=|group= [on= until=]", Labwire, "grant a role"),
    ("access.revoke", "ID", Labwire, "end a grant"),
    ("access.users", "", Labwire, "the users, disabled or not"),
    ("access.disable_user", "USER [reason=]", Labwire, "keep a user out"),
    ("access.enable_user", "USER", Labwire, "let a user in again"),
    ("access.set_user", "USER [full_name= email=]", Labwire, "who a user is"),
    ("access.tokens", "", Labwire, "the tokens, without secrets"),
    ("access.add_token", "USER may=|register= [until=]", Labwire, "add a token"),
    ("access.revoke_token", "ID", Labwire, "end a token"),
    ("access.totp", "", Labwire, "the second factors of users"),
    ("access.enable_totp", "USER", Labwire, "give a user a second factor"),
    ("access.confirm_totp", "USER CODE", Labwire, "ask for it from now on"),
    ("access.disable_totp", "USER", Labwire, "end it"),
    ("access.new_totp_codes", "USER", Labwire, "new recovery codes"),
    ("access.explain", "USER PERMISSION", Labwire, "may a user do it, and why?"),
];

/// The columns of a request with its arguments.
const COLUMNS: usize = 46;

/// Adds a request to a text: with its meaning in a column of its own, and more lines if its arguments are
/// too long for one.
fn add_line(text: &mut String, (name, arguments, _, meaning): &Request) {
    let indent = name.len() + 1;
    let room = COLUMNS.saturating_sub(indent + 1);
    let (mut lines, mut line) = (Vec::new(), String::new());
    for word in arguments.split_whitespace() {
        if !line.is_empty() && line.len() + 1 + word.len() > room {
            lines.push(std::mem::take(&mut line));
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
    }
    lines.push(line);
    let mut lines = lines.iter();
    let first = lines.next().map(String::as_str).unwrap_or_default();
    let rest = COLUMNS - indent;
    // Writing to a string cannot fail.
    let _ = writeln!(text, "  {STRONG}{name}{STRONG:#} {first:<rest$}{meaning}");
    for line in lines {
        let _ = writeln!(text, "{:indent$}  {line}", "");
    }
}

/// Returns a line for each request of administrators.
pub(crate) fn of_administrators() -> String {
    let mut text = String::new();
    for request in &OF_ADMINISTRATORS {
        add_line(&mut text, request);
    }
    text
}

/// Returns a hint about a request that the manager refused; `None` if it is known here.
pub(crate) fn hint(attribute: &str) -> Option<String> {
    let known = || {
        OF_ADMINISTRATORS
            .iter()
            .chain(&OF_EVERYONE)
            .map(|(name, ..)| *name)
    };
    if known().any(|name| name == attribute) {
        return None;
    }
    let list = || "list the requests with: labwire admin --help".to_owned();
    Some(did_you_mean(attribute, known()).unwrap_or_else(list))
}

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
    let lists = [
        ("Requests of everyone", &OF_EVERYONE[..], false),
        (
            "Requests of administrators, with labwire admin",
            &OF_ADMINISTRATORS[..],
            true,
        ),
    ]
    .map(|(title, requests, is_admin)| {
        let answered = requests.iter().filter(|(_, _, of, _)| is_labwire || *of == Both);
        (title, answered, is_admin)
    });
    let address = format!("{}:{}", identities.hostname, identities.port);
    if is_json {
        let attributes = lists.into_iter().flat_map(|(_, requests, administrator)| {
            requests.map(move |&(name, arguments, _, description)| Attribute {
                name,
                arguments,
                administrator,
                description,
            })
        });
        return say_json(&Described {
            name: MANAGER_NAME,
            address,
            language: &identities.language,
            os: &identities.os,
            attributes: attributes.collect(),
        });
    }
    let mut text = format!("{STRONG}{MANAGER_NAME}{STRONG:#}\n");
    let origin = format!("{}, {} at {address}", identities.language, identities.os);
    // Writing to a string cannot fail.
    let _ = writeln!(text, "{FAINT}{}{FAINT:#}", one_line(&origin));
    for (title, requests, _) in lists {
        let _ = writeln!(text, "\n{title}:");
        for request in requests {
            add_line(&mut text, request);
        }
    }
    say(text.trim_end())
}

#[cfg(test)]
mod tests {
    use anstream::adapter::strip_str;

    use super::*;

    #[test]
    fn each_request_has_lines_of_80_columns() {
        for request in OF_EVERYONE.iter().chain(&OF_ADMINISTRATORS) {
            let mut text = String::new();
            add_line(&mut text, request);
            let text = strip_str(&text).to_string();
            assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
            let words = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
            let (mut shown, mut expected) = (words(&text), words(request.0));
            expected.extend(words(request.1));
            expected.extend(words(request.3));
            shown.sort_unstable();
            expected.sort_unstable();
            assert_eq!(shown, expected);
        }
    }

    #[test]
    fn every_request_of_administrators_in_the_documentation_is_listed() {
        let protocol = include_str!("../../protocol.md");
        let (_, section) = protocol.split_once("\n## Administration\n").unwrap();
        let (_, rows) = section
            .split_once("| attribute | arguments | result |\n")
            .unwrap();
        let rows = rows.lines().skip(1).take_while(|line| line.starts_with('|'));
        let mut documented: Vec<_> = rows
            .flat_map(|row| {
                let cell = row.split('|').nth(1).unwrap();
                // Behind it are other names of the same.
                let cell = cell.split("(also").next().unwrap();
                cell.split('`').skip(1).step_by(2)
            })
            .collect();
        documented.sort_unstable();
        let mut listed = OF_ADMINISTRATORS.map(|(name, ..)| name);
        listed.sort_unstable();
        assert_eq!(listed, documented[..]);
    }

    #[test]
    fn a_misspelt_request_has_a_suggestion() {
        for (typed, expected) in [
            ("break_lok", Some("did you mean 'break_lock'?")),
            ("user_table.users", Some("did you mean 'users_table.users'?")),
            ("stat", Some("did you mean 'stats'?")),
            ("nonsense", Some("list the requests with: labwire admin --help")),
            ("break_lock", None),
            ("status", None),
        ] {
            assert_eq!(hint(typed).as_deref(), expected, "{typed}");
        }
    }
}
