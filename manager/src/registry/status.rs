//! What clients and services do, page by page, as JSON text.

use std::fmt::Write;
use std::sync::Arc;

use foldhash::HashMap;
use labwire_wire::frames::json_string;

use super::event::Away;
use super::locks::Lock;
use super::peers::PeerId;
use super::permissions::Sight;
use super::state::{Client, Registry, Service};
use super::traffic::Traffic;

/// The most peers in one page. With the following limits, a page takes less than a millisecond.
const PEERS: usize = 64;

/// The size in bytes at which a page ends. A peer takes 90 KB at most: names and the reasons of
/// locks have up to 256 bytes, and each byte may be escaped with six.
const PAGE_BYTES: usize = 64 * 1024;

/// The most links, locks or waits for locks of one peer in a page. Their numbers are members of
/// their own.
const NAMES: usize = 32;

/// The most clients and requests of one service that are searched for the oldest request.
const SEARCHED: usize = 128;

/// A part of the list of clients or of services.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Page {
    pub(crate) kind: Kind,
    /// The name of the last peer of the page before: `NAME[HOST:PORT]` of a client, the name of a
    /// service. Empty for the first page.
    pub(crate) after: String,
}

/// The kind of the peers in a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Clients,
    Services,
}

impl Registry {
    /// Returns a page as JSON text. `now` is the present in microseconds since the manager started,
    /// and `subscriptions` returns the number of a peer's subscriptions. Only peers in sight are
    /// listed and counted. `approvals` is the number of requests about which the reader may decide.
    pub(crate) fn status(
        &self,
        page: &Page,
        sight: &Sight,
        now: u64,
        approvals: usize,
        subscriptions: impl Fn(PeerId) -> usize,
    ) -> String {
        let (clients, services, in_flight) = self.totals(sight);
        let mut text = format!(
            r#"{{"uptime_seconds":{},"clients":{clients},"services":{services},"in_flight":{in_flight},"#,
            seconds(now),
        );
        if approvals > 0 {
            // Writing to a string cannot fail.
            let _ = write!(text, r#""approvals":{approvals},"#);
        }
        text.push_str(r#""page":["#);
        let roster = match page.kind {
            Kind::Clients => &self.client_roster,
            Kind::Services => &self.service_roster,
        };
        let mut names = roster.names_after(&page.after).filter(|name| match page.kind {
            Kind::Clients => sight.has_client(name),
            Kind::Services => sight.has_service(name),
        });
        let waiting = match page.kind {
            Kind::Clients => self.approvals.by_client(),
            Kind::Services => HashMap::default(),
        };
        let mut last = None;
        for name in names.by_ref().take(PEERS) {
            let entry = match page.kind {
                Kind::Clients => self.client_status(name, &waiting, &subscriptions),
                Kind::Services => self.service_status(name, now, &subscriptions),
            };
            if last.is_some() {
                text.push(',');
            }
            // The rosters and the peers change together, so there is an entry.
            text.push_str(entry.as_deref().unwrap_or("null"));
            last = Some(name);
            if text.len() >= PAGE_BYTES {
                break;
            }
        }
        let next = last.filter(|_| names.next().is_some());
        let next = next.map_or_else(|| "null".to_owned(), |name| json_string(name));
        // Writing to a string cannot fail.
        let _ = write!(text, r#"],"next":{next}"#);
        text.push_str(match sight {
            Sight::All => "}",
            Sight::Some { .. } => ",\"limited\":true}",
        });
        text
    }

    /// Returns the numbers of clients, of services, and of requests in flight, as far as they are in
    /// sight.
    fn totals(&self, sight: &Sight) -> (usize, usize, usize) {
        let Sight::Some { own, .. } = sight else {
            let (clients, services) = self.counts();
            return (clients, services, self.in_flight());
        };
        let names = self.service_names.iter();
        let (mut services, mut in_flight) = (0, 0);
        for (_, id) in names.filter(|(name, _)| sight.has_service(name)) {
            services += 1;
            in_flight += self.services.get(*id).map_or(0, |service| service.in_flight);
        }
        (
            usize::from(self.client_names.contains_key(own)),
            services,
            in_flight,
        )
    }

    /// `waiting` is how many requests of each client wait for approval.
    fn client_status(
        &self,
        name: &Arc<str>,
        waiting: &HashMap<PeerId, usize>,
        subscriptions: &impl Fn(PeerId) -> usize,
    ) -> Option<String> {
        let id = *self.client_names.get(name)?;
        let client = self.clients.get(id)?;
        let Client { links, in_flight, .. } = client;
        let mut names: Vec<_> = links
            .iter()
            .take(NAMES)
            .filter_map(|id| self.services.get(*id))
            .map(|service| json_string(&service.name))
            .collect();
        names.sort_unstable();
        let waiting = waiting
            .get(&id)
            .map(|count| format!(r#","waiting_for_approval":{count}"#));
        Some(format!(
            r#"{{"name":{},"link_count":{},"links":[{}],"in_flight":{}{},"queued_bytes":{},"subscriptions":{}{}{}}}"#,
            json_string(name),
            links.len(),
            names.join(","),
            in_flight.count(),
            waiting.unwrap_or_default(),
            client.outbox.queued(),
            subscriptions(id),
            Away::members(client.away.as_deref()),
            client.traffic.members(),
        ))
    }

    fn service_status(
        &self,
        name: &Arc<str>,
        now: u64,
        subscriptions: &impl Fn(PeerId) -> usize,
    ) -> Option<String> {
        let id = *self.service_names.get(name)?;
        let service = self.services.get(id)?;
        let links: Vec<_> = service
            .linked
            .names()
            .take(NAMES)
            .map(|name| json_string(name))
            .collect();
        let locks: Vec<_> = service
            .locks
            .by_age()
            .take(NAMES)
            .map(|(_, lock)| lock.status())
            .collect();
        let waits: Vec<_> = service
            .lock_queue
            .all()
            .take(NAMES)
            .map(|(_, waiter)| {
                format!(
                    r#"{{"client":{},"since":"{}","shared":{}}}"#,
                    json_string(&waiter.name),
                    waiter.since,
                    waiter.terms.shared
                )
            })
            .collect();
        let in_flight = service.in_flight;
        let oldest = service
            .oldest()
            .map_or_else(|| "null".to_owned(), |begun| seconds(now.saturating_sub(begun)));
        Some(format!(
            r#"{{"name":{},"link_count":{},"links":[{}],"lock_count":{},"locks":[{}],"lock_wait_count":{},"lock_waits":[{}],"in_flight":{in_flight},"oldest_seconds":{oldest},"queued_bytes":{},"subscriptions":{}{}{}}}"#,
            json_string(name),
            service.links.len(),
            links.join(","),
            service.locks.len(),
            locks.join(","),
            service.lock_queue.len(),
            waits.join(","),
            service.outbox.queued(),
            subscriptions(id),
            Away::members(service.away.as_deref()),
            service.traffic.members(),
        ))
    }
}

impl Service {
    /// Returns when the oldest of the requests that it holds was forwarded. Searches [`SEARCHED`]
    /// clients and [`SEARCHED`] requests at most.
    fn oldest(&self) -> Option<u64> {
        let mut left = SEARCHED;
        let mut oldest = None;
        for requests in self.callers.values().take(SEARCHED) {
            oldest = [oldest, requests.oldest(left)].into_iter().flatten().min();
            left = left.saturating_sub(requests.count());
        }
        oldest
    }
}

impl Lock {
    /// Returns it as an object.
    fn status(&self) -> String {
        let text = |text: Option<&str>| text.map_or_else(|| "null".to_owned(), json_string);
        let until = self.until.map(|until| until.time.to_string());
        format!(
            r#"{{"client":{},"since":"{}","until":{},"shared":{},"reason":{}{}}}"#,
            json_string(&self.holder),
            self.since,
            text(until.as_deref()),
            self.terms.shared,
            text(self.terms.reason.as_deref()),
            self.reserved
                .as_ref()
                .map_or_else(String::new, |reserved| format!(
                    r#","reserved_until":"{}""#,
                    reserved.until
                )),
        )
    }
}

impl Traffic {
    /// Returns the members of an object, after a comma.
    fn members(&self) -> String {
        let mut text = format!(
            r#","requests":{},"replies":{},"errors":{},"request_bytes":{},"reply_bytes":{},"notifications":{},"latencies":["#,
            self.requests,
            self.replies,
            self.errors,
            self.request_bytes,
            self.reply_bytes,
            self.notifications,
        );
        for (index, (micros, count)) in self.latencies.buckets().enumerate() {
            let comma = if index > 0 { "," } else { "" };
            // Writing to a string cannot fail.
            let _ = write!(text, "{comma}[{micros},{count}]");
        }
        text.push(']');
        text
    }
}

/// Returns microseconds as a number of seconds.
fn seconds(micros: u64) -> String {
    format!("{}.{:06}", micros / 1_000_000, micros % 1_000_000)
}
