//! A service and a client whose lines are routed without a connection.

use std::sync::Arc;

use jiff::Timestamp;
use labwire_wire::{Identity, LineView};

use super::{Kind, Permits, Step};
#[cfg(test)]
use super::{Router, Sender};
use crate::attachment::Attachment;
use crate::config::Limits;
use crate::hub::Routing;
use crate::outbox::Outbox;
use crate::pace::Pace;
use crate::principal::Introduced;
use crate::principal::Principal;
use crate::record::Recording;
use crate::registry::ManagerIdentity;

/// The limit of the client's requests in flight.
const IN_FLIGHT: usize = 1_000;

/// The limit of each queue, in bytes.
const QUEUED: usize = 1 << 20;

/// A service `S` and a client `c`, with their queues.
pub(crate) struct Rig {
    service: Attachment,
    client: Attachment,
    /// The kind of the last line.
    kind: Kind,
}

impl Rig {
    pub(crate) fn new(client: &Identity) -> Self {
        Self::with_service(client, br#"{"type":"service","name":"S","attributes":{}}"#)
    }

    /// As [`new`](Self::new), with a service of this identity.
    pub(crate) fn with_service(client: &Identity, service: &[u8]) -> Self {
        let limits = Limits {
            in_flight_per_client: IN_FLIGHT,
            queue: QUEUED,
            ..Limits::default()
        };
        let routing = Arc::new(Routing::new(
            ManagerIdentity::sample(),
            limits,
            Pace::in_bytes(),
            None,
            Recording::Nothing,
        ));
        let join = |identity, address| {
            let introduced = Introduced {
                identity,
                principal: Principal::sample(),
                came: Timestamp::UNIX_EPOCH,
            };
            let joined = Attachment::join(&routing, &introduced, address, None);
            joined.expect("the name is free")
        };
        let service = Identity::from_json(service).expect("it is an identity");
        Self {
            service: join(service, "h:1"),
            client: join(client.clone(), "h:2"),
            kind: Kind::default(),
        }
    }

    /// Creates a linked client and service that both have the feature `cut-through`; the service
    /// takes one client.
    #[cfg(test)]
    pub(crate) fn cut_through() -> Self {
        let client = Identity {
            features: labwire_wire::Features::from_names(["cut-through"]),
            ..Identity::client("c").expect("it is a name")
        };
        let service =
            br#"{"type":"service","name":"S","attributes":{},"max_clients":1,"features":["cut-through"]}"#;
        let mut rig = Self::with_service(&client, service);
        let link = br#"{"service":"Manager","attribute":"link","args":["S"],"uid":"0"}"#;
        assert!(matches!(rig.client_says(link), Step::Next));
        rig
    }

    /// Routes a line of the client, as its session would.
    #[cfg(test)]
    pub(crate) fn client_says(&mut self, line: &[u8]) -> Step {
        self.client_says_all([line])
    }

    /// Routes lines of the client that came together, until one of them has to wait.
    pub(crate) fn client_says_all<'l>(&mut self, lines: impl IntoIterator<Item = &'l [u8]>) -> Step {
        route_all(&self.client, &mut self.kind, lines)
    }

    /// Routes a line of the service.
    #[cfg(test)]
    pub(crate) fn service_says(&mut self, line: &[u8]) -> Step {
        self.service_says_all([line])
    }

    /// Routes lines of the service that came together, until one of them has to wait.
    pub(crate) fn service_says_all<'l>(&mut self, lines: impl IntoIterator<Item = &'l [u8]>) -> Step {
        route_all(&self.service, &mut self.kind, lines)
    }

    /// Runs `act` with the client as the sender.
    #[cfg(test)]
    pub(crate) fn as_client<T>(&mut self, act: impl FnOnce(&mut Router<'_>, &Sender<'_>) -> T) -> T {
        self.client.with_router(act)
    }

    /// Runs `act` with the service as the sender.
    #[cfg(test)]
    pub(crate) fn as_service<T>(&mut self, act: impl FnOnce(&mut Router<'_>, &Sender<'_>) -> T) -> T {
        self.service.with_router(act)
    }

    /// Returns the queue of the client.
    pub(crate) fn clients_queue(&self) -> &Arc<Outbox> {
        self.client.outbox()
    }

    /// Returns the queue of the service.
    pub(crate) fn services_queue(&self) -> &Arc<Outbox> {
        self.service.outbox()
    }
}

/// Routes lines one after the other, up to the first one that returns another step than
/// [`Step::Next`].
fn route_all<'l>(from: &Attachment, kind: &mut Kind, lines: impl IntoIterator<Item = &'l [u8]>) -> Step {
    let mut route = from.router(Permits::default());
    for line in lines {
        let view = LineView::new(line);
        kind.look(view.content());
        let (step, _) = route(view.into(), kind);
        if !matches!(step, Step::Next) {
            return step;
        }
    }
    Step::Next
}
