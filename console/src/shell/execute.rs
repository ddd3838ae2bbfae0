//! Executes the meaning of a line.

use std::fmt::Write;
use std::sync::Arc;

use labwire_client::{Client, ServiceDescription, ServiceIdentity};
use labwire_wire::MANAGER_NAME;
use serde_json::json;

use super::grammar::{Limit, Meaning, Topic};
use super::help::{self, Subject};
use super::links::described;
use super::session::{Flow, ShellSession};
use crate::describe;
use crate::failure::Failure;
use crate::manager_requests;
use crate::near::did_you_mean;
use crate::output::one_line;
use crate::report::{self, is_reported};
use crate::seconds::Seconds;

impl ShellSession {
    pub(super) async fn execute(&mut self, meaning: Meaning) -> Result<Flow, Failure> {
        match meaning {
            Meaning::Nothing => {}
            Meaning::Exit => return Ok(Flow::End),
            Meaning::Help(topic) => self.help(topic).await?,
            Meaning::Services(pattern) => self.services(pattern.as_deref()).await?,
            Meaning::Describe(service) => self.describe(&service).await?,
            Meaning::Use(service) => self.select(service).await?,
            Meaning::Link(service) => self.link(&service).await?,
            Meaning::Unlink(service) => self.unlink(&service).await?,
            Meaning::Lock {
                service,
                shared,
                terms,
            } => self.lock(&service, shared, &terms).await?,
            Meaning::Unlock(service) => self.unlock(&service).await?,
            Meaning::Status => self.show_status()?,
            Meaning::WhoAmI => {
                let name = self.connection.client().network_name();
                self.shared.screen.answer("whoami", &name, one_line(&name))?;
            }
            Meaning::Identity => self.identity().await?,
            Meaning::Notifications(change) => self.notifications(change)?,
            Meaning::Timeout(change) => self.timeout(change)?,
            Meaning::Request {
                service,
                attribute,
                arguments,
                file,
            } => {
                self.request(&service, &attribute, arguments, file.as_deref())
                    .await?;
            }
        }
        Ok(Flow::On)
    }

    /// Checks that a service of this name is connected. Requests the list again if it is not
    /// listed.
    pub(super) async fn require(&self, service: &str) -> Result<(), Failure> {
        let is_known = self.shared.known().is_service(service);
        if !is_known {
            self.refresh().await?;
        }
        let known = self.shared.known();
        if known.is_service(service) {
            return Ok(());
        }
        Err(known.unknown_service(service))
    }

    async fn help(&self, topic: Option<Topic>) -> Result<(), Failure> {
        let screen = &self.shared.screen;
        let Some(topic) = topic else {
            return screen.answer("help", help::words(), help::overview());
        };
        self.refresh().await?;
        let subject = help::subject(&topic, &self.shared.known());
        match subject {
            Subject::Word(word) => {
                let mut meaning = help::words();
                meaning.retain(|usage, _| usage.split(' ').next() == Some(word));
                screen.answer("help", meaning, help::of_word(word))
            }
            Subject::Service(service) => self.describe(&service).await,
            Subject::Attribute { service, attribute } => self.describe_attribute(&service, &attribute).await,
            Subject::Unknown(name) => {
                let unknown = format!("there is no help for '{}'", one_line(&name));
                let hint = self.shared.known().suggestion(&name);
                Err(Failure::Refused(unknown).with_hint(Some(hint)))
            }
        }
    }

    async fn describe_attribute(&self, service: &str, attribute: &str) -> Result<(), Failure> {
        self.require(service).await?;
        let (identity, value) = {
            let known = self.shared.known();
            let attributes = known.attributes(service);
            let Some(value) = attributes.and_then(|all| all.get(attribute)) else {
                let names = attributes.into_iter().flatten().map(|(name, _)| name.as_str());
                let hint = did_you_mean(attribute, names);
                return Err(Failure::Refused(format!(
                    "'{}' lists no attribute '{}'",
                    one_line(service),
                    one_line(attribute)
                ))
                .with_hint(hint));
            };
            (known.services().get(service).cloned(), value.clone())
        };
        let documentation = match &identity {
            Some(identity) => self.documentation(service, identity).await,
            None => None,
        };
        let documented = documentation
            .as_ref()
            .and_then(|documentation| documentation.attributes.get(attribute));
        let shown = describe::attribute(attribute, &value, documented);
        let mut text = help::of_attribute(service, &shown);
        if documentation.is_none()
            && let Some(identity) = identity.filter(describe::offers_documentation)
            && let Some(reason) = self.hides_documentation(service, &identity).await
        {
            let _ = write!(text, "\n(its documentation can be read when it is {reason})");
        }
        self.shared.screen.answer("help", &shown, text)
    }

    async fn services(&self, pattern: Option<&str>) -> Result<(), Failure> {
        let identities = self.connection.identities().await?;
        let away = report::services_away(&self.connection, &identities).await?;
        let is_json = self.shared.screen.is_json();
        let is_hiding = report::hides_services(&self.connection, &identities).await?;
        crate::services::show(pattern, is_json, &identities, &away, is_hiding)?;
        self.shared.known().learn(identities);
        Ok(())
    }

