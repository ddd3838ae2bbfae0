//! A manager that runs on a thread of its own.

use std::error::Error;
use std::io::{self, ErrorKind};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::panic::resume_unwind;
use std::sync::atomic::{AtomicU16, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use labwire_home::Home;
use labwire_manager::{AttachedStream, LogControl, Manager, ManagerHandle, Settings};
use labwire_store::{Store, StoreOptions};
use tokio::net::TcpListener;
use tokio::runtime;
use tokio::sync::oneshot;

use crate::builder::TestManagerBuilder;
use crate::files;

/// How long work that cannot be interrupted is waited for at the end, such as the lookup of a name.
const LAST_THREADS: Duration = Duration::from_secs(1);

/// How many ports are tried when the system has chosen one that is in use for the other version of IP.
const ATTEMPTS: usize = 20;

type Started = Result<(u16, ManagerHandle), Box<dyn Error + Send + Sync>>;

/// A manager that serves. When this is dropped it is gone, and its connections with it.
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
    /// Starts a thread with a manager that keeps its files in `home`, and waits until the manager listens.
    pub(crate) async fn start(options: TestManagerBuilder, home: Home) -> Self {
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
        // An address that is used again is that of a peer that is gone, as a rule.
        let port = self.attached.fetch_add(1, Ordering::Relaxed);
        self.handle.attach(SocketAddr::from((Ipv4Addr::LOCALHOST, port)))
    }

    /// Asks the manager to stop and waits until it has.
    pub(crate) async fn stop(mut self) {
        self.handle.shut_down();
        self.end().await;
    }

    /// Ends the manager in the middle of whatever it does, and waits until its sockets are closed.
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
            // Were it a panic, the thread has told it; a second one on the way out would hide the first.
            let _ = thread.join();
        }
    }
}

/// What the thread does: returns when the manager has stopped, or when `killed` is dropped.
fn serve(
    options: &TestManagerBuilder,
    home: &Home,
    tell: oneshot::Sender<Started>,
    killed: oneshot::Receiver<()>,
) {
    let runtime = new_runtime();
    let store = runtime.block_on(async {
        match prepare(options, home).await {
            Ok((manager, store)) => {
                // Who has not waited has dropped the other end of `killed`, too.
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
    // The connections of a manager that was killed are tasks of the runtime, and end here.
    runtime.shutdown_timeout(LAST_THREADS);
    if let Some(store) = store {
        // Nothing is written any more when the folder is removed.
        new_runtime().block_on(store.close());
    }
}

async fn prepare(
    options: &TestManagerBuilder,
    home: &Home,
) -> Result<(Manager, Store), Box<dyn Error + Send + Sync>> {
    files::insert_users(home, &options.users)?;
    let tls = options.tls.then(|| files::encryption(home)).transpose()?;
    let store = Store::open(&home.database(), &StoreOptions::default())?;
    let settings = Settings {
        authentication: options.authentication.clone(),
        limits: options.limits,
        store: store.clone(),
        tls,
        log: LogControl::none(),
    };
    let listeners = bind(options.port).await?;
    Ok((Manager::from_listeners(listeners, settings).await?, store))
}

/// Binds a port of this computer alone, for IPv4, and for IPv6 where the computer has it.
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
            // A computer without IPv6 says so in several ways.
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

/// Waits for something asynchronous on a thread that is not.
pub(crate) fn wait_for<T>(work: impl Future<Output = T>) -> T {
    new_runtime().block_on(work)
}
