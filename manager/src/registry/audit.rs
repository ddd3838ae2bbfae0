//! Whether what the registry notes in two places is the same in both: for tests.

use super::in_flight::Holders;
use super::{PeerId, Registry};

impl Registry {
    /// What does not fit together, or is kept for a peer that is gone.
    pub(crate) fn contradiction(&self) -> Option<String> {
        let names = self.client_names.len() + self.service_names.len();
        if names != self.clients.len() + self.services.len() {
            return Some(format!("{names} names for {:?} peers", self.counts()));
        }
        let mut in_flight = 0;
        for (id, client) in self.clients.iter() {
            let mut held = 0;
            for (uid, holders) in &client.in_flight {
                if !holders
                    .services()
                    .all(|service| self.services.get(service).is_some())
                {
                    return Some(format!(
                        "{uid:?} of {} waits for a service that is gone",
                        client.name
                    ));
                }
                held += holders.count();
            }
            if held != client.in_flight_count {
                return Some(format!(
                    "{} has {held} requests and not {}",
                    client.name, client.in_flight_count
                ));
            }
            in_flight += held;
            if client.links.iter().any(|service| !self.is_linked(*service, id)) {
                return Some(format!("{} has a link that its service has not", client.name));
            }
        }
        let mut called = 0;
        for (id, service) in self.services.iter() {
            called += service.callers.values().sum::<usize>();
            let known = |client: &PeerId| self.clients.get(*client).is_some();
            if !service.callers.keys().all(known) {
                return Some(format!("{} has a caller that is gone", service.name));
            }
            let linked = |client: &PeerId| {
                self.clients
                    .get(*client)
                    .is_some_and(|found| found.links.contains(&id))
            };
            let is_linked = |client: &PeerId| service.links.contains_key(client);
            if !service.links.keys().all(linked) || !service.locks.iter().all(is_linked) {
                return Some(format!(
                    "{} has a link or a lock of someone who has no link",
                    service.name
                ));
            }
        }
        let counts = [in_flight, called];
        (counts != [self.in_flight; 2]).then(|| format!("{} in flight, counted {counts:?}", self.in_flight))
    }

    fn is_linked(&self, service: PeerId, client: PeerId) -> bool {
        self.services
            .get(service)
            .is_some_and(|service| service.links.contains_key(&client))
    }
}

impl Holders {
    /// How many requests these are.
    fn count(&self) -> usize {
        match self {
            Self::One(_) => 1,
            Self::Many(all) => all.iter().map(|(_, count)| count).sum(),
        }
    }
}
