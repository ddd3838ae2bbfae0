//! Turns changes of the registry into frames, log lines, counts and records.
//!
//! Every event of the registry passes through here.

mod approvals;
mod lock_ends;
mod revoked;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

use jiff::Timestamp;
use labwire_home::present;
#[cfg(any(test, feature = "fuzzing"))]
use labwire_store::LeaseChange;
use labwire_store::Store;
use labwire_wire::{frames, quoted};
use serde_json::{Value, json};
use tracing::{debug, info, warn};

use crate::answer::push_answer;
use crate::bounds::MOST_LEASES;
use crate::counters::Counters;
use crate::event_rate::EventRate;
use crate::log_limit::LogLimit;
use crate::names::own_name;
use crate::principal::Principal;
use crate::record::{Record, Recording};
use crate::refusal::{CallRefusal, LockRefusal, Refusal, WaitEnd, excerpt};
use crate::registry::{
    EndedEarly, EndedLink, Event, Grant, LeftBehind, LinkChange, Listing, Moment, Presence, Registry,
    Settled, Stop, Subject, WaitRefused,
};
use crate::topics::Topics;
use crate::work::{BYTES_PER_WORK, FRAME_WORK};

/// The work after which further locks are granted in another step: less than a millisecond.
const SETTLED_AT_ONCE: usize = 512;

/// Notifies peers and the log of changes.
pub(crate) struct Events {
    /// The manager's name.
    manager: String,
    counters: Arc<Counters>,
    /// The store that records connections, if any.
    records: Option<Store>,
    /// Receives the changes of locks in place of a store.
    #[cfg(any(test, feature = "fuzzing"))]
    pub(crate) lease_changes: Option<std::sync::mpsc::Sender<LeaseChange>>,
    pub(crate) record: Record,
    pub(crate) topics: Topics,
    /// The latest present with which ends of grants were compared, in seconds since 1970. A second
    /// old at most.
    present: Arc<AtomicI64>,
    rate: EventRate,
    /// Whether the manager takes no new requests, since it will stop.
    is_draining: AtomicBool,
    /// While the manager stops, all connections end, and clients are not notified of ended links.
    is_stopping: AtomicBool,
}

impl Events {
    pub(crate) fn new(
        manager: String,
        counters: Arc<Counters>,
        records: Option<Store>,
        recording: Recording,
    ) -> Self {
        Self {
            manager,
            record: Record::new(recording),
            counters,
            records,
            #[cfg(any(test, feature = "fuzzing"))]
            lease_changes: None,
            topics: Topics::default(),
            present: Arc::default(),
            rate: EventRate::new(),
            is_draining: AtomicBool::new(false),
            is_stopping: AtomicBool::new(false),
        }
    }

    /// Notes that the manager takes no new requests, since it will stop.
    pub(crate) fn note_draining(&self) {
        self.is_draining.store(true, Ordering::Relaxed);
    }

    /// Sets the latest present with which ends of grants were compared, in seconds since 1970.
    pub(crate) fn with_present(mut self, present: Arc<AtomicI64>) -> Self {
        self.present = present;
        self
    }

    /// Notes that all connections are about to end.
    pub(crate) fn note_stopping(&self) {
        self.is_stopping.store(true, Ordering::Relaxed);
    }

