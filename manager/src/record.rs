//! The record: who did what, when, and with what outcome.
//!
//! Nothing here waits: entries go to a queue, and a thread of the [`Recorder`] writes them.

mod approvals;

use std::sync::Arc;

use labwire_record::{Entry, Kind, Outcome, Recorder};
use labwire_wire::quoted;

use crate::names::{PeerAddress, own_name};
use crate::principal::Principal;
use crate::refusal::{LockCause, LockEnd, LockRefusal, Refusal, WaitEnd, excerpt};
use crate::registry::{
    EndedLink, Event, LinkChange, LockEnded, Presence, ReservationEnded, Terms, WaitRefused,
};

/// The most ended links of a client that leaves for which there are entries of their own.
const MOST_ENDED_LINKS: usize = 64;

/// What a manager writes to a record.
#[derive(Clone, Debug, Default)]
pub enum Recording {
    /// Nothing.
    #[default]
    Nothing,
    /// Everything except calls: peers that come and go, links, locks, logins, what is refused, what
    /// administrators request, and the manager's own start and end.
    ExceptCalls(Recorder),
    /// The same, and the calls that services have answered: who called what, when, how long it took, how
    /// many bytes it had, and whether it failed. Never results, and arguments only of methods whose service
    /// asks for that in its identity.
    Calls(Recorder),
}

/// The entries of a manager.
#[derive(Clone, Debug)]
pub(crate) struct Record {
    recorder: Option<Recorder>,
}

/// What a refused request was about.
#[derive(Clone, Copy, Debug)]
pub(crate) struct About<'a> {
    pub(crate) kind: Kind,
    pub(crate) service: Option<&'a str>,
    pub(crate) attribute: &'a str,
}

impl<'a> About<'a> {
    /// A request to the manager itself. `service` is the one that it concerns.
    pub(crate) fn managers(attribute: &'a str, service: Option<&'a str>) -> Self {
        let kind = match attribute {
            "link" => Kind::Link,
            "unlink" => Kind::Unlink,
            "acquire_lock" | "renew_lock" => Kind::Lock,
            "release_lock" => Kind::Unlock,
            _ => Kind::Request,
        };
        Self {
            kind,
            service,
            attribute,
        }
    }

    /// A request for a service.
    pub(crate) fn call(service: &'a str, attribute: &'a str) -> Self {
        Self {
            kind: Kind::Call,
            service: Some(service),
            attribute,
        }
    }

    /// Returns the attribute, if it says more than the kind. A line that names no service may be
    /// anything, such as a username and a password, and only its first word is recorded.
    fn recorded_attribute(&self, refusal: &Refusal) -> Option<&'a str> {
        let is_told = matches!(self.kind, Kind::Call | Kind::Request)
            && !self.attribute.is_empty()
            && !matches!(refusal, Refusal::NoSuchService { .. });
        is_told.then(|| excerpt(self.attribute))
    }
}

impl Record {
    pub(crate) fn new(recording: Recording) -> Self {
        let recorder = match recording {
            Recording::Nothing => None,
            Recording::ExceptCalls(recorder) | Recording::Calls(recorder) => Some(recorder),
        };
        Self { recorder }
    }

    /// Returns the recorder; `None` if nothing is recorded.
    pub(crate) fn recorder(&self) -> Option<&Recorder> {
        self.recorder.as_ref()
    }

    /// Records the entry that `make` returns, unless nothing is recorded.
    pub(crate) fn note(&self, make: impl FnOnce() -> Entry) {
        if let Some(recorder) = &self.recorder {
            recorder.record(make());
        }
    }

