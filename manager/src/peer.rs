//! One connection, from its first byte to its last.

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::sync::Arc;
use std::time::Duration;

use labwire_wire::{Envelope, LineSplitter, LineTooLong, Role, frames};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::{Instant, timeout, timeout_at};
use tracing::{debug, info, warn};

use crate::admin::{Call, Outcome};
use crate::counters::Counters;
use crate::handshake::{Ended, Handshake, Introduced, credential};
use crate::hub::{Hub, Phase};
use crate::names::PeerAddress;
use crate::outbox::{Batch, Outbox};
use crate::refusal::Refusal;
use crate::registry::PeerId;
use crate::router::{Incoming, Kind, Sender, Step};
use crate::stream::read_some;

/// How many pieces go into one vectored write: what Linux takes at once is 1,024, and more than some dozens
/// gain nothing.
const PIECES: usize = 64;

/// How long a peer that is on its way out has to read what still waits for it.
const FAREWELL: Duration = Duration::from_secs(2);

/// How many lines are checked before they are routed. What is known of a line takes more memory than a short
/// line itself does, so a flood of empty ones must not be looked at all at once.
const LINES: usize = 256;

/// How many administrator's requests may wait for one login.
const PENDING_CALLS: usize = 16;

/// Why a connection ended.
#[derive(Debug)]
enum Departure {
    /// It asked to be disconnected.
    Asked,
    /// The peer closed the connection.
    Closed,
    /// Reading or writing failed.
    Failed(io::Error),
    /// A line was too long: where the next begins is not known.
    TooLong(LineTooLong),
    /// It read nothing while others waited for room in its queue.
    Stalled,
    /// It failed to log in for an administrator's request.
    WrongLogin,
    /// The manager stops.
    Stopping,
}

/// Serves one connection until it ends, whichever way that is.
///
/// `deadline` is the end of its handshake. `introduced` is called once the peer is known.
pub(crate) async fn serve<S>(
    hub: &Arc<Hub>,
    peer: &PeerAddress,
    mut stream: S,
    deadline: Instant,
    introduced: impl FnOnce(),
) where
    S: AsyncRead + AsyncWrite + Unpin,
{
    info!("new connection request from {}", peer.address);
    hub.record(peer, "new connection request");
    let mut splitter = LineSplitter::new(hub.limits.handshake_line);
    let mut handshake = Handshake {
        hub,
        peer,
        stream: &mut stream,
        splitter: &mut splitter,
    };
    let ended = match timeout_at(deadline, handshake.run()).await {
        Ok(Ok(introduction)) => {
            splitter.set_limit(hub.limits.line);
            match Session::join(hub, peer, &introduction) {
                Ok(session) => {
                    introduced();
                    return session.run(stream, splitter).await;
                }
                Err(refusal) => Ended::Refused(refusal),
            }
        }
        Ok(Err(ended)) => ended,
        Err(_) => Ended::Refused(Refusal::HandshakeTimeout {
            seconds: hub.limits.handshake.as_secs(),
        }),
    };
    reject(hub, peer, &mut stream, &ended).await;
}

/// Tells a peer why it is not admitted, as far as it still listens.
async fn reject<S: AsyncRead + AsyncWrite + Unpin>(
    hub: &Hub,
    peer: &PeerAddress,
    stream: &mut S,
    ended: &Ended,
) {
    Counters::count(&hub.counters.rejected);
    match ended {
        Ended::Closed(reason) => {
            debug!("{}: {reason}", peer.address);
            hub.record(peer, reason);
        }
        Ended::Refused(refusal) => {
            info!("{} rejected, closing connection: {refusal}", peer.address);
            hub.record(peer, &format!("rejected: {refusal}"));
            let frame = frames::error(&refusal.to_string(), hub.name(), "", b"[]");
            let _ = timeout(FAREWELL, async {
                stream.write_all(&frame).await?;
                stream.shutdown().await?;
                discard(stream).await
            })
            .await;
        }
    }
}

