//! The manager's kind, and the service that programs want to use.

use labwire_client::{CallError, Identities};
use tokio::time::timeout;

use super::report::{Check, Kind};
use super::subject::Subject;
use crate::connection::Connection;
use crate::failure::Failure;
use crate::near::nearest;
use crate::output::{one_line, shell_argument};

const REFUSED: Kind = Failure::Refused;

/// Asks the manager what it is and who is connected.
pub(super) async fn check_manager(connection: &Connection) -> (Check, Option<Identities>) {
    const CHECK: &str = "manager";
    let identities = match connection.identities().await {
        Ok(identities) => identities,
        Err(error) => {
            let kind: Kind = match &error {
                Failure::TimedOut(_) => Failure::TimedOut,
                Failure::NoManager(_) => Failure::NoManager,
                _ => Failure::Failed,
            };
            let text = format!("the manager does not list its clients and services: {error}");
            return (Check::failed(CHECK, "no-identity", kind, text), None);
        }
    };
    let version = one_line(&identities.language);
    let (clients, services) = (identities.clients.len(), identities.services.len());
    let connected = format!("{clients} client(s) and {services} service(s) are connected");
    let check = if version.starts_with("Labwire") {
        Check::ok(CHECK, format!("{version}; {connected}"))
    } else {
        Check::warning(
            CHECK,
            "msl-network",
            format!(
                "this is a manager of MSL-Network ({version}), not of Labwire; {connected}. Programs can use it, but \
                 a caller waits for ever when a service leaves or does not answer, locks and limits of services bind \
                 linked clients only, a peer that stops reading delays all others, and `labwire admin stats` and \
                 `sessions` are not there"
            ),
        )
        .remedy("give calls a time limit, such as --timeout of labwire call")
        .command(
            "to use Labwire with the users, keys and certificates of this manager, stop it and start, on its computer",
            "MSL_NETWORK_HOME=~/.msl/network labwire start",
        )
    };
    (check, Some(identities))
}

/// Checks that the service is connected, and that a client can link with it.
pub(super) async fn check(
    subject: &Subject,
    connection: &Connection,
    identities: &Identities,
    name: &str,
) -> Check {
    const CHECK: &str = "service";
    let shown = one_line(name);
    if !identities.services.contains_key(name) {
        return missing(subject, identities, name);
    }
    let linked = timeout(connection.limit(), connection.client().link(name)).await;
    let Ok(linked) = linked else {
        let text = "the manager has not answered a request to link in time (--connect-timeout)";
        return Check::failed(CHECK, "no-link", Failure::TimedOut, text.to_owned());
    };
    let link = match linked {
        Ok(link) => link,
        Err(CallError::Manager { message, .. }) => return not_linked(&shown, &message),
        Err(error) => {
            return Check::failed(CHECK, "no-link", Failure::Failed, error.to_string());
        }
    };
    let check = Check::ok(
        CHECK,
        format!("'{shown}' is connected, and clients can link with it"),
    );
    // Unlinks at once, not when the connection ends.
    let _ = link.unlink().await;
    check
}

fn missing(subject: &Subject, identities: &Identities, name: &str) -> Check {
    const CHECK: &str = "service";
    let shown = one_line(name);
    let mut names = identities.services.keys().map(String::as_str);
    let same_but_case = names
        .clone()
        .find(|other| other.to_lowercase() == name.to_lowercase());
    let again = |near: &str| {
        format!(
            "labwire doctor {} --service {}",
            subject.argument(),
            shell_argument(near)
        )
    };
    if let Some(near) = same_but_case {
        return Check::failed(
            CHECK,
            "other-case",
            REFUSED,
            format!(
                "no service '{shown}' is connected, but '{}': upper and lower case count",
                one_line(near)
            ),
        )
        .command("use the name as the service writes it", again(near));
    }
    if let Some(near) = nearest(name, names.clone()) {
        return Check::failed(
            CHECK,
            "misspelt",
            REFUSED,
            format!(
                "no service '{shown}' is connected; did you mean '{}'?",
                one_line(near)
            ),
        )
        .command("check that one", again(near));
    }
    let connected: Vec<_> = names.by_ref().take(10).map(one_line).collect();
    let connected = if connected.is_empty() {
        "no service is".to_owned()
    } else {
        format!("connected are {}", connected.join(", "))
    };
    Check::failed(
        CHECK,
        "not-connected",
        REFUSED,
        format!("no service '{shown}' is connected; {connected}"),
    )
    .remedy("start the service, and check its output: it may have connected to another manager")
}

/// Explains why a client cannot link. The manager's refusal is a text alone.
fn not_linked(name: &str, message: &str) -> Check {
    const CHECK: &str = "service";
    let (problem, remedy) = if message.contains("maximum number of Clients") {
        (
            "limit-reached",
            "unlink one of these clients, or start the service with a higher limit (max_clients)",
        )
    } else if message.contains("is locked") {
        (
            "locked",
            "wait until the lock is released, or have its holder release it",
        )
    } else {
        ("no-link", "see the message of the manager")
    };
    let message = message.split_whitespace().collect::<Vec<_>>().join(" ");
    Check::failed(
        CHECK,
        problem,
        REFUSED,
        format!("'{name}' is connected, but no client can link with it now: {message}"),
    )
    .remedy(remedy)
}
