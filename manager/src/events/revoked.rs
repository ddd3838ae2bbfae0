//! Tells that peers have something no longer since it is not permitted any more.

use labwire_wire::{Features, MANAGER_NAME, Uid, frames, quoted};
use serde_json::json;
use tracing::info;

use super::Events;
use crate::outbox::Outbox;
use crate::refusal::{Refusal, excerpt};
use crate::registry::{LinkRevoked, PeerId, Registry, Subject};
use crate::topics::Subscription;
use crate::work::{COMPARED_PER_WORK, FRAME_WORK};

impl Events {
    /// Tells that a link has ended since it is not permitted any more: as for a service that leaves.
    pub(super) fn publish_revoked_link(&self, revoked: &LinkRevoked) -> usize {
        let LinkRevoked {
            client,
            service,
            principal: _,
            links,
            locks,
            told,
        } = revoked;
        info!(
            "the link of {client} with {} has ended: it is not permitted any more",
            quoted(excerpt(service))
        );
        if let Some(outbox) = told {
            let frame = frames::manager_request("unlinked", &[service], &self.manager);
            outbox.push_always(|writer| writer.shared(&frame));
        }
        let subject = Subject::Link { client, service };
        FRAME_WORK
            + self.emit(
                "unlinked",
                subject,
                || json!({ "client": **client, "links": links, "locks": locks, "service": **service }),
            )
    }

    /// Disconnects a service that may not be one any more.
    pub(super) fn publish_revoked_service(name: &str, outbox: &Outbox, refusal: &Refusal) -> usize {
        info!("{name} is disconnected: {}", refusal.summary());
        let frame = refusal.frame(name, &Uid::EMPTY, Features::default());
        outbox.push_always(|writer| writer.shared(&frame));
        outbox.close();
        FRAME_WORK
    }

    /// Ends the subscriptions of a peer that are not permitted any more, and restricts what it learns
    /// of the manager's own topics. Returns the work done, as [`publish`](Self::publish) does.
    pub(crate) fn revoke_subscriptions(
        &self,
        registry: &mut Registry,
        peer: PeerId,
        permits: impl Fn(&str) -> bool,
    ) -> usize {
        let subscriptions = self.topics.of(peer);
        if subscriptions.is_empty() {
            return 0;
        }
        let mut work = subscriptions.len() * COMPARED_PER_WORK;
        for subscription in subscriptions.iter().filter(|own| !permits(own.needed())) {
            work += self.topics.unsubscribe(peer, subscription).unwrap_or_default();
            let name = registry.full_name(peer);
            info!(
                "the subscription of {name} to {} has ended: it is not permitted any more",
                quoted(excerpt(subscription.needed()))
            );
            let client = registry.client(peer).filter(|client| client.features.unlinked);
            if let (Subscription::Manager, Some(client)) = (subscription, client) {
                let frame = frames::manager_request("unlinked", &[MANAGER_NAME], &self.manager);
                client.outbox.push_always(|writer| writer.shared(&frame));
            }
        }
        self.topics.set_eyes(peer, registry.eyes(peer));
        work
    }
}