    async fn describe(&self, service: &str) -> Result<(), Failure> {
        self.refresh().await?;
        self.require(service).await?;
        let identity = self.shared.known().services().get(service).cloned();
        let Some(identity) = identity else {
            let identities = self.connection.identities().await?;
            return manager_requests::show(&identities, self.shared.screen.is_json());
        };
        let documentation = self.documentation(service, &identity).await;
        let peer = if is_reported(&self.connection.identities().await?) {
            report::service(&self.connection, service).await?
        } else {
            None
        };
        let is_json = self.shared.screen.is_json();
        describe::show(
            service,
            &identity,
            documentation.as_deref(),
            peer.as_ref(),
            is_json,
        )
    }

    /// Returns the documentation of a service: what it says now, or what it has said before if it
    /// cannot be asked, as while another client has locked it.
    async fn documentation(
        &self,
        service: &str,
        identity: &ServiceIdentity,
    ) -> Option<Arc<ServiceDescription>> {
        let is_linked = self.shared.link(service).is_some_and(|link| link.is_linked());
        let read = describe::documentation(&self.connection, service, identity, is_linked).await;
        let mut known = self.shared.known();
        match read {
            Some(read) => Some(known.document(service, &identity.address, read)),
            None => known.documentation(service, &identity.address),
        }
    }

    /// Returns what a service must be so that it can be asked for its documentation, if it is not.
    async fn hides_documentation(&self, service: &str, identity: &ServiceIdentity) -> Option<String> {
        if identity.limit().is_some() {
            return Some("linked".to_owned());
        }
        let identities = self.connection.identities().await.ok()?;
        if !is_reported(&identities) {
            return None;
        }
        let peer = report::service(&self.connection, service).await.ok()??;
        Some(format!("not {}", peer.hides_documentation()?))
    }

    async fn select(&self, service: Option<String>) -> Result<(), Failure> {
        if let Some(service) = &service {
            self.require(service).await?;
        }
        self.shared.known().selected.clone_from(&service);
        let text = match &service {
            // A person sees it in the prompt.
            _ if self.shared.screen.is_of_person() => String::new(),
            Some(service) => format!("'{}' is selected", one_line(service)),
            None => "no service is selected".to_owned(),
        };
        self.shared.screen.answer("use", &service, text)
    }

    async fn link(&self, service: &str) -> Result<(), Failure> {
        if service == MANAGER_NAME {
            return Err(Failure::Usage(
                "the manager needs no link; send it a request with: Manager REQUEST".to_owned(),
            ));
        }
        let is_linked = self.shared.link(service).is_some_and(|link| link.is_linked());
        if !is_linked {
            self.require(service).await?;
            let link = self.link_for_call(service).await?;
            self.shared.keep(link);
        }
        self.shared.known().selected = Some(service.to_owned());
        let text = format!("linked with '{}'", one_line(service));
        self.shared.screen.answer("link", service, text)
    }

    /// Returns the failure for a service that the shell has no link with.
    pub(super) fn not_linked(&self, service: &str, what: &str) -> Failure {
        let links = self.shared.links();
        let hint = did_you_mean(service, links.keys().map(String::as_str));
        Failure::Refused(format!("this shell has no {what} '{}'", one_line(service))).with_hint(hint)
    }

    async fn unlink(&self, service: &str) -> Result<(), Failure> {
        let Some(link) = self.shared.forget(service) else {
            return Err(self.not_linked(service, "link with"));
        };
        self.connection.in_time(link.unlink()).await?;
        let text = format!("the link with '{}' has ended", one_line(service));
        self.shared.screen.answer("unlink", service, text)
    }

    fn show_status(&self) -> Result<(), Failure> {
        let client: &Client = self.connection.client();
        let manager = one_line(&client.manager());
        let mut lines = vec![if client.is_connected() {
            format!("{}, connected to {manager}", one_line(&client.network_name()))
        } else {
            format!("not connected to {manager}; it is tried again and again")
        }];
        let held = self.shared.listed();
        lines.extend(
            held.iter()
                .map(|link| format!("'{}' {}", one_line(&link.service), described(link))),
        );
        if held.is_empty() {
            lines.push("no links".to_owned());
        }
        let state = if self.shared.screen.shows_notifications() {
            "shown"
        } else {
            "not shown"
        };
        lines.push(format!("notifications are {state}"));
        lines.push(self.limit_in_words());
        self.shared
            .screen
            .answer("status", self.status(), lines.join("\n"))
    }

    async fn identity(&self) -> Result<(), Failure> {
        let client = self.connection.client();
        let asked = client.admin_request::<()>("identity", ()).raw();
        let identity = self.connection.in_time(asked.into_future()).await?;
        self.shared.screen.json_answer("identity", &identity)
    }

    fn notifications(&self, change: Option<bool>) -> Result<(), Failure> {
        let screen = &self.shared.screen;
        if let Some(are_shown) = change {
            screen.show_notifications(are_shown);
        }
        let are_shown = screen.shows_notifications();
        let text = if are_shown {
            "notifications of linked services are shown"
        } else {
            "notifications are not shown"
        };
        screen.answer("notifications", are_shown, text)
    }

    fn timeout(&mut self, change: Option<Limit>) -> Result<(), Failure> {
        if let Some(Limit(limit)) = change {
            self.limit = limit.map(Seconds::duration);
        }
        let seconds = json!(self.limit.map(|limit| limit.as_secs_f64()));
        self.shared
            .screen
            .answer("timeout", seconds, self.limit_in_words())
    }

    fn limit_in_words(&self) -> String {
        match self.limit {
            Some(limit) => format!("the timeout of calls is {} s", limit.as_secs_f64()),
            None => "calls have no timeout".to_owned(),
        }
    }
}
