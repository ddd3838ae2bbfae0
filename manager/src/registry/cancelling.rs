//! Ends requests before their reply: those that are cancelled, and those whose deadline has passed.

use std::sync::Arc;
use std::time::Instant;

use labwire_wire::Uid;

use super::asking::Awaited;
use super::event::Event;
use super::peers::PeerId;
use super::state::Registry;
use super::stopping::{EndedEarly, Stop, StopCause};
use super::terms_of_request::RequestTerms;
use super::tracked::{TrackedId, TrackedRequest};
use super::traffic::Answered;
use crate::progress::Latest;
use crate::refusal::{CallRefusal, Refusal, SessionRefusal};

/// What became of a request that its client has cancelled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Cancelled {
    /// Its service cannot be asked. It has ended.
    Ended,
    /// Its service was asked before.
    AskedBefore,
    /// Its service is asked to stop.
    Asked,
}

impl Cancelled {
    /// Returns the result of the client's request to cancel.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Ended => "ended",
            Self::AskedBefore => "asked before",
            Self::Asked => "asked",
        }
    }
}

impl Registry {
    /// Tracks a request that a service holds, if it has terms.
    pub(crate) fn note_terms(
        &mut self,
        client: PeerId,
        service: PeerId,
        uid: &Uid<'_>,
        terms: &RequestTerms,
        now: Instant,
    ) {
        let listens = terms.listens
            && self
                .services
                .get(service)
                .is_some_and(|service| service.features.progress);
        if terms.deadline.is_none() && !listens {
            return;
        }
        let deadline = terms.deadline.map(|limit| (now + limit, limit));
        let Some((id, request)) = self.track(client, service, uid.as_bytes()) else {
            return;
        };
        request.listens |= listens;
        if let Some((at, _)) = deadline
            && request.deadline.is_none()
        {
            request.deadline = deadline;
            self.deadlines.insert(at, super::deadlines::Expiring::Request(id));
        }
    }

    /// Returns the tracking of the requests with that uid, which begins if there is none yet.
    fn track(
        &mut self,
        client: PeerId,
        service: PeerId,
        uid: &[u8],
    ) -> Option<(TrackedId, &mut TrackedRequest)> {
        let requests = self.services.get_mut(service)?.callers.get_mut(&client)?;
        let (_, tracked) = requests.same(uid)?;
        let id = if let Some(id) = tracked {
            id
        } else {
            let id = self.tracked.insert(TrackedRequest::new(client, service, uid))?;
            requests.track(uid, id);
            id
        };
        Some((id, self.tracked.get_mut(id)?))
    }

