//! Requests to services that wait until somebody approves them.
//!
//! They hold no place at their service, no lock and no place in flight. What may be done is decided
//! again when somebody approves them, as for a request that comes then.

mod outcome;

use std::collections::{BTreeMap, VecDeque};
use std::hash::{BuildHasher, Hasher, RandomState};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use foldhash::HashMap;
use labwire_access::{Access, Action};
use labwire_wire::{Envelope, Frame, Member, Request, Uid};
use serde_json::Value;

use super::deadlines::Expiring;
use super::event::Event;
use super::moment::Moment;
use super::peers::PeerId;
use super::permissions::refusal;
use super::state::{Client, Registry};
use super::terms_of_request::RequestTerms;
use super::view::View;
use crate::bounds::{
    APPROVAL_TIME, FREE_APPROVAL_BYTES, FREE_APPROVALS, MOST_APPROVAL_BYTES, MOST_APPROVAL_BYTES_OF_ALL,
    MOST_APPROVALS, MOST_APPROVALS_OF_ALL, MOST_APPROVALS_OF_USER,
};
use crate::budget::Pool;
use crate::clock::Present;
use crate::principal::Principal;
use crate::refusal::{ApprovalRefusal, Refusal, excerpt};
use crate::work::PERMISSIONS_PER_WORK;

pub(crate) use outcome::{Approval, ApprovalOutcome};

/// The most requests that are listed in one page, and compared with the rights of who asks for it.
const PAGE: usize = 50;

/// The number of letters that begin all numbers since one start.
const LETTERS: u32 = 8;

/// A request that is to wait for approval.
#[derive(Debug)]
pub(crate) struct ToApprove {
    pub(crate) service: PeerId,
    pub(crate) attribute: Box<str>,
    pub(crate) uid: Uid<'static>,
    pub(crate) frame: Frame,
    pub(crate) terms: RequestTerms,
    /// The beginning of its arguments, for those who decide.
    pub(crate) arguments: String,
    /// Its arguments as they are recorded, if its service asks for that.
    pub(crate) recorded: Option<Box<str>>,
}

/// A request that waits for approval.
#[derive(Debug)]
pub(crate) struct Waiting {
    pub(crate) client: PeerId,
    /// The client's principal when it sent the request.
    principal: Arc<Principal>,
    /// The client's name, `NAME[HOST:PORT]`.
    requester: Arc<str>,
    service_name: Arc<str>,
    request: ToApprove,
    since: Moment,
    until: Moment,
    limit: Duration,
    whose: Share,
}

/// Whose share of the places a request takes.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Share {
    User(i64),
    /// That of a peer that has not logged in as a user.
    Address(IpAddr),
}

impl Share {
    fn of(principal: &Principal) -> Self {
        principal
            .user_id()
            .map_or(Self::Address(principal.from.ip), Self::User)
    }
}

/// The requests that wait for approval, in the order of their arrival.
#[derive(Debug)]
pub(super) struct Approvals {
    /// Begins the number of each request, so that no number of an earlier start is used again.
    begin: String,
    last: u64,
    by_number: BTreeMap<u64, Waiting>,
    /// The number and the bytes of the requests in each share.
    shares: HashMap<Share, (usize, usize)>,
    count: Pool,
    bytes: Pool,
    /// What has ended and is not published yet.
    ended: VecDeque<Approval>,
}

impl Default for Approvals {
    fn default() -> Self {
        // Its keys are random in each process. Letters only, since a number may look like another.
        let random = RandomState::new().build_hasher().finish();
        let letter = |place: u32| char::from(b'a' + (random >> (4 * place) & 15) as u8);
        Self {
            begin: (0..LETTERS).map(letter).collect(),
            last: 0,
            by_number: BTreeMap::new(),
            shares: HashMap::default(),
            count: Pool::new(MOST_APPROVALS_OF_ALL, FREE_APPROVALS),
            bytes: Pool::new(MOST_APPROVAL_BYTES_OF_ALL, FREE_APPROVAL_BYTES),
            ended: VecDeque::new(),
        }
    }
}

impl Approvals {
    fn id(&self, number: u64) -> String {
        format!("{}-{number}", self.begin)
    }

    /// Returns the number of a request that waits, by its id.
    fn number(&self, id: &str) -> Option<u64> {
        let number = self.number_of(id)?;
        self.by_number.contains_key(&number).then_some(number)
    }

