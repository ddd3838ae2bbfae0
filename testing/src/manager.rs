//! Managers for tests, running or stopped.

use std::fmt;
use std::path::PathBuf;

use labwire_home::Home;
use labwire_manager::AttachedStream;
use tempfile::TempDir;

use crate::builder::TestManagerBuilder;
use crate::running::{Running, wait_for};

/// A manager that runs in a test's process.
///
/// Dropping it ends it at once, as if it were [killed](Self::kill), and removes its folder.
///
/// ```
/// use labwire_testing::TestManager;
/// use std::net::TcpStream;
///
/// let manager = TestManager::start_blocking();
/// let address = (TestManager::HOST, manager.port());
/// assert!(TcpStream::connect(address).is_ok());
///
/// drop(manager);
/// assert!(TcpStream::connect(address).is_err());
/// ```
pub struct TestManager {
    // Declared first so that it is dropped first: the manager ends before its folder is removed.
    running: Running,
    files: Files,
}

/// A manager that was stopped or killed. It can be started again with the same port, users, key and
/// certificate. Dropping it removes its folder.
///
/// ```
/// use labwire_testing::{StoppedManager, TestManager};
///
/// let manager = TestManager::start_blocking();
/// let (port, database) = (manager.port(), manager.home().database());
///
/// let stopped: StoppedManager = manager.stop_blocking();
/// assert!(database.exists());
/// let manager = stopped.start_blocking();
/// assert_eq!(manager.port(), port);
/// drop(manager);
/// assert!(!database.exists());
/// ```
pub struct StoppedManager {
    files: Files,
}

/// The parts that outlive a running manager.
struct Files {
    builder: TestManagerBuilder,
    folder: TempDir,
}

impl Files {
    fn home(&self) -> Home {
        Home::at(self.folder.path())
    }
}

impl TestManager {
    /// The host name of every test manager.
    ///
    /// ```
    /// use labwire_testing::TestManager;
    /// use std::net::TcpStream;
    ///
    /// let manager = TestManager::start_blocking();
    /// let peer = TcpStream::connect((TestManager::HOST, manager.port()))?;
    /// assert!(peer.peer_addr()?.ip().is_loopback());
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub const HOST: &str = "localhost";

    /// Starts a manager without authentication and without encryption.
    ///
    /// ```
    /// # tokio::runtime::Runtime::new()?.block_on(async {
    /// use labwire_testing::TestManager;
    /// use tokio::net::TcpStream;
    ///
    /// let manager = TestManager::start().await;
    /// assert!(TcpStream::connect((TestManager::HOST, manager.port())).await.is_ok());
    /// # });
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Panics
    /// If the manager cannot be started.
    pub async fn start() -> Self {
        Self::builder().start().await
    }

    /// Does the same as [`start`](Self::start), for a test that is not async.
    ///
    /// ```
    /// use labwire_testing::TestManager;
    /// use std::net::TcpStream;
    ///
    /// let manager = TestManager::start_blocking();
    /// let peer = TcpStream::connect((TestManager::HOST, manager.port()))?;
    /// assert_eq!(peer.peer_addr()?.port(), manager.port());
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Panics
    /// If the manager cannot be started, or if called inside an async task.
    pub fn start_blocking() -> Self {
        Self::builder().start_blocking()
    }

    /// Creates a builder for a manager with other options.
    ///
    /// ```
    /// use labwire_testing::TestManager;
    ///
    /// let manager = TestManager::builder().password("abc 123").start_blocking();
    /// assert_ne!(manager.port(), 0);
    /// ```
    pub fn builder() -> TestManagerBuilder {
        TestManagerBuilder::default()
    }

    /// Returns the port on which the manager listens.
    ///
    /// ```
    /// use labwire_testing::TestManager;
    ///
    /// let (one, other) = (TestManager::start_blocking(), TestManager::start_blocking());
    /// assert_ne!(one.port(), other.port());
    /// ```
    pub fn port(&self) -> u16 {
        self.running.port()
    }

