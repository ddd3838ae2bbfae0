//! Accepting connections.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use labwire_wire::frames;
use socket2::{Domain, Protocol, SockRef, Socket, TcpKeepalive, Type};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, sleep};
use tokio_rustls::TlsAcceptor;
use tracing::{debug, info, warn};

use crate::counters::Counters;
use crate::hub::{Hub, Phase};
use crate::login::network_of;
use crate::peer;
use crate::refusal::Refusal;

/// How many connections may wait to be accepted: a laboratory that comes back from a power cut.
const BACKLOG: i32 = 4_096;

/// How long to wait when the computer has run out of descriptors or memory: accepting again at once would
/// only spin.
const BACK_OFF: Duration = Duration::from_millis(100);

/// Binds the sockets that a manager listens on.
///
/// Without a host these are all interfaces, by one socket for IPv6 and IPv4 where the computer has IPv6.
/// With a host these are all of its addresses. Port 0 lets the system choose a port, the same for all.
pub(crate) async fn bind(host: Option<&str>, port: u16) -> io::Result<Vec<TcpListener>> {
    let Some(host) = host else {
        let everywhere = bind_address((std::net::Ipv6Addr::UNSPECIFIED, port).into(), false);
        let listener = everywhere.or_else(|error| match error.kind() {
            io::ErrorKind::AddrInUse | io::ErrorKind::PermissionDenied => Err(error),
            // A computer without IPv6 says so in several ways.
            _ => bind_address((std::net::Ipv4Addr::UNSPECIFIED, port).into(), true),
        })?;
        return Ok(vec![listener]);
    };
    let mut listeners = Vec::new();
    let mut chosen = port;
    for mut address in tokio::net::lookup_host((host, port)).await? {
        address.set_port(chosen);
        if listeners
            .iter()
            .any(|listener: &TcpListener| listener.local_addr().is_ok_and(|own| own == address))
        {
            continue;
        }
        let listener = bind_address(address, true)?;
        chosen = listener.local_addr()?.port();
        listeners.push(listener);
    }
    if listeners.is_empty() {
        return Err(io::Error::new(
            io::ErrorKind::AddrNotAvailable,
            "the host has no address",
        ));
    }
    Ok(listeners)
}

fn bind_address(address: SocketAddr, one_version: bool) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    if address.is_ipv6() {
        socket.set_only_v6(one_version)?;
    }
    // A manager that is started again must not wait until the last one's connections are forgotten.
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    socket.set_nonblocking(true)?;
    TcpListener::from_std(socket.into())
}

/// What all listeners of a manager share.
#[derive(Clone)]
pub(crate) struct Gate {
    pub(crate) hub: Arc<Hub>,
    pub(crate) tls: Option<TlsAcceptor>,
    connections: Arc<Semaphore>,
    starting: Arc<Mutex<Starting>>,
}

/// The connections that have not identified themselves.
#[derive(Debug, Default)]
struct Starting {
    all: usize,
    by_address: HashMap<IpAddr, usize>,
}

/// One place among the connections that have not identified themselves.
#[derive(Debug)]
struct StartingPlace {
    starting: Arc<Mutex<Starting>>,
    ip: IpAddr,
}

impl Drop for StartingPlace {
    fn drop(&mut self) {
        let mut starting = lock(&self.starting);
        starting.all -= 1;
        if let Entry::Occupied(mut count) = starting.by_address.entry(self.ip) {
            *count.get_mut() -= 1;
            if *count.get() == 0 {
                count.remove();
            }
        }
    }
}

