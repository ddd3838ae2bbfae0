//! The configuration of a manager for tests.

use std::fmt;

use labwire_manager::{Authentication, Limits};

use crate::manager::{StoppedManager, TestManager};
use crate::options::{Options, User};

/// Configures a manager for a test, and starts it.
///
/// ```
/// use labwire_testing::{TestManager, TestManagerBuilder};
///
/// let description: TestManagerBuilder = TestManager::builder()
///     .login(&[("ada", "a good password", true), ("bob", "another one", false)])
///     .tls();
/// let manager = description.start_blocking();
/// assert!(manager.certificate_file().is_file());
/// ```
#[derive(Clone)]
#[must_use = "a manager that is described does not run before `start`"]
pub struct TestManagerBuilder {
    pub(crate) options: Options,
}

impl Default for TestManagerBuilder {
    fn default() -> Self {
        Self {
            options: Options {
                port: 0,
                authentication: Authentication::None { open: false },
                users: Vec::new(),
                tls: false,
                limits: Limits::default(),
            },
        }
    }
}

impl TestManagerBuilder {
    /// Sets the port to listen on, for example that of a manager which was stopped. The default is
    /// 0: the system chooses.
    ///
    /// ```
    /// use labwire_testing::TestManager;
    ///
    /// let port = TestManager::start_blocking().port();
    /// // That one is gone; this one has other files, but is found where the first was.
    /// let manager = TestManager::builder().port(port).start_blocking();
    /// assert_eq!(manager.port(), port);
    /// ```
    pub fn port(mut self, port: u16) -> Self {
        self.options.port = port;
        self
    }

    /// Requires this password from every peer.
    ///
    /// ```
    /// use labwire_testing::TestManager;
    /// use std::io::{BufRead, BufReader};
    /// use std::net::TcpStream;
    ///
    /// let manager = TestManager::builder().password("abc 123").start_blocking();
    /// let mut question = String::new();
    /// let peer = TcpStream::connect((TestManager::HOST, manager.port()))?;
    /// BufReader::new(peer).read_line(&mut question)?;
    /// assert!(question.contains(r#""attribute":"password""#));
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn password(mut self, password: impl Into<String>) -> Self {
        self.options.authentication = Authentication::Password(password.into());
        self
    }

    /// Requires every peer to log in as one of these users: name, password, and whether the user is
    /// an administrator.
    ///
    /// ```
    /// use labwire_testing::TestManager;
    /// use std::io::{BufRead, BufReader};
    /// use std::net::TcpStream;
    ///
    /// let manager = TestManager::builder().login(&[("ada", "engine", false)]).start_blocking();
    /// let mut question = String::new();
    /// let peer = TcpStream::connect((TestManager::HOST, manager.port()))?;
    /// BufReader::new(peer).read_line(&mut question)?;
    /// assert!(question.contains(r#""attribute":"username""#));
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn login(mut self, users: &[(&str, &str, bool)]) -> Self {
        self.options.authentication = Authentication::Login;
        self.users(users)
    }

    /// Adds these users: name, password, and whether the user is an administrator. Administrators
    /// can make reserved requests to the manager, whatever authentication peers need.
    ///
    /// ```
    /// use labwire_testing::TestManager;
    /// use std::io::{BufRead, BufReader};
    /// use std::net::TcpStream;
    ///
    /// let manager = TestManager::builder().users(&[("ada", "engine", true)]).start_blocking();
    /// // Everybody is let in: the manager asks for no name and no password.
    /// let mut question = String::new();
    /// let peer = TcpStream::connect((TestManager::HOST, manager.port()))?;
    /// BufReader::new(peer).read_line(&mut question)?;
    /// assert!(question.contains(r#""attribute":"identity""#));
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn users(mut self, users: &[(&str, &str, bool)]) -> Self {
        self.options
            .users
            .extend(users.iter().map(|&(name, password, is_admin)| User {
                name: name.to_owned(),
                password: password.to_owned(),
                is_admin,
            }));
        self
    }

    /// Encrypts connections, with a key and a certificate that are created for this manager.
    ///
    /// ```
    /// use labwire_testing::TestManager;
    ///
    /// let secure = TestManager::builder().tls().start_blocking();
    /// let plain = TestManager::start_blocking();
    /// assert!(secure.certificate_file().exists() && !plain.certificate_file().exists());
    /// ```
    pub fn tls(mut self) -> Self {
        self.options.tls = true;
        self
    }

    /// Sets the resource limits of peers, and how long a manager that stops waits for its last
    /// requests.
    ///
    /// ```
    /// use labwire_testing::{Limits, TestManager};
    /// use std::io::{ErrorKind, Read};
    /// use std::net::TcpStream;
    /// use std::time::Duration;
    ///
    /// let limits = Limits { handshake: Duration::from_millis(100), ..Limits::default() };
    /// let manager = TestManager::builder().limits(limits).start_blocking();
    /// // Who does not say who it is has to go.
    /// let mut peer = TcpStream::connect((TestManager::HOST, manager.port()))?;
    /// let mut text = String::new();
    /// peer.read_to_string(&mut text)?;
    /// assert!(text.contains("TimeoutError"), "{text}");
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn limits(mut self, limits: Limits) -> Self {
        self.options.limits = limits;
        self
    }

    /// Starts the manager. It accepts connections when this returns.
    ///
    /// ```
    /// # tokio::runtime::Runtime::new()?.block_on(async {
    /// use labwire_testing::TestManager;
    ///
    /// let manager = TestManager::builder().tls().start().await;
    /// assert!(manager.certificate_file().is_file());
    /// # });
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Panics
    /// If the manager cannot be started, for example because the port is in use.
    pub async fn start(self) -> TestManager {
        StoppedManager::new(self).start().await
    }

    /// Does the same as [`start`](Self::start), for a test that is not async.
    ///
    /// ```
    /// use labwire_testing::TestManager;
    ///
    /// let manager = TestManager::builder().users(&[("ada", "engine", true)]).start_blocking();
    /// assert!(manager.home().database().is_file());
    /// ```
    ///
    /// # Panics
    /// If the manager cannot be started, or if called inside an async task.
    pub fn start_blocking(self) -> TestManager {
        StoppedManager::new(self).start_blocking()
    }
}

impl fmt::Debug for TestManagerBuilder {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let users: Vec<_> = self.options.users.iter().map(|user| &user.name).collect();
        formatter
            .debug_struct("TestManagerBuilder")
            .field("port", &self.options.port)
            .field("authentication", &self.options.authentication)
            .field("users", &users)
            .field("tls", &self.options.tls)
            .field("limits", &self.options.limits)
            .finish()
    }
}
