//! Serves an identified peer.

use std::collections::BTreeSet;
use std::future::{Future, pending};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use labwire_tcp::{WatchedSocket, has_vanished};
use labwire_wire::{EnvelopeError, LineSplitter, Plain, Uid};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::task::yield_now;
use tokio::time::{Instant, sleep, timeout};
use tracing::{Span, debug, debug_span, info, warn};

use super::departure::{Departure, FAREWELL, discard};
use super::inbox::Inbox;
use super::judge::Waits;
use super::parking::CONFIRMATION_DELAY;
use super::rest::UnhandledRest;
use super::unfinished::{EndedLine, PacedCutThrough, read_growing};
use super::writing::write_frames;
use crate::attachment::Attachment;
use crate::budget::LineShare;
use crate::counters::Counters;
use crate::hub::{Hub, Phase, Routing};
use crate::names::{PeerAddress, own_name};
use crate::outbox::Outbox;
use crate::principal::Introduced;
use crate::refusal::{LineLimit, Refusal};
use crate::router::{Incoming, Permits, Sender, Step};
use crate::routing_thread::yield_to_events;
use crate::work::TURN_WORK;

/// How long a client that has closed its sending side is kept while it waits for replies; netcat
/// closes it at the end of its input. A dead client looks the same.
const LAST_REPLIES: Duration = Duration::from_secs(4);