    /// Returns the number in an id of this manager, also if the request does not wait any more.
    fn number_of(&self, id: &str) -> Option<u64> {
        let digits = id.strip_prefix(&*self.begin)?.strip_prefix('-')?;
        let number = digits.parse().ok()?;
        // Each request has one id only.
        (self.id(number) == id).then_some(number)
    }

    fn share(&self, whose: &Share) -> (usize, usize) {
        self.shares.get(whose).copied().unwrap_or_default()
    }

    fn insert(&mut self, number: u64, waiting: Waiting) {
        let (count, bytes) = self.shares.entry(waiting.whose.clone()).or_default();
        let size = waiting.request.bytes();
        self.count.add(*count, 1);
        self.bytes.add(*bytes, size);
        *count += 1;
        *bytes += size;
        self.by_number.insert(number, waiting);
    }

    fn remove(&mut self, number: u64) -> Option<Waiting> {
        let waiting = self.by_number.remove(&number)?;
        let (count, bytes) = self.share(&waiting.whose);
        let size = waiting.request.bytes();
        self.count.subtract(count, 1);
        self.bytes.subtract(bytes, size);
        if count == 1 {
            self.shares.remove(&waiting.whose);
        } else {
            self.shares
                .insert(waiting.whose.clone(), (count - 1, bytes - size));
        }
        Some(waiting)
    }

    /// Returns what has ended and is not published yet.
    pub(super) fn next_ended(&mut self) -> Option<Event<'static>> {
        self.ended.pop_front().map(Approval::into_event)
    }

    pub(super) fn has_ended(&self) -> bool {
        !self.ended.is_empty()
    }

    /// Returns the uids of the requests of a client.
    pub(super) fn uids_of(&self, client: PeerId) -> impl Iterator<Item = &Uid<'static>> {
        let own = self
            .by_number
            .values()
            .filter(move |waiting| waiting.client == client);
        own.map(|waiting| &waiting.request.uid)
    }

    /// Returns the numbers of the requests of a client.
    pub(super) fn numbers_of(&self, client: PeerId) -> impl Iterator<Item = u64> {
        let all = self.by_number.iter();
        all.filter_map(move |(number, waiting)| (waiting.client == client).then_some(*number))
    }

    /// Returns how many requests of each client wait.
    pub(super) fn by_client(&self) -> HashMap<PeerId, usize> {
        let mut counts = HashMap::default();
        for waiting in self.by_number.values() {
            *counts.entry(waiting.client).or_default() += 1;
        }
        counts
    }

    #[cfg(any(test, feature = "fuzzing"))]
    pub(super) fn has(&self, number: u64) -> bool {
        self.by_number.contains_key(&number)
    }
}

impl ToApprove {
    /// Returns the bytes that it holds.
    fn bytes(&self) -> usize {
        let recorded = self.recorded.as_ref().map_or(0, |text| text.len());
        self.frame.view().held() + self.attribute.len() + self.arguments.len() + recorded
    }
}

/// A page of the requests that somebody may decide about.
#[derive(Debug)]
pub(crate) struct ApprovalsPage {
    pub(crate) approvals: Vec<Value>,
    /// The id after which the next page begins; `None` if this is the last one.
    pub(crate) next: Option<String>,
}

impl Waiting {
    pub(crate) fn frame(&self) -> &Frame {
        &self.request.frame
    }

    /// Returns what its client wants of it beside its reply: of the deadline, what is left.
    pub(crate) fn terms(&self, now: Instant) -> RequestTerms {
        let left = |_| self.until.instant.saturating_duration_since(now);
        RequestTerms {
            deadline: self.request.terms.deadline.map(left),
            ..self.request.terms
        }
    }

    /// Returns whether a peer is the one that has sent the request, or the same user.
    fn is_of(&self, peer: PeerId, principal: &Principal, client: Option<&Client>) -> bool {
        let is_same = |other: &Principal| {
            let is_user = other.user_id().is_some() && other.user_id() == principal.user_id();
            is_user || (other.user().is_some() && other.user() == principal.user())
        };
        self.client == peer
            || is_same(&self.principal)
            // It may have logged in meanwhile.
            || client.is_some_and(|client| is_same(&client.principal))
    }

    fn describe(&self, id: String, outcome: ApprovalOutcome, client: Option<&Client>) -> Approval {
        let told = client.and_then(|client| {
            let refusal = outcome.refusal(&self.service_name)?;
            let (outbox, uid) = (Arc::clone(&client.outbox), self.request.uid.clone());
            Some((outbox, client.features, uid, refusal))
        });
        Approval {
            id,
            client: Arc::clone(&self.requester),
            principal: Arc::clone(&self.principal),
            service: Arc::clone(&self.service_name),
            attribute: self.request.attribute.clone(),
            arguments: self.request.arguments.clone(),
            recorded: self.request.recorded.clone(),
            since: self.since,
            until: self.until,
            outcome,
            told,
            log_limit: client.map(|client| Arc::clone(&client.log_limit)),
        }
    }
}

