use std::borrow::Cow;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use jiff::Timestamp;
use labwire_wire::{Features, Identity, Names, Shape, Text};
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
        let locked = self.acquire_lock(client, service, shared, now);
        locked.map(|(linked, _)| linked)
    }

    fn released(&mut self, client: PeerId, service: &str) -> Result<Listing, Refusal> {
        self.release_lock(client, service).map(|(locking, _)| locking)
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
        };
        asking.begin(uid);
    }

    fn destination(&mut self, service: PeerId, requester: &str, uid: &str) -> Option<Awaited<'_>> {
        let requester = Text::from(Cow::from(requester));
        self.awaited(service, &requester, &uid.into())
    }

    fn end_request(&mut self, service: PeerId, client: PeerId, uid: &str) {
        let name = self.client_name(client);
        self.destination(service, &name, uid)
            .expect("it is awaited")
            .end();
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
                    same.count,
                )
            })
        })
        .collect();
    requests.sort();
    requests
}

#[test]
fn a_link_is_granted_once_per_place_and_comes_back_with_its_client() {
    let mut registry = registry();
    service(&mut registry, "S", 1);
    let (a, b) = (client(&mut registry, "a"), client(&mut registry, "b"));
    assert!(registry.linked(a, "S").is_ok());
    assert!(registry.linked(a, "S").is_ok(), "linking again succeeds");
    assert_eq!(
        registry.linked(b, "S"),
        Err(Refusal::Limit {
            service: "S".into(),
            linked: LinkedClients::new(["a[h:1]"], 1),
        })
    );
    assert!(registry.leave(a).is_some_and(|(_, leaving)| leaving.is_none()));
    assert!(registry.linked(b, "S").is_ok());
}

#[test]
fn a_limited_or_locked_service_serves_linked_clients_only() {
    let mut registry = registry();
    let limited = service(&mut registry, "limited", 2);
    let open = service(&mut registry, "open", 0);
    let (a, b) = (client(&mut registry, "a"), client(&mut registry, "b"));
    assert!(matches!(
        registry.service_for(a, "limited", FLAT),
        Err(Refusal::LinkBecauseLimited { is_full: false, .. })
    ));
    registry.linked(a, "limited").unwrap();
    assert_eq!(registry.service_for(a, "limited", FLAT), Ok(limited));

    assert_eq!(registry.service_for(b, "open", FLAT), Ok(open));
    registry.linked(a, "open").unwrap();
    registry.locked(a, "open", false, at(5)).unwrap();
    let held = || HeldLock {
        holder: "a[h:1]".into(),
        since: at(5),
        others: 0,
    };
    assert_eq!(
        registry.service_for(b, "open", FLAT),
        Err(Refusal::CallLocked {
            service: "open".into(),
            client: "b[h:1]".into(),
            held: held(),
        })
    );
    assert_eq!(
        registry.linked(b, "open"),
        Err(Refusal::Locked {
            service: "open".into(),
            held: held(),
        })
    );
    registry.leave(a);
    assert_eq!(registry.service_for(b, "open", FLAT), Ok(open));
}