/// Writes the frames that are still queued for a peer that has left, as long as it takes something
/// within each [`FAREWELL`]. A stopping manager allows one [`FAREWELL`] in all. Returns whether
/// everything was written.
async fn finish_writing(
    routing: &Routing,
    outbox: &Outbox,
    writing: impl Future<Output = Result<(), Departure>>,
) -> bool {
    tokio::pin!(writing);
    let stopping = async {
        routing.reached(Phase::Stopping).await;
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

/// An identified peer: its attachment, and the state of its connection.
pub(super) struct Session<'a> {
    pub(super) hub: &'a Arc<Hub>,
    pub(super) peer: &'a Arc<PeerAddress>,
    pub(super) attachment: Attachment,
    /// The unfinished line that is being cut through.
    pub(super) cut_through: Option<Box<PacedCutThrough>>,
    /// The unfinished line that is being discarded.
    pub(super) ended: Option<EndedLine>,
    /// The lines that were discarded and are not handled yet.
    pub(super) rests: Vec<UnhandledRest>,
    /// This peer's share of the budget of unfinished lines.
    pub(super) share: LineShare,
    /// The position up to which its lines were handled on earlier connections of its session.
    pub(super) handled_before: u64,
    /// The administrator's request that is being executed.
    pub(super) executing: Option<Uid<'static>>,
    /// The administrator's requests that only read and are recorded.
    pub(super) recorded_reads: BTreeSet<&'static str>,
    /// The permits of the first waiting line.
    permits: Permits,
}

impl<'a> Session<'a> {
    /// Registers the peer.
    pub(super) fn join(
        hub: &'a Arc<Hub>,
        peer: &'a Arc<PeerAddress>,
        socket: Option<&WatchedSocket>,
        introduction: &Introduced,
    ) -> Result<Self, Refusal> {
        let join = |address: &str| Attachment::join(&hub.routing, introduction, address, socket.cloned());
        let attachment = match join(&peer.address) {
            // Two computers may have the same short name; their IP addresses tell them apart.
            Err(Refusal::ClientNameTaken(_)) => join(&format!("{}:{}", peer.ip, peer.port))?,
            joined => joined?,
        };
        Ok(Self::of(hub, peer, attachment))
    }

    /// Returns the session of a peer that is registered.
    pub(super) fn of(hub: &'a Arc<Hub>, peer: &'a Arc<PeerAddress>, attachment: Attachment) -> Self {
        Self {
            hub,
            peer,
            handled_before: attachment.session.as_ref().map_or(0, |session| session.handled),
            attachment,
            cut_through: None,
            ended: None,
            rests: Vec::new(),
            share: hub.routing.lines.share(),
            executing: None,
            recorded_reads: BTreeSet::new(),
            permits: Permits::default(),
        }
    }

    /// Returns the tracing span of the connection. Its level is DEBUG, so that an idle connection
    /// uses no memory for it at other levels.
    pub(super) fn span(&self) -> Span {
        debug_span!(
            "connection",
            peer = self.attachment.name(),
            address = %SocketAddr::new(self.peer.ip, self.peer.port),
            kind = if self.attachment.is_service() { "service" } else { "client" },
        )
    }

    /// Serves the peer until its connection ends.
    pub(super) async fn run<S>(mut self, stream: S, socket: Option<WatchedSocket>, splitter: LineSplitter)
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let hub = self.hub;
        let (routing, outbox) = (&hub.routing, Arc::clone(self.attachment.outbox()));
        let dismissal = Arc::clone(&self.attachment.dismissal);
        let (reader, writer) = tokio::io::split(stream);
        let superseded = self
            .attachment
            .session
            .as_ref()
            .map(|session| Arc::clone(&session.superseded));
        let expects = (outbox.takes_buffers(), superseded.is_some());
        let mut inbox = Inbox::new(reader, splitter, routing.pace.long, expects);
        let superseded = async move {
            match superseded {
                // Boxed, to keep the task small for peers without sessions.
                Some(superseded) => Box::pin(async move { superseded.notified().await }).await,
                None => pending().await,
            }
        };
        let waits = self.waits();
        let writing = write_frames(&outbox, writer, waits);
        tokio::pin!(writing);
        let vanished = async move {
            match socket {
                Some(socket) => socket.vanished().await,
                None => pending().await,
            }
        };
        let mut has_ended_queue = false;
        let departure = tokio::select! {
            biased;
            // Writing comes first: a flooding peer still receives what it asked for.
            written = &mut writing => written.err().unwrap_or_else(|| {
                // The queue was closed, as for a service that may not be one any more.
                has_ended_queue = true;
                Departure::Closed
            }),
            // Reading comes last: a flooding peer uses up the task's cooperative budget, and a
            // future that is polled after that does not become ready.
            () = routing.reached(Phase::Stopping) => Departure::Stopping,
            // Reading may be suspended while it waits for room in another peer's queue.
            () = vanished => Departure::Failed(io::ErrorKind::TimedOut.into()),
            () = superseded => Departure::Superseded,
            end = dismissal.given() => Departure::Dismissed(end),
            departure = self.read_lines(&mut inbox) => departure,
        };
        // Fails only for a closed semaphore, and this one is never closed.
        let turn = routing.departures.acquire().await;
        // Lets other tasks run first.
        yield_now().await;
        self.log(&departure);
        if !has_ended_queue
            && departure.is_break()
            && self.attachment.session.is_some()
            && self.attachment.may_return()
        {
            self.park(&mut inbox);
            return;
        }
        if let Departure::TooLong(error) = &departure {
            self.attachment.note_too_long(*error);
        }
        if let Departure::Dismissed(end) = &departure {
            Counters::count(&routing.counters.logins_ended);
            self.attachment.tell_dismissed(*end);
        }
        self.leave_cut_through();
        // From here on its input no longer counts towards the budget.
        inbox.give_back();
        drop(self);
        drop(turn);
        let is_written = has_ended_queue
            || (!matches!(departure, Departure::Failed(_) | Departure::Stalled)
                && finish_writing(routing, &outbox, writing).await
                && !matches!(departure, Departure::Closed));
        if is_written {
            // As for a rejected peer: a reset must not lose the last frames.
            let _ = timeout(FAREWELL, discard(&mut inbox.reader)).await;
        }
        routing.counters.count_undelivered(outbox.queued());
    }

    fn log(&self, departure: &Departure) {
        let (name, routing) = (self.attachment.name(), &self.hub.routing);
        match departure {
            Departure::Asked
            | Departure::Closed
            | Departure::Refused
            | Departure::Stopping
            | Departure::WrongLogin
            | Departure::Superseded => {}
            Departure::Failed(error) if has_vanished(error) => {
                Counters::count(&routing.counters.vanished);
                info!("{name} has vanished, nothing that was sent to it was acknowledged");
            }
            Departure::Failed(error) => debug!("{name}: {error}"),
            Departure::Dismissed(end) => info!("{name} is disconnected: {end}"),
            Departure::TooLong(error) => warn!("{name}: {error} ({})", LineLimit::Line),
            Departure::Unsplittable(error) => warn!("{name}: {error}"),
            Departure::Stalled => {
                Counters::count(&routing.counters.cut);
                if !self.attachment.is_service() {
                    routing.slow_readers.note(self.peer.ip, own_name(name));
                }
                warn!("{name} was cut: it did not read while others waited for it (--stall, --patience)");
            }
        }
    }

    pub(super) fn sender(&self) -> Sender<'_> {
        self.attachment.sender()
    }

    /// Reads and routes lines until the connection ends. Returns the reason.
    async fn read_lines<R: AsyncRead + Unpin>(&mut self, inbox: &mut Inbox<R>) -> Departure {
        if !self.attachment.is_service() {
            let name = own_name(self.attachment.name());
            let pause = self.hub.routing.slow_readers.pause(self.peer.ip, name);
            if !pause.is_zero()
                && let Err(departure) = inbox.wait(sleep(pause)).await
            {
                return departure;
            }
        }
        loop {
            if inbox.turn_is_over() {
                yield_to_events().await;
                inbox.begin_turn();
            }
            let has_line = inbox.look().await;
            self.share.hold(inbox.held());
            if !self.rests.is_empty() {
                self.end_rests(inbox);
            }
            if self.attachment.session.is_some() {
                self.confirm(inbox, false);
            }
            let step = if has_line {
                match self.route_front(inbox).await {
                    Ok(step) => step,
                    Err(departure) => return departure,
                }
            } else if inbox.has_ended() {
                break;
            } else if self.ends_line(inbox) {
                Step::Next
            } else if self.forwards_arrived(inbox) {
                // Boxed, to keep the task small for peers without such lines.
                Box::pin(self.read_at_pace(inbox)).await;
                Step::Next
            } else {
                let owes = self.attachment.session.is_some() && self.owes_confirmation(inbox);
                let stall = self.stall_limit(inbox);
                let routes_at_once = self.attachment.login.is_idle();
                let read = async {
                    if routes_at_once {
                        inbox
                            .read_and_route(|| self.attachment.router(Permits::default()))
                            .await
                    } else {
                        inbox.read().await;
                        (Step::Next, false)
                    }
                };
                let reading = read_growing(&self.share, stall, read);
                let read = if owes {
                    // Boxed, as above.
                    if let Ok(read) = Box::pin(timeout(CONFIRMATION_DELAY, reading)).await {
                        read
                    } else {
                        self.confirm(inbox, true);
                        continue;
                    }
                } else {
                    reading.await
                };
                match read {
                    Ok((step, may_have_more)) => {
                        if may_have_more {
                            // A flooding peer lets other tasks run.
                            yield_to_events().await;
                            inbox.begin_turn();
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
        self.refuse_rest(inbox, &departure);
        if matches!(departure, Departure::Closed) && self.attachment.session.is_none() {
            self.wait_for_last_replies().await;
        }
        departure
    }

    /// Tells the peer why its last line cannot be read.
    fn refuse_rest<R: AsyncRead + Unpin>(&self, inbox: &mut Inbox<R>, departure: &Departure) {
        let refusal = match departure {
            Departure::TooLong(error) => Refusal::LineTooLong {
                limit: error.limit,
                which: LineLimit::Line,
            },
            Departure::Unsplittable(error) => EnvelopeError::from(*error).into(),
            _ => return,
        };
        self.hub.routing.counters.count_limit(&refusal);
        // The uid in a service's line is its caller's, which receives an error of its own.
        let uid = inbox.take_uid_of_long_line();
        let uid = if self.attachment.is_service() {
            Uid::EMPTY
        } else {
            uid
        };
        self.sender().refuse(&uid, &refusal);
    }

    /// Waits for the last replies to a client that has closed its sending side, for
    /// [`LAST_REPLIES`] at most. So `printf '…' | nc -N` is answered. Its links and locks end at
    /// once, since a dead client looks the same.
    async fn wait_for_last_replies(&self) {
        let until = Instant::now() + LAST_REPLIES;
        if let Some(told) = self.hub.routing.finish(self.attachment.id(), until) {
            told.notified().await;
        }
    }

    /// Routes the first waiting line.
    async fn route_front<R: AsyncRead + Unpin>(&mut self, inbox: &mut Inbox<R>) -> Result<Step, Departure> {
        let permits = std::mem::take(&mut self.permits);
        inbox.note_work(1);
        if let Some(cut_through) = self.cut_through.take() {
            if let Some(incoming) = inbox.take_front() {
                self.count_buffers(&incoming);
                self.end_cut_through(*cut_through, incoming);
            }
            return Ok(Step::Next);
        }
        if let Some(ended) = self.ended.take() {
            self.finish_ended(inbox, ended);
            return Ok(Step::Next);
        }
        // A line that has permits was found to be no credential before it waited.
        if permits.is_empty()
            && !self.attachment.login.is_idle()
            // Boxed, to keep the task small for peers that do not log in.
            && Box::pin(self.take_credential(inbox)).await?
        {
            return Ok(Step::Next);
        }
        let Some(incoming) = inbox.front() else {
            return Ok(Step::Next);
        };
        if permits.is_empty() {
            self.count_buffers(incoming);
        }
        let (step, work) = self.attachment.router(permits)(incoming.frame.view(), &incoming.kind);
        inbox.note_work(work);
        if !matches!(step, Step::Wait(..) | Step::Convert(_) | Step::Decide)
            && let Some(incoming) = inbox.take_front()
        {
            self.attachment.login.note_taken(&incoming);
            incoming.give_back();
        }
        Ok(step)
    }

    /// Counts a message with buffers when it is routed for the first time.
    fn count_buffers(&self, incoming: &Incoming) {
        if incoming
            .frame
            .payload()
            .is_some_and(|payload| *payload.plain() == Plain::Unknown)
        {
            Counters::count(&self.hub.routing.counters.binary);
        }
    }

    async fn take_step<R: AsyncRead + Unpin>(
        &mut self,
        step: Step,
        inbox: &mut Inbox<R>,
    ) -> Result<(), Departure> {
        match step {
            Step::Next => Ok(()),
            Step::Leave => Err(Departure::Asked),
            Step::Decide => {
                yield_to_events().await;
                inbox.begin_turn();
                Ok(())
            }
            Step::Convert(conversion) => {
                let routing = &self.hub.routing;
                // Boxed, to keep the task small for peers without buffers.
                Box::pin(inbox.convert(conversion, routing.limits.convert, &routing.conversions)).await;
                Counters::count(&routing.counters.converted);
                self.share.hold(inbox.held());
                Ok(())
            }
            Step::Wait(permits) => {
                Counters::count(&self.hub.routing.counters.held_back);
                tokio::select! {
                    biased;
                    waited = inbox.wait(permits.granted()) => {
                        waited?;
                        self.permits = permits;
                        Ok(())
                    }
                    end = self.share.over_budget() => {
                        if inbox.front().is_some() {
                            self.end_line(inbox, permits.end_of_line(end));
                        } else {
                            // A line routed from the read buffer is at the front only after the next
                            // `look`.
                            self.permits = permits;
                        }
                        Ok(())
                    }
                }
            }
            Step::Ask(call) => {
                // Boxed, to keep the task small for peers that are not administrators.
                let asked = Box::pin(self.call(call, inbox.unrouted())).await;
                // A list of all links takes that much work.
                inbox.note_work(TURN_WORK);
                asked
            }
        }
    }

    /// Returns how long others wait for this peer.
    fn waits(&self) -> Waits {
        let Routing {
            limits, slow_readers, ..
        } = &*self.hub.routing;
        let is_service = self.attachment.is_service();
        // Only its own callers wait for a service, so other disconnects do not shorten their wait.
        let disconnects = if is_service {
            0
        } else {
            slow_readers.recent(self.peer.ip)
        };
        Waits {
            stall: limits.stall,
            patience: limits.patience,
            disconnects,
            rises: !is_service,
        }
    }
}
