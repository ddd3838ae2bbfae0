//! Requests to services and to the manager.

use std::time::Instant;

use labwire_client::{Arguments, Call, CallError, Link};
use labwire_home::present;
use labwire_wire::MANAGER_NAME;
use serde_json::json;

use super::screen::say_result_of_request;
use super::session::Session;
use super::split::typed_name;
use crate::call::Answered;
use crate::connection::Connection;
use crate::failure::Failure;
use crate::near::nearest;
use crate::output::{json_or_text, one_line, say_json};

impl Session {
    /// Calls a method of a service, or sends a request to the manager, and shows the result.
    pub(super) async fn request(
        &mut self,
        service: &str,
        attribute: &str,
        arguments: Arguments,
    ) -> Result<(), Failure> {
        let (time, begun) = (present(), Instant::now());
        let outcome = if service == MANAGER_NAME {
            self.ask_manager(attribute, arguments).await?
        } else {
            // The link of a single call ends with it.
            let link = match self.shared.link(service) {
                Some(link) => link,
                None => self.link_for_call(service).await?,
            };
            self.limited(link.call::<()>(attribute, arguments)).await
        };
        let result = outcome.map_err(|error| self.failure(error, service, attribute))?;
        let screen = &self.shared.screen;
        if !screen.is_json() {
            return say_result_of_request(&result);
        }
        let (json, text) = json_or_text(&result);
        say_json(&Answered {
            service,
            attribute,
            time,
            seconds: begun.elapsed().as_secs_f64(),
            result: json,
            text,
        })
    }

    /// Links with a service. One that has left since it was listed gets a suggestion.
    async fn link_for_call(&self, service: &str) -> Result<Link, Failure> {
        match self.connection.link(service).await {
            Err(refused @ Failure::Refused(_)) => {
                self.refresh().await?;
                let known = self.shared.known();
                if known.is_service(service) {
                    return Err(refused);
                }
                let left = format!("no service '{}' is connected", one_line(service));
                Err(Failure::Refused(left).with_hint(Some(known.suggestion(service))))
            }
            linked => linked,
        }
    }

    /// Waits for the result of a call, within the time limit.
    async fn limited(&self, call: Call<()>) -> Result<String, CallError> {
        match self.limit {
            Some(limit) => call.raw().timeout(limit).await,
            None => call.raw().await,
        }
    }

    /// Sends a request to the manager, as an administrator if it asks for one.
    async fn ask_manager(
        &mut self,
        attribute: &str,
        arguments: Arguments,
    ) -> Result<Result<String, CallError>, Failure> {
        // If the request is given up, its connection ends: the question would stay open there.
        let connection = match self.administration.take() {
            Some(connection) if connection.client().is_connected() => connection,
            _ => Connection::open(&self.name, self.options.clone()).await?,
        };
        let request = connection.client().admin_request::<()>(attribute, arguments);
        let outcome = self.limited(request).await;
        if matches!(outcome, Ok(_) | Err(CallError::Manager { .. })) {
            self.administration = Some(connection);
        }
        Ok(outcome)
    }

    /// Returns the failure of a call. An unknown attribute gets a suggestion.
    fn failure(&self, error: CallError, service: &str, attribute: &str) -> Failure {
        let known = self.shared.known();
        let hint = match (&error, known.attributes(service)) {
            (CallError::Service { .. }, Some(attributes)) if !attributes.contains_key(attribute) => {
                let names = attributes.keys().map(String::as_str);
                Some(match nearest(attribute, names) {
                    Some(nearest) => format!("did you mean '{}'?", one_line(nearest)),
                    None => format!(
                        "list its attributes with: describe {}",
                        one_line(&typed_name(service))
                    ),
                })
            }
            _ => None,
        };
        Failure::from(error).with_hint(hint)
    }

    /// Returns the JSON object of `status`.
    pub(super) fn status(&self) -> serde_json::Value {
        let client = self.connection.client();
        json!({
            "name": client.network_name(),
            "manager": client.manager(),
            "connected": client.is_connected(),
            "selected": self.shared.known().selected,
            "links": self.shared.listed(),
            "notifications": self.shared.screen.shows_notifications(),
            "timeout": self.limit.map(|limit| limit.as_secs_f64()),
        })
    }
}
