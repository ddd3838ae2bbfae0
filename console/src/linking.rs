//! Links with services, and the suggestions for misspelt names.

use labwire_client::{CallError, Link};

use crate::connection::Connection;
use crate::describe::unknown_service;
use crate::failure::Failure;
use crate::near::nearest;
use crate::output::{one_line, shell_argument};

/// Links with a service. An unknown name gets a suggestion.
pub(crate) async fn link(connection: &Connection, service: &str) -> Result<Link, Failure> {
    match connection.link(service).await {
        Err(refused @ Failure::Refused(_)) => match connection.identities().await {
            Ok(identities) if !identities.services.contains_key(service) => {
                Err(unknown_service(service, &identities.services))
            }
            _ => Err(refused),
        },
        linked => linked,
    }
}

/// Returns the failure of a call. An unknown attribute gets a suggestion.
pub(crate) fn call_failure(error: CallError, link: &Link, attribute: &str) -> Failure {
    let identity = link.identity();
    let is_unknown =
        matches!(error, CallError::Service { .. }) && !identity.attributes.contains_key(attribute);
    let hint = is_unknown.then(|| {
        let known = identity.attributes.keys().map(String::as_str);
        match nearest(attribute, known) {
            Some(nearest) => format!("did you mean '{}'?", one_line(nearest)),
            None => format!(
                "list its attributes with: labwire describe {}",
                shell_argument(link.service())
            ),
        }
    });
    Failure::from(error).with_hint(hint)
}