    /// Notifies everyone whom the event concerns. Returns the work done. Call it before the registry
    /// is unlocked, so that everyone receives changes in order.
    ///
    /// `limit` restricts the log lines about the peer that caused the event.
    pub(crate) fn publish(&self, event: Event<'_>, limit: Option<&LogLimit>) -> usize {
        // When the manager stops, all leave, and one entry says so.
        let leaves_with_all = matches!(event, Event::Left { .. }) && self.is_draining.load(Ordering::Relaxed);
        if !leaves_with_all {
            self.record.observe(&event);
        }
        match event {
            Event::Joined {
                name,
                is_service,
                principal,
                came,
                told,
            } => {
                if let Some(outbox) = told {
                    let frame = frames::registered(&name, outbox.told_features(), &self.manager);
                    outbox.push_always(|writer| writer.shared(&frame));
                }
                self.note_joined(&name, is_service, &principal, came)
            }
            Event::LoggedIn { name, principal } => log_login(&name, &principal),
            Event::LinkChanged {
                change,
                is_change,
                service,
                client,
                links,
                locks,
                principal: _,
                terms: _,
            } => {
                if limit.is_none_or(|limit| limit.allows(&client)) {
                    let service = quoted(excerpt(service));
                    info!("{change} {service} for {client} [{links} link(s), {locks} lock(s)]");
                }
                let value =
                    || json!({ "client": *client, "links": links, "locks": locks, "service": service });
                let subject = Subject::Link {
                    client: &client,
                    service,
                };
                let events = change.events().iter().filter(|_| is_change);
                1 + events
                    .map(|event| self.emit(event, subject, value))
                    .sum::<usize>()
            }
            Event::Left {
                name,
                is_service,
                principal,
                login_end: _,
                requests,
                unlinked,
                left_behind,
            } => {
                let peer = (&*name, is_service, &*principal);
                self.publish_departure(peer, requests, &unlinked, left_behind)
            }
            Event::LinksEnded {
                client,
                principal: _,
                services,
            } => {
                log_unlinked(&client, &services);
                let value = || json!({ "client": *client });
                1 + self.emit("links_ended", Subject::Peer(&client), value)
            }
            Event::WaitedInVain { name, requests } => {
                debug!("{name} sends no more, and {requests} request(s) of it were not answered in time");
                1
            }
            Event::WentAway(presence) | Event::CameBack(presence) => self.publish_presence(&presence),
            // The place of a peer whose grace period is over is taken from the table of sessions, and then
            // the peer leaves.
            Event::GraceOver { .. } | Event::Forgotten => 1,
            Event::Abandoned { requests, reason } => {
                Counters::add(&self.counters.abandoned, requests.count());
                FRAME_WORK + requests.tell(reason)
            }
            Event::Cancelled(stop) => self.publish_cancellation(&stop),
            Event::EndedEarly(ended) => self.publish_early_end(&ended),
            Event::Approval(approval) => self.publish_approval(&approval),
            Event::LockEnded(ended) => self.publish_lock_end(&ended),
            Event::ReservationEnded(ended) => self.publish_reservation_end(&ended),
            Event::WaitRefused(refused) => self.publish_refused_wait(&refused),
            Event::LinkRevoked(revoked) => self.publish_revoked_link(&revoked),
            Event::ServiceRevoked {
                name,
                outbox,
                refusal,
            } => Self::publish_revoked_service(&name, &outbox, &refusal),
            Event::LinkEnded { service, frame, told } => {
                if let Some(outbox) = told.filter(|_| !self.is_stopping.load(Ordering::Relaxed)) {
                    let frame =
                        frame.get_or_init(|| frames::manager_request("unlinked", &[service], &self.manager));
                    outbox.push_always(|writer| writer.shared(frame));
                }
                1
            }
        }
    }
}

impl Events {
    /// Tells that a peer has left.
    fn publish_departure(
        &self,
        (name, is_service, principal): (&str, bool, &Principal),
        requests: usize,
        unlinked: &[EndedLink],
        left_behind: Vec<LeftBehind>,
    ) -> usize {
        if let Some(store) = &self.records {
            store.record_at(present(), principal.from.event("disconnected"));
        }
        if requests > 0 {
            warn!("{name} left with {requests} request(s) in flight");
        }
        log_unlinked(name, unlinked);
        let event = if is_service { "service_left" } else { "client_left" };
        info!("{name} connection closed");
        let asked = left_behind
            .into_iter()
            .map(|requests| 1 + requests.tell(&self.manager));
        let subject = subject_of(name, is_service);
        1 + asked.sum::<usize>() + self.emit(event, subject, || json!({ "name": name }))
    }

    /// Records, logs and emits that a peer has joined.
    fn note_joined(&self, name: &str, is_service: bool, principal: &Principal, came: Timestamp) -> usize {
        if let Some(store) = &self.records {
            let kind = if is_service { "service" } else { "client" };
            store.record_at(came, principal.from.event("new connection request"));
            store.record_at(present(), principal.from.event(&format!("connected as a {kind}")));
        }
        let (kind, event) = if is_service {
            ("Service", "service_joined")
        } else {
            ("Client", "client_joined")
        };
        match principal.user() {
            None => info!("{name} is a new {kind} connection"),
            Some(user) => info!("{name} is a new {kind} connection, logged in as {}", quoted(user)),
        }
        1 + self.emit(event, subject_of(name, is_service), || json!({ "name": name }))
    }

    /// Sends an event to the subscribers of the manager's own topics. Returns the work done, as
    /// [`publish`](Self::publish) does.
    pub(crate) fn emit(&self, event: &str, subject: Subject<'_>, value: impl FnOnce() -> Value) -> usize {
        let seen = (subject, self.present.load(Ordering::Relaxed));
        self.topics
            .emit(event, seen, &self.manager, &self.counters, value)
    }

    /// As [`emit`](Self::emit), for events that peers can cause as often as they like.
    pub(crate) fn emit_limited(
        &self,
        event: &str,
        subject: Subject<'_>,
        value: impl FnOnce() -> Value,
    ) -> usize {
        if !self.topics.are_events_watched() {
            return 0;
        }
        if !self.rate.allows() {
            Counters::count(&self.counters.events_left_out);
            return 0;
        }
        self.emit(event, subject, value)
    }

