//! A peer that is known and served.

use std::future::{Future, pending};
use std::io;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use labwire_tcp::{WatchedSocket, has_vanished};
use labwire_wire::{LineSplitter, LineTooLong, LineView, Role, Uid, quoted};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::task::yield_now;
use tokio::time::{sleep, timeout};
use tracing::{debug, info, warn};

use super::cut_through::Passage;
use super::ending::{Ended, read_growing};
use super::inbox::Inbox;
use super::judge::Waits;
use super::login::Login;
use super::writing::write_frames;
use super::{Departure, FAREWELL, discard};
use crate::budget::LineShare;
use crate::chatter::Chatter;
use crate::counters::Counters;
use crate::handshake::Introduced;
use crate::hub::{Hub, Phase};
use crate::memory;
use crate::names::PeerAddress;
use crate::outbox::Outbox;
use crate::refusal::{LineLimit, Refusal};
use crate::registry::{PeerId, PeerLine};
use crate::router::{Kind, Permits, Sender, Step, TURN_WORK};

/// How long a client that only waits for replies is kept after it has closed its own side, as netcat does at
/// the end of its input. A client that died looks the same.
const LAST_REPLIES: Duration = Duration::from_secs(4);

/// The name that a peer has given itself: `NAME` of `NAME[HOST:PORT]`.
fn own_name(name: &str) -> &str {
    name.rsplit_once('[').map_or(name, |(own, _)| own)
}

/// A peer's place in the registry, given up however its connection ends.
struct Membership {
    hub: Arc<Hub>,
    id: PeerId,
    /// `NAME[HOST:PORT]`.
    name: String,
    outbox: Arc<Outbox>,
    /// Why the requests that it holds as a service are not answered, unless it is that it left.
    sent_too_much: Option<LineTooLong>,
}

/// Writes what is still queued for a peer that has left, as long as it goes on reading; a manager that stops gives it
/// [`FAREWELL`] in all. Returns whether everything was written.
async fn finish_writing(
    hub: &Hub,
    outbox: &Outbox,
    writing: impl Future<Output = Result<(), Departure>>,
) -> bool {
    tokio::pin!(writing);
    let stopping = async {
        hub.reached(Phase::Stopping).await;
        sleep(FAREWELL).await;
    };
    tokio::pin!(stopping);
    loop {
        let queued = outbox.queued();
        tokio::select! {
            written = timeout(FAREWELL, &mut writing) => match written {
                Ok(written) => return written.is_ok(),
                Err(_) if outbox.queued() < queued => {}
                Err(_) => return false,
            },
            () = &mut stopping => return false,
        }
    }
}

impl Drop for Membership {
    fn drop(&mut self) {
        let abandoned = self.hub.leave(self.id, self.sent_too_much);
        if abandoned > 0 {
            warn!("{} left with {abandoned} request(s) in flight", self.name);
        }
        self.outbox.close();
        info!("{} connection closed", self.name);
    }
}

/// A peer that is known and served.
pub(super) struct Session<'a> {
    pub(super) hub: &'a Arc<Hub>,
    pub(super) peer: &'a PeerAddress,
    membership: Membership,
    pub(super) is_service: bool,
    /// The line of this peer of which a part has gone on.
    pub(super) passage: Option<Box<Passage>>,
    /// The line of this peer that is thrown away.
    pub(super) ended: Option<Ended>,
    /// What this peer holds of the budget of unfinished lines.
    pub(super) share: LineShare,
    /// Whether it is a client that wants to know whose errors it gets.
    origin: bool,
    pub(super) login: Login,
    chatter: Chatter,
    /// What the first of the lines that wait was granted.
    permits: Permits,
}

impl<'a> Session<'a> {
    /// Takes the peer, which came at that time, into the registry.
    pub(super) fn join(
        hub: &'a Arc<Hub>,
        peer: &'a PeerAddress,
        came: Timestamp,
        socket: Option<&WatchedSocket>,
        introduction: &Introduced,
    ) -> Result<Self, Refusal> {
        let Introduced { identity, user } = introduction;
        let outbox = Outbox::new(hub.limits.outbox, &hub.queues);
        let is_service = matches!(identity.role, Role::Service { .. });
        let join = |address: &str| {
            let mut registry = hub.registry();
            let id = registry.join(identity, address, &outbox)?;
            if let Some(socket) = socket.cloned() {
                registry.set_line(id, PeerLine { ip: peer.ip, socket });
            }
            if let Some(user) = user {
                registry.set_user(id, user.clone());
            }
            Ok(id)
        };
        let mut address = peer.address.clone();
        let id = match join(&address) {
            // Two computers may have the same short name; their IP addresses tell them apart.
            Err(Refusal::ClientNameTaken(_)) => {
                address = format!("{}:{}", peer.ip, peer.port);
                join(&address)?
            }
            joined => joined?,
        };
        let name = format!("{}[{address}]", identity.name);
        let kind = if is_service { "Service" } else { "Client" };
        match user {
            None => info!("{name} is a new {kind} connection"),
            Some(user) => info!(
                "{name} is a new {kind} connection, logged in as {}",
                quoted(&user.name)
            ),
        }
        hub.record_request(came, peer);
        hub.record(peer, &format!("connected as a {}", kind.to_lowercase()));
        let membership = Membership {
            hub: Arc::clone(hub),
            id,
            name,
            outbox,
            sent_too_much: None,
        };
        Ok(Self {
            hub,
            peer,
            membership,
            is_service,
            passage: None,
            ended: None,
            share: hub.lines.share(),
            origin: identity.features.origin && !is_service,
            login: Login::new(user.as_ref().is_some_and(|user| user.is_admin)),
            chatter: Chatter::new(),
            permits: Permits::default(),
        })
    }

