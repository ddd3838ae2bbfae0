//! The manager: binds sockets, serves peers, shuts down.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use labwire_home::{hostname, operating_system};
use labwire_store::Store;
use tokio::net::TcpListener;
use tokio::runtime::Handle;
use tokio::time::{Duration, Instant, sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tracing::{info, warn};

use crate::attached::AttachedStream;
use crate::binding::bind;
use crate::certificates::PeerCertificates;
use crate::config::{Authentication, Limits};
use crate::hub::{Hub, Phase, Routing};
use crate::limits::BindError;
use crate::listener::Gate;
use crate::logging::LogControl;
use crate::pace::Pace;
use crate::record::Recording;
use crate::registry::ManagerIdentity;
use crate::routing_thread::{Measured, RoutingThread, Task};

/// How often a stopping manager checks whether all requests are answered and all frames written.
const DRAIN_LOOK: Duration = Duration::from_millis(10);

/// How long the drain logs nothing while only frames remain to be written: usually they take a
/// moment.
const QUIET: Duration = Duration::from_millis(500);

/// How long connections have to end after the drain: twice the time that one connection has to
/// write its last frames.
const CLOSE_TIME: Duration = Duration::from_secs(4);

/// Binds the sockets that [`Manager::bind`] would bind, and closes them. Returns their addresses.
///
/// # Errors
/// Returns the operating system's error, for example when the port is in use.
pub async fn try_listening(host: Option<&str>, port: u16) -> io::Result<Vec<SocketAddr>> {
    let listeners = bind(host, port).await?;
    listeners.iter().map(TcpListener::local_addr).collect()
}

/// The settings that a manager starts with.
pub struct Settings {
    /// How peers are admitted.
    pub authentication: Authentication,
    /// Whether peers may do only what is granted to them in the database. Otherwise everybody who
    /// is admitted may do everything, except administrators' requests.
    pub roles: bool,
    /// Resource limits per peer and for all peers together.
    pub limits: Limits,
    /// The database.
    pub store: Store,
    /// What is written to a record, and where. A manager that stops closes the record.
    pub recording: Recording,
    /// How connections are encrypted; `None` for plain TCP.
    pub tls: Option<Arc<rustls::ServerConfig>>,
    /// Decides about the certificates of peers; `None` if `tls` asks for none. A peer with a certificate
    /// is logged in as the user that it names, whatever the authentication; one without is authenticated
    /// as without certificates.
    pub certificates: Option<Arc<dyn PeerCertificates>>,
    /// Controls for the log that an administrator can change.
    pub log: LogControl,
}

/// A manager with bound sockets. [Attached](Self::attach) programs are served at once; connections
/// are accepted from [`run`](Self::run) on.
///
/// Dropping it ends all connections, and blocks until the routing thread has ended.
pub struct Manager {
    hub: Arc<Hub>,
    listeners: Vec<TcpListener>,
    gate: Gate,
    routing: RoutingThread,
}

/// A handle on a running manager. It attaches programs of the same process, and can stop or reload
/// the manager.
#[derive(Clone)]
pub struct ManagerHandle {
    hub: Arc<Hub>,
    gate: Gate,
    /// The runtime of the routing thread.
    routing: Handle,
}

impl Manager {
    /// Binds the sockets: on all interfaces without a `host`, otherwise on all addresses of the
    /// host. The operating system chooses the port if it is 0.
    ///
    /// # Errors
    /// [`BindError::Limit`] if a limit is out of range; [`BindError::Io`] if the operating system
    /// refuses, for example when the port is in use, or if the rules of a manager with
    /// [`Settings::roles`] cannot be read.
    pub async fn bind(host: Option<&str>, port: u16, settings: Settings) -> Result<Self, BindError> {
        settings.limits.check()?;
        let listeners = bind(host, port).await?;
        Self::from_listeners(listeners, settings).await
    }

    /// Creates a manager for sockets that are already bound. The first one's port is the port that
    /// the manager names; all of them should have the same.
    ///
    /// # Errors
    /// As for [`bind`](Self::bind), and [`BindError::Io`] when `listeners` is empty.
    pub async fn from_listeners(listeners: Vec<TcpListener>, settings: Settings) -> Result<Self, BindError> {
        settings.limits.check()?;
        let first = listeners
            .first()
            .ok_or_else(|| io::Error::other("a manager needs a socket to listen on"))?;
        let identity = ManagerIdentity {
            hostname: hostname_without_space(),
            port: first.local_addr()?.port(),
            language: format!("Labwire {} (Rust)", env!("CARGO_PKG_VERSION")),
            os: operating_system(),
        };
        let Settings {
            authentication,
            roles,
            limits,
            store,
            recording,
            tls,
            certificates,
            log,
        } = settings;
        let kept = (store, recording);
        let hub = Hub::new(&identity, authentication, limits, Pace::default(), kept, log);
        if let Some(certificates) = certificates {
            hub.admit_certificates(certificates);
        }
        hub.note_start(&identity, tls.is_some());
        hub.admission.trust_changed().await;
        hub.keep_locks(identity.port).await;
        let routing = RoutingThread::start(Arc::clone(&hub.operation.steps))?;
        if roles {
            // Before the first peer is served.
            let rules = hub.enforce_rules().await.map_err(io::Error::other)?;
            routing
                .handle()
                .spawn(Measured::new(Task::FollowRules, rules.follow()));
        }
        let accounts = Arc::clone(&hub.accounts).follow();
        routing
            .handle()
            .spawn(Measured::new(Task::FollowAccounts, accounts));
        let expiring = Arc::clone(&hub.routing);
        let expiring = expiring.expire_in_time();
        routing.handle().spawn(Measured::new(Task::Expire, expiring));
        let gate = Gate::new(Arc::clone(&hub), tls.map(TlsAcceptor::from));
        Ok(Self {
            hub,
            listeners,
            gate,
            routing,
        })
    }

    /// Returns the port that it listens on.
    pub fn port(&self) -> u16 {
        self.hub.operation.port()
    }

    /// Returns the addresses that it listens on.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        let addresses = self.listeners.iter().map(TcpListener::local_addr);
        addresses.filter_map(Result::ok).collect()
    }

    /// Returns a handle that stays valid while [`run`](Self::run) consumes the manager.
    pub fn handle(&self) -> ManagerHandle {
        ManagerHandle {
            hub: Arc::clone(&self.hub),
            gate: self.gate.clone(),
            routing: self.routing.handle().clone(),
        }
    }

    /// Connects a program in this process: see [`ManagerHandle::attach`].
    pub fn attach(&self, address: SocketAddr) -> AttachedStream {
        self.handle().attach(address)
    }

    /// Serves until `shutdown` completes, or until an administrator or a handle stops the manager.
    /// Then it accepts no new connections and requests, gives requests in flight the drain time to
    /// be answered, sends an error to the callers of the rest, and ends all connections.
    ///
    /// Not cancel safe: dropping the future ends all connections without a drain or errors, and
    /// blocks until the routing thread has ended.
    pub async fn run(self, shutdown: impl Future<Output = ()>) {
        let Self {
            hub,
            listeners,
            gate,
            routing,
        } = self;
        // Dropped before the routing thread, also if this future is: the connections that end then
        // have released no locks.
        let keeping = KeepLeases(hub.admission.store.clone());
        let mut accepting = gate.accept(listeners, routing.handle());
        tokio::select! {
            () = shutdown => hub.routing.advance(Phase::Draining),
            () = hub.routing.reached(Phase::Draining) => {}
            () = hub.admission.rations.report() => {}
        }
        info!("shutting down the Network Manager");
        let connected = hub.routing.registry().counts();
        while accepting.join_next().await.is_some() {}
        // None of them can return any more, and what they wait for would hold up the drain.
        hub.routing.release_away();
        let had = match drain(&hub.routing).await {
            None => format!("they had {} s at most", hub.routing.limits.drain.as_secs_f64()),
            Some(after) => format!("since the wait was cut short after {:.1} s", after.as_secs_f64()),
        };
        let unanswered = hub.routing.registry().in_flight();
        if unanswered > 0 {
            warn!("{unanswered} request(s) were not answered, {had}");
        }
        // Before any connection ends, while every caller can still receive its error.
        hub.routing.abandon_requests();
        drop(keeping);
        hub.routing.advance(Phase::Stopping);
        hub.routing.release_away();
        let undelivered = hub.routing.counters.undelivered();
        let _ = timeout(CLOSE_TIME, gate.all_gone()).await;
        let undelivered =
            hub.routing.counters.undelivered() - undelivered + hub.routing.registry().queued() as u64;
        if undelivered > 0 {
            warn!(
                "{undelivered} bytes were queued for peers that had not read them when the manager stopped, {had}: see \
                 --drain"
            );
        }
        routing.end().await;
        hub.admission.store.close().await;
        hub.close_record(connected).await;
        hub.admission.rations.report_now();
        info!("counted since the start: {}", hub.statistics_above_zero());
        info!("the Network Manager has stopped");
    }
}