fn lock(starting: &Mutex<Starting>) -> MutexGuard<'_, Starting> {
    starting.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Gate {
    pub(crate) fn new(hub: Arc<Hub>, tls: Option<TlsAcceptor>) -> Self {
        let connections = Arc::new(Semaphore::new(hub.limits.connections));
        Self {
            hub,
            tls,
            connections,
            starting: Arc::default(),
        }
    }

    /// Waits until no connection is left.
    pub(crate) async fn all_gone(&self) {
        let all = u32::try_from(self.hub.limits.connections).unwrap_or(u32::MAX);
        let _ = self.connections.acquire_many(all).await;
    }

    /// Accepts until the manager is about to stop.
    pub(crate) async fn accept_all(self, listener: TcpListener) {
        let hub = Arc::clone(&self.hub);
        tokio::select! {
            () = hub.reached(Phase::Draining) => {}
            () = self.accept_forever(&listener) => {}
        }
    }

    async fn accept_forever(self, listener: &TcpListener) {
        let mut is_failing = false;
        loop {
            // The place is taken before the connection is: whoever finds none waits in the system's queue.
            let Ok(place) = Arc::clone(&self.connections).acquire_owned().await else {
                return;
            };
            match listener.accept().await {
                Ok((stream, remote)) => {
                    is_failing = false;
                    Counters::count(&self.hub.counters.connections);
                    tokio::spawn(self.clone().serve(stream, remote, place));
                }
                Err(error) if is_transient(&error) => debug!("a connection was not accepted: {error}"),
                Err(error) => {
                    if !is_failing {
                        warn!("cannot accept connections for the moment: {error}");
                    }
                    is_failing = true;
                    sleep(BACK_OFF).await;
                }
            }
        }
    }

    fn starting_place(&self, ip: IpAddr) -> Option<StartingPlace> {
        let limits = &self.hub.limits;
        let mut starting = lock(&self.starting);
        let of_address = starting.by_address.get(&ip).copied().unwrap_or_default();
        if starting.all >= limits.starting || of_address >= limits.starting_per_address {
            return None;
        }
        starting.all += 1;
        starting.by_address.insert(ip, of_address + 1);
        Some(StartingPlace {
            starting: Arc::clone(&self.starting),
            ip,
        })
    }

    async fn serve(self, stream: TcpStream, remote: SocketAddr, _place: OwnedSemaphorePermit) {
        let hub = &self.hub;
        let deadline = Instant::now() + hub.limits.handshake;
        let Some(starting) = self.starting_place(network_of(remote.ip().to_canonical())) else {
            info!("{remote} was not admitted: too many connections have not identified themselves");
            if self.tls.is_none() {
                let message = Refusal::TooManyStarting.to_string();
                let _ = stream.try_write(&frames::error(&message, hub.name(), "", b"[]"));
            }
            return;
        };
        let Ok(own) = stream.local_addr() else {
            return;
        };
        if let Err(error) = prepare(&stream, hub.limits.keepalive) {
            debug!("{remote}: {error}");
        }
        let Some(address) = hub
            .before(Phase::Draining, deadline, hub.resolver.describe(remote, own))
            .await
        else {
            return;
        };
        let Some(acceptor) = self.tls else {
            return peer::serve(hub, &address, stream, deadline, || drop(starting)).await;
        };
        match hub
            .before(Phase::Draining, deadline, acceptor.accept(stream))
            .await
        {
            Some(Ok(stream)) => peer::serve(hub, &address, stream, deadline, || drop(starting)).await,
            Some(Err(error)) => {
                info!("{} did not complete the TLS handshake: {error}", address.address);
                Counters::count(&hub.counters.rejected);
                hub.record(&address, "connection closed prematurely");
            }
            None => debug!("{} took too long for the TLS handshake", address.address),
        }
    }
}

/// Whether accepting failed for one connection alone, which was gone before it was accepted. All else lasts:
/// above all, that the computer has run out of descriptors or memory.
fn is_transient(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionReset | Interrupted)
}

/// Small frames go out at once, and a peer that has vanished without a word is noticed.
fn prepare(stream: &TcpStream, keepalive: Duration) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let socket = SockRef::from(stream);
    // Without this a socket takes megabytes and reports nothing for seconds while a slow peer reads them: it
    // would look as if that peer did not read at all. A quarter of a second at 1 MB/s.
    socket.set_tcp_notsent_lowat(256 * 1024)?;
    let keepalive = TcpKeepalive::new()
        .with_time(keepalive)
        .with_interval(keepalive)
        .with_retries(2);
    socket.set_tcp_keepalive(&keepalive)
}