    /// Notifies linked clients and subscribers that a peer is away, or is back.
    fn publish_presence(&self, presence: &Presence) -> usize {
        let Presence {
            name,
            service,
            principal,
            away,
            told,
        } = presence;
        let text = if let Some(away) = away {
            info!(
                "{name} is away: its connection broke, its place is kept until {}",
                away.until.time
            );
            "its connection broke, its place is kept"
        } else {
            info!("{name} is back at {}", principal.from.address);
            "returned to its place"
        };
        if let Some(store) = &self.records {
            store.record_at(present(), principal.from.event(text));
        }
        if let Some(service) = service
            && !told.is_empty()
        {
            let attribute = if away.is_some() { "down" } else { "up" };
            let frame = frames::manager_request(attribute, &[service], &self.manager);
            for outbox in told {
                outbox.push_always(|writer| writer.shared(&frame));
            }
        }
        let event = match (service, away) {
            (Some(_), Some(_)) => "service_away",
            (Some(_), None) => "service_back",
            (None, Some(_)) => "client_away",
            (None, None) => "client_back",
        };
        let until = away.map(|away| away.until.time.to_string());
        let subject = subject_of(name, service.is_some());
        let work = self.emit(event, subject, || match &until {
            Some(until) => json!({ "name": name, "until": until }),
            None => json!({ "name": name }),
        });
        1 + told.len() + work
    }

    /// Hands the changes of locks to the database, which writes them when it can. Call it after each
    /// such change, as [`settle`](Self::settle) does.
    pub(crate) fn note_leases(&self, registry: &mut Registry) {
        let (changes, left_out) = registry.take_lease_changes();
        if left_out > 0 {
            let before = self.counters.leases_left_out.load(Ordering::Relaxed);
            Counters::add(&self.counters.leases_left_out, left_out);
            if before == 0 {
                warn!(
                    "{MOST_LEASES} locks are noted for the time after a restart of the manager, and further ones are not: \
                     their holders would have no priority"
                );
            }
        }
        #[cfg(any(test, feature = "fuzzing"))]
        if let Some(receiver) = &self.lease_changes {
            for change in changes {
                // Nothing is recorded any more once the receiver is dropped.
                let _ = receiver.send(change);
            }
            return;
        }
        if let Some(store) = &self.records {
            for change in changes {
                store.note_lease(change);
            }
        }
    }

    /// Asks a service to stop a request that its client has cancelled.
    fn publish_cancellation(&self, stop: &Stop) -> usize {
        Counters::count(&self.counters.cancelled);
        self.ask_to_stop(stop);
        1
    }

    /// Asks a service to stop a request.
    fn ask_to_stop(&self, stop: &Stop) {
        let (head, tail) = frames::cancel_around(
            &stop.requester,
            stop.cause.name(),
            stop.reason.as_deref(),
            &self.manager,
        );
        stop.outbox.push_always(|frame| {
            frame.copied(&head);
            frame.copied(stop.uid.to_json().as_bytes());
            frame.copied(&tail);
        });
    }

    /// Answers a request that has ended before its reply, and asks its service to stop.
    fn publish_early_end(&self, ended: &EndedEarly) -> usize {
        let EndedEarly {
            outbox,
            requester,
            features,
            uid,
            refusal,
            stop,
        } = ended;
        let counter = match refusal {
            Refusal::Call(CallRefusal::Deadline { .. }) => Some(&self.counters.deadlines_passed),
            Refusal::Session(_) => None,
            _ => Some(&self.counters.cancelled),
        };
        if let Some(counter) = counter {
            Counters::count(counter);
        }
        debug!("{requester}: {}", refusal.summary());
        let frame = refusal.frame(requester, uid, *features);
        outbox.push_always(|writer| writer.shared(&frame));
        if let Some(stop) = stop {
            self.ask_to_stop(stop);
        }
        FRAME_WORK
    }

    /// Refuses a request for a lock that has waited.
    fn publish_refused_wait(&self, refused: &WaitRefused) -> usize {
        let WaitRefused {
            outbox,
            requester,
            principal,
            features,
            uid,
            refusal,
        } = refused;
        let summary = refusal.summary();
        let mut is_broken = false;
        if let Refusal::Lock(refusal) = refusal {
            match &**refusal {
                LockRefusal::NotGranted { .. } => {
                    Counters::count(&self.counters.lock_waits_timed_out);
                }
                LockRefusal::WaitEnded {
                    service,
                    end: WaitEnd::Broken(end),
                    ..
                } => {
                    is_broken = true;
                    if let Some(store) = &self.records {
                        let text = format!("its wait for a lock on {} {end}", quoted(excerpt(service)));
                        store.record_at(present(), principal.from.event(&text));
                    }
                }
                _ => {}
            }
        }
        // What an administrator has done is never left out.
        if is_broken {
            info!("{requester}: {summary}");
        } else {
            debug!("{requester}: {summary}");
        }
        let work = self.emit_limited(
            "refused",
            Subject::Peer(requester),
            || json!({ "message": summary, "name": **requester }),
        );
        let frame = refusal.frame(requester, uid, *features);
        outbox.push_always(|writer| writer.shared(&frame));
        FRAME_WORK + frame.len() / BYTES_PER_WORK + work
    }

