//! Checks that the registry's tables agree with each other: for tests.

use foldhash::HashSet;

use super::deadlines::Expiring;
use super::locks::Lock;
use super::peers::PeerId;
use super::requests::Requests;
use super::state::{Client, Registry, Service};

impl Registry {
    /// Returns an inconsistency, or state that is kept for a peer that has left.
    pub(crate) fn contradiction(&self) -> Option<String> {
        if let Some(contradiction) = self.wrong_names().or_else(|| self.wrong_login()) {
            return Some(contradiction);
        }
        if let Some(expiring) = self.deadlines_of_nobody().next() {
            return Some(format!("{expiring:?} is gone and has a deadline"));
        }
        if let Some(contradiction) = self.lost_request().or_else(|| self.lost_approval()) {
            return Some(contradiction);
        }
        if let Some(contradiction) = self.unsettled_queue().or_else(|| self.lost_lock()) {
            return Some(contradiction);
        }
        let mut in_flight = 0;
        for (id, client) in self.clients.iter() {
            let mut held = 0;
            for service in &client.asked {
                let place = self
                    .services
                    .get(*service)
                    .and_then(|service| service.callers.get(&id));
                let Some(requests) = place else {
                    return Some(format!("{} has no place at a service that it asked", client.name));
                };
                if let Some(contradiction) = requests.contradiction() {
                    return Some(contradiction);
                }
                held += requests.count();
            }
            if held != client.in_flight.count() {
                return Some(format!(
                    "{} has {held} requests and not {}",
                    client.name,
                    client.in_flight.count()
                ));
            }
            in_flight += held;
            if client.links.iter().any(|service| !self.is_linked(*service, id)) {
                return Some(format!("{} has a link that its service has not", client.name));
            }
        }
        let mut called = 0;
        for (id, service) in self.services.iter() {
            if let Some(contradiction) = service.contradiction() {
                return Some(contradiction);
            }
            called += service.in_flight;
            let knows = |client: &PeerId| {
                self.clients
                    .get(*client)
                    .is_some_and(|found| found.asked.contains(&id))
            };
            if !service.callers.keys().all(knows) {
                return Some(format!(
                    "{} has a caller that is gone or does not know",
                    service.name
                ));
            }
            let linked = |client: &PeerId| {
                self.clients
                    .get(*client)
                    .is_some_and(|found| found.links.contains(&id))
            };
            let rosters = [
                (&service.linked, service.links.len()),
                (service.locks.names(), service.locks.len()),
            ];
            if rosters
                .iter()
                .any(|(roster, count)| roster.names().count() != *count)
            {
                return Some(format!("{} has a list of others than it should", service.name));
            }
            let is_shared = service.locks.len() > 1 || service.links.len() > 1;
            if is_shared && service.locks.by_age().any(|(_, lock)| !lock.terms.shared) {
                return Some(format!(
                    "{} has an exclusive lock and another client",
                    service.name
                ));
            }
            if !service.links.keys().all(linked) || service.has_lock_without_link() {
                return Some(format!(
                    "{} has a link or a lock of someone who has no link",
                    service.name
                ));
            }
        }
        let counts = [in_flight, called];
        if counts != [self.in_flight(); 2] {
            return Some(format!("{} in flight, counted {counts:?}", self.in_flight()));
        }
        let waiting = self
            .clients
            .iter()
            .filter(|(_, client)| client.in_flight.count() > 0);
        let bytes = self.services.iter().map(|(_, service)| service.description.len());
        let counts = [waiting.count(), bytes.sum()];
        let noted = [self.in_flight.users(), self.identity_bytes()];
        (counts != noted)
            .then(|| format!("{noted:?} clients that wait and bytes of identities, counted {counts:?}"))
    }
}

impl Registry {
    /// Returns a contradiction in the lists of the peers that are connected.
    fn wrong_names(&self) -> Option<String> {
        let names = self.client_names.len() + self.service_names.len();
        if names != self.clients.len() + self.services.len() {
            return Some(format!("{names} names for {:?} peers", self.counts()));
        }
        if self.likenesses.len() != self.services.len() {
            return Some("the appearance of a service that is gone is kept".to_owned());
        }
        let rosters = self
            .client_roster
            .names()
            .chain(self.service_roster.names())
            .count();
        if rosters != names {
            return Some(format!("{rosters} peers are listed, and {names} have names"));
        }
        None
    }

