//! Links with services, and what hinders them.

use jiff::Timestamp;
use labwire_client::{Arguments, CallError, Identities, Link, Value};
use labwire_home::present;

use crate::connection::Connection;
use crate::failure::Failure;
use crate::moment::moment;
use crate::near::{did_you_mean, not_connected, not_in_sight};
use crate::output::{one_line, shell_argument};
use crate::permission::{is_lacking, of_call};
use crate::report::{self, Peer, is_reported};
use crate::spelling::Spelled;

/// Links with a service. A refusal names the cause and the remedy.
pub(crate) async fn link(connection: &Connection, service: &str) -> Result<Link, Failure> {
    match connection.link(service).await {
        Err(refused @ Failure::Refused(_)) => Err(explained(connection, service, refused).await),
        linked => linked,
    }
}

/// As [`link`], to request this attribute.
pub(crate) async fn link_for_call(
    connection: &Connection,
    service: &str,
    attribute: &str,
) -> Result<Link, Failure> {
    let linked = link(connection, service).await;
    linked.map_err(|failure| of_call(failure, attribute))
}

/// Returns the cause of a refused link as the manager reports it. If it does not report any, returns
/// the refusal.
pub(crate) async fn explained(connection: &Connection, service: &str, refused: Failure) -> Failure {
    cause(
        connection,
        service,
        refused,
        |peer| peer.holders(present()),
        &wait_or_unlock,
    )
    .await
}

/// As [`explained`], for a person in the shell.
pub(crate) async fn explained_in_shell(connection: &Connection, service: &str, refused: Failure) -> Failure {
    let hint = |_: &str, _: Option<Timestamp>| "try again when it is released".to_owned();
    cause(
        connection,
        service,
        refused,
        |peer| peer.holders(present()),
        &hint,
    )
    .await
}

/// As [`explained`], for a person who wants to end the lock.
pub(crate) async fn explained_to_unlock(connection: &Connection, service: &str, refused: Failure) -> Failure {
    let hint = |argument: &str, ends: Option<Timestamp>| {
        ends.map_or_else(
            || format!("it ends with what holds it; {}", administrator(argument)),
            |ends| ends_by_itself(argument, ends),
        )
    };
    cause(
        connection,
        service,
        refused,
        |peer| peer.holders(present()),
        &hint,
    )
    .await
}

fn administrator(argument: &str) -> String {
    format!("an administrator can end it now: labwire admin break_lock {argument}")
}

fn ends_by_itself(argument: &str, ends: Timestamp) -> String {
    format!(
        "its holder is away; the lock ends by itself at {} unless the holder returns; {}",
        moment(ends),
        administrator(argument)
    )
}

fn wait_or_unlock(argument: &str, ends: Option<Timestamp>) -> String {
    if let Some(ends) = ends {
        return format!(
            "wait for it with: labwire lock {argument} --wait TIME; {}",
            ends_by_itself(argument, ends)
        );
    }
    format!(
        "wait for it with: labwire lock {argument} --wait TIME; if the lock is yours, release it with: labwire \
         unlock {argument}"
    )
}

/// As [`explained`], but the text remains the same as long as the cause does.
pub(crate) async fn explained_lasting(connection: &Connection, service: &str, refused: Failure) -> Failure {
    cause(
        connection,
        service,
        refused,
        Peer::lasting_holders,
        &wait_or_unlock,
    )
    .await
}

async fn cause(
    connection: &Connection,
    service: &str,
    refused: Failure,
    holders: impl Fn(&Peer) -> Option<String>,
    hint: &(dyn Fn(&str, Option<Timestamp>) -> String + Sync),
) -> Failure {
    let Ok(identities) = connection.identities().await else {
        return refused;
    };
    let is_forbidden = is_lacking(&refused);
    let Some(identity) = identities.services.get(service) else {
        // The manager alone knows whether a service that it does not list is connected.
        let is_hiding = report::hides_services(connection, &identities).await;
        if is_forbidden || is_hiding.unwrap_or(false) {
            let known = identities.services.keys().map(String::as_str);
            return refused.with_hint(did_you_mean(service, known));
        }
        return unknown_service(connection, service, &identities).await;
    };
    if is_forbidden || !is_reported(&identities) {
        return refused;
    }
    let Ok(Some(peer)) = report::service(connection, service).await else {
        return refused;
    };
    let shown = one_line(service);
    if let Some(holders) = holders(&peer) {
        let away = match peer.locks.first() {
            Some(lock) => report::client_away(connection, &lock.client).await.ok().flatten(),
            None => None,
        };
        let lock = peer.locks.first();
        let ends = away
            .map(|away| away.until)
            .or(lock.and_then(|lock| lock.reserved_until));
        let away = away.map_or_else(String::new, |away| format!("; it is {}", away.lasting_text()));
        return Failure::Refused(format!("'{shown}' is locked by {holders}{away}"))
            .with_hint(Some(hint(&shell_argument(service), ends)));
    }
    match (identity.limit(), peer.linked()) {
        (Some(limit), Some(linked)) if peer.link_count >= limit => {
            let clients = if limit == 1 {
                "one client".to_owned()
            } else {
                format!("{limit} clients")
            };
            Failure::Refused(format!(
                "'{shown}' is for {clients} at most, and linked with {linked}"
            ))
            .with_hint(Some(
                "try again when one of them has ended, or start the service with a higher max_clients"
                    .to_owned(),
            ))
        }
        _ => refused,
    }
}