#[test]
fn an_exclusive_lock_needs_the_only_link_and_a_shared_one_does_not() {
    let mut registry = registry();
    service(&mut registry, "S", 0);
    let (a, b) = (client(&mut registry, "a"), client(&mut registry, "b"));
    assert!(matches!(
        registry.locked(a, "S", true, at(0)),
        Err(Refusal::LockWithoutLink { .. })
    ));
    registry.linked(a, "S").unwrap();
    registry.linked(b, "S").unwrap();
    assert!(matches!(
        registry.locked(a, "S", false, at(0)),
        Err(Refusal::NotAlone { .. })
    ));
    for client in [a, b] {
        let linked = registry.locked(client, "S", true, at(0)).unwrap();
        assert_eq!(registry.text(linked), r#"["a[h:1]","b[h:1]"]"#);
    }
    let locking = registry.released(a, "S").unwrap();
    assert_eq!(registry.text(locking), r#"["b[h:1]"]"#);
    registry.unlinked(b, "S").unwrap();
    assert_eq!(
        registry.text(Listing::Locks),
        r#"{"S":[]}"#,
        "unlinking releases the lock"
    );
}

#[test]
fn a_reply_counts_once_and_only_from_the_service_that_holds_the_request() {
    let mut registry = registry();
    let (s, other) = (service(&mut registry, "S", 0), service(&mut registry, "T", 0));
    let a = client(&mut registry, "a");
    registry.begin_request(a, s, "1");
    assert!(registry.destination(other, "a[h:1]", "1").is_none());
    assert!(registry.destination(s, "a[h:1]", "2").is_none());
    assert!(registry.destination(s, "b[h:1]", "1").is_none());
    assert!(registry.destination(s, "a[h:1]", "1").is_some());
    registry.end_request(s, a, "1");
    assert!(registry.destination(s, "a[h:1]", "1").is_none());
    assert_eq!(registry.in_flight(), 0);
}

#[test]
fn requests_may_share_a_uid_as_terminals_do() {
    let mut registry = registry();
    let (s, t) = (service(&mut registry, "S", 0), service(&mut registry, "T", 0));
    let a = client(&mut registry, "a");
    for service in [s, s, t] {
        registry.begin_request(a, service, "");
    }
    registry.end_request(s, a, "");
    assert!(registry.destination(s, "a[h:1]", "").is_some());
    assert_eq!(
        abandoned(&mut registry, t),
        [("a[h:1]".to_owned(), String::new())]
    );
    registry.end_request(s, a, "");
    assert!(registry.destination(s, "a[h:1]", "").is_none());
    assert_eq!(registry.in_flight(), 0);
}

#[test]
fn a_service_that_leaves_gives_back_every_request_that_it_held() {
    let mut registry = registry();
    let (s, t) = (service(&mut registry, "S", 0), service(&mut registry, "T", 0));
    let (a, b) = (client(&mut registry, "a"), client(&mut registry, "b"));
    registry.begin_request(a, s, "1");
    registry.begin_request(a, t, "2");
    registry.begin_request(b, s, "1");
    assert_eq!(
        abandoned(&mut registry, s),
        [("a[h:1]".into(), "1".into()), ("b[h:1]".into(), "1".into())]
    );
    assert_eq!(registry.in_flight(), 1);
    registry.leave(a);
    assert_eq!(registry.in_flight(), 0);
    assert!(abandoned(&mut registry, t).is_empty(), "nobody waits any more");
}

/// Returns the shortest time, of some attempts, in which a service leaves that holds one request of
/// each of 50 clients. The clients have `requests_elsewhere` requests at another service.
fn departure(requests_elsewhere: usize) -> Duration {
    let departures = (0..5).map(|_| {
        let mut registry = registry_with(usize::MAX);
        let (s, other) = (service(&mut registry, "S", 0), service(&mut registry, "T", 0));
        for number in 0..50 {
            let client = client(&mut registry, &number.to_string());
            registry.begin_request(client, s, "");
            for uid in 0..requests_elsewhere {
                registry.begin_request(client, other, &uid.to_string());
            }
        }
        let begun = Instant::now();
        let (abandoned, _) = left(&mut registry, s);
        let took = begun.elapsed();
        assert_eq!(abandoned.len(), 50);
        took
    });
    departures.min().expect("there are some")
}

#[test]
fn a_service_that_leaves_is_not_searched_for_among_the_requests_that_others_hold() {
    let alone = departure(0);
    let beside_others = departure(5_000);
    assert!(
        beside_others < 20 * alone + Duration::from_millis(1),
        "{beside_others:?} and {alone:?}"
    );
}

#[test]
fn a_service_is_gone_at_once_and_its_name_is_free_when_all_know() {
    let mut registry = registry();
    let s = service(&mut registry, "S", 0);
    let clients = ["a", "b", "c"].map(|name| client(&mut registry, name));
    for client in clients {
        registry.linked(client, "S").unwrap();
        registry.begin_request(client, s, "1");
    }
    let mut leaving = gone(&mut registry, s);
    assert_eq!((leaving.name(), leaving.requests()), ("S", 3));
    assert!(registry.destination(s, "a[h:1]", "1").is_none());
    assert!(matches!(
        registry.service_for(clients[0], "S", FLAT),
        Err(Refusal::NoSuchService { .. })
    ));
    assert!(matches!(
        registry.linked(clients[0], "S"),
        Err(Refusal::CannotLink { .. })
    ));
    let again = Identity::from_json(br#"{"type":"service","name":"S","attributes":{}}"#).unwrap();
    assert!(
        registry
            .next_concerned(&mut leaving, &Refusal::Stopping)
            .is_some()
    );
    assert!(registry.is_leaving("S"));
    let refused = registry.take_in(&again, "h:3", &Outbox::alone(1));
    assert_eq!(refused, Err(Refusal::NameTaken("S".into())));
    // Clients that leave meanwhile need no notification.
    registry.leave(clients[0]);
    registry.leave(clients[1]);
    while registry
        .next_concerned(&mut leaving, &Refusal::Stopping)
        .is_some()
    {}
    assert!(!registry.is_leaving("S"));
    assert_eq!((registry.in_flight(), registry.contradiction()), (0, None));
    assert!(registry.take_in(&again, "h:3", &Outbox::alone(1)).is_ok());
}

#[test]
fn a_client_that_asks_again_finds_its_place_and_many_empty_places_are_removed() {
    let mut registry = registry();
    let s = service(&mut registry, "S", 0);
    let places = |registry: &Registry| registry.service(s).unwrap().callers.len();
    let waiting = client(&mut registry, "waiting");
    registry.begin_request(waiting, s, "");
    for number in 0..1_022 {
        let client = client(&mut registry, &number.to_string());
        for uid in ["1", "2"] {
            registry.begin_request(client, s, uid);
            registry.end_request(s, client, uid);
        }
    }
    assert_eq!((places(&registry), registry.empty_places.len()), (1_023, 1_022));
    let last = client(&mut registry, "last");
    for uid in 0..128 {
        registry.begin_request(last, s, &uid.to_string());
    }
    for uid in 0..128 {
        registry.end_request(s, last, &uid.to_string());
    }
    assert_eq!(registry.contradiction(), None);
    assert_eq!(registry.service_for(last, "S", FLAT), Ok(s));
    assert_eq!((places(&registry), registry.empty_places.len()), (1, 0));
    assert_eq!(registry.contradiction(), None);
    registry.end_request(s, waiting, "");
    assert_eq!(registry.in_flight(), 0);
}

#[tokio::test]
async fn a_client_that_has_said_all_is_told_when_its_last_reply_has_come() {
    let mut registry = registry();
    let (s, t) = (service(&mut registry, "S", 0), service(&mut registry, "T", 0));
    let a = client(&mut registry, "a");
    let until = Instant::now();
    assert!(registry.finish(a, until).1.is_none(), "it waits for nothing");
    for (service, uid) in [(s, "1"), (s, "2"), (t, "1")] {
        registry.begin_request(a, service, uid);
    }
    let last_reply = registry.finish(a, until).1.expect("it waits");
    let has_come = || timeout(Duration::ZERO, last_reply.notified());
    registry.end_request(s, a, "1");
    assert!(has_come().await.is_err());
    left(&mut registry, t);
    assert!(has_come().await.is_err());
    registry.end_request(s, a, "2");
    assert!(has_come().await.is_ok());
}

#[test]
fn the_identity_follows_who_comes_and_goes() {
    let mut registry = registry();
    let s = service(&mut registry, "S", 0);
    client(&mut registry, "a");
    let identity: serde_json::Value = serde_json::from_str(&registry.text(Listing::Identity)).unwrap();
    assert_eq!(identity["clients"]["a[h:1]"]["name"], "a");
    assert_eq!(identity["services"]["S"]["max_clients"], -1);
    assert_eq!(identity["services"]["S"]["attributes"]["a"], "()");
    left(&mut registry, s);
    let identity: serde_json::Value = serde_json::from_str(&registry.text(Listing::Identity)).unwrap();
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

#[test]
fn a_manager_that_stops_gives_back_every_request() {
    let mut registry = registry();
    let (s, t) = (service(&mut registry, "S", 0), service(&mut registry, "T", 0));
    let a = client(&mut registry, "a");
    registry.begin_request(a, s, "1");
    registry.begin_request(a, t, "1");
    let mut services: Vec<_> = registry
        .abandon_all()
        .into_iter()
        .map(|(name, _)| name.to_string())
        .collect();
    services.sort();
    assert_eq!(services, ["S", "T"]);
    assert_eq!(registry.in_flight(), 0);
    assert!(
        registry.destination(s, "a[h:1]", "1").is_none(),
        "a reply comes too late now"
    );
    assert!(abandoned(&mut registry, s).is_empty());
}

/// Returns the request that a malformed reply of a service is for: its client's name, and its uid
/// as JSON text.
fn identified(
    registry: &mut Registry,
    service: PeerId,
    requester: Option<&str>,
    uid: Option<&str>,
) -> Option<(String, String)> {
    let names = Names {
        requester: requester.map(str::to_owned),
        uid: uid.map(|uid| labwire_wire::Uid::from_json(uid.as_bytes()).unwrap().into_owned()),
        asks: false,
    };
    let awaited = registry.identify(service, &names)?;
    Some((
        awaited.requester.to_string(),
        awaited.uid().to_json().into_owned(),
    ))
}

fn begin(registry: &mut Registry, client: PeerId, service: PeerId, uid: &str) {
    let uid = labwire_wire::Uid::from_json(uid.as_bytes()).unwrap();
    registry.begin(client, service, uid.as_bytes());
}

#[test]
fn a_malformed_reply_is_for_the_only_request_that_fits_its_names() {
    let mut registry = registry();
    let (s, t) = (service(&mut registry, "S", 0), service(&mut registry, "T", 0));
    let (a, b) = (client(&mut registry, "a"), client(&mut registry, "b"));
    let request = |client: &str, uid: &str| Some((format!("{client}[h:1]"), uid.to_owned()));
    begin(&mut registry, a, s, "\"1\"");
    begin(&mut registry, a, t, "\"9\"");
    begin(&mut registry, b, t, "\"9\"");
    let (name, one) = (Some("a[h:1]"), Some("\"1\""));
    for (requester, uid) in [
        (None, None),
        (name, None),
        (None, one),
        (name, one),
        (name, Some("1")),
    ] {
        assert_eq!(
            identified(&mut registry, s, requester, uid),
            request("a", "\"1\""),
            "{requester:?} {uid:?}"
        );
    }
    for (requester, uid) in [
        (Some("b[h:1]"), None),
        (Some("b[h:1]"), one),
        (Some("nobody"), None),
        (None, Some("\"9\"")),
        (name, Some("\"9\"")),
        (name, Some("\"\"")),
        (None, Some("2")),
    ] {
        assert_eq!(
            identified(&mut registry, s, requester, uid),
            None,
            "{requester:?} {uid:?}"
        );
    }
    begin(&mut registry, b, s, "2");
    assert_eq!(identified(&mut registry, s, None, None), None, "there are two");
    assert_eq!(
        identified(&mut registry, s, None, Some("\"\"")),
        None,
        "this says nothing"
    );
    assert_eq!(
        identified(&mut registry, s, Some("b[h:1]"), None),
        request("b", "2")
    );
    assert_eq!(
        identified(&mut registry, s, None, Some("\"2\"")),
        request("b", "2")
    );
    begin(&mut registry, b, s, "\"1\"");
    assert_eq!(
        identified(&mut registry, s, Some("b[h:1]"), None),
        None,
        "there are two"
    );
    assert_eq!(
        identified(&mut registry, s, None, one),
        None,
        "two clients chose it"
    );
    assert_eq!(
        identified(&mut registry, s, Some("b[h:1]"), one),
        request("b", "\"1\"")
    );
}

#[test]
fn a_number_and_a_string_are_two_uids() {
    let mut registry = registry();
    let s = service(&mut registry, "S", 0);
    let a = client(&mut registry, "a");
    for uid in ["5", "\"5\"", "1e2"] {
        begin(&mut registry, a, s, uid);
    }
    let uid = |json: &str| {
        labwire_wire::Uid::from_json(json.as_bytes())
            .unwrap()
            .into_owned()
    };
    let name = Text::from(Cow::from("a[h:1]"));
    let held = |registry: &mut Registry, json: &str| {
        registry
            .awaited(s, &name, &uid(json))
            .map(|held| held.uid().into_owned())
    };
    assert_eq!(held(&mut registry, "5"), Some(uid("5")));
    assert_eq!(held(&mut registry, "\"5\""), Some(uid("\"5\"")));
    assert_eq!(held(&mut registry, "5.0"), None);
    let other = |json: &str| registry.held_in_other_spelling(s, &name, &uid(json));
    assert_eq!(other("5.0"), Some(uid("5")));
    assert_eq!(other("100"), Some(uid("1e2")));
    assert_eq!(other("\"100\""), None);
    assert_eq!(
        registry.held_as_other_type(s, &name, &uid("\"1e2\"")),
        Some(uid("1e2"))
    );
    assert_eq!(registry.held_as_other_type(s, &name, &uid("\"100\"")), None);
    registry.awaited(s, &name, &uid("5")).unwrap().end();
    assert_eq!(held(&mut registry, "5"), None);
    assert_eq!(held(&mut registry, "\"5\""), Some(uid("\"5\"")));
}

const FLAT: Shape = Shape {
    depth: 1,
    integer_digits: 1,
};

#[test]
fn a_python_service_gets_nothing_that_ends_it() {
    let mut registry = registry();
    let identity = br#"{"type":"service","name":"P","attributes":{},"language":"Python 3.11.7"}"#;
    let python = registry
        .take_in(&Identity::from_json(identity).unwrap(), "h:2", &Outbox::alone(1))
        .unwrap();
    let other = service(&mut registry, "S", 0);
    let a = client(&mut registry, "a");
    assert_eq!(registry.service_for(a, "P", FLAT), Ok(python));
    for shape in [
        Shape { depth: 1_000, ..FLAT },
        Shape {
            integer_digits: 5_000,
            ..FLAT
        },
    ] {
        assert!(matches!(
            registry.service_for(a, "P", shape),
            Err(Refusal::UnreadableRequest { .. })
        ));
        assert_eq!(registry.service_for(a, "S", shape), Ok(other));
    }
}

/// Adds a client with all features. Returns its id and its queue.
fn curious_client(registry: &mut Registry, name: &str) -> (PeerId, Arc<Outbox>) {
    let identity = Identity {
        features: Features::ALL,
        ..Identity::client(name).unwrap()
    };
    let outbox = Outbox::alone(1_000);
    let id = registry.take_in(&identity, "h:1", &outbox).unwrap();
    (id, outbox)
}

#[test]
fn a_service_that_leaves_names_the_linked_clients_that_asked_to_be_told() {
    let mut registry = registry();
    let s = service(&mut registry, "S", 0);
    let (asked, outbox) = curious_client(&mut registry, "asked");
    let (unlinked, _) = curious_client(&mut registry, "unlinked");
    curious_client(&mut registry, "never linked");
    let silent = client(&mut registry, "silent");
    for client in [asked, unlinked, silent] {
        registry.linked(client, "S").unwrap();
    }
    registry.unlinked(unlinked, "S").unwrap();
    let (_, linked) = left(&mut registry, s);
    assert_eq!(linked.len(), 1);
    assert!(Arc::ptr_eq(&linked[0], &outbox));
}

#[tokio::test]
async fn errors_for_thousands_of_requests_keep_their_place_among_what_a_client_is_told() {
    let mut registry = registry_with(usize::MAX);
    let s = service(&mut registry, "S", 0);
    let outbox = Outbox::alone(1 << 30);
    let identity = Identity::client("a").unwrap();
    let a = registry.take_in(&identity, "h:1", &outbox).unwrap();
    for uid in 0..3_000 {
        registry.begin_request(a, s, &uid.to_string());
    }
    registry.begin_request(a, s, "7");
    outbox.push_always(|frame| frame.copied(b"before\r\n"));
    for abandoned in left(&mut registry, s).0 {
        abandoned.tell(&Refusal::ServiceLeft { service: "S".into() });
    }
    outbox.push_always(|frame| frame.copied(b"after\r\n"));
    let counted = outbox.queued();
    let told = outbox.close_and_read().await;
    assert_eq!(counted, told.len(), "they count before they are put together");
    let lines: Vec<_> = told.lines().collect();
    assert_eq!((lines[0], lines[3_002]), ("before", "after"));
    let uid = |line: &&str| {
        let error: serde_json::Value = serde_json::from_str(line).unwrap();
        error["uid"].as_str().unwrap().parse::<usize>().unwrap()
    };
    let mut uids: Vec<_> = lines[1..3_002].iter().map(uid).collect();
    uids.sort_unstable();
    let mut expected: Vec<_> = (0..3_000).collect();
    expected.insert(7, 7);
    assert_eq!(uids, expected);
}

#[tokio::test]
async fn a_client_is_told_of_each_request_that_will_not_be_answered() {
    let refusal = Refusal::ServiceLeft { service: "S".into() };
    for (features, executed, origin) in [
        (Features::default(), "", ""),
        (
            Features {
                origin: true,
                ..Features::default()
            },
            r#","executed":"maybe""#,
            r#","origin":"manager""#,
        ),
    ] {
        let mut registry = registry();
        let s = service(&mut registry, "S", 0);
        let identity = Identity {
            features,
            ..Identity::client("a").unwrap()
        };
        let outbox = Outbox::alone(1_000);
        let a = registry.take_in(&identity, "h:1", &outbox).unwrap();
        for uid in ["\"", "\""] {
            registry.begin_request(a, s, uid);
        }
        for abandoned in left(&mut registry, s).0 {
            assert_eq!(abandoned.count(), 2);
            abandoned.tell(&refusal);
        }
        let expected = format!(
            r#"{{"error":true{executed},"message":"{refusal}"{origin},"requester":"a[h:1]","result":null,"traceback":[],"uid":"\""}}"#
        );
        assert_eq!(outbox.close_and_read().await, format!("{expected}\r\n").repeat(2));
    }
}

#[test]
fn the_client_that_has_held_its_lock_longest_is_named() {
    let mut registry = registry();
    service(&mut registry, "S", 0);
    let [a, b, c, late] = ["a", "b", "c", "late"].map(|name| client(&mut registry, name));
    for client in [a, b, c] {
        registry.linked(client, "S").unwrap();
    }
    let mut held = |locks: &[(PeerId, i64)], released: &[PeerId]| {
        for &(client, second) in locks {
            registry.locked(client, "S", true, at(second)).unwrap();
        }
        for &client in released {
            registry.released(client, "S").unwrap();
        }
        match registry.linked(late, "S") {
            Err(Refusal::Locked { held, .. }) => (held.holder, held.since, held.others),
            other => panic!("{other:?}"),
        }
    };
    let named = |holder: &str, second, others| (holder.to_owned(), at(second), others);
    assert_eq!(held(&[(c, 10), (b, 20), (a, 30)], &[]), named("c[h:1]", 10, 2));
    // Acquiring a lock again keeps its time.
    assert_eq!(held(&[(c, 40)], &[a]), named("c[h:1]", 10, 1));
    assert_eq!(held(&[], &[c]), named("b[h:1]", 20, 0));
    assert_eq!(held(&[(c, 50)], &[b]), named("c[h:1]", 50, 0));
}

#[tokio::test]
async fn a_client_that_has_said_all_gives_its_links_and_locks_back_and_keeps_its_requests() {
    let mut registry = registry();
    let limited = service(&mut registry, "limited", 1);
    let (a, b) = (client(&mut registry, "a"), client(&mut registry, "b"));
    registry.linked(a, "limited").unwrap();
    registry.locked(a, "limited", false, at(0)).unwrap();
    registry.begin_request(a, limited, "1");
    let just_before = Instant::now() + Duration::from_secs(4);
    let until = just_before + Duration::from_millis(1);
    let (event, told) = registry.finish(a, until);
    let told = told.expect("it waits");
    assert!(
        matches!(&event, Some(Event::LinksEnded { services, .. }) if **services == ["limited".into()]),
        "{event:?}"
    );
    assert!(registry.linked(b, "limited").is_ok());
    assert!(registry.destination(limited, "a[h:1]", "1").is_some());
    assert_eq!(registry.next_deadline(), Some(until));
    assert!(registry.expire(just_before).is_none());
    let event = registry.expire(until);
    assert!(
        matches!(event, Some(Event::WaitedInVain { requests: 1, .. })),
        "{event:?}"
    );
    timeout(Duration::ZERO, told.notified())
        .await
        .expect("it is told");
    assert_eq!(registry.next_deadline(), None);
    assert_eq!(registry.contradiction(), None);
}