/// Keeps the locks that are noted when it is dropped.
struct KeepLeases(Store);

impl Drop for KeepLeases {
    fn drop(&mut self) {
        self.0.keep_leases();
    }
}

impl ManagerHandle {
    /// Connects a program in this process to the manager, without a socket.
    ///
    /// `address` is the program's address for the manager. It appears in the program's name
    /// (`NAME[HOST:PORT]`), and authentication and all limits per address apply to it. It may be
    /// another computer's address, for example that of a peer for which the program is a gateway.
    /// Two clients with the same name need different addresses.
    ///
    /// The program speaks the wire protocol from its first line on, without TLS. Errors arrive on
    /// the stream, as over TCP. A manager that is about to stop closes the stream. Dropping the
    /// stream disconnects the program. The connection counts towards
    /// [`Limits::connections`](crate::Limits::connections). There is no socket to watch: a gateway
    /// must notice remote peers that have vanished, and drop their streams.
    ///
    /// ```
    /// # tokio::runtime::Runtime::new()?.block_on(async {
    /// # use labwire_manager::{Authentication, Limits, LogControl, Recording, Settings};
    /// # use labwire_store::{Store, StoreOptions};
    /// use labwire_manager::Manager;
    /// use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
    ///
    /// # let folder = tempfile::tempdir()?;
    /// # let settings = Settings {
    /// #     authentication: Authentication::None { open: false },
    /// #     roles: false,
    /// #     limits: Limits::default(),
    /// #     store: Store::open(&folder.path().join("manager.sqlite3"), &StoreOptions::default()).unwrap(),
    /// #     recording: Recording::Nothing,
    /// #     tls: None,
    /// #     certificates: None,
    /// #     log: LogControl::none(),
    /// # };
    /// let manager = Manager::bind(Some("127.0.0.1"), 0, settings).await?;
    /// let mut program = BufReader::new(manager.attach("127.0.0.1:7".parse().unwrap()));
    /// program.write_all(b"client gateway\nidentity\n").await?;
    /// let mut lines = program.lines();
    /// lines.next_line().await?; // The manager asks for the identity.
    /// let identity = lines.next_line().await?.unwrap();
    /// assert!(identity.contains("gateway["), "{identity}");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn attach(&self, address: SocketAddr) -> AttachedStream {
        let (program, manager) = AttachedStream::pair();
        let serving = self.gate.clone().serve_attached(manager, address);
        self.routing.spawn(Measured::new(Task::Serve(address), serving));
        program
    }

    /// Asks the manager to stop. It has stopped when [`Manager::run`] returns.
    pub fn shut_down(&self) {
        self.hub.routing.request_shutdown();
    }

    /// Returns whether the manager was asked to stop, by any means.
    pub fn is_shutting_down(&self) -> bool {
        self.hub.routing.is_draining()
    }

    /// Waits until the manager was asked to stop, by any means.
    ///
    /// Cancel safe.
    pub async fn asked_to_stop(&self) {
        self.hub.routing.reached(Phase::Draining).await;
    }

    /// Waits until the routing thread, which serves all peers, has taken a turn. Returns `false` if the
    /// manager has ended. A watchdog that is told after each completion notices a thread that is stuck.
    ///
    /// Cancel safe.
    pub async fn takes_turns(&self) -> bool {
        let turn = Measured::new(Task::TakeTurn, async {});
        self.routing.spawn(turn).await.is_ok()
    }

    /// Ends the drain now: requests in flight are answered with an error. Does nothing unless the
    /// manager was asked to stop.
    pub fn stop_waiting(&self) {
        if self.is_shutting_down() {
            self.hub.routing.advance(Phase::Hurried);
        }
    }

    /// Reads the trusted hostnames and the rules about who may do what again, checks the certificates of
    /// connected peers again, and reopens the log file. The TLS configuration is not read again.
    ///
    /// # Errors
    /// Returns the error of reopening the log file. If the hostnames or the rules cannot be read, the
    /// old ones stay in use.
    pub async fn reload(&self) -> io::Result<()> {
        self.hub.admission.trust_changed().await;
        self.hub.rules_changed().await;
        self.hub.accounts.reload().await;
        self.hub.operation.log.reopen()
    }
}