    /// Records a change of the registry.
    pub(crate) fn observe(&self, event: &Event<'_>) {
        if self.recorder.is_none() {
            return;
        }
        match event {
            Event::Joined {
                name,
                is_service,
                principal,
                ..
            } => self.joined(name, *is_service, principal),
            Event::LoggedIn { name, principal } => self.note(|| {
                let means = with_what(principal).map_or_else(String::new, |means| format!(", {means}"));
                Entry {
                    text: Some(format!("as an administrator{means}").into()),
                    ..of_peer(Kind::Login, name, principal)
                }
            }),
            Event::Left {
                name,
                is_service,
                principal,
                login_end,
                requests,
                unlinked,
                ..
            } => {
                self.unlinked(name, principal, unlinked, "it has left");
                let end = login_end.as_ref().map(ToString::to_string);
                let in_flight = (*requests > 0).then(|| format!("{requests} request(s) were in flight"));
                let texts: Vec<_> = [end, in_flight].into_iter().flatten().collect();
                self.note(|| Entry {
                    service: is_service.then(|| own_name(name).into()),
                    text: (!texts.is_empty()).then(|| texts.join(", ").into()),
                    ..of_peer(Kind::Leave, name, principal)
                });
            }
            Event::LinksEnded {
                client,
                principal,
                services,
            } => self.unlinked(client, principal, services, "it sends no more requests"),
            Event::WentAway(presence) | Event::CameBack(presence) => self.presence(presence),
            Event::LinkChanged {
                change,
                is_change: true,
                service,
                client,
                principal: Some(principal),
                terms,
                ..
            } => self.link_changed(*change, service, client, principal, terms.as_ref()),
            Event::LockEnded(ended) => self.lock_ended(ended),
            Event::LinkRevoked(revoked) => self.note(|| Entry {
                service: Some(Arc::clone(&revoked.service)),
                text: Some("the permission to link is not granted any more".into()),
                ..of_peer(Kind::Unlink, &revoked.client, &revoked.principal)
            }),
            Event::ReservationEnded(ended) => self.reservation_ended(ended),
            Event::WaitRefused(refused) => self.wait_refused(refused),
            Event::Approval(approval) => self.approval(approval),
            Event::LinkChanged { .. }
            | Event::Cancelled(_)
            | Event::EndedEarly(_)
            | Event::WaitedInVain { .. }
            | Event::GraceOver { .. }
            | Event::Abandoned { .. }
            | Event::Forgotten
            | Event::ServiceRevoked { .. }
            | Event::LinkEnded { .. } => {}
        }
    }

    /// Records that a request of a peer was refused.
    pub(crate) fn refused(&self, (name, principal): (&str, &Principal), about: About<'_>, refusal: &Refusal) {
        self.note(|| Entry {
            outcome: Outcome::Refused,
            service: about.service.map(|service| excerpt(service).into()),
            attribute: about.recorded_attribute(refusal).map(Into::into),
            text: Some(refusal.recorded().into()),
            ..of_peer(about.kind, name, principal)
        });
    }

    /// Records that a peer was not admitted. `user` is whom it tried to log in as, or has; `service` the
    /// name that it would have had as a service.
    pub(crate) fn rejected(
        &self,
        kind: Kind,
        peer: &PeerAddress,
        (user, service): (Option<Arc<str>>, Option<&str>),
        text: String,
    ) {
        self.note(|| Entry {
            outcome: Outcome::Refused,
            user,
            service: service.map(|service| excerpt(service).into()),
            peer: Some(peer.address.as_str().into()),
            address: Some(peer.ip),
            text: Some(text.into()),
            ..Entry::new(kind)
        });
    }

    fn joined(&self, name: &str, is_service: bool, principal: &Principal) {
        self.note(|| Entry {
            service: is_service.then(|| own_name(name).into()),
            text: Some(if is_service { "as a service" } else { "as a client" }.into()),
            ..of_peer(Kind::Join, name, principal)
        });
        if principal.user().is_some() {
            self.note(|| Entry {
                text: with_what(principal).map(Into::into),
                ..of_peer(Kind::Login, name, principal)
            });
        }
    }

    fn presence(&self, presence: &Presence) {
        let Presence {
            name,
            service,
            principal,
            away,
            ..
        } = presence;
        let (kind, text) = match away {
            Some(away) => (
                Kind::Away,
                Some(format!("its place is kept until {}", away.until.time)),
            ),
            None => (Kind::Back, None),
        };
        self.note(|| Entry {
            service: service.clone(),
            text: text.map(Into::into),
            ..of_peer(kind, name, principal)
        });
    }