impl Registry {
    /// Lets a request of a client wait for approval.
    ///
    /// # Errors
    /// [`ApprovalRefusal::TooMany`], [`ApprovalRefusal::OverShare`] and [`ApprovalRefusal::TooLarge`].
    pub(crate) fn await_approval(
        &mut self,
        client: PeerId,
        request: ToApprove,
        now: Moment,
    ) -> Result<Option<Approval>, Refusal> {
        let (Some(state), Some(service)) = (self.clients.get(client), self.services.get(request.service))
        else {
            return Ok(None);
        };
        let all = &mut self.approvals;
        let of_client = all.uids_of(client).count();
        if of_client >= MOST_APPROVALS {
            return Err(ApprovalRefusal::TooMany {
                limit: MOST_APPROVALS,
            }
            .into());
        }
        let size = request.bytes();
        if size > MOST_APPROVAL_BYTES {
            return Err(ApprovalRefusal::TooLarge { bytes: size }.into());
        }
        let whose = Share::of(&state.principal);
        let (count, bytes) = all.share(&whose);
        if count >= MOST_APPROVALS_OF_USER || !all.count.admits(count, 1) || !all.bytes.admits(bytes, size) {
            return Err(ApprovalRefusal::OverShare { count }.into());
        }
        let limit = request.terms.deadline.unwrap_or(APPROVAL_TIME);
        let waiting = Waiting {
            client,
            principal: Arc::clone(&state.principal),
            requester: Arc::clone(&state.name),
            service_name: Arc::clone(&service.name),
            request,
            since: now,
            until: now.after(limit),
            limit,
            whose,
        };
        all.last += 1;
        let number = all.last;
        let asked = waiting.describe(all.id(number), ApprovalOutcome::Asked, Some(state));
        self.deadlines
            .insert(waiting.until.instant, Expiring::Approval(number));
        all.insert(number, waiting);
        Ok(Some(asked))
    }

    /// Removes a request that waits, with its deadline.
    fn take_approval(&mut self, number: u64) -> Option<Waiting> {
        let waiting = self.approvals.remove(number)?;
        self.deadlines
            .remove(Some(waiting.until.instant), Expiring::Approval(number));
        Some(waiting)
    }

    fn end_approval(&mut self, number: u64, outcome: ApprovalOutcome) -> Option<Approval> {
        let waiting = self.take_approval(number)?;
        let id = self.approvals.id(number);
        let ended = waiting.describe(id, outcome, self.clients.get(waiting.client));
        Some(ended)
    }

    /// Ends those requests of which `is_it` says so. Returns them.
    fn end_approvals(
        &mut self,
        is_it: impl Fn(&Waiting) -> bool,
        outcome: &ApprovalOutcome,
    ) -> Vec<Approval> {
        let waiting = self.approvals.by_number.iter();
        let numbers: Vec<u64> = waiting
            .filter_map(|(number, waiting)| is_it(waiting).then_some(*number))
            .collect();
        let ended = numbers.into_iter();
        ended
            .filter_map(|number| self.end_approval(number, outcome.clone()))
            .collect()
    }

    /// Ends the requests of a client that has left, or sends no more.
    pub(super) fn end_approvals_of(&mut self, client: PeerId) {
        let ended = self.end_approvals(|waiting| waiting.client == client, &ApprovalOutcome::ClientGone);
        self.approvals.ended.extend(ended);
    }

    /// Ends the requests to a service that has left.
    pub(super) fn end_approvals_for(&mut self, service: PeerId) {
        let is_it = |waiting: &Waiting| waiting.request.service == service;
        let ended = self.end_approvals(is_it, &ApprovalOutcome::ServiceLeft);
        self.approvals.ended.extend(ended);
    }