/// Reads what a peer still sends. A connection that is closed with bytes unread is reset, and a reset
/// overtakes the last words that were sent.
async fn discard<R: AsyncRead + Unpin>(stream: &mut R) -> io::Result<()> {
    let mut bytes = [0; 1024];
    while stream.read(&mut bytes).await? > 0 {}
    Ok(())
}

/// A peer that is known and served.
struct Session<'a> {
    hub: &'a Arc<Hub>,
    peer: &'a PeerAddress,
    id: PeerId,
    /// `NAME[HOST:PORT]`.
    name: String,
    is_service: bool,
    is_admin: bool,
    outbox: Arc<Outbox>,
    login: Login,
}

/// How far a client has come with the login that its administrator's request needs.
#[derive(Debug, Default)]
enum Login {
    /// Nothing was asked.
    #[default]
    Idle,
    /// The manager asked for the username.
    Username(Vec<Call>),
    /// The manager asked for the password of that user.
    Password(Vec<Call>, String),
}

impl<'a> Session<'a> {
    fn join(hub: &'a Arc<Hub>, peer: &'a PeerAddress, introduction: &Introduced) -> Result<Self, Refusal> {
        let Introduced { identity, is_admin } = introduction;
        let outbox = Outbox::new(hub.limits.outbox);
        let is_service = matches!(identity.role, Role::Service { .. });
        let join = |address: &str| hub.registry().join(identity, address, Arc::clone(&outbox));
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
        info!("{name} is a new {kind} connection");
        hub.record(peer, &format!("connected as a {}", kind.to_lowercase()));
        Ok(Self {
            hub,
            peer,
            id,
            name,
            is_service,
            is_admin: *is_admin,
            outbox,
            login: Login::Idle,
        })
    }

    async fn run<S: AsyncRead + AsyncWrite + Unpin>(mut self, stream: S, splitter: LineSplitter) {
        let (hub, outbox) = (Arc::clone(self.hub), Arc::clone(&self.outbox));
        let (mut reader, writer) = tokio::io::split(stream);
        let writing = write_frames(&outbox, writer, hub.limits.stall);
        tokio::pin!(writing);
        let departure = tokio::select! {
            biased;
            // Writing comes first: a peer that floods is still told what it asked for.
            written = &mut writing => written.err().unwrap_or(Departure::Closed),
            departure = self.read_lines(&mut reader, splitter) => departure,
            () = hub.reached(Phase::Stopping) => Departure::Stopping,
        };
        self.leave(&departure);
        outbox.close();
        if !matches!(departure, Departure::Failed(_) | Departure::Stalled) {
            let farewell = async {
                writing.await?;
                // As in `reject`: what the peer was told last must not be lost to a reset.
                if !matches!(departure, Departure::Closed) {
                    discard(&mut reader).await.map_err(Departure::Failed)?;
                }
                Ok::<(), Departure>(())
            };
            let _ = timeout(FAREWELL, farewell).await;
        }
        hub.record(self.peer, "disconnected");
    }

    /// Takes the peer out of the registry and tells those who waited for it.
    fn leave(&self, departure: &Departure) {
        let abandoned = self.hub.registry().leave(self.id);
        let service = self.name.rsplit_once('[').map_or("", |(name, _)| name).to_owned();
        let refusal = Refusal::ServiceLeft { service };
        for request in &abandoned {
            Counters::count(&self.hub.counters.abandoned);
            request.tell(&refusal);
        }
        match departure {
            Departure::Asked | Departure::Closed | Departure::Stopping | Departure::WrongLogin => {}
            Departure::Failed(error) => debug!("{}: {error}", self.name),
            Departure::TooLong(error) => warn!("{}: {error}", self.name),
            Departure::Stalled => {
                Counters::count(&self.hub.counters.cut);
                warn!(
                    "{} was cut: it read nothing for {} s while others waited",
                    self.name,
                    self.hub.limits.stall.as_secs()
                );
            }
        }
        if !abandoned.is_empty() {
            warn!("{} left with {} request(s) in flight", self.name, abandoned.len());
        }
        info!("{} connection closed", self.name);
    }

