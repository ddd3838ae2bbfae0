//! Tells that locks have ended.

use labwire_home::present;
use labwire_store::ConnectionEvent;
use labwire_wire::{frames, quoted};
use serde_json::json;
use tracing::info;

use super::Events;
use crate::counters::Counters;
use crate::refusal::{LockCause, excerpt};
use crate::registry::{LockEnded, ReservationEnded, Subject};
use crate::work::FRAME_WORK;

impl Events {
    /// Notifies a client that its lock has ended.
    pub(super) fn publish_lock_end(&self, ended: &LockEnded) -> usize {
        let LockEnded {
            service,
            client,
            log_limit,
            principal,
            features,
            end,
            outbox,
        } = ended;
        let counter = match end.cause {
            LockCause::Expired { .. } => &self.counters.locks_expired,
            LockCause::NotAcquired => &self.counters.reservations_expired,
            LockCause::Broken { .. } | LockCause::NotPermitted { .. } => &self.counters.locks_broken,
        };
        Counters::count(counter);
        // What an administrator has done is never left out.
        if end.cause.is_deliberate() || log_limit.allows(client) {
            info!("the lock of {client} on {} {end}", quoted(excerpt(service)));
        }
        if let Some(store) = self.records.as_ref().filter(|_| end.cause.is_deliberate()) {
            let text = format!("its lock on {} {end}", quoted(excerpt(service)));
            store.record_at(present(), principal.from.event(&text));
        }
        let subject = Subject::Link { client, service };
        let work = self.emit("lock_ended", subject, || {
            let cause = end.cause.name();
            json!({ "cause": cause, "client": **client, "service": **service, "text": end.to_string() })
        });
        if !features.leases {
            // A client that knows only of links would link again at once, although its caller still
            // believes that it holds the lock.
            return 1 + work;
        }
        let text = format!("the lock on the {} Service {end}", quoted(service));
        let arguments = [service, end.cause.name(), &text];
        let frame = frames::manager_request("lock_ended", &arguments, &self.manager);
        outbox.push_always(|writer| writer.shared(&frame));
        FRAME_WORK + work
    }

    /// Tells that a lock is not kept any more for its holder from before a restart.
    pub(super) fn publish_reservation_end(
        &self,
        ReservationEnded { lease, end }: &ReservationEnded,
    ) -> usize {
        let (service, holder) = (&lease.key.service, &lease.holder);
        let quoted_service = quoted(excerpt(service));
        let (counter, cause, text) = match end {
            None => (
                &self.counters.reservations_expired,
                "expired",
                "is free: its holder from before the restart of the manager has not taken it again in time"
                    .to_owned(),
            ),
            Some(end) => (&self.counters.locks_broken, end.cause.name(), end.to_string()),
        };
        Counters::count(counter);
        info!("the lock of {holder} on {quoted_service} {text}");
        if let (Some(store), Some(_)) = (&self.records, end) {
            let address = holder
                .rsplit_once('[')
                .map(|(_, address)| address.trim_end_matches(']'));
            let (domain, port) = address
                .and_then(|address| address.rsplit_once(':'))
                .unwrap_or_default();
            store.record(ConnectionEvent {
                ip: lease.ip.to_string(),
                domain: domain.to_owned(),
                port: port.parse().unwrap_or_default(),
                message: format!("its lock on {quoted_service} {text}"),
            });
        }
        1 + self.emit(
            "lock_ended",
            Subject::Link {
                client: holder,
                service,
            },
            || json!({ "cause": cause, "client": **holder, "service": **service, "text": text }),
        )
    }
}
