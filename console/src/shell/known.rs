//! The shell's copy of the list of services with their attributes, and the selected service.
//! Completion and suggestions use it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use labwire_client::{Identities, ServiceDescription, ServiceIdentity, Value};
use labwire_wire::MANAGER_NAME;

use super::signature::{Parameter, parameters};
use super::split::typed_name;
use super::vocabulary::WORDS;
use crate::failure::Failure;
use crate::near::{did_you_mean, not_connected};
use crate::output::one_line;
use crate::report::is_reported;

/// The age from which the list of services is requested again before a completion.
const FRESH: Duration = Duration::from_secs(2);

/// The list of services and the selection, shared with the completer.
#[derive(Debug, Default)]
pub(crate) struct Known {
    services: BTreeMap<String, ServiceIdentity>,
    /// The requests of the manager, with their signatures.
    manager: BTreeMap<String, Value>,
    told: Option<Instant>,
    /// The documentation of services that was read, and the addresses of these services.
    documentation: BTreeMap<String, (String, Arc<ServiceDescription>)>,
    /// Whether the manager is Labwire's, not MSL-Network's.
    is_labwire: bool,
    /// The selected service, whose name may be omitted in calls.
    pub(crate) selected: Option<String>,
    /// The services that the shell is linked with.
    pub(crate) linked: Vec<String>,
}

impl Known {
    /// Replaces the list of services.
    pub(crate) fn learn(&mut self, identities: Identities) {
        self.is_labwire = is_reported(&identities);
        self.services = identities.services;
        self.manager = identities.attributes;
        self.told = Some(Instant::now());
    }

    /// Keeps the documentation of the service at this address.
    pub(crate) fn document(
        &mut self,
        service: &str,
        address: &str,
        read: ServiceDescription,
    ) -> Arc<ServiceDescription> {
        let read = Arc::new(read);
        let kept = (address.to_owned(), Arc::clone(&read));
        self.documentation.insert(service.to_owned(), kept);
        read
    }

    /// Returns the documentation of the service at this address, if it was read before.
    pub(crate) fn documentation(&self, service: &str, address: &str) -> Option<Arc<ServiceDescription>> {
        let (of, read) = self.documentation.get(service)?;
        (of == address).then(|| Arc::clone(read))
    }

    /// Returns whether the manager is Labwire's: it forwards the progress of calls and cancels them, and
    /// locks have terms.
    pub(crate) fn is_labwire(&self) -> bool {
        self.is_labwire
    }

    /// Returns whether the list of services is so old that it may be wrong.
    pub(crate) fn is_stale(&self) -> bool {
        self.told.is_none_or(|told| told.elapsed() > FRESH)
    }

    /// Returns the services.
    pub(crate) fn services(&self) -> &BTreeMap<String, ServiceIdentity> {
        &self.services
    }

    /// Returns whether a service of this name was connected, or whether it is the manager's.
    pub(crate) fn is_service(&self, name: &str) -> bool {
        name == MANAGER_NAME || self.services.contains_key(name)
    }

    /// Returns the attributes of a service: signatures of methods, and plain values.
    pub(crate) fn attributes(&self, service: &str) -> Option<&BTreeMap<String, Value>> {
        if service == MANAGER_NAME {
            return Some(&self.manager);
        }
        self.services.get(service).map(|service| &service.attributes)
    }

    /// Returns the attributes of the selected service.
    pub(crate) fn selected_attributes(&self) -> Option<&BTreeMap<String, Value>> {
        self.attributes(self.selected.as_deref()?)
    }

    /// Returns whether the selected service has this attribute.
    pub(crate) fn is_selected_attribute(&self, name: &str) -> bool {
        let attributes = self.selected_attributes();
        attributes.is_some_and(|attributes| attributes.contains_key(name))
    }

    /// Returns the parameters of a method; none if they are not known.
    pub(crate) fn parameters(&self, service: &str, attribute: &str) -> Vec<Parameter> {
        let value = self.attributes(service).and_then(|all| all.get(attribute));
        let signature = value.and_then(Value::as_signature);
        signature.map(parameters).unwrap_or_default()
    }

    /// Returns what to type instead of an unknown first word of a line.
    pub(crate) fn suggestion(&self, word: &str) -> String {
        if let Some((service, attribute)) = word.split_once('.')
            && self.is_service(service)
        {
            return format!("type a blank instead of the dot: {service} {attribute}");
        }
        let has_it = |service: &ServiceIdentity| service.attributes.contains_key(word);
        if let Some((service, _)) = self.services.iter().find(|(_, service)| has_it(service)) {
            return format!(
                "it is an attribute of '{}', type: {} {}",
                one_line(service),
                one_line(&typed_name(service)),
                one_line(word)
            );
        }
        self.similar(word)
            .unwrap_or_else(|| "list the services with: services; list the words with: help".to_owned())
    }

    /// Returns a question for the most similar service, attribute of the selected service, or word.
    pub(crate) fn similar(&self, word: &str) -> Option<String> {
        let attributes = self.selected_attributes().into_iter().flat_map(BTreeMap::keys);
        let names = self.services.keys().chain(attributes).map(String::as_str);
        did_you_mean(word, names.chain(WORDS.iter().map(|word| word.name)))
    }

    /// Returns the failure for a service that is not connected.
    pub(crate) fn unknown_service(&self, name: &str) -> Failure {
        Failure::Refused(not_connected(name)).with_hint(Some(self.suggestion(name)))
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Returns a network of three services.
    pub(crate) fn network() -> Known {
        let identities = r#"{"hostname":"bench","port":1875,"attributes":{"identity":"() -> dict",
            "link":"(service: str) -> dict"},"language":"","os":"","clients":{},"services":{
            "Echo":{"attributes":{"echo":"(*args, **kwargs)"},"address":"bench:50002","language":"Python 3.11",
            "os":"Linux","max_clients":-1},
            "Basic Math":{"attributes":{"add":"(x: float, y: float) -> float","pi":3.14},"address":"bench:50003",
            "language":"Rust","os":"Linux","max_clients":-1},
            "DMM":{"attributes":{"read":"(channel: int, *, unit: str = 'V', filtered: bool = False) -> float",
            "reset":"() -> None"},"address":"bench:50004","language":"Rust","os":"Linux","max_clients":1}}}"#;
        let mut known = Known::default();
        known.learn(labwire_client::from_json(identities).unwrap());
        known
    }

    #[test]
    fn an_unknown_word_gets_the_closest_known_one() {
        let mut known = network();
        for (word, expected) in [
            ("Ecoh", "did you mean 'Echo'?"),
            ("dmm", "did you mean 'DMM'?"),
            ("sevrices", "did you mean 'services'?"),
            ("DMM.read", "type a blank instead of the dot: DMM read"),
            (
                "raed",
                "list the services with: services; list the words with: help",
            ),
        ] {
            assert_eq!(known.suggestion(word), expected, "{word}");
        }
        known.selected = Some("DMM".to_owned());
        assert_eq!(known.suggestion("raed"), "did you mean 'read'?");
        for (word, similar) in [("helb", "help"), ("dmm", "DMM"), ("rest", "reset")] {
            assert_eq!(known.similar(word), Some(format!("did you mean '{similar}'?")));
        }
        assert!(known.is_selected_attribute("reset") && !known.is_selected_attribute("add"));
    }
}