    /// Cancels the requests of a client with that uid: only those to `service`, if it is named.
    /// `now` is in microseconds since the manager started.
    ///
    /// # Errors
    /// [`CallRefusal::NotInFlight`].
    pub(crate) fn cancel(
        &mut self,
        client: PeerId,
        uid: &Uid<'_>,
        service: Option<&str>,
        reason: Option<&str>,
        now: u64,
    ) -> Result<(Cancelled, Vec<Event<'static>>), Refusal> {
        let not_in_flight = || CallRefusal::NotInFlight {
            uid: uid.as_str().to_owned(),
            service: service.map(str::to_owned),
        };
        let caller = self.clients.get(client).ok_or_else(not_in_flight)?;
        let held = |id: &PeerId| {
            let holder = self.services.get(*id)?;
            let is_meant = service.is_none_or(|name| *holder.name == *name);
            let uid = holder.callers.get(&client).filter(|_| is_meant)?.held_as(uid)?;
            Some((*id, uid))
        };
        let held: Vec<(PeerId, Uid<'static>)> = caller.asked.iter().filter_map(held).collect();
        let (mut outcome, mut events) = (None, Vec::new());
        for (service, uid) in held {
            outcome = outcome.max(self.cancel_at(client, service, &uid, reason, now, &mut events));
        }
        Ok((outcome.ok_or_else(not_in_flight)?, events))
    }

    /// Cancels the requests with that uid that a service holds.
    fn cancel_at(
        &mut self,
        client: PeerId,
        service: PeerId,
        uid: &Uid<'static>,
        reason: Option<&str>,
        now: u64,
        events: &mut Vec<Event<'static>>,
    ) -> Option<Cancelled> {
        let holder = self.services.get(service)?;
        let name = holder.name.to_string();
        if holder.away.is_some() {
            // As many as its service cannot have received.
            let requester = Arc::clone(&self.clients.get(client)?.name);
            let mut outcome = None;
            while let Some(holder) = self.services.get(service)
                && holder.take_back(&requester, uid.as_bytes())
            {
                let refusal = CallRefusal::CancelledUnsent {
                    service: name.clone(),
                };
                events.extend(self.end_unsent(client, service, uid, refusal.into(), |_| now));
                outcome = Some(Cancelled::Ended);
            }
            if outcome.is_some() {
                return outcome;
            }
        }
        let holder = self.services.get_mut(service)?;
        if holder.features.cancel {
            let outbox = Arc::clone(&holder.outbox);
            let requester = Arc::clone(&self.clients.get(client)?.name);
            let (_, request) = self.track(client, service, uid.as_bytes())?;
            if std::mem::replace(&mut request.is_cancelled, true) {
                return Some(Cancelled::AskedBefore);
            }
            events.push(Event::Cancelled(Stop {
                outbox,
                requester,
                uid: uid.clone(),
                cause: StopCause::Client,
                reason: reason.map(str::to_owned),
            }));
            return Some(Cancelled::Asked);
        }
        let (count, _) = holder.callers.get_mut(&client)?.same(uid.as_bytes())?;
        for _ in 0..count {
            let refusal = CallRefusal::Cancelled {
                service: name.clone(),
            };
            events.extend(self.end_early(client, service, uid, refusal.into(), |_| now));
        }
        Some(Cancelled::Ended)
    }

    /// Ends a request whose deadline has passed.
    pub(super) fn expire_request(&mut self, id: TrackedId) -> Option<Event<'static>> {
        let request = self.tracked.get_mut(id)?;
        let (_, limit) = request.deadline.take()?;
        let (client, service, uid) = (request.client, request.service, request.uid.get().into_owned());
        let micros = u64::try_from(limit.as_micros()).unwrap_or(u64::MAX);
        let deadline = |begun: u64| begun.saturating_add(micros);
        let holder = self.services.get(service)?;
        let service_name = holder.name.to_string();
        if holder.away.is_some() && holder.take_back(&self.clients.get(client)?.name, uid.as_bytes()) {
            let refusal = CallRefusal::DeadlineUnsent {
                service: service_name,
                limit,
            };
            return self.end_unsent(client, service, &uid, refusal.into(), deadline);
        }
        let refusal = CallRefusal::Deadline {
            service: service_name,
            limit,
            is_asked: holder.features.cancel,
        };
        self.end_early(client, service, &uid, refusal.into(), deadline)
    }

