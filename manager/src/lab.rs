//! A manager without connections, tasks or timers: for schedules of other crates in virtual time.
//! Its deadlines do not expire.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use jiff::Timestamp;
use labwire_wire::{Identity, LineView};
use tokio::time::Instant;

use crate::attachment::Attachment;
use crate::config::Limits;
use crate::hub::Routing;
use crate::pace::Pace;
use crate::principal::{Introduced, Principal};
use crate::record::Recording;
use crate::refusal::LockCause;
use crate::registry::ManagerIdentity;
use crate::router::{Kind, Permits, Step};

/// A manager whose peers are attached without connections. Its registry, router and queues are
/// those of a manager that runs; every call is done when it returns.
pub struct Lab {
    routing: Arc<Routing>,
    /// The number of peers that have joined.
    joined: u16,
}

/// A peer of a [`Lab`]. Dropping it disconnects the peer.
pub struct LabPeer {
    attachment: Attachment,
    routing: Arc<Routing>,
}

impl Default for Lab {
    fn default() -> Self {
        let routing = Routing::new(
            ManagerIdentity::sample(),
            Limits::default(),
            Pace::default(),
            None,
            Recording::Nothing,
        );
        Self {
            routing: Arc::new(routing),
            joined: 0,
        }
    }
}

impl Lab {
    /// Registers a peer with its identity, a frame of JSON. Returns `None` if it is not valid, or
    /// its name is taken.
    pub fn join(&mut self, identity: &[u8]) -> Option<LabPeer> {
        self.joined += 1;
        let introduced = Introduced {
            identity: Identity::from_json(identity).ok()?,
            principal: Principal::sample(),
            came: Timestamp::UNIX_EPOCH,
        };
        let address = format!("h:{}", self.joined);
        let attachment = Attachment::join(&self.routing, &introduced, &address, None).ok()?;
        Some(LabPeer {
            attachment,
            routing: Arc::clone(&self.routing),
        })
    }

    /// Returns the number of subscriptions to topics.
    pub fn subscriptions(&self) -> usize {
        let [subscriptions, ..] = self.routing.events.topics.sizes();
        subscriptions
    }

    /// Breaks all locks on a service, as an administrator does. Does nothing if it is not there.
    pub fn break_locks(&self, service: &str) {
        let cause = LockCause::Broken {
            by: "ada".into(),
            reason: None,
        };
        let newest = self.routing.registry().newest_lock();
        // It fails if there is no such service.
        while let Ok((_, true)) = self.routing.break_some(service, None, newest, &cause) {}
        self.routing.settle_all();
    }

    /// Returns whether a client is linked with a service, and whether it holds a lock on it.
    pub fn link_and_lock(&self, client: &LabPeer, service: &LabPeer) -> (bool, bool) {
        let registry = self.routing.registry();
        let (client, service) = (client.attachment.id(), service.attachment.id());
        (
            registry.is_linked(service, client),
            registry.has_lock(service, client),
        )
    }
}

impl LabPeer {
    /// Returns the peer's name on the network, `NAME[HOST:PORT]`.
    pub fn name(&self) -> &str {
        self.attachment.name()
    }

    /// Routes a line that the peer sends, with its line end. Returns `false` if the manager
    /// disconnects the peer because of it: drop the peer then.
    ///
    /// # Panics
    /// If the line would have to wait for room in a queue: read with [`take`](Self::take), and send
    /// small lines. If it is a request that only an administrator may send.
    pub fn send(&self, line: &[u8]) -> bool {
        let view = LineView::new(line);
        let kind = Kind::of(view.content());
        let (step, _) = self.attachment.router(Permits::default())(view.into(), &kind);
        match step {
            Step::Next => {
                self.routing.settle_all();
                true
            }
            Step::Leave => false,
            Step::Wait(..) | Step::Ask(..) | Step::Convert(_) | Step::Decide => {
                panic!("the line is not routed at once")
            }
        }
    }

    /// Takes everything that is queued for the peer.
    pub fn take(&self) -> Vec<u8> {
        let outbox = self.attachment.outbox();
        let mut taken = Vec::new();
        let mut context = Context::from_waker(Waker::noop());
        while let Poll::Ready(Some(mut batch)) = pin!(outbox.next_batch()).poll(&mut context) {
            let count = batch.segments().map(bytes::Bytes::len).sum();
            batch
                .segments()
                .for_each(|segment| taken.extend_from_slice(segment));
            batch.advance(count);
            outbox.written(count, 0, Instant::now);
        }
        taken
    }
}
