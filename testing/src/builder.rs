//! How a manager for a test is to be.

use std::fmt;

use labwire_manager::{Authentication, Limits};

use crate::manager::{StoppedManager, TestManager};

/// Says how a manager for a test is to be, and starts it.
///
/// ```
/// use labwire_testing::TestManager;
///
/// let manager = TestManager::builder()
///     .login(&[("ada", "a good password", true), ("bob", "another one", false)])
///     .tls()
///     .start_blocking();
/// assert!(manager.certificate_file().is_file());
/// ```
#[derive(Clone)]
#[must_use = "a manager that is described does not run before `start`"]
pub struct TestManagerBuilder {
    pub(crate) port: u16,
    pub(crate) authentication: Authentication,
    pub(crate) users: Vec<User>,
    pub(crate) tls: bool,
    pub(crate) limits: Limits,
}

/// A user of the manager's database.
#[derive(Clone)]
pub(crate) struct User {
    pub(crate) name: String,
    pub(crate) password: String,
    pub(crate) is_admin: bool,
}

impl Default for TestManagerBuilder {
    fn default() -> Self {
        Self {
            port: 0,
            authentication: Authentication::None { open: false },
            users: Vec::new(),
            tls: false,
            limits: Limits::default(),
        }
    }
}

impl TestManagerBuilder {
    /// The port to listen on, for example that of a manager which was stopped. Default: 0, the system chooses.
    pub fn port(mut self, port: u16) -> Self {
        self.port = port;
        self
    }

    /// Every peer must know this password.
    pub fn password(mut self, password: impl Into<String>) -> Self {
        self.authentication = Authentication::Password(password.into());
        self
    }

    /// Every peer must log in as one of these users: name, password, and whether the user is an administrator.
    pub fn login(mut self, users: &[(&str, &str, bool)]) -> Self {
        self.authentication = Authentication::Login;
        self.users(users)
    }

    /// There are these users: name, password, and whether the user is an administrator. Requests to the manager
    /// that need an administrator can be made with them, however peers are admitted.
    pub fn users(mut self, users: &[(&str, &str, bool)]) -> Self {
        self.users
            .extend(users.iter().map(|&(name, password, is_admin)| User {
                name: name.to_owned(),
                password: password.to_owned(),
                is_admin,
            }));
        self
    }

    /// Connections are encrypted, with a key and a certificate that are made for this manager.
    pub fn tls(mut self) -> Self {
        self.tls = true;
        self
    }

    /// What peers may use up, and for how long a manager that stops waits for its last requests.
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Starts the manager. It accepts connections when this returns.
    ///
    /// # Panics
    /// When it cannot be started, for example because the port is in use.
    pub async fn start(self) -> TestManager {
        StoppedManager::new(self).start().await
    }

    /// [`start`](Self::start) for a test that is not asynchronous.
    ///
    /// # Panics
    /// When it cannot be started, and when it is called inside of an asynchronous task.
    pub fn start_blocking(self) -> TestManager {
        StoppedManager::new(self).start_blocking()
    }
}

impl fmt::Debug for TestManagerBuilder {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let users: Vec<_> = self.users.iter().map(|user| &user.name).collect();
        formatter
            .debug_struct("TestManagerBuilder")
            .field("port", &self.port)
            .field("authentication", &self.authentication)
            .field("users", &users)
            .field("tls", &self.tls)
            .field("limits", &self.limits)
            .finish()
    }
}