/// Waits until every request is answered and everything queued is written, at most for the drain
/// time. Returns the time waited if [`Phase::Hurried`] cut the wait short, else `None`.
async fn drain(routing: &Routing) -> Option<Duration> {
    let began = Instant::now();
    let done = async {
        let mut is_told = false;
        while began.elapsed() < routing.limits.drain {
            let (in_flight, is_written) = {
                let registry = routing.registry();
                (registry.in_flight(), registry.is_written())
            };
            if in_flight == 0 && is_written {
                return;
            }
            if !is_told && (in_flight > 0 || began.elapsed() > QUIET) {
                is_told = true;
                info!(
                    "waiting up to {} s (see --drain) until {in_flight} request(s) are answered and what is queued is \
                     written; to stop at once, press Ctrl-C again or send TERM",
                    routing.limits.drain.as_secs_f64()
                );
            }
            sleep(DRAIN_LOOK).await;
        }
    };
    tokio::select! {
        () = done => None,
        () = routing.reached(Phase::Hurried) => Some(began.elapsed()),
    }
}

/// Returns the host name without white space, which Python peers do not accept in a manager's name.
fn hostname_without_space() -> String {
    hostname().split_whitespace().collect::<Vec<_>>().join("-")
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use tempfile::TempDir;

    use super::*;

    async fn manager() -> (TempDir, Manager) {
        let folder = tempfile::tempdir().unwrap();
        let database = folder.path().join("manager.sqlite3");
        let settings = Settings {
            authentication: Authentication::None { open: false },
            roles: false,
            limits: Limits::default(),
            store: Store::open(&database, &labwire_store::StoreOptions::default()).unwrap(),
            recording: Recording::Nothing,
            tls: None,
            certificates: None,
            log: LogControl::none(),
        };
        let manager = Manager::bind(Some("127.0.0.1"), 0, settings).await.unwrap();
        (folder, manager)
    }

    #[tokio::test]
    async fn a_routing_thread_that_is_stuck_takes_no_turns() {
        let (_folder, manager) = manager().await;
        let handle = manager.handle();
        assert!(handle.takes_turns().await);
        let (release, stuck) = mpsc::channel::<()>();
        handle.routing.spawn(async move { stuck.recv() });
        // The thread takes tasks in their order, so this one comes behind the one that blocks it.
        let mut turn = std::pin::pin!(handle.takes_turns());
        let waited = timeout(Duration::from_millis(200), &mut turn).await;
        assert!(waited.is_err(), "it took a turn");
        drop(release);
        assert!(turn.await);
        drop(manager);
        assert!(!handle.takes_turns().await);
    }

    #[tokio::test]
    async fn whoever_waits_for_a_request_to_stop_is_told() {
        let (_folder, manager) = manager().await;
        let handle = manager.handle();
        let told = timeout(Duration::from_millis(50), handle.asked_to_stop()).await;
        assert!(told.is_err());
        handle.shut_down();
        handle.asked_to_stop().await;
    }
}