    fn sender(&self) -> Sender<'_> {
        Sender {
            id: self.id,
            name: &self.name,
            outbox: &self.outbox,
        }
    }

    /// Reads and routes until the connection ends.
    async fn read_lines<R: AsyncRead + Unpin>(
        &mut self,
        reader: &mut R,
        mut splitter: LineSplitter,
    ) -> Departure {
        let mut lines = VecDeque::new();
        loop {
            let end = match self.collect(reader, &mut splitter, &mut lines).await {
                Ok(more) => (!more).then_some(Departure::Closed),
                Err(departure) => Some(departure),
            };
            while !lines.is_empty() {
                if let Err(departure) = self.route(&mut lines).await {
                    return departure;
                }
            }
            if let Some(departure) = end {
                if let Departure::TooLong(error) = &departure {
                    self.sender().refuse("", &Refusal::LineTooLong(*error));
                }
                return departure;
            }
        }
    }

    /// Reads once and checks the lines that are whole; tells whether there may be more to read.
    async fn collect<R: AsyncRead + Unpin>(
        &self,
        reader: &mut R,
        splitter: &mut LineSplitter,
        lines: &mut VecDeque<Incoming>,
    ) -> Result<bool, Departure> {
        // What came in the same segment as the identity is here before anything is read.
        while lines.len() < LINES
            && let Some(line) = splitter.next_line().map_err(Departure::TooLong)?
        {
            lines.push_back(Incoming::new(line));
        }
        if !lines.is_empty() {
            return Ok(true);
        }
        if read_some(reader, splitter).await.map_err(Departure::Failed)? == 0 {
            lines.extend(splitter.finish().map(Incoming::new));
            return Ok(false);
        }
        Ok(true)
    }

    /// Routes the lines up to one that must wait for something.
    async fn route(&mut self, lines: &mut VecDeque<Incoming>) -> Result<(), Departure> {
        if !matches!(self.login, Login::Idle) && self.take_credential(lines).await? {
            return Ok(());
        }
        let step = self.route_ready(lines);
        match step {
            Step::Next => {}
            Step::Leave => return Err(Departure::Asked),
            Step::Wait(outbox) => outbox.room().await,
            Step::Ask(call) => self.call(call).await?,
        }
        Ok(())
    }

    /// Routes lines under one lock, as long as none of them must wait.
    fn route_ready(&self, lines: &mut VecDeque<Incoming>) -> Step {
        let from = self.sender();
        let mut registry = self.hub.registry();
        let mut router = self.hub.router(&mut registry);
        while let Some(incoming) = lines.front() {
            let step = if self.is_service {
                router.route_from_service(&from, incoming)
            } else {
                router.route_from_client(&from, incoming)
            };
            match step {
                Step::Next => drop(lines.pop_front()),
                Step::Ask(call) => {
                    lines.pop_front();
                    return Step::Ask(call);
                }
                other => return other,
            }
            // A login that was just asked for may be answered by the very next line.
            if !matches!(self.login, Login::Idle) {
                break;
            }
        }
        Step::Next
    }

    /// Answers an administrator's request, or asks for the login that it needs.
    async fn call(&mut self, call: Call) -> Result<(), Departure> {
        info!(
            "received an admin request '{}' from {}",
            call.attribute, self.name
        );
        if self.is_admin {
            self.execute(call).await;
            return Ok(());
        }
        match &mut self.login {
            Login::Idle => {
                self.login = Login::Username(vec![call]);
                self.ask("username", self.hub.name());
            }
            Login::Username(pending) | Login::Password(pending, _) if pending.len() < PENDING_CALLS => {
                pending.push(call);
            }
            _ => self.sender().refuse(&call.uid, &Refusal::LoginPending),
        }
        Ok(())
    }

    fn ask(&self, attribute: &str, argument: &str) {
        self.outbox
            .push_always(&frames::manager_request(attribute, &[argument], self.hub.name()));
    }

    async fn execute(&self, call: Call) {
        let uid = call.uid.clone();
        match call.execute(self.hub).await {
            Ok(Outcome::Result(result)) => self.sender().answer(&uid, result.as_bytes()),
            Ok(Outcome::Shutdown) => info!("{} asked the manager to shut down", self.name),
            Err(refusal) => {
                info!("{}: {refusal}", self.name);
                self.sender().refuse(&uid, &refusal);
            }
        }
    }

    /// Takes the first line as the answer to the manager's question, unless it is a request of its own:
    /// what was sent before the question was read must never be taken for a password.
    async fn take_credential(&mut self, lines: &mut VecDeque<Incoming>) -> Result<bool, Departure> {
        let is_answer = lines.front().is_some_and(|incoming| match &incoming.kind {
            Kind::Frame(envelope) => Envelope::has_result(envelope),
            Kind::Text | Kind::Blank => true,
            Kind::Broken(_) => !incoming.line.content().trim_ascii_start().starts_with(b"{"),
        });
        if !is_answer {
            return Ok(false);
        }
        let Some(incoming) = lines.pop_front() else {
            return Ok(false);
        };
        let text = credential(&incoming.line).unwrap_or_default();
        match std::mem::take(&mut self.login) {
            Login::Idle => {}
            Login::Username(pending) => {
                self.ask("password", &text);
                self.login = Login::Password(pending, text);
            }
            Login::Password(pending, username) => self.log_in(pending, &username, &text).await?,
        }
        Ok(true)
    }

    async fn log_in(&mut self, pending: Vec<Call>, username: &str, password: &str) -> Result<(), Departure> {
        let hub = self.hub;
        let login = hub
            .logins
            .check_user(hub.store(), &hub.counters, self.peer.ip, username, password)
            .await;
        let refusal = match login {
            Ok(outcome) if outcome.is_admin => {
                self.is_admin = true;
                for call in pending {
                    self.execute(call).await;
                }
                return Ok(());
            }
            Ok(_) => Refusal::NotAdministrator,
            Err(refusal) => refusal,
        };
        info!("{}: {refusal}", self.name);
        for call in &pending {
            self.sender().refuse(&call.uid, &refusal);
        }
        if refusal == Refusal::NotAdministrator {
            return Ok(());
        }
        // As at the first login, a wrong answer ends the connection: guessing costs a new one each time.
        hub.record(self.peer, &format!("rejected: {refusal}"));
        Err(Departure::WrongLogin)
    }
}