    /// Ends the requests of a client with that uid: only those to `service`, if it is named.
    pub(crate) fn cancel_approvals(
        &mut self,
        client: PeerId,
        uid: &Uid<'_>,
        service: Option<&str>,
    ) -> Vec<Event<'static>> {
        let is_it = |waiting: &Waiting| {
            waiting.client == client
                && waiting.request.uid == *uid
                && service.is_none_or(|service| *service == *waiting.service_name)
        };
        let ended = self.end_approvals(is_it, &ApprovalOutcome::Cancelled).into_iter();
        ended.map(Approval::into_event).collect()
    }

    /// Ends a request that waits if its client may not even ask for it any more. Returns also the
    /// [work](crate::work) of deciding.
    pub(super) fn check_approval(
        &mut self,
        number: u64,
        present: Present<'_>,
    ) -> (Option<Event<'static>>, usize) {
        let client = self
            .approvals
            .by_number
            .get(&number)
            .map(|waiting| waiting.client);
        let view = client.and_then(|client| self.view_of(client));
        let (Some(waiting), Some(view)) = (self.approvals.by_number.get(&number), view) else {
            return (None, 1);
        };
        let work = 1 + view.rights().comparisons(Action::Call) / PERMISSIONS_PER_WORK;
        let access = Access::call(&waiting.service_name, &waiting.request.attribute);
        if view.rights().effect(&access, present.seconds()).is_some() {
            return (None, work);
        }
        // It may have logged in meanwhile.
        let client = self.clients.get(waiting.client);
        let principal = client.map_or(&waiting.principal, |client| &client.principal);
        let refusal = Box::new(refusal(&access, principal, present));
        let ended = self.end_approval(number, ApprovalOutcome::NotPermitted { refusal });
        (ended.map(Approval::into_event), work)
    }

    /// Returns the arguments of a request as they are recorded; `None` if its service does not ask for
    /// that.
    pub(crate) fn recorded_arguments(
        &self,
        service: PeerId,
        request: &Request<'_>,
        (line, envelope): (&[u8], &Envelope),
    ) -> Option<Box<str>> {
        let methods = self.services.get(service)?.recorded.as_ref()?;
        let recorded = methods.of(request.attribute.as_str())?;
        let raw = |member| envelope.raw(line, member).unwrap_or(b"null");
        Some(recorded.write(raw(Member::Args), raw(Member::Kwargs)).into())
    }

    /// Ends all requests that wait: the manager stops.
    pub(crate) fn refuse_approvals(&mut self) -> Vec<Event<'static>> {
        let ended = self
            .end_approvals(|_| true, &ApprovalOutcome::Stopped)
            .into_iter();
        ended.map(Approval::into_event).collect()
    }

    /// Ends a request about which nobody has decided in time.
    pub(super) fn expire_approval(&mut self, number: u64) -> Option<Event<'static>> {
        let limit = self.approvals.by_number.get(&number)?.limit;
        self.end_approval(number, ApprovalOutcome::Expired { limit })
            .map(Approval::into_event)
    }

    /// Returns the requests after `after` that a peer may decide about, without its own; `None` if `after` is no id of
    /// this manager.
    pub(crate) fn approvals_for(
        &mut self,
        peer: PeerId,
        after: Option<&str>,
        present: Present<'_>,
    ) -> Option<ApprovalsPage> {
        let start = match after {
            Some(id) => self.approvals.number_of(id)?,
            None => 0,
        };
        let view = self.view_of(peer);
        let principal = self.principal_of(peer);
        let mut page = ApprovalsPage {
            approvals: Vec::new(),
            next: None,
        };
        let waiting = self.approvals.by_number.range(start.saturating_add(1)..);
        for (place, (number, waiting)) in waiting.enumerate() {
            if place == PAGE {
                page.next = Some(self.approvals.id(number - 1));
                break;
            }
            let by = (peer, principal.as_deref(), view.as_deref());
            if self.may_decide(by, waiting, present.seconds()) {
                let id = self.approvals.id(*number);
                page.approvals
                    .push(waiting.describe(id, ApprovalOutcome::Asked, None).to_json());
            }
        }
        Some(page)
    }

    /// Returns how many requests wait about which a peer may decide.
    pub(crate) fn count_approvals_for(&mut self, peer: PeerId, present: Present<'_>) -> usize {
        if self.approvals.by_number.is_empty() {
            return 0;
        }
        let (view, principal) = (self.view_of(peer), self.principal_of(peer));
        let by = (peer, principal.as_deref(), view.as_deref());
        let now = present.seconds();
        let waiting = self.approvals.by_number.values();
        waiting
            .filter(|waiting| self.may_decide(by, waiting, now))
            .count()
    }

    /// Returns whether a peer with that principal and what it may do may decide about a request that is not
    /// its own. `now` is in seconds since 1970.
    fn may_decide(
        &self,
        (peer, principal, view): (PeerId, Option<&Principal>, Option<&View>),
        waiting: &Waiting,
        now: i64,
    ) -> bool {
        let client = self.clients.get(waiting.client);
        let is_own = principal.is_none_or(|principal| waiting.is_of(peer, principal, client));
        let attribute = &waiting.request.attribute;
        !is_own && view.is_none_or(|view| view.approves(&waiting.service_name, attribute, now))
    }

    /// Finds the request with that id, if a peer may decide about it. Returns its number and the name
    /// of the peer's user.
    ///
    /// # Errors
    /// [`ApprovalRefusal::NeedsUser`], [`ApprovalRefusal::Own`], and [`ApprovalRefusal::Unknown`], also
    /// if the peer may not decide about it.
    pub(crate) fn find_approval(
        &mut self,
        peer: PeerId,
        id: &str,
        (now, present): (Instant, Present<'_>),
    ) -> Result<(u64, Arc<str>), Refusal> {
        let unknown = || Refusal::from(ApprovalRefusal::Unknown(excerpt(id).to_owned()));
        let view = self.view_of(peer);
        let principal = self.principal_of(peer).ok_or_else(unknown)?;
        let user = principal.user().ok_or(ApprovalRefusal::NeedsUser)?;
        let number = self.approvals.number(id).ok_or_else(unknown)?;
        let waiting = self.approvals.by_number.get(&number).ok_or_else(unknown)?;
        if waiting.is_of(peer, &principal, self.clients.get(waiting.client)) {
            return Err(ApprovalRefusal::Own.into());
        }
        let attribute = &waiting.request.attribute;
        let approves = |view: Arc<View>| view.approves(&waiting.service_name, attribute, present.seconds());
        // One whose time is over ends in a moment.
        if view.is_some_and(|view| !approves(view)) || waiting.until.instant <= now {
            return Err(unknown());
        }
        Ok((number, Arc::clone(user)))
    }

    /// Takes a request that waits, to send it to its service. Returns also what is published if that
    /// succeeds, and the client's features and queue.
    pub(crate) fn take_approved(&mut self, number: u64, by: &Arc<str>) -> Option<(Waiting, Approval)> {
        let waiting = self.take_approval(number)?;
        let outcome = ApprovalOutcome::Approved { by: Arc::clone(by) };
        let id = self.approvals.id(number);
        let approved = waiting.describe(id, outcome, self.clients.get(waiting.client));
        Some((waiting, approved))
    }

    /// Lets a request wait again that was [taken](Self::take_approved).
    pub(crate) fn put_back(&mut self, number: u64, waiting: Waiting) {
        self.deadlines
            .insert(waiting.until.instant, Expiring::Approval(number));
        self.approvals.insert(number, waiting);
    }

    /// Refuses a request that waits.
    pub(crate) fn refuse_approval(
        &mut self,
        number: u64,
        by: &Arc<str>,
        reason: Option<String>,
    ) -> Option<Approval> {
        let by = Arc::clone(by);
        self.end_approval(number, ApprovalOutcome::Refused { by, reason })
    }

    /// Returns the number of requests that wait for approval, and their bytes.
    pub(crate) fn approvals(&self) -> [usize; 2] {
        [self.approvals.count.used(), self.approvals.bytes.used()]
    }

    /// Returns a contradiction in the requests that wait for approval.
    #[cfg(any(test, feature = "fuzzing"))]
    pub(super) fn lost_approval(&self) -> Option<String> {
        let all = &self.approvals;
        let mut deadlines = self.deadlines.all();
        let timed = deadlines
            .by_ref()
            .filter(|it| matches!(it, Expiring::Approval(_)));
        let (mut count, mut bytes) = (timed.count(), 0);
        if count != all.by_number.len() {
            return Some(format!("{count} deadlines of {} approvals", all.by_number.len()));
        }
        count = 0;
        for waiting in all.by_number.values() {
            let is_there = self.clients.get(waiting.client).is_some()
                && self.services.get(waiting.request.service).is_some();
            if !is_there {
                return Some(format!("a request of {} waits for nobody", waiting.requester));
            }
            count += 1;
            bytes += waiting.request.bytes();
        }
        let shares = all.shares.values();
        let of_shares = shares.fold((0, 0), |sum, share| (sum.0 + share.0, sum.1 + share.1));
        let pools = (all.count.used(), all.bytes.used());
        ([of_shares, pools] != [(count, bytes); 2])
            .then(|| format!("{pools:?} approvals and bytes, {of_shares:?} in shares, {count} counted"))
    }
}