    fn link_changed(
        &self,
        change: LinkChange,
        service: &str,
        client: &str,
        principal: &Principal,
        terms: Option<&Terms>,
    ) {
        let kinds: &[Kind] = match change {
            LinkChange::Linked => &[Kind::Link],
            LinkChange::Unlinked => &[Kind::Unlink],
            LinkChange::UnlinkedAndReleased => &[Kind::Unlock, Kind::Unlink],
            LinkChange::Locked => &[Kind::Lock],
            LinkChange::LinkedAndLocked => &[Kind::Link, Kind::Lock],
            LinkChange::Released => &[Kind::Unlock],
        };
        for &kind in kinds {
            self.note(|| Entry {
                service: Some(service.into()),
                text: terms
                    .filter(|_| kind == Kind::Lock)
                    .and_then(terms_text)
                    .map(Into::into),
                ..of_peer(kind, client, principal)
            });
        }
    }

    /// Records the links, and the locks with them, that have ended with their client.
    fn unlinked(&self, client: &str, principal: &Principal, links: &[EndedLink], why: &str) {
        // Locks come first, since there is not an entry for each of thousands of links.
        let mut ended: Vec<(&EndedLink, Kind)> = Vec::new();
        for (kind, is_lock) in [(Kind::Unlock, true), (Kind::Unlink, false)] {
            let links = links.iter().filter(|link| !is_lock || link.had_lock);
            ended.extend(links.map(|link| (link, kind)).take(MOST_ENDED_LINKS));
        }
        for (link, kind) in ended {
            self.note(|| Entry {
                service: Some(Arc::clone(&link.service)),
                text: Some(why.into()),
                ..of_peer(kind, client, principal)
            });
        }
        if let Some(more @ 1..) = links.len().checked_sub(MOST_ENDED_LINKS) {
            self.note(|| Entry {
                text: Some(format!("{more} more links, and the locks with them, have ended").into()),
                ..of_peer(Kind::Gap, client, principal)
            });
        }
    }

    fn lock_ended(&self, ended: &LockEnded) {
        let (outcome, text) = end_of(&ended.end);
        self.note(|| Entry {
            outcome,
            service: Some(Arc::clone(&ended.service)),
            text: Some(text.into()),
            ..of_peer(Kind::Unlock, &ended.client, &ended.principal)
        });
    }

    fn reservation_ended(&self, ReservationEnded { lease, end }: &ReservationEnded) {
        let (outcome, text) = match end {
            Some(end) => end_of(end),
            None => (
                Outcome::Expired,
                "its holder from before the restart of the manager has not taken it again in time".to_owned(),
            ),
        };
        self.note(|| Entry {
            outcome,
            user: lease.user.clone(),
            peer: Some(Arc::clone(&lease.holder)),
            address: lease.ip.parse().ok(),
            service: Some(Arc::clone(&lease.key.service)),
            text: Some(text.into()),
            ..Entry::new(Kind::Unlock)
        });
    }

    fn wait_refused(&self, refused: &WaitRefused) {
        let WaitRefused {
            requester,
            principal,
            refusal,
            ..
        } = refused;
        let (mut service, mut outcome) = (None, Outcome::Refused);
        if let Refusal::Lock(refusal) = refusal {
            match &**refusal {
                LockRefusal::WaitEnded {
                    service: name, end, ..
                } => {
                    service = Some(name.as_str());
                    if matches!(end, WaitEnd::Broken(_)) {
                        outcome = Outcome::Broken;
                    }
                }
                LockRefusal::NotGranted { service: name, .. } => service = Some(name.as_str()),
                _ => {}
            }
        }
        self.note(|| Entry {
            outcome,
            service: service.map(Into::into),
            text: Some(refusal.recorded().into()),
            ..of_peer(Kind::Lock, requester, principal)
        });
    }
}

/// Returns an entry about a peer that is admitted.
pub(crate) fn of_peer(kind: Kind, name: &str, principal: &Principal) -> Entry {
    Entry {
        user: principal.user().cloned(),
        peer: Some(name.into()),
        address: Some(principal.from.ip),
        ..Entry::new(kind)
    }
}

/// Returns which token, certificate or second factor a peer has logged in with, if it has with one.
fn with_what(principal: &Principal) -> Option<String> {
    principal.means().map(|means| format!("with {means}"))
}

