//! Accepting connections.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use labwire_tcp::{KeepAlive, Watch, WatchedSocket, WatchedStream};
use labwire_wire::frames;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::{JoinSet, yield_now};
use tokio::time::{Instant, sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tracing::{debug, info, warn};

use crate::certificates::{PeerCertificate, refused_certificate};
use crate::connection::Connection;
use crate::counters::Counters;
use crate::hub::{Hub, Phase};
use crate::names::PeerAddress;
use crate::names::network_of;
use crate::peer;
use crate::reading::ReadAhead;
use crate::refusal::Refusal;
use crate::routing_thread::{Measured, Task};
use crate::unidentified::{UnidentifiedPlace, UnidentifiedPlaces};

/// How long to wait after an accept that failed for lack of descriptors or memory: accepting again
/// at once would only spin.
const BACK_OFF: Duration = Duration::from_millis(100);

/// How many connections are accepted before other tasks run. Each takes the system some 20
/// microseconds.
const ACCEPTED_AT_ONCE: usize = 16;

/// How many connections over a limit receive the reason at the same time; more wait in the system's
/// queue. Each costs a descriptor.
const REFUSALS: usize = 256;

/// How long one of them has to receive it, its TLS handshake included: a few round trips to
/// anywhere.
const REFUSAL_TIME: Duration = Duration::from_secs(1);

/// The most bytes to discard of a peer whose certificate is not accepted.
const DISCARDED: u64 = 64 * 1024;

/// State that all listeners of a manager share.
#[derive(Clone)]
pub(crate) struct Gate {
    pub(crate) hub: Arc<Hub>,
    pub(crate) tls: Option<TlsAcceptor>,
    connections: Arc<Semaphore>,
    unidentified: Arc<UnidentifiedPlaces>,
    refusals: Arc<Semaphore>,
    /// The runtime for TLS handshakes: one can take as long as a thousand requests.
    handshakes: Handle,
    /// Detects peers that have vanished. It runs on the same runtime.
    watch: Watch,
}

/// The decision on a connection that was accepted.
enum Accepted {
    Served(OwnedSemaphorePermit),
    /// It receives the reason: too many connections.
    Refused(OwnedSemaphorePermit),
}

impl Gate {
    /// Creates a gate whose TLS handshakes run on the current runtime.
    pub(crate) fn new(hub: Arc<Hub>, tls: Option<TlsAcceptor>) -> Self {
        let connections = Arc::new(Semaphore::new(hub.admission.limits.connections));
        let watch = Watch::new(KeepAlive::every(hub.admission.limits.keepalive));
        Self {
            unidentified: UnidentifiedPlaces::new(&hub.admission.limits),
            hub,
            tls,
            connections,
            refusals: Arc::new(Semaphore::new(REFUSALS)),
            handshakes: Handle::current(),
            watch,
        }
    }

    /// Waits until no connection is left.
    pub(crate) async fn all_gone(&self) {
        let all = u32::try_from(self.hub.admission.limits.connections).unwrap_or(u32::MAX);
        let _ = self.connections.acquire_many(all).await;
    }

    /// Accepts connections at these sockets, as tasks on the routing thread, until the manager begins to
    /// stop.
    // Not in a generic or an asynchronous function: the code of all that serves a peer would be generated
    // with the settings of the crate that calls it, and programs are made to be small.
    pub(crate) fn accept(&self, listeners: Vec<TcpListener>, routing: &Handle) -> JoinSet<()> {
        let mut accepting = JoinSet::new();
        for listener in listeners {
            // `into_std` unregisters the listener here; the routing thread's reactor registers it
            // again.
            match listener.into_std() {
                Ok(listener) => {
                    let task = Measured::new(Task::Accept, self.clone().accept_all(listener));
                    accepting.spawn_on(task, routing);
                }
                Err(error) => warn!("cannot listen any more: {error}"),
            }
        }
        accepting
    }

    /// Accepts connections until the manager begins to stop. Must run on the routing thread.
    async fn accept_all(self, listener: std::net::TcpListener) {
        let hub = Arc::clone(&self.hub);
        let listener = match TcpListener::from_std(listener) {
            Ok(listener) => listener,
            Err(error) => return warn!("cannot listen any more: {error}"),
        };
        tokio::select! {
            () = hub.routing.reached(Phase::Draining) => {}
            () = self.accept_forever(&listener) => {}
        }
    }

    async fn accept_forever(self, listener: &TcpListener) {
        let mut is_failing = false;
        let mut accepted = 0_usize;
        loop {
            match listener.accept().await {
                Ok((stream, remote)) => {
                    is_failing = false;
                    accepted += 1;
                    if accepted.is_multiple_of(ACCEPTED_AT_ONCE) {
                        yield_now().await;
                    }
                    Counters::count(&self.hub.routing.counters.connections);
                    // Meanwhile, further connections wait in the system's queue.
                    match self.admission().await {
                        Some(Accepted::Served(place)) => {
                            let serving = self.clone().serve(stream, remote, place);
                            tokio::spawn(Measured::new(Task::Serve(remote), serving));
                        }
                        Some(Accepted::Refused(place)) => {
                            let limit = self.hub.admission.limits.connections;
                            let refusal = Refusal::TooManyConnections { limit };
                            self.handshakes
                                .spawn(self.clone().refuse(stream, remote, refusal, place));
                        }
                        None => return,
                    }
                }
                Err(error) if is_transient(&error) => debug!("a connection was not accepted: {error}"),
                Err(error) => {
                    Counters::count(&self.hub.routing.counters.accept_failures);
                    if !is_failing {
                        warn!("cannot accept connections for the moment: {error}");
                    }
                    is_failing = true;
                    sleep(BACK_OFF).await;
                }
            }
        }
    }

    /// Waits until a connection can be served or refused with a reason. The semaphores are never
    /// closed, so the result is never `None`.
    async fn admission(&self) -> Option<Accepted> {
        tokio::select! {
            biased;
            place = Arc::clone(&self.connections).acquire_owned() => place.ok().map(Accepted::Served),
            place = Arc::clone(&self.refusals).acquire_owned() => place.ok().map(Accepted::Refused),
        }
    }

    /// Sends a connection the reason why it is not served. With TLS that goes over TLS, since peers
    /// do not read plain text before it.
    async fn refuse(
        self,
        mut stream: TcpStream,
        remote: SocketAddr,
        refusal: Refusal,
        _place: OwnedSemaphorePermit,
    ) {
        self.note_refusal(remote, &refusal);
        let hub = &self.hub;
        let telling = async {
            match &self.tls {
                None => peer::tell(&hub.admission, &mut stream, &refusal).await,
                Some(acceptor) => {
                    peer::tell(
                        &hub.admission,
                        &mut acceptor.accept(ReadAhead::new(stream)).await?,
                        &refusal,
                    )
                    .await
                }
            }
        };
        // A peer that does not read goes without the reason.
        let _ = hub
            .routing
            .before(Phase::Draining, Instant::now() + REFUSAL_TIME, telling)
            .await;
    }

    fn note_refusal(&self, remote: SocketAddr, refusal: &Refusal) {
        self.hub.routing.counters.count_limit(refusal);
        Counters::count(&self.hub.routing.counters.rejected);
        if self
            .hub
            .admission
            .may_log_unidentified(remote.ip().to_canonical())
        {
            info!("{remote} was not admitted: {refusal}");
        }
    }

    async fn serve(self, stream: TcpStream, remote: SocketAddr, place: OwnedSemaphorePermit) {
        let hub = &self.hub;
        let deadline = Instant::now() + hub.admission.limits.handshake;
        let mut unidentified = match self.unidentified.enter(network_of(remote.ip().to_canonical())) {
            Ok(unidentified) => unidentified,
            Err(refusal) => {
                drop(place);
                // If too many are receiving a reason already, this one goes without.
                match Arc::clone(&self.refusals).try_acquire_owned() {
                    Ok(place) => self.refuse(stream, remote, refusal, place).await,
                    Err(_) => self.note_refusal(remote, &refusal),
                }
                return;
            }
        };
        let Ok(own) = stream.local_addr() else {
            return;
        };
        let stream = WatchedStream::new(stream, &self.watch);
        let socket = stream.socket();
        if let Err(error) = prepare(&stream) {
            debug!("{remote}: {error}");
        }
        let Some(address) = self.describe(remote, own, deadline, &mut unidentified).await else {
            return;
        };
        let Some(acceptor) = self.tls.clone() else {
            return self
                .admit(
                    Connection::Plain(stream),
                    remote,
                    Some(socket),
                    address,
                    deadline,
                    (unidentified, place),
                )
                .await;
        };
        let mut shaking = {
            let hub = Arc::clone(hub);
            self.handshakes
                .spawn(async move { begin_tls(&hub, &acceptor, stream, deadline).await })
        };
        // It fails if the task panicked, or if the program ends.
        let shaken = tokio::select! {
            shaken = &mut shaking => shaken,
            () = unidentified.lost() => {
                shaking.abort();
                return self.note_refusal(remote, &Refusal::TooManyUnidentified);
            }
        };
        let Ok(shaken) = shaken else { return };
        match shaken {
            Some(Ok(Begun::Tls(stream, certificate))) => {
                self.admit(
                    Connection::Tls(stream),
                    remote,
                    Some(socket),
                    address.with_tls(certificate),
                    deadline,
                    (unidentified, place),
                )
                .await;
            }
            Some(Ok(Begun::WithoutTls(mut stream, refusal))) => {
                self.note_refusal(remote, &refusal);
                if hub.admission.may_record_unidentified(address.ip) {
                    let message = format!("rejected: {refusal}");
                    hub.admission
                        .record_rejection(&address, &message, refusal.recorded());
                }
                let until = Instant::now() + REFUSAL_TIME;
                let _ = hub
                    .routing
                    .before(
                        Phase::Draining,
                        until,
                        peer::tell(&hub.admission, &mut stream, &refusal),
                    )
                    .await;
            }
            Some(Err(error)) => self.note_failed_handshake(&address, &error),
            None if Instant::now() < deadline => {}
            None => {
                let limit = hub.admission.limits.handshake;
                self.note_refusal(remote, &Refusal::HandshakeTimeout { limit });
            }
        }
    }

    fn note_failed_handshake(&self, address: &PeerAddress, error: &io::Error) {
        let hub = &self.hub;
        let certificate = refused_certificate(error);
        if hub.admission.may_log_unidentified(address.ip) {
            if let Some(reason) = &certificate {
                info!(
                    "{} has presented a certificate that is not accepted: {reason}",
                    address.address
                );
            } else {
                info!("{} did not complete the TLS handshake: {error}", address.address);
            }
        }
        Counters::count(&hub.routing.counters.rejected);
        Counters::count(&hub.routing.counters.tls_failures);
        if hub.admission.may_record_unidentified(address.ip) {
            let (message, text) = if let Some(reason) = certificate {
                let text = format!("the client certificate is not accepted: {reason}");
                (format!("rejected: {text}"), text)
            } else {
                let text = "the TLS handshake was not completed".to_owned();
                ("connection closed prematurely".to_owned(), text)
            };
            hub.admission.record_rejection(address, &message, text);
        }
    }

    /// Serves a program in this process until its connection ends, as if it had connected from
    /// `remote`. Must run on the routing thread.
    pub(crate) async fn serve_attached(self, mut stream: DuplexStream, remote: SocketAddr) {
        let hub = &self.hub;
        Counters::count(&hub.routing.counters.connections);
        let deadline = Instant::now() + hub.admission.limits.handshake;
        let place = match self.admission().await {
            Some(Accepted::Served(place)) => place,
            Some(Accepted::Refused(_place)) => {
                let limit = hub.admission.limits.connections;
                return self
                    .refuse_attached(&mut stream, remote, &Refusal::TooManyConnections { limit })
                    .await;
            }
            None => return,
        };
        let mut unidentified = match self.unidentified.enter(network_of(remote.ip().to_canonical())) {
            Ok(unidentified) => unidentified,
            Err(refusal) => return self.refuse_attached(&mut stream, remote, &refusal).await,
        };
        let own = SocketAddr::new(Ipv4Addr::LOCALHOST.into(), hub.operation.port());
        if let Some(address) = self.describe(remote, own, deadline, &mut unidentified).await {
            let stream = Connection::Attached(stream);
            self.admit(stream, remote, None, address, deadline, (unidentified, place))
                .await;
        }
    }

    async fn refuse_attached(&self, stream: &mut DuplexStream, remote: SocketAddr, refusal: &Refusal) {
        self.note_refusal(remote, refusal);
        let telling = peer::tell(&self.hub.admission, stream, refusal);
        let until = Instant::now() + REFUSAL_TIME;
        let _ = self.hub.routing.before(Phase::Draining, until, telling).await;
    }

    /// Determines the name of the peer's computer. Returns `None` if the connection is to end.
    async fn describe(
        &self,
        remote: SocketAddr,
        own: SocketAddr,
        deadline: Instant,
        unidentified: &mut UnidentifiedPlace,
    ) -> Option<Arc<PeerAddress>> {
        let hub = &self.hub;
        let describing = hub.admission.resolver.describe(remote, own);
        tokio::select! {
            described = hub.routing.before(Phase::Draining, deadline, describing) => described,
            () = unidentified.lost() => {
                self.note_refusal(remote, &Refusal::TooManyUnidentified);
                None
            }
        }
    }

    /// Performs the handshake with a peer, then serves it.
    async fn admit(
        &self,
        mut stream: Connection,
        remote: SocketAddr,
        socket: Option<WatchedSocket>,
        address: Arc<PeerAddress>,
        deadline: Instant,
        (mut unidentified, place): (UnidentifiedPlace, OwnedSemaphorePermit),
    ) {
        let hub = Arc::clone(&self.hub);
        let introducing = peer::introduce(&hub, &address, &mut stream, deadline);
        let introduction = tokio::select! {
            biased;
            introduction = introducing => introduction,
            () = unidentified.lost() => {
                let refusal = Refusal::TooManyUnidentified;
                self.note_refusal(remote, &refusal);
                // The reason is sent only if that takes no time, since others wait for the place.
                let frame = frames::error(&refusal.to_string(), hub.routing.name(), "", b"[]");
                let telling = async {
                    stream.write_all(&frame).await?;
                    stream.flush().await
                };
                let _ = timeout(Duration::ZERO, telling).await;
                None
            }
        };
        let Some(introduction) = introduction else { return };
        // In a new task, whose memory has no room for the state of the handshake.
        let task = Task::Serve(remote);
        let serving = async move {
            let _place = place;
            peer::serve(&hub, &address, stream, socket, introduction, || {
                drop(unidentified);
            })
            .await;
        };
        tokio::spawn(Measured::new(task, serving));
    }
}

/// How a connection to a manager with TLS begins.
enum Begun {
    /// With a TLS handshake, and perhaps a certificate.
    Tls(
        Box<TlsStream<ReadAhead<WatchedStream>>>,
        Option<Arc<PeerCertificate>>,
    ),
    /// With plain text, or with silence. The peer receives the reason for the refusal in plain
    /// text.
    WithoutTls(WatchedStream, Refusal),
}

/// Performs the TLS handshake, if the peer begins one. Returns `None` if the manager stops, or if
/// the deadline comes during the handshake.
async fn begin_tls(
    hub: &Hub,
    acceptor: &TlsAcceptor,
    stream: WatchedStream,
    deadline: Instant,
) -> Option<io::Result<Begun>> {
    let mut first = [0];
    let peeked = hub
        .routing
        .before(Phase::Draining, deadline, stream.tcp().peek(&mut first))
        .await;
    let address = hub.admission.address().to_owned();
    let refusal = match peeked {
        Some(Ok(1)) if is_plain_text(first[0]) => Refusal::PlainTextInTls { address },
        Some(Ok(_)) => {
            let until = Phase::Draining;
            let accepted = accept_tls(hub, acceptor, stream);
            return hub.routing.before(until, deadline, accepted).await;
        }
        Some(Err(error)) => return Some(Err(error)),
        None if Instant::now() < deadline => return None,
        // A TLS client speaks first.
        None => Refusal::SilenceInTls {
            limit: hub.admission.limits.handshake,
            address,
        },
    };
    Some(Ok(Begun::WithoutTls(stream, refusal)))
}

/// Performs the TLS handshake, and reads the certificate that the peer has presented.
async fn accept_tls(hub: &Hub, acceptor: &TlsAcceptor, stream: WatchedStream) -> io::Result<Begun> {
    let judge = hub.admission.certificates.get();
    let before = judge.map_or(0, |judge| judge.version());
    match acceptor.accept(ReadAhead::new(stream)).into_fallible().await {
        Ok(stream) => {
            let connection = stream.get_ref().1;
            let certificate = judge.and_then(|judge| PeerCertificate::of(connection, &**judge, before));
            Ok(Begun::Tls(Box::new(stream), certificate.map(Arc::new)))
        }
        Err((error, mut stream)) => {
            if refused_certificate(&error).is_some() {
                // The peer gets the reason only if nothing that it has sent is left unread.
                let discarding = async {
                    stream.shutdown().await?;
                    let mut rest = stream.take(DISCARDED);
                    tokio::io::copy(&mut rest, &mut tokio::io::sink()).await
                };
                let _ = timeout(REFUSAL_TIME, discarding).await;
            }
            Err(error)
        }
    }
}

/// Returns whether a connection that begins with this byte begins with typed text or a line of
/// JSON. A byte order mark and telnet commands may come before it. TLS records begin with other
/// bytes.
fn is_plain_text(byte: u8) -> bool {
    byte.is_ascii_graphic() || byte.is_ascii_whitespace() || matches!(byte, 0xef | 0xff)
}

/// Returns whether accepting failed for one connection only, which was gone before it was accepted.
/// All other errors last: above all, the computer has run out of descriptors or memory.
fn is_transient(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionReset | Interrupted)
}

/// Sets the socket options of a peer's connection.
fn prepare(stream: &WatchedStream) -> io::Result<()> {
    stream.set_options()?;
    // Without this a socket takes megabytes and reports nothing for seconds while a slow peer reads
    // them, as if that peer did not read at all. The value is a quarter of a second at 1 MB/s.
    stream.limit_unsent(256 * 1024)
}