/// Returns the text for a lock that the manager refused, with a text of its own, because other
/// clients are linked: their names, if the manager reports them.
pub(crate) async fn not_alone(connection: &Connection, service: &str, refused: String) -> String {
    match others_linked(connection, service).await {
        Some(others) => format!("'{}' is linked with {others}", one_line(service)),
        None => refused,
    }
}

async fn others_linked(connection: &Connection, service: &str) -> Option<String> {
    let identities = connection.identities().await.ok()?;
    if !is_reported(&identities) {
        return None;
    }
    let own = connection.client().network_name();
    let mut peer: Peer = report::service(connection, service).await.ok()??;
    peer.links.retain(|client| *client != own);
    peer.link_count = peer.link_count.saturating_sub(1);
    peer.linked()
}

/// Returns the failure for a service that is not connected, with the most similar name.
pub(crate) async fn unknown_service(connection: &Connection, name: &str, identities: &Identities) -> Failure {
    let services = &identities.services;
    let hint = match name.split_once('.') {
        Some((service, attribute)) if services.contains_key(service) => format!(
            "write the service and the attribute as two words: {} {}",
            shell_argument(service),
            shell_argument(attribute)
        ),
        _ => did_you_mean(name, services.keys().map(String::as_str))
            .unwrap_or_else(|| "list the services with: labwire services".to_owned()),
    };
    let is_hiding = report::hides_services(connection, identities).await;
    let text = if is_hiding.unwrap_or(false) {
        not_in_sight(name)
    } else {
        not_connected(name)
    };
    Failure::Refused(text).with_hint(Some(hint))
}

/// Returns whether an attribute is a plain value according to a service's identity, and not a
/// method. A text may describe a method in a form of its own.
pub(crate) fn is_plain_value(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Text(text) => !text.is_empty() && !text.contains('('),
        _ => true,
    }
}

/// Returns the text for a plain value that is called with arguments.
pub(crate) fn takes_no_arguments(service: &str, attribute: &str) -> String {
    format!(
        "'{}' of '{}' is a value, it takes no arguments",
        one_line(attribute),
        one_line(service)
    )
}

/// Checks a call against the identity of its service, before it is sent.
///
/// # Errors
/// If the attribute is a value that takes no arguments, or a call that is written as in a program.
pub(crate) fn check_call(link: &Link, attribute: &str, arguments: &Arguments) -> Result<(), Failure> {
    let service = link.service();
    match link.identity().attributes.get(attribute) {
        Some(value) if is_plain_value(value) && !arguments.is_empty() => Err(Failure::Usage(
            takes_no_arguments(service, attribute),
        )
        .with_hint(Some(format!(
            "read it with: labwire call {} {}",
            shell_argument(service),
            shell_argument(attribute)
        )))),
        None => match Spelled::read(attribute) {
            Some(spelled) if spelled.is_call() => Err(spelled.of(service).failure()),
            _ => Ok(()),
        },
        Some(_) => Ok(()),
    }
}

/// Returns the signature of a method as a hint if a service has answered with an error about its
/// arguments: a `TypeError`, as services in Python and in Rust do.
pub(crate) fn signature_hint(error: &CallError, attribute: &str, value: Option<&Value>) -> Option<String> {
    let CallError::Service { message, .. } = error else {
        return None;
    };
    let signature = value.and_then(Value::as_signature)?;
    let is_about_arguments = message.starts_with("TypeError: ");
    is_about_arguments.then(|| format!("its signature is: {}{}", one_line(attribute), one_line(signature)))
}

/// Returns the failure of a call. An unknown attribute gets a suggestion, and wrong arguments get the
/// signature.
pub(crate) fn call_failure(error: CallError, link: &Link, attribute: &str) -> Failure {
    let identity = link.identity();
    let value = identity.attributes.get(attribute);
    if let Some(hint) = signature_hint(&error, attribute, value) {
        return Failure::from(error).with_hint(Some(hint));
    }
    let is_unknown = matches!(error, CallError::Service { .. }) && value.is_none();
    let hint = is_unknown.then(|| {
        let known = identity.attributes.keys().map(String::as_str);
        did_you_mean(attribute, known).unwrap_or_else(|| {
            format!(
                "list its attributes with: labwire describe {}",
                shell_argument(link.service())
            )
        })
    });
    Failure::from(error).with_hint(hint)
}