    /// Ends a request of a client that is away, and for which an item of it cannot be kept. `now` is in
    /// microseconds since the manager started.
    pub(crate) fn end_unkept(
        &mut self,
        client: PeerId,
        service: PeerId,
        uid: &Uid<'static>,
        now: u64,
    ) -> Option<Event<'static>> {
        let refusal = SessionRefusal::ReplyNotKept {
            service: self.services.get(service)?.name.to_string(),
        };
        self.end_early(client, service, uid, refusal.into(), |_| now)
    }

    /// Ends a request before its reply. `now` returns the present from the time when it was
    /// forwarded, both in microseconds since the manager started.
    fn end_early(
        &mut self,
        client: PeerId,
        service: PeerId,
        uid: &Uid<'static>,
        refusal: Refusal,
        now: impl FnOnce(u64) -> u64,
    ) -> Option<Event<'static>> {
        let holder = self.services.get(service)?;
        let stopped = holder.features.cancel.then(|| Arc::clone(&holder.outbox));
        let (mut ended, was_asked) = self.end_refused(client, service, uid, refusal, now)?;
        self.note_owed(client, service, uid.as_bytes());
        ended.stop = stopped.filter(|_| !was_asked).map(|outbox| Stop {
            outbox,
            requester: Arc::clone(&ended.requester),
            uid: uid.clone(),
            cause: match &ended.refusal {
                Refusal::Session(_) => StopCause::Disconnected,
                _ => StopCause::Deadline,
            },
            reason: None,
        });
        Some(Event::EndedEarly(Box::new(ended)))
    }

    /// As [`end_early`](Self::end_early), for a request that was taken back, since its service is
    /// away: nobody replies to it.
    fn end_unsent(
        &mut self,
        client: PeerId,
        service: PeerId,
        uid: &Uid<'static>,
        refusal: Refusal,
        now: impl FnOnce(u64) -> u64,
    ) -> Option<Event<'static>> {
        let (ended, _) = self.end_refused(client, service, uid, refusal, now)?;
        Some(Event::EndedEarly(Box::new(ended)))
    }

    /// Ends a request. Returns also whether its service was asked to stop.
    fn end_refused(
        &mut self,
        client: PeerId,
        service: PeerId,
        uid: &Uid<'static>,
        refusal: Refusal,
        now: impl FnOnce(u64) -> u64,
    ) -> Option<(EndedEarly, bool)> {
        let awaited = self.awaited_by(client, service, uid)?;
        let was_asked = awaited.is_cancelled();
        let ended = EndedEarly {
            outbox: Arc::clone(awaited.outbox),
            requester: Arc::clone(awaited.requester),
            features: awaited.features,
            uid: uid.clone(),
            refusal,
            stop: None,
        };
        let now = now(awaited.begun());
        awaited.end(Answered::with_refusal(now));
        Some((ended, was_asked))
    }
}

impl Awaited<'_> {
    /// Returns whether the request's service was asked to stop.
    fn is_cancelled(&self) -> bool {
        self.tracked().is_some_and(|tracked| tracked.is_cancelled)
    }

    /// Returns whether the request's client wants its progress and its items.
    pub(crate) fn listens(&self) -> bool {
        self.tracked().is_some_and(|tracked| tracked.listens)
    }

    /// Returns the place of the request's latest progress.
    pub(crate) fn latest(&mut self) -> Option<Arc<Latest>> {
        let account = self.progress_account();
        let tracked = self.tracked_mut()?;
        let latest = tracked.progress.get_or_insert_with(|| Latest::new(account));
        Some(Arc::clone(latest))
    }
}

impl super::asking::Asking<'_> {
    /// Checks whether a request with that uid and those terms can be told apart from others.
    ///
    /// # Errors
    /// [`CallRefusal::Owed`] or [`CallRefusal::DeadlineNeedsUid`].
    #[inline]
    pub(crate) fn check_uid(&mut self, uid: &Uid<'_>, terms: &RequestTerms) -> Result<(), Refusal> {
        if terms.deadline.is_none() && !self.client.owed.contains(self.ids.1, uid.as_bytes()) {
            return Ok(());
        }
        self.check_ambiguous_uid(uid)
    }

    #[cold]
    fn check_ambiguous_uid(&mut self, uid: &Uid<'_>) -> Result<(), Refusal> {
        let service = self.service.name.to_string();
        if self.client.owed.contains(self.ids.1, uid.as_bytes()) {
            let uid = uid.as_str().to_owned();
            return Err(CallRefusal::Owed { service, uid }.into());
        }
        let requests = self.service.callers.get(&self.ids.0);
        if uid.is_empty() || requests.is_some_and(|requests| requests.contains(uid)) {
            return Err(CallRefusal::DeadlineNeedsUid.into());
        }
        Ok(())
    }
}