    /// Serves the peer until its connection ends.
    pub(super) async fn run<S>(mut self, stream: S, socket: Option<WatchedSocket>, splitter: LineSplitter)
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let (hub, peer, outbox) = (self.hub, self.peer, Arc::clone(&self.membership.outbox));
        let (reader, writer) = tokio::io::split(stream);
        let mut inbox = Inbox::new(reader, splitter, hub.pace.long);
        let waits = self.waits();
        let writing = write_frames(&outbox, writer, waits);
        tokio::pin!(writing);
        let vanished = async move {
            match socket {
                Some(socket) => socket.vanished().await,
                None => pending().await,
            }
        };
        let departure = tokio::select! {
            biased;
            // Writing comes first: a peer that floods is still told what it asked for.
            written = &mut writing => written.err().unwrap_or(Departure::Closed),
            // Reading comes last: a peer that floods uses up the task's turn, and what is asked after that is
            // not ready however often it is asked.
            () = hub.reached(Phase::Stopping) => Departure::Stopping,
            // It may be reading nothing, since it waits for room in another peer's queue.
            () = vanished => Departure::Failed(io::ErrorKind::TimedOut.into()),
            departure = self.read_lines(&mut inbox) => departure,
        };
        // It fails only for a semaphore that is closed, which nobody does.
        let turn = hub.departures.acquire().await;
        // Others who are ready come first.
        yield_now().await;
        self.log(&departure);
        if let Departure::TooLong(error) = &departure {
            self.membership.sent_too_much = Some(*error);
        }
        self.leave_passage();
        // From here on it does not count as a part of the budget.
        inbox.give_back();
        drop(self);
        drop(turn);
        if !matches!(departure, Departure::Failed(_) | Departure::Stalled)
            && finish_writing(hub, &outbox, writing).await
            && !matches!(departure, Departure::Closed)
        {
            // As when a peer is rejected: what it was told last must not be lost to a reset.
            let _ = timeout(FAREWELL, discard(&mut inbox.reader)).await;
        }
        hub.counters.count_undelivered(outbox.queued());
        hub.record(peer, "disconnected");
    }

    fn log(&self, departure: &Departure) {
        let name = &self.membership.name;
        match departure {
            Departure::Asked | Departure::Closed | Departure::Stopping | Departure::WrongLogin => {}
            Departure::Failed(error) if has_vanished(error) => {
                Counters::count(&self.hub.counters.vanished);
                info!("{name} has vanished, nothing that was sent to it was acknowledged");
            }
            Departure::Failed(error) => debug!("{name}: {error}"),
            Departure::TooLong(error) => warn!("{name}: {error} ({})", LineLimit::Line),
            Departure::Stalled => {
                Counters::count(&self.hub.counters.cut);
                if !self.is_service {
                    self.hub.slow_readers.note(self.peer.ip, own_name(name));
                }
                warn!("{name} was cut: it did not read while others waited for it (--stall, --patience)");
            }
        }
    }

    pub(super) fn sender(&self) -> Sender<'_> {
        let Membership { id, name, outbox, .. } = &self.membership;
        Sender {
            id: *id,
            name,
            outbox,
            origin: self.origin,
            chatter: &self.chatter,
        }
    }

    /// Reads and routes until no more lines come.
    async fn read_lines<R: AsyncRead + Unpin>(&mut self, inbox: &mut Inbox<R>) -> Departure {
        if !self.is_service {
            let name = own_name(&self.membership.name);
            let pause = self.hub.slow_readers.pause(self.peer.ip, name);
            if !pause.is_zero()
                && let Err(departure) = inbox.wait(sleep(pause)).await
            {
                return departure;
            }
        }
        loop {
            if inbox.turn_is_over() {
                yield_now().await;
            }
            let has_line = inbox.look().await;
            self.share.hold(inbox.held());
            let step = if has_line {
                match self.route_front(inbox).await {
                    Ok(step) => step,
                    Err(departure) => return departure,
                }
            } else if inbox.has_ended() {
                break;
            } else if self.ends_line(inbox) {
                Step::Next
            } else if self.lets_go_on(inbox) {
                // Boxed, so that a peer that sends no such lines has no room for it.
                Box::pin(self.read_at_pace(inbox)).await;
                Step::Next
            } else {
                let stall = self.stall_limit(inbox);
                let routes_at_once = self.login.is_idle();
                let read = async {
                    if routes_at_once {
                        inbox.read_and_route(|| self.router(Permits::default())).await
                    } else {
                        inbox.read().await;
                        (Step::Next, false)
                    }
                };
                match read_growing(&self.share, stall, read).await {
                    Ok((step, may_have_more)) => {
                        if may_have_more {
                            // A peer that floods takes its turn with all others.
                            yield_now().await;
                        }
                        step
                    }
                    Err(end) => {
                        self.end_line(inbox, end);
                        Step::Next
                    }
                }
            };
            if let Err(departure) = self.take_step(step, inbox).await {
                return departure;
            }
        }
        let departure = inbox.take_departure();
        match &departure {
            Departure::TooLong(error) => {
                let refusal = Refusal::LineTooLong {
                    limit: error.limit,
                    which: LineLimit::Line,
                };
                self.hub.counters.count_limit(&refusal);
                // The uid that stands in a service's line is its caller's, who is told for itself.
                let uid = inbox.take_uid_of_long_line();
                let uid = if self.is_service { Uid::EMPTY } else { uid };
                self.sender().refuse(&uid, &refusal);
            }
            Departure::Closed => self.wait_for_last_replies().await,
            _ => {}
        }
        departure
    }

    /// Keeps a client that has said all until the replies to its requests have come, or [`LAST_REPLIES`] are over:
    /// `printf '…' | nc -N` is answered. Its links and locks end at once, since a client that died looks the same.
    async fn wait_for_last_replies(&self) {
        let last_reply = {
            let mut registry = self.hub.registry();
            registry.end_links(self.membership.id);
            registry.last_reply(self.membership.id)
        };
        if let Some(last_reply) = last_reply {
            // Whoever waits for longer is answered no more.
            let _ = timeout(LAST_REPLIES, last_reply.notified()).await;
        }
    }

    /// Routes the first of the lines that wait.
    async fn route_front<R: AsyncRead + Unpin>(&mut self, inbox: &mut Inbox<R>) -> Result<Step, Departure> {
        let permits = std::mem::take(&mut self.permits);
        inbox.note_work(1);
        if let Some(passage) = self.passage.take() {
            if let Some(incoming) = inbox.take_front() {
                self.end_passage(*passage, incoming);
            }
            return Ok(Step::Next);
        }
        if let Some(ended) = self.ended.take() {
            self.finish_ended(inbox, ended);
            return Ok(Step::Next);
        }
        // A line that was held back was no answer when it came.
        if permits.is_empty() && !self.login.is_idle() && self.take_credential(inbox).await? {
            return Ok(Step::Next);
        }
        let Some(incoming) = inbox.front() else {
            return Ok(Step::Next);
        };
        let (step, work) = self.router(permits)(incoming.line.view(), &incoming.kind);
        inbox.note_work(work);
        if !matches!(step, Step::Wait(..))
            && let Some(incoming) = inbox.take_front()
        {
            self.login.note_taken(&incoming);
            memory::give_back(incoming.line.into_bytes());
        }
        Ok(step)
    }

    async fn take_step<R: AsyncRead + Unpin>(
        &mut self,
        step: Step,
        inbox: &mut Inbox<R>,
    ) -> Result<(), Departure> {
        match step {
            Step::Next => Ok(()),
            Step::Leave => Err(Departure::Asked),
            Step::Wait(permits) => {
                Counters::count(&self.hub.counters.held_back);
                tokio::select! {
                    biased;
                    waited = inbox.wait(permits.granted()) => {
                        waited?;
                        self.permits = permits;
                        Ok(())
                    }
                    end = self.share.over_budget() => {
                        // What was routed where it was read to waits in front only once it is looked at.
                        if inbox.front().is_some() {
                            self.end_line(inbox, end);
                        }
                        Ok(())
                    }
                }
            }
            Step::Ask(call) => {
                let asked = self.call(call, inbox.unrouted()).await;
                // A list of all links is as much work.
                inbox.note_work(TURN_WORK);
                asked
            }
        }
    }

    /// How long others wait for this peer.
    fn waits(&self) -> Waits {
        let limits = &self.hub.limits;
        // Whoever waits for a service asks it; there is nobody else whom it keeps waiting.
        let disconnects = if self.is_service {
            0
        } else {
            self.hub.slow_readers.recent(self.peer.ip)
        };
        Waits {
            stall: limits.stall,
            patience: limits.patience,
            disconnects,
            rises: !self.is_service,
        }
    }

    /// What routes this peer's lines, with the registry locked as long as it lives. It tells how much work that was.
    /// `permits` are those of the first line.
    fn router(&self, mut permits: Permits) -> impl FnMut(LineView<'_>, &Kind) -> (Step, usize) {
        let from = self.sender();
        let hub = self.hub;
        let mut registry = hub.registry();
        // Under the registry's lock, so that no request is taken after those under way were counted for the last time.
        let draining = hub.is_draining();
        let is_service = self.is_service;
        move |line, kind| {
            let mut router = hub.router(&mut registry, draining);
            router.permits = std::mem::take(&mut permits);
            let step = if is_service {
                router.route_from_service(&from, line, kind)
            } else {
                router.route_from_client(&from, line, kind)
            };
            (step, 1 + router.work)
        }
    }
}
