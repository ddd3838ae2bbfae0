mod approvals;
mod departures;
mod links;
mod locks;
mod permissions;
mod requests;
mod reservations;
mod status;

use std::borrow::Cow;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use jiff::Timestamp;
use labwire_wire::{Features, Identity, Names, Shape, Text, Uid};
use tokio::time::timeout;

use super::abandoned::Abandoned;
use super::asking::{Asking, Awaited};
use super::*;
use crate::budget::Budgets;
use crate::config::Limits;
use crate::outbox::Outbox;
use crate::principal::Principal;
use crate::refusal::{HeldLock, LinkedClients, Refusal};

/// The registry's changes by ids and names, without their events.
impl Registry {
    fn take_in(
        &mut self,
        identity: &Identity,
        address: &str,
        outbox: &Arc<Outbox>,
    ) -> Result<PeerId, Refusal> {
        let joined = self.join(identity, &Principal::sample(), address, outbox, at(0));
        joined.map(|(id, _)| id)
    }

    fn linked(&mut self, client: PeerId, service: &str) -> Result<Bytes, Refusal> {
        self.link(client, service).map(|(description, _)| description)
    }

    fn unlinked(&mut self, client: PeerId, service: &str) -> Result<(), Refusal> {
        self.unlink(client, service).map(|_| ())
    }

    fn locked(
        &mut self,
        client: PeerId,
        service: &str,
        shared: bool,
        now: Timestamp,
    ) -> Result<Listing, Refusal> {
        let terms = Terms {
            shared,
            ..Terms::default()
        };
        let now = Moment {
            time: now,
            instant: Instant::now(),
        };
        let locked = self.acquire_lock(client, service, terms, None, &Uid::EMPTY, now);
        match locked? {
            Acquired::Granted(linked, _) => Ok(linked),
            Acquired::Waits => unreachable!("it was not asked to wait"),
        }
    }

    fn released(&mut self, client: PeerId, service: &str) -> Result<Listing, Refusal> {
        self.release_lock(client, service, false)
            .map(|(locking, _)| locking)
    }

    fn service_for(&mut self, client: PeerId, service: &str, shape: Shape) -> Result<PeerId, Refusal> {
        let service = Text::from(Cow::from(service));
        let asking = self.ask(client, &service, shape)?;
        Ok(asking.expect("the client is here").ids.1)
    }

    fn begin_request(&mut self, client: PeerId, service: PeerId, uid: &str) {
        self.begin(client, service, uid.as_bytes());
    }

    fn begin(&mut self, client: PeerId, service: PeerId, uid: &[u8]) {
        let asking = Asking {
            ids: (client, service),
            client: self.clients.get_mut(client).expect("the client is here"),
            service: self.services.get_mut(service).expect("the service is here"),
            in_flight: &mut self.in_flight,
            rules: None,
            calls: None,
        };
        asking.begin(&forwarded(uid, 0), 0);
    }

    fn destination(&mut self, service: PeerId, requester: &str, uid: &str) -> Option<Awaited<'_>> {
        let requester = Text::from(Cow::from(requester));
        self.awaited(service, &requester, &uid.into())
    }

    fn end_request(&mut self, service: PeerId, client: PeerId, uid: &str) {
        let name = self.client_name(client);
        self.destination(service, &name, uid)
            .expect("it is awaited")
            .end(Answered {
                now: 0,
                bytes: 0,
                is_error: false,
            });
    }
}

fn forwarded(uid: &[u8], bytes: usize) -> Forwarded<'_> {
    Forwarded {
        uid,
        attribute: "",
        bytes,
        line: None,
    }
}

fn manager() -> ManagerIdentity {
    ManagerIdentity {
        hostname: "h".into(),
        port: 1875,
        language: "Rust".into(),
        os: "Linux".into(),
    }
}

fn registry() -> Registry {
    registry_with(1_000)
}

fn registry_with(in_flight_per_client: usize) -> Registry {
    let limits = Limits {
        in_flight_per_client,
        budgets: Budgets::for_memory(u64::MAX),
        ..Limits::default()
    };
    Registry::new(manager(), &limits)
}

fn client(registry: &mut Registry, name: &str) -> PeerId {
    let identity = Identity::client(name).unwrap();
    registry.take_in(&identity, "h:1", &Outbox::alone(1_000)).unwrap()
}

fn service(registry: &mut Registry, name: &str, max_clients: i32) -> PeerId {
    let text = format!(
        r#"{{"type":"service","name":"{name}","attributes":{{"a":"()"}},"max_clients":{max_clients}}}"#
    );
    let identity = Identity::from_json(text.as_bytes()).unwrap();
    registry.take_in(&identity, "h:2", &Outbox::alone(1_000)).unwrap()
}

/// Returns the time `second` seconds after the Unix epoch.
fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

/// Removes a service.
fn gone(registry: &mut Registry, service: PeerId) -> Leaving {
    let (_, leaving) = registry.leave(service).expect("it is here");
    leaving.expect("it is a service")
}

/// Removes a service. Returns the requests that it held, and the queues of the clients that are
/// notified of the end of their link.
fn left(registry: &mut Registry, service: PeerId) -> (Vec<Abandoned>, Vec<Arc<Outbox>>) {
    let mut leaving = gone(registry, service);
    let (mut abandoned, mut linked) = (Vec::new(), Vec::new());
    while let Some(event) = registry.next_concerned(&mut leaving, &Refusal::Stopping) {
        match event {
            Event::Abandoned { requests, .. } => abandoned.push(requests),
            Event::LinkEnded { told, .. } => linked.extend(told),
            event => panic!("{event:?}"),
        }
    }
    (abandoned, linked)
}

/// Removes a service. Returns the requesters and uids of the requests that it held.
fn abandoned(registry: &mut Registry, service: PeerId) -> Vec<(String, String)> {
    let mut requests: Vec<_> = left(registry, service)
        .0
        .into_iter()
        .flat_map(|client| {
            let requester = client.requester.to_string();
            let requests = client.requests.into_uids();
            requests.flat_map(move |same| {
                std::iter::repeat_n(
                    (requester.clone(), same.uid.get().as_str().to_owned()),
                    same.count as usize,
                )
            })
        })
        .collect();
    requests.sort();
    requests
}

#[test]
fn the_identity_follows_who_comes_and_goes() {
    let mut registry = registry();
    let s = service(&mut registry, "S", 0);
    client(&mut registry, "a");
    let identity: serde_json::Value = serde_json::from_str(&registry.identity_text()).unwrap();
    assert_eq!(identity["clients"]["a[h:1]"]["name"], "a");
    assert_eq!(identity["services"]["S"]["max_clients"], -1);
    assert_eq!(identity["services"]["S"]["attributes"]["a"], "()");
    left(&mut registry, s);
    let identity: serde_json::Value = serde_json::from_str(&registry.identity_text()).unwrap();
    assert_eq!(identity["services"], serde_json::json!({}));
}

#[test]
fn names_are_unique_while_their_peer_is_here() {
    let mut registry = registry();
    let s = service(&mut registry, "S", 0);
    let again = Identity::from_json(br#"{"type":"service","name":"S","attributes":{}}"#).unwrap();
    let refused = registry.take_in(&again, "h:3", &Outbox::alone(1));
    assert_eq!(refused, Err(Refusal::NameTaken("S".into())));
    left(&mut registry, s);
    assert!(registry.take_in(&again, "h:3", &Outbox::alone(1)).is_ok());
}

const FLAT: Shape = Shape {
    depth: 1,
    integer_digits: 1,
};