    /// Grants locks to the requests that wait for them, as far as the last changes of links and
    /// locks allow. Returns the work done, as [`publish`](Self::publish) does. Call it after each
    /// such change, before the registry is unlocked. What would take too long is left to
    /// [`Routing::expire_in_time`](crate::hub::Routing::expire_in_time).
    pub(crate) fn settle(&self, registry: &mut Registry, now: Moment) -> usize {
        let work = self.grant_some(registry, now);
        self.note_leases(registry);
        work
    }

    fn grant_some(&self, registry: &mut Registry, now: Moment) -> usize {
        let mut work = 0;
        while work < SETTLED_AT_ONCE {
            match registry.next_settled(now) {
                None => return work,
                Some(Settled::Refused(event)) => work += self.publish(event, None),
                Some(Settled::Granted {
                    service,
                    links,
                    locks,
                    listing,
                    grants,
                }) => {
                    for grant in grants {
                        work += self.answer_grant(registry, listing, &grant);
                        let event = Event::LinkChanged {
                            change: grant.change,
                            is_change: true,
                            service: &service,
                            client: grant.client,
                            principal: Some(grant.principal),
                            terms: Some(grant.terms),
                            links,
                            locks,
                        };
                        work += self.publish(event, Some(&grant.log_limit));
                    }
                }
            }
        }
        if registry.is_unsettled() {
            registry.settle_later();
        }
        work
    }

    /// Answers a request for a lock that has waited.
    fn answer_grant(&self, registry: &Registry, listing: Listing, grant: &Grant) -> usize {
        Counters::count(&self.counters.locks_granted_later);
        let written = push_answer(&grant.outbox, &grant.client, &grant.uid, |frame| {
            registry.write_listing(listing, frame);
        });
        FRAME_WORK + written / BYTES_PER_WORK
    }
}

/// Returns what the events of a peer are about.
fn subject_of(name: &str, is_service: bool) -> Subject<'_> {
    if is_service {
        Subject::Service(own_name(name))
    } else {
        Subject::Peer(name)
    }
}

/// Logs that a client has logged in. Returns the work done.
fn log_login(name: &str, principal: &Principal) -> usize {
    if let Some(user) = principal.user() {
        info!("{name} logged in as the administrator {}", quoted(user));
    }
    1
}

fn log_unlinked(client: &str, links: &[EndedLink]) {
    for link in links {
        debug!(
            "{client} is no longer linked with {}",
            quoted(excerpt(&link.service))
        );
    }
}

impl LinkChange {
    /// Returns the last words of the topics of such changes.
    fn events(self) -> &'static [&'static str] {
        match self {
            Self::Linked => &["linked"],
            Self::Unlinked | Self::UnlinkedAndReleased => &["unlinked"],
            Self::Locked => &["locked"],
            Self::LinkedAndLocked => &["linked", "locked"],
            Self::Released => &["released"],
        }
    }
}

impl fmt::Display for LinkChange {
    /// Writes the name of the request that causes the change.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Linked => "link",
            Self::Unlinked | Self::UnlinkedAndReleased => "unlink",
            Self::Locked | Self::LinkedAndLocked => "acquire_lock",
            Self::Released => "release_lock",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outbox::Outbox;

    /// Returns the frames that a joining peer receives.
    async fn told_at_join(asks: bool) -> String {
        let outbox = Outbox::alone(1_000);
        let events = Events::new(
            "Manager[h:1875]".to_owned(),
            Arc::default(),
            None,
            Recording::Nothing,
        );
        let event = Event::Joined {
            name: "a[h:1]".to_owned(),
            is_service: false,
            principal: Principal::sample(),
            came: Timestamp::UNIX_EPOCH,
            told: asks.then(|| Arc::clone(&outbox)),
        };
        events.publish(event, None);
        outbox.close_and_read().await
    }

    #[tokio::test]
    async fn a_peer_that_asked_for_it_is_told_its_name() {
        assert_eq!(
            told_at_join(true).await,
            concat!(
                r#"{"args":["a[h:1]"],"attribute":"registered","error":false,"kwargs":{},"#,
                r#""requester":"Manager[h:1875]","uid":""}"#,
                "\r\n"
            )
        );
        assert_eq!(told_at_join(false).await, "");
    }
}
