//! A service and a client whose lines are routed without any connection.

use std::sync::Arc;

use jiff::Timestamp;
use labwire_wire::{Identity, LineView};

use super::{Kind, Permits, Router, Sender, Step};
use crate::chatter::Chatter;
use crate::config::Limits;
use crate::counters::Counters;
use crate::outbox::Outbox;
use crate::pace::Pace;
use crate::registry::{ManagerIdentity, PeerId, Registry};

/// How many requests the client may have under way.
const IN_FLIGHT: usize = 1_000;

/// How many bytes may wait for each of them.
const QUEUED: usize = 1 << 20;

/// A service `S` and a client `c`, and what they are told.
pub(crate) struct Stage {
    registry: Registry,
    counters: Counters,
    chatter: Chatter,
    service: (PeerId, Arc<Outbox>),
    client: (PeerId, Arc<Outbox>),
    origin: bool,
    /// What the last line was.
    kind: Kind,
}

impl Stage {
    pub(crate) fn new(client: &Identity) -> Self {
        Self::with_service(client, br#"{"type":"service","name":"S","attributes":{}}"#)
    }

    /// The same with a service of this identity.
    pub(crate) fn with_service(client: &Identity, service: &[u8]) -> Self {
        let manager = ManagerIdentity {
            hostname: "h".into(),
            port: 1875,
            language: String::new(),
            os: String::new(),
        };
        let limits = Limits {
            in_flight_per_client: IN_FLIGHT,
            ..Limits::default()
        };
        let mut registry = Registry::new(manager, &limits);
        let service = Identity::from_json(service).expect("it is an identity");
        let mut join = |identity: &Identity, address| {
            let outbox = Outbox::alone(QUEUED);
            let id = registry.join(identity, address, &outbox);
            (id.expect("the name is free"), outbox)
        };
        let (service, client_place) = (join(&service, "h:1"), join(client, "h:2"));
        Self {
            registry,
            counters: Counters::default(),
            chatter: Chatter::new(),
            service,
            client: client_place,
            origin: client.features.origin,
            kind: Kind::default(),
        }
    }

    /// A client and a service that takes no other, which ask for long lines while they arrive.
    #[cfg(test)]
    pub(crate) fn cut_through() -> Self {
        let client = Identity {
            features: labwire_wire::Features::from_names(["cut-through"]),
            ..Identity::client("c").expect("it is a name")
        };
        let service =
            br#"{"type":"service","name":"S","attributes":{},"max_clients":1,"features":["cut-through"]}"#;
        let mut stage = Self::with_service(&client, service);
        let link = br#"{"service":"Manager","attribute":"link","args":["S"],"uid":"0"}"#;
        assert!(matches!(stage.client_says(link), Step::Next));
        stage
    }

    /// Routes what the client says, as its session would.
    pub(crate) fn client_says(&mut self, line: &[u8]) -> Step {
        let view = LineView::new(line);
        let mut kind = std::mem::take(&mut self.kind);
        kind.look(view.content());
        let step = self.as_client(|router, from| router.route_from_client(from, view, &kind));
        self.kind = kind;
        step
    }

    /// Routes what the service says.
    pub(crate) fn service_says(&mut self, line: &[u8]) -> Step {
        let view = LineView::new(line);
        let mut kind = std::mem::take(&mut self.kind);
        kind.look(view.content());
        let step = self.as_service(|router, from| router.route_from_service(from, view, &kind));
        self.kind = kind;
        step
    }

    /// Routes something in the client's name.
    pub(crate) fn as_client<T>(&mut self, act: impl FnOnce(&mut Router<'_>, &Sender<'_>) -> T) -> T {
        let (id, outbox) = &self.client;
        let from = Sender {
            id: *id,
            name: "c[h:2]",
            outbox,
            origin: self.origin,
            chatter: &self.chatter,
        };
        act(&mut router(&mut self.registry, &self.counters), &from)
    }

    /// Routes something in the service's name.
    pub(crate) fn as_service<T>(&mut self, act: impl FnOnce(&mut Router<'_>, &Sender<'_>) -> T) -> T {
        let (id, outbox) = &self.service;
        let from = Sender {
            id: *id,
            name: "S[h:1]",
            outbox,
            origin: false,
            chatter: &self.chatter,
        };
        act(&mut router(&mut self.registry, &self.counters), &from)
    }

    /// What waits to be written to the client.
    pub(crate) fn clients_queue(&self) -> &Arc<Outbox> {
        &self.client.1
    }

    /// What waits to be written to the service.
    pub(crate) fn services_queue(&self) -> &Arc<Outbox> {
        &self.service.1
    }
}

fn router<'a>(registry: &'a mut Registry, counters: &'a Counters) -> Router<'a> {
    Router {
        registry,
        counters,
        draining: false,
        nesting: 1_024,
        permits: Permits::default(),
        pace: Pace::in_bytes(),
        clock: Timestamp::now,
        work: 0,
    }
}
