//! Requests to services and to the manager.

use std::path::Path;
use std::time::Instant;

use labwire_client::{Arguments, Call, CallError, Link};
use labwire_home::present;
use labwire_wire::MANAGER_NAME;
use serde_json::json;

use super::saving::{SavedCall, Saving, hint};
use super::screen::say_result_of_request;
use super::session::{Administration, ShellSession};
use super::split::typed_name;
use crate::approval;
use crate::call::{Called, CalledItem};
use crate::connection::Connection;
use crate::failure::Failure;
use crate::in_flight::in_flight;
use crate::linking::{explained_in_shell, is_plain_value, signature_hint, takes_no_arguments};
use crate::long_call::{LongCall, Unanswered};
use crate::near::did_you_mean;
use crate::output::{json_or_text, one_line, say, say_json, tell};
use crate::permission::is_lacking;

impl ShellSession {
    /// Calls a method of a service, or sends a request to the manager, and shows the result, or saves it
    /// in a file.
    pub(super) async fn request(
        &mut self,
        service: &str,
        attribute: &str,
        arguments: Arguments,
        file: Option<&Path>,
    ) -> Result<(), Failure> {
        self.check_call(service, attribute, &arguments)?;
        let saving = file.map(Saving::open).transpose()?;
        let (time, begun) = (present(), Instant::now());
        let outcome = if service == MANAGER_NAME {
            self.ask_manager(attribute, arguments).await?
        } else {
            // The link of a single call ends with it.
            let link = match self.shared.link(service) {
                Some(link) => link,
                None => self.link_for_call(service).await?,
            };
            self.call(link.call::<()>(attribute, arguments), service, attribute)
                .await?
        };
        let result = outcome.map_err(|error| self.failure(error, service, attribute))?;
        let seconds = begun.elapsed().as_secs_f64();
        let screen = &self.shared.screen;
        if let Some((saving, file)) = saving.zip(file) {
            let saved = saving.save(&result)?;
            if !screen.is_json() {
                return say(saved);
            }
            return say_json(&SavedCall {
                service,
                attribute,
                time,
                seconds,
                file,
            });
        }
        if !screen.is_json() {
            say_result_of_request(&result)?;
            if let Some(hint) = hint(&result).filter(|_| screen.is_of_person()) {
                screen.message(hint);
            }
            return Ok(());
        }
        let (json, text) = json_or_text(&result);
        say_json(&Called {
            service,
            attribute,
            time,
            seconds,
            result: json,
            text,
        })
    }

    /// Checks a call against the identity of its service, before it is sent.
    fn check_call(&self, service: &str, attribute: &str, arguments: &Arguments) -> Result<(), Failure> {
        let known = self.shared.known();
        let names = known.attributes(service);
        match names.and_then(|attributes| attributes.get(attribute)) {
            Some(value) if is_plain_value(value) && !arguments.is_empty() => Err(Failure::Usage(
                takes_no_arguments(service, attribute),
            )
            .with_hint(Some(format!(
                "read it with: {} {}",
                one_line(&typed_name(service)),
                one_line(attribute)
            )))),
            _ => Ok(()),
        }
    }

    /// Links with a service. One that has left since it was listed gets a suggestion.
    pub(super) async fn link_for_call(&self, service: &str) -> Result<Link, Failure> {
        match self.connection.link(service).await {
            Err(refused @ Failure::Refused(_)) => {
                if is_lacking(&refused) {
                    return Err(refused);
                }
                self.refresh().await?;
                let is_known = self.shared.known().is_service(service);
                if is_known {
                    return Err(explained_in_shell(&self.connection, service, refused).await);
                }
                Err(self.shared.known().unknown_service(service))
            }
            linked => linked,
        }
    }