    /// Connects to the manager without a socket. The stream carries the same frames as a TCP
    /// connection without TLS. Each call creates a peer with its own address.
    ///
    /// ```
    /// # tokio::runtime::Runtime::new()?.block_on(async {
    /// use labwire_testing::TestManager;
    /// use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
    ///
    /// let manager = TestManager::start().await;
    /// let mut peer = BufReader::new(manager.attach());
    /// peer.write_all(b"client Ada\nwhoami\n").await?;
    /// let mut lines = peer.lines();
    /// lines.next_line().await?; // The manager asks for the identity.
    /// assert!(lines.next_line().await?.is_some_and(|line| line.contains("Ada[")));
    /// # Ok::<(), std::io::Error>(())
    /// # })?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn attach(&self) -> AttachedStream {
        self.running.attach()
    }

    /// Returns the temporary folder with the database, key and certificate.
    ///
    /// ```
    /// use labwire_testing::TestManager;
    ///
    /// let manager = TestManager::start_blocking();
    /// assert!(manager.home().database().is_file());
    /// ```
    pub fn home(&self) -> Home {
        self.files.home()
    }

    /// Returns the path of the manager's certificate, in PEM form. It exists only with
    /// [`tls`](TestManagerBuilder::tls).
    ///
    /// ```
    /// use labwire_testing::TestManager;
    ///
    /// let manager = TestManager::builder().tls().start_blocking();
    /// let pem = std::fs::read_to_string(manager.certificate_file())?;
    /// assert!(pem.starts_with("-----BEGIN CERTIFICATE-----"));
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn certificate_file(&self) -> PathBuf {
        self.home().certificate_file()
    }

    /// Stops the manager as an administrator or a signal does: requests in flight are answered
    /// within [`Limits::drain`](crate::Limits::drain), then all connections end. Returns when the
    /// manager has ended. If the future is dropped before, the manager is killed.
    ///
    /// ```
    /// # tokio::runtime::Runtime::new()?.block_on(async {
    /// use labwire_testing::TestManager;
    /// use tokio::io::{AsyncBufReadExt, BufReader};
    /// use tokio::net::TcpStream;
    ///
    /// let manager = TestManager::start().await;
    /// let peer = TcpStream::connect((TestManager::HOST, manager.port())).await?;
    /// let mut lines = BufReader::new(peer).lines();
    /// assert!(lines.next_line().await?.is_some_and(|line| line.contains("identity")));
    ///
    /// manager.stop().await;
    /// // The peer gets what was on its way, then the end of the connection.
    /// while lines.next_line().await?.is_some() {}
    /// # Ok::<(), std::io::Error>(())
    /// # })?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub async fn stop(self) -> StoppedManager {
        self.running.stop().await;
        StoppedManager { files: self.files }
    }

    /// Does the same as [`stop`](Self::stop), for a test that is not async.
    ///
    /// ```
    /// use labwire_testing::TestManager;
    /// use std::net::TcpStream;
    ///
    /// let manager = TestManager::start_blocking();
    /// let port = manager.port();
    /// let stopped = manager.stop_blocking();
    /// assert!(TcpStream::connect((TestManager::HOST, port)).is_err());
    /// ```
    ///
    /// # Panics
    /// If called inside an async task.
    pub fn stop_blocking(self) -> StoppedManager {
        wait_for(self.stop())
    }

    /// Ends the manager at once, as if its process were killed: peers receive nothing, their
    /// connections are closed, and nothing listens on its port when this returns.
    ///
    /// ```
    /// # tokio::runtime::Runtime::new()?.block_on(async {
    /// use labwire_testing::TestManager;
    /// use tokio::net::TcpStream;
    ///
    /// let manager = TestManager::start().await;
    /// let port = manager.port();
    /// let stopped = manager.kill().await;
    /// assert!(TcpStream::connect((TestManager::HOST, port)).await.is_err());
    ///
    /// let manager = stopped.start().await;
    /// assert!(TcpStream::connect((TestManager::HOST, port)).await.is_ok());
    /// # });
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub async fn kill(self) -> StoppedManager {
        self.running.kill().await;
        StoppedManager { files: self.files }
    }

    /// Does the same as [`kill`](Self::kill), for a test that is not async.
    ///
    /// ```
    /// use labwire_testing::TestManager;
    /// use std::net::TcpStream;
    ///
    /// let manager = TestManager::start_blocking();
    /// let port = manager.port();
    /// let killed = manager.kill_blocking();
    /// assert!(TcpStream::connect((TestManager::HOST, port)).is_err());
    /// ```
    ///
    /// # Panics
    /// If called inside an async task.
    pub fn kill_blocking(self) -> StoppedManager {
        wait_for(self.kill())
    }
}

impl StoppedManager {
    pub(crate) fn new(builder: TestManagerBuilder) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        Self {
            files: Files { builder, folder },
        }
    }

    /// Starts the manager again, on the same port.
    ///
    /// ```
    /// # tokio::runtime::Runtime::new()?.block_on(async {
    /// use labwire_testing::TestManager;
    ///
    /// let manager = TestManager::start().await;
    /// let port = manager.port();
    /// let stopped = manager.kill().await;
    /// // … here a peer finds nobody …
    /// let manager = stopped.start().await;
    /// assert_eq!(manager.port(), port);
    /// # });
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Panics
    /// If the manager cannot be started, for example because another program uses the port.
    pub async fn start(self) -> TestManager {
        let Self { mut files } = self;
        let running = Running::start(files.builder.options.clone(), files.home()).await;
        files.builder.options.port = running.port();
        TestManager { running, files }
    }

    /// Does the same as [`start`](Self::start), for a test that is not async.
    ///
    /// ```
    /// use labwire_testing::TestManager;
    /// use std::net::TcpStream;
    ///
    /// let stopped = TestManager::start_blocking().stop_blocking();
    /// let manager = stopped.start_blocking();
    /// assert!(TcpStream::connect((TestManager::HOST, manager.port())).is_ok());
    /// ```
    ///
    /// # Panics
    /// If the manager cannot be started, or if called inside an async task.
    pub fn start_blocking(self) -> TestManager {
        wait_for(self.start())
    }
}

impl fmt::Debug for TestManager {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("TestManager")
            .field("options", &self.files.builder)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for StoppedManager {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("StoppedManager")
            .field("options", &self.files.builder)
            .finish_non_exhaustive()
    }
}
