//! A manager that runs on its own thread.

use std::error::Error;
use std::io::{self, ErrorKind};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::panic::resume_unwind;
use std::sync::atomic::{AtomicU16, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use labwire_home::Home;
use labwire_manager::{AttachedStream, LogControl, Manager, ManagerHandle, Recording, Settings};
use labwire_store::{Store, StoreOptions};
use tokio::net::TcpListener;
use tokio::runtime;
use tokio::sync::oneshot;

use crate::files;
use crate::options::Options;

/// How long to wait at the end for work that cannot be interrupted, such as a name lookup.
const LAST_THREADS: Duration = Duration::from_secs(1);

/// The most ports to try if the system's choice is in use for the other version of IP.
const ATTEMPTS: usize = 20;

type Started = Result<(u16, ManagerHandle), Box<dyn Error + Send + Sync>>;

/// A running manager. Dropping it ends the manager and its connections.
pub(crate) struct Running {
    port: u16,
    handle: ManagerHandle,
    /// The port of the next peer without a socket.
    attached: AtomicU16,
    /// Dropping it ends the manager at once.
    kill: Option<oneshot::Sender<()>>,
    /// Nothing is sent: the thread's end drops the sender.
    ended: oneshot::Receiver<()>,
    thread: Option<JoinHandle<()>>,
}

impl Running {
    /// Starts a thread with a manager whose files are in `home`, and waits until the manager
    /// listens.
    pub(crate) async fn start(options: Options, home: Home) -> Self {
        let (tell, started) = oneshot::channel();
        let (kill, killed) = oneshot::channel();
        let (end, ended) = oneshot::channel::<()>();
        let thread = thread::Builder::new()
            .name("manager".to_owned())
            .spawn(move || {
                let _end = end;
                serve(&options, &home, tell, killed);
            })
            .expect("the system has a thread for the manager");
        let started = started
            .await
            .expect("the thread tells whether the manager was started");
        let (port, handle) = started.unwrap_or_else(|error| panic!("the manager cannot be started: {error}"));
        Self {
            port,
            handle,
            attached: AtomicU16::new(1),
            kill: Some(kill),
            ended,
            thread: Some(thread),
        }
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Connects without a socket, from the next port of this computer's address.
    pub(crate) fn attach(&self) -> AttachedStream {
        // A reused address normally belongs to a peer that has disconnected.
        let port = self.attached.fetch_add(1, Ordering::Relaxed);
        self.handle.attach(SocketAddr::from((Ipv4Addr::LOCALHOST, port)))
    }

    /// Stops the manager and waits until it has ended.
    pub(crate) async fn stop(mut self) {
        self.handle.shut_down();
        self.end().await;
    }

    /// Ends the manager without finishing its work, and waits until its sockets are closed.
    pub(crate) async fn kill(mut self) {
        self.kill = None;
        self.end().await;
    }

    async fn end(&mut self) {
        let _ = (&mut self.ended).await;
        if let Some(Err(panic)) = self.thread.take().map(JoinHandle::join) {
            resume_unwind(panic);
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.kill = None;
        if let Some(thread) = self.thread.take() {
            // The thread has already reported its panic; a second panic during a drop would hide
            // it.
            let _ = thread.join();
        }
    }
}

/// The body of the thread. Returns when the manager has stopped, or when `killed` is dropped.
fn serve(options: &Options, home: &Home, tell: oneshot::Sender<Started>, killed: oneshot::Receiver<()>) {
    let runtime = new_runtime();
    let store = runtime.block_on(async {
        match prepare(options, home).await {
            Ok((manager, store)) => {
                // If the receiver was dropped, the sender of `killed` was dropped, too.
                let _ = tell.send(Ok((manager.port(), manager.handle())));
                tokio::select! {
                    () = manager.run(std::future::pending()) => {}
                    _ = killed => {}
                }
                Some(store)
            }
            Err(error) => {
                let _ = tell.send(Err(error));
                None
            }
        }
    });
    // The connections of a killed manager are tasks of the runtime, and end here.
    runtime.shutdown_timeout(LAST_THREADS);
    if let Some(store) = store {
        // Nothing is written after this, so the folder can be removed.
        new_runtime().block_on(store.close());
    }
}

async fn prepare(options: &Options, home: &Home) -> Result<(Manager, Store), Box<dyn Error + Send + Sync>> {
    files::insert_users(home, &options.users)?;
    let tls = options.tls.then(|| files::encryption(home)).transpose()?;
    let store = Store::open(&home.database(), &StoreOptions::default())?;
    let settings = Settings {
        authentication: options.authentication.clone(),
        roles: false,
        limits: options.limits,
        store: store.clone(),
        recording: Recording::Nothing,
        tls,
        certificates: None,
        log: LogControl::none(),
    };
    let listeners = bind(options.port).await?;
    Ok((Manager::from_listeners(listeners, settings).await?, store))
}

/// Binds a port on this computer's loopback addresses, for IPv4, and for IPv6 if available.
async fn bind(port: u16) -> io::Result<Vec<TcpListener>> {
    let mut attempts = 0;
    loop {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await?;
        let chosen = listener.local_addr()?.port();
        match TcpListener::bind((Ipv6Addr::LOCALHOST, chosen)).await {
            Ok(other) => return Ok(vec![listener, other]),
            Err(error) if error.kind() == ErrorKind::AddrInUse => {
                attempts += 1;
                if port != 0 || attempts == ATTEMPTS {
                    return Err(error);
                }
            }
            // Computers without IPv6 report this with different errors.
            Err(_) => return Ok(vec![listener]),
        }
    }
}

fn new_runtime() -> runtime::Runtime {
    runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("the system has what a runtime needs")
}

/// Blocks this thread until a future is complete.
pub(crate) fn wait_for<T>(work: impl Future<Output = T>) -> T {
    new_runtime().block_on(work)
}