/// Returns the terms of a lock, as far as they are not the usual ones.
fn terms_text(terms: &Terms) -> Option<String> {
    let mut parts = Vec::new();
    if terms.shared {
        parts.push("shared".to_owned());
    }
    if let Some(ttl) = terms.ttl {
        parts.push(format!("for {} s unless renewed", ttl.as_secs_f64()));
    }
    if let Some(reason) = &terms.reason {
        parts.push(format!("reason: {}", quoted(reason)));
    }
    (!parts.is_empty()).then(|| parts.join(", "))
}

/// Returns the outcome of a lock that has ended, and why it has.
fn end_of(end: &LockEnd) -> (Outcome, String) {
    match &end.cause {
        LockCause::Expired { ttl } => (
            Outcome::Expired,
            format!("it was not renewed within {} s", ttl.as_secs_f64()),
        ),
        LockCause::NotAcquired => (
            Outcome::Expired,
            "it was not acquired again in time after a restart of the manager".to_owned(),
        ),
        LockCause::NotPermitted { permission } => (
            Outcome::Broken,
            format!("the permission {} is not granted any more", quoted(permission)),
        ),
        LockCause::Broken { by, reason } => {
            let reason = reason
                .as_ref()
                .map_or_else(String::new, |reason| format!(", reason: {}", quoted(reason)));
            (Outcome::Broken, format!("by {}{reason}", quoted(by)))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use labwire_record::{Filter, Order, Reader, RecordOptions, RecordedEntry};

    use super::*;

    fn record(folder: &tempfile::TempDir) -> Record {
        let path = folder.path().join("record.sqlite3");
        let recorder = Recorder::open(&path, &RecordOptions::default()).unwrap();
        Record::new(Recording::ExceptCalls(recorder))
    }

    fn entries(record: &Record) -> Vec<RecordedEntry> {
        let recorder = record.recorder().unwrap();
        recorder.flush(Duration::from_secs(30));
        let reader = Reader::open(&recorder.path()).unwrap();
        let order = Order::OldestFirst { after: None };
        reader.page(&Filter::default(), order, 1_000).unwrap().entries
    }

    #[test]
    fn a_peer_that_is_refused_too_often_does_not_fill_the_record_and_changes_are_still_recorded() {
        let folder = tempfile::tempdir().unwrap();
        let record = record(&folder);
        let principal = Principal::sample();
        let attributes: Vec<_> = (0..1_000).map(|number| format!("read{number}")).collect();
        // It connects anew each time.
        for (port, attribute) in attributes.iter().enumerate() {
            let about = About::call("DMM", attribute);
            record.refused((&format!("a[h:{port}]"), &principal), about, &Refusal::NotTaken);
        }
        record.link_changed(LinkChange::Linked, "DMM", "a[h:1]", &principal, None);
        record.recorder().unwrap().close();
        let entries = entries(&record);
        let kinds: Vec<_> = entries.iter().map(|entry| entry.kind.as_str()).collect();
        assert!(entries.len() < 110, "{} entries", entries.len());
        assert_eq!(kinds[kinds.len() - 3..], ["call", "link", "gap"]);
        let counts = entries.iter().map(|entry| entry.count.unwrap_or(1));
        assert_eq!(counts.sum::<u64>(), 1_001);
        assert_eq!(
            record.recorder().unwrap().left_out(),
            entries.last().unwrap().count.unwrap()
        );
    }

    #[test]
    fn a_client_that_leaves_has_an_entry_for_each_lock_and_a_bound_on_links() {
        let folder = tempfile::tempdir().unwrap();
        let record = record(&folder);
        let links: Vec<_> = (0..MOST_ENDED_LINKS + 2)
            .map(|number| EndedLink {
                service: number.to_string().into(),
                had_lock: number == MOST_ENDED_LINKS + 1,
            })
            .collect();
        record.unlinked("a[h:1]", &Principal::sample(), &links, "it has left");
        let entries = entries(&record);
        assert_eq!(entries.len(), MOST_ENDED_LINKS + 2);
        assert_eq!(entries[0].kind, "unlock");
        assert_eq!(entries[0].service.as_deref(), Some("65"));
        let last = entries.last().unwrap();
        assert!(
            last.text
                .as_deref()
                .is_some_and(|text| text.starts_with("2 more links")),
            "{last:?}"
        );
    }
}