    /// Returns the deadlines of what is gone.
    fn deadlines_of_nobody(&self) -> impl Iterator<Item = Expiring> {
        self.deadlines.all().filter(|expiring| match expiring {
            Expiring::LastReplies(id) => self.clients.get(*id).is_none(),
            Expiring::Lease(service, client) => {
                let service = self.services.get(*service);
                let lock = service.and_then(|service| service.locks.get(*client));
                lock.and_then(Lock::deadline).is_none()
            }
            Expiring::Away(id) => {
                let client = self.clients.get(*id).and_then(|client| client.away.as_ref());
                let service = self.services.get(*id).and_then(|service| service.away.as_ref());
                client.or(service).is_none()
            }
            Expiring::Reservation(id) => !self.reservations.has(*id),
            Expiring::Approval(number) => !self.approvals.has(*number),
            Expiring::LockWait(service, ticket) => {
                let service = self.services.get(*service);
                service.is_none_or(|service| service.lock_queue.all().all(|(own, _)| own != ticket))
            }
            Expiring::Request(id) => self
                .tracked
                .get(*id)
                .is_none_or(|request| request.deadline.is_none()),
        })
    }

    /// Returns a contradiction in what is known of requests beside their uids.
    fn lost_request(&self) -> Option<String> {
        let owed: usize = self.clients.iter().map(|(_, client)| client.owed.len()).sum();
        if owed != self.owed {
            return Some(format!("{owed} replies are owed, and {} counted", self.owed));
        }
        if let Some(contradiction) = self.wrong_debt() {
            return Some(contradiction);
        }
        for request in self.tracked.iter() {
            // The requests of a service that has left are told of one client after the other.
            let Some(service) = self.services.get(request.service) else {
                continue;
            };
            let requests = service.callers.get(&request.client);
            if !requests.is_some_and(|requests| requests.contains(&request.uid.get())) {
                return Some(format!("{} does not hold {request:?}", service.name));
            }
        }
        None
    }

    /// Returns a service whose list of clients to whom it owes replies is wrong.
    fn wrong_debt(&self) -> Option<String> {
        self.services.iter().find_map(|(id, service)| {
            let waits = |client: &Client| client.owed.services().any(|holder| holder == id);
            let clients = self.clients.iter().filter(|(_, client)| waits(client));
            let clients: HashSet<PeerId> = clients.map(|(client, _)| client).collect();
            let (name, noted) = (&service.name, &service.owing);
            (clients != *noted).then(|| format!("{name} owes replies to {clients:?} and not to {noted:?}"))
        })
    }

    /// Returns a lock, a wait for one or the end of one that lacks its deadline or its other half.
    fn lost_lock(&self) -> Option<String> {
        let leases = self.services.iter().flat_map(|(_, service)| {
            let leases = service.locks.by_age();
            leases.filter(|(_, lock)| lock.until.is_some())
        });
        let waits = self.services.iter().map(|(_, service)| service.lock_queue.len());
        let ends = self.services.iter().map(|(_, service)| service.ended_locks.len());
        let (leases, waits, ends) = (leases.count(), waits.sum::<usize>(), ends.sum::<usize>());
        let of_clients = self.clients.iter();
        let own = of_clients.map(|(_, client)| [client.lock_waits.len(), client.ended_locks.len()]);
        let own = own.fold([0; 2], |sum, own| [sum[0] + own[0], sum[1] + own[1]]);
        let deadlines = self.deadlines.all();
        let deadlines =
            deadlines.filter(|expiring| matches!(expiring, Expiring::Lease(..) | Expiring::LockWait(..)));
        let counts = [waits, waits, ends, leases + waits];
        let found = [self.lock_waits.used(), own[0], own[1], deadlines.count()];
        if counts != found {
            return Some(format!(
                "{counts:?} waits, ends and deadlines of locks, found {found:?}"
            ));
        }
        self.lost_reservation()
    }
}

impl Service {
    /// Returns whether a client holds a lock without a link. One that is only kept for it needs none.
    fn has_lock_without_link(&self) -> bool {
        let mut locks = self.locks.by_age();
        locks.any(|(client, lock)| lock.reserved.is_none() && !self.links.contains_key(&client))
    }

    /// Returns a contradiction in its number of requests, if there is one.
    fn contradiction(&self) -> Option<String> {
        let held: usize = self.callers.values().map(Requests::count).sum();
        let (name, in_flight) = (&self.name, self.in_flight);
        (held != in_flight).then(|| format!("{name} holds {held} requests and not {in_flight}"))
    }
}
