//! The manager's kind, and the service that programs want to use.

use labwire_client::{CallError, Identities};
use labwire_home::nearest;
use tokio::time::timeout;

use super::home::start_in;
use super::refusals::Refusal;
use super::report::{Check, Kind};
use super::subject::Subject;
use crate::connection::Connection;
use crate::counted::counted;
use crate::failure::{Failure, without_exception};
use crate::near::{did_you_mean, not_connected, not_in_sight};
use crate::output::{list, one_line};
use crate::permission::Lacking;
use crate::report::{hides_services, is_reported};

/// The maximum number of services that are listed.
const LISTED: usize = 10;

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
    let connected = format!(
        "connected are {} and {}",
        counted(clients, "client"),
        counted(services, "service")
    );
    let check = if is_reported(&identities) {
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
            "to use Labwire with the users, keys and certificates of this manager, stop it and start, on its computer and with \
             its other options",
            start_in("~/.msl/network"),
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
    let is_listed = identities.services.contains_key(name);
    // A manager with roles does not list what this client may not see, and says what it lacks.
    if !is_listed && !is_reported(identities) {
        return missing(subject, identities, name, false);
    }
    let linked = timeout(connection.limit(), connection.client().link(name)).await;
    let Ok(linked) = linked else {
        let text = "the manager has not answered a request to link in time (--connect-timeout)";
        return Check::failed(CHECK, "no-link", Failure::TimedOut, text.to_owned());
    };
    let link = match linked {
        Ok(link) => link,
        Err(CallError::Manager { message, .. }) => {
            if let Some(lacking) = Lacking::read(&message) {
                return not_permitted(&message, &lacking, name, identities);
            }
            if !is_listed {
                let is_hiding = hides_services(connection, identities).await;
                return missing(subject, identities, name, is_hiding.unwrap_or(false));
            }
            return not_linked(&shown, &message);
        }
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

/// Explains which permission is missing. A service that is not listed may be misspelt.
fn not_permitted(message: &str, lacking: &Lacking<'_>, name: &str, identities: &Identities) -> Check {
    let text = one_line(without_exception(message));
    let check = Check::failed("service", "not-permitted", REFUSED, text).remedy(lacking.hint(None));
    let known = identities.services.keys().map(String::as_str);
    match did_you_mean(name, known).filter(|_| !identities.services.contains_key(name)) {
        Some(hint) => check.remedy(hint),
        None => check,
    }
}

/// Explains that a service is not connected. `is_hiding` is whether the manager has services that it does not
/// list.
fn missing(subject: &Subject, identities: &Identities, name: &str, is_hiding: bool) -> Check {
    const CHECK: &str = "service";
    let shown = one_line(name);
    let mut names = identities.services.keys().map(String::as_str);
    let same_but_case = names
        .clone()
        .find(|other| other.to_lowercase() == name.to_lowercase());
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
        .command(
            "use the name as the service writes it",
            subject.doctor_of_service(near),
        );
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
        .command("check that one", subject.doctor_of_service(near));
    }
    let connected = list(names.by_ref(), LISTED);
    let connected = if connected.is_empty() {
        "no service is".to_owned()
    } else {
        format!("connected are {connected}")
    };
    Check::failed(
        CHECK,
        "not-connected",
        REFUSED,
        format!(
            "{}; {connected}",
            if is_hiding {
                not_in_sight(name)
            } else {
                not_connected(name)
            }
        ),
    )
    .remedy("start the service, and check its output: it may have connected to another manager")
}

/// Explains why a client cannot link.
fn not_linked(name: &str, message: &str) -> Check {
    const CHECK: &str = "service";
    let message = without_exception(message);
    let failed = |problem, text: String| Check::failed(CHECK, problem, REFUSED, text);
    match Refusal::read(message) {
        Some(Refusal::ServiceFull) => failed(
            "limit-reached",
            format!(
                "'{name}' is connected, but as many clients are linked with it as it allows{}",
                linked(message)
            ),
        )
        .remedy("unlink one of these clients, or start the service with a higher limit (max_clients)"),
        Some(Refusal::ServiceLocked) => failed(
            "locked",
            format!("'{name}' is connected, but no client can link with it now: {message}"),
        )
        .remedy("wait until the lock is released, or have its holder release it"),
        _ => failed(
            "no-link",
            format!("'{name}' is connected, but no client can link with it: {message}"),
        ),
    }
}

/// Returns the clients that a refusal names in its indented lines, as the end of a sentence.
fn linked(message: &str) -> String {
    let lines = message.lines().filter(|line| line.starts_with(' '));
    let clients: Vec<_> = lines.map(|line| one_line(line.trim())).collect();
    if clients.is_empty() {
        return String::new();
    }
    format!(": {}", clients.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clients_of_a_service_at_its_limit_are_a_list() {
        let message = "PermissionError: The maximum number of Clients are already linked with 'S'\nThe linked \
                       Clients are:\n  Ada[pc:1]\n  Bob[pc:2]\n  and 968 more";
        assert_eq!(linked(message), ": Ada[pc:1], Bob[pc:2], and 968 more");
        assert_eq!(linked("PermissionError: full"), "");
    }
}