    /// Waits for the result of a call to a service. A person sees its progress and its items, and Ctrl-C
    /// asks the service to stop.
    async fn call(
        &self,
        call: Call<()>,
        service: &str,
        attribute: &str,
    ) -> Result<Result<String, CallError>, Failure> {
        let screen = &self.shared.screen;
        if !screen.is_of_person() || !self.shared.known().is_labwire() {
            let call = match self.limit {
                Some(limit) => call.raw().timeout(limit),
                None => call.raw(),
            };
            let name = approval::named(service, attribute);
            let told = approval::told(call, &name, |line| tell(format_args!("labwire: {line}")));
            return Ok(in_flight(told).await);
        }
        let call = match self.limit {
            Some(limit) => call.raw().timeout(limit),
            None => call.raw(),
        };
        let show = |item: &str| {
            if !screen.is_json() {
                return say_result_of_request(item);
            }
            let (json, text) = json_or_text(item);
            say_json(&CalledItem {
                service,
                attribute,
                time: present(),
                item: json,
                text,
            })
        };
        let progress = screen.call_progress();
        let long = LongCall {
            name: approval::named(service, attribute),
            display: Some(progress.display.clone()),
            stop: self.stop.clone(),
            cancels: true,
        };
        match long.make(call, show).await {
            Ok((result, _)) => Ok(Ok(result)),
            Err(Unanswered::Error(error) | Unanswered::Cancelled(error, _)) => Ok(Err(error)),
            Err(Unanswered::Failure(failure)) => Err(failure),
        }
    }

    /// Waits for the result of a request to the manager, within the time limit.
    async fn limited(&self, call: Call<()>) -> Result<String, CallError> {
        match self.limit {
            Some(limit) => in_flight(call.raw().timeout(limit)).await,
            None => in_flight(call.raw()).await,
        }
    }

    /// Sends a request to the manager, as an administrator if it asks for one.
    async fn ask_manager(
        &mut self,
        attribute: &str,
        arguments: Arguments,
    ) -> Result<Result<String, CallError>, Failure> {
        let asked = self.questions.asked();
        // If the request is given up, its connection ends: the question would stay open there.
        let kept = self.administration.take();
        let kept = kept.filter(|kept| kept.connection.client().is_connected());
        let is_new = kept.is_none();
        let administration = match kept {
            Some(kept) => kept,
            None => self.open_administration().await?,
        };
        let client = administration.connection.client();
        let request = client.admin_request::<()>(attribute, arguments);
        let outcome = self.limited(request).await;
        let was_asked = self.questions.asked() != asked;
        let is_accepted = match &outcome {
            Ok(_) => true,
            Err(CallError::Manager { .. }) if !was_asked && !is_new => true,
            // A login that is refused ends its connection; another error does not.
            Err(CallError::Manager { .. }) => {
                let connection = &administration.connection;
                connection.in_time(connection.client().ping()).await.is_ok()
            }
            Err(_) => false,
        };
        if is_accepted {
            if was_asked {
                self.login = Some(administration.options.clone());
            }
            self.administration = Some(administration);
        } else if was_asked || is_new {
            // The next request asks for the login again.
            self.login = None;
        }
        Ok(outcome)
    }

    /// Opens the connection for requests to the manager, with the login that was accepted there, if
    /// there is one.
    async fn open_administration(&self) -> Result<Administration, Failure> {
        let options = match &self.login {
            Some(login) => login.clone(),
            // These options have answers of their own. Those of a login that was refused are lost.
            None if self.shared.screen.is_of_person() => {
                let screen = self.shared.screen.clone();
                self.questions.answered(self.options.clone(), screen)
            }
            None => self.options.clone(),
        };
        let connection = Connection::open(&self.name, options.clone()).await?;
        Ok(Administration { connection, options })
    }

    /// Returns the failure of a call. An unknown attribute gets a suggestion, and wrong arguments get the
    /// signature.
    fn failure(&self, error: CallError, service: &str, attribute: &str) -> Failure {
        let known = self.shared.known();
        let hint = match (&error, known.attributes(service)) {
            (CallError::Service { .. }, Some(attributes)) if !attributes.contains_key(attribute) => {
                let names = attributes.keys().map(String::as_str);
                let similar = match &known.selected {
                    // The word may be meant for the shell, or be the name of another service.
                    Some(selected) if selected == service => known.similar(attribute),
                    _ => did_you_mean(attribute, names),
                };
                Some(similar.unwrap_or_else(|| {
                    format!(
                        "list its attributes with: describe {}",
                        one_line(&typed_name(service))
                    )
                }))
            }
            (_, Some(attributes)) => signature_hint(&error, attribute, attributes.get(attribute)),
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