/// Writes what is queued until the queue is closed and empty, then ends the stream.
async fn write_frames<W: AsyncWrite + Unpin>(
    outbox: &Outbox,
    mut writer: W,
    stall: Duration,
) -> Result<(), Departure> {
    while let Some(mut batch) = outbox.next_batch().await {
        while !batch.is_empty() {
            let count = write_pieces(&batch, outbox, &mut writer, stall).await?;
            batch.advance(count);
            outbox.written(count);
        }
        let flushed = unless_stalled(outbox, stall, writer.flush()).await?;
        flushed.map_err(Departure::Failed)?;
    }
    writer.shutdown().await.map_err(Departure::Failed)
}

/// Writes once.
async fn write_pieces<W: AsyncWrite + Unpin>(
    batch: &Batch,
    outbox: &Outbox,
    writer: &mut W,
    stall: Duration,
) -> Result<usize, Departure> {
    let mut pieces = [IoSlice::new(&[]); PIECES];
    let mut count = 0;
    for (piece, segment) in pieces.iter_mut().zip(batch.segments()) {
        *piece = IoSlice::new(segment);
        count += 1;
    }
    match unless_stalled(outbox, stall, writer.write_vectored(&pieces[..count])).await? {
        Ok(0) => Err(Departure::Failed(io::ErrorKind::WriteZero.into())),
        written => written.map_err(Departure::Failed),
    }
}

/// Waits for a write, but not for a peer that reads nothing for the stall time while others wait for room.
/// As long as nobody waits, a peer that does not read harms nobody but itself.
async fn unless_stalled<T>(
    outbox: &Outbox,
    stall: Duration,
    write: impl Future<Output = T>,
) -> Result<T, Departure> {
    tokio::pin!(write);
    loop {
        match timeout(stall, &mut write).await {
            Ok(written) => return Ok(written),
            Err(_) if outbox.holds_back() => return Err(Departure::Stalled),
            Err(_) => {}
        }
    }
}
