//! The options of the manager in front of the services.

use std::fmt;
use std::path::{Path, PathBuf};

use labwire_home::Home;
use labwire_manager::{Authentication, Limits};
use labwire_service::ConnectOptions;

use crate::cli::start::{Options, Plan};

/// The options of the manager in front of the services.
///
/// The defaults are those of `labwire start`: port 1875, TLS with the key and the certificate of
/// the home folder, which are created if they are missing, and connections from this computer only.
///
/// ```
/// # use labwire_service::service;
/// # struct Adder;
/// # #[service]
/// # impl Adder {
/// #     pub fn add(&self, a: f64, b: f64) -> f64 { a + b }
/// #     pub fn shutdown_service(&self) {}
/// # }
/// use labwire::{ManagerOptions, Services};
/// use labwire_client::{Client, ConnectOptions};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let scratch = tempfile::tempdir()?;
/// # let home = labwire_home::Home::at(scratch.path());
/// let options = ManagerOptions::new().port(0).without_tls().password("difference engine");
/// assert!(!format!("{options:?}").contains("engine"));
/// # let options = options.home(home);
/// let running = Services::new().with(Adder).connect(options).await?;
///
/// // Clients must know the password.
/// let manager = ConnectOptions::new().port(running.port()).without_tls();
/// assert!(Client::connect("Ada", manager.clone().manager_password("a guess")).await.is_err());
/// assert!(Client::connect("Ada", manager.manager_password("difference engine")).await.is_ok());
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct ManagerOptions {
    host: Option<String>,
    port: Option<u16>,
    pub(super) authentication: Authentication,
    tls: bool,
    certificate_file: Option<PathBuf>,
    key_file: Option<PathBuf>,
    key_password: Option<String>,
    database: Option<PathBuf>,
    home: Option<Home>,
    log_file: Option<PathBuf>,
    log_level: Option<String>,
    connect: ConnectOptions,
}

impl fmt::Debug for ManagerOptions {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("ManagerOptions")
            .field("host", &self.host)
            .field("port", &self.port)
            .field("authentication", &self.authentication)
            .field("tls", &self.tls)
            .finish_non_exhaustive()
    }
}

impl Default for ManagerOptions {
    fn default() -> Self {
        Self::new()
    }
}

impl ManagerOptions {
    /// Returns the defaults of `labwire start`.
    ///
    /// See the example of [`ManagerOptions`].
    pub fn new() -> Self {
        Self {
            host: None,
            port: None,
            authentication: Authentication::None { open: false },
            tls: true,
            certificate_file: None,
            key_file: None,
            key_password: None,
            database: None,
            home: None,
            log_file: None,
            log_level: None,
            connect: ConnectOptions::new(),
        }
    }

    /// Sets the host name or IP address to listen on. The default is all interfaces.
    ///
    /// ```
    /// # use labwire_service::service;
    /// # struct Adder;
    /// # #[service]
    /// # impl Adder {
    /// #     pub fn add(&self, a: f64, b: f64) -> f64 { a + b }
    /// #     pub fn shutdown_service(&self) {}
    /// # }
    /// # use labwire::{ManagerOptions, Services};
    /// # use labwire_client::{Client, ConnectOptions};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let scratch = tempfile::tempdir()?;
    /// # let home = labwire_home::Home::at(scratch.path());
    /// let options = ManagerOptions::new().host("127.0.0.1").port(0).without_tls();
    /// # let options = options.home(home);
    /// let running = Services::new().with(Adder).connect(options).await?;
    ///
    /// let manager = ConnectOptions::new().host("127.0.0.1").port(running.port()).without_tls();
    /// assert!(Client::connect("Ada", manager).await.is_ok());
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn host(mut self, host: impl Into<String>) -> Self {
        self.host = Some(host.into());
        self
    }

    /// Sets the port to listen on. The default is 1875; with 0 the system chooses a port.
    ///
    /// See the example of [`ManagerOptions`].
    #[must_use]
    pub fn port(mut self, port: u16) -> Self {
        self.port = Some(port);
        self
    }

    /// Requires this password from every peer. The services send it.
    ///
    /// See the example of [`ManagerOptions`].
    #[must_use]
    pub fn password(mut self, password: impl Into<String>) -> Self {
        self.authentication = Authentication::Password(password.into());
        self
    }

    /// Requires every peer to log in as a user of the database. The services log in as this user.
    ///
    /// ```
    /// # use labwire_service::service;
    /// # struct Adder;
    /// # #[service]
    /// # impl Adder {
    /// #     pub fn add(&self, a: f64, b: f64) -> f64 { a + b }
    /// #     pub fn shutdown_service(&self) {}
    /// # }
    /// # use labwire::{ManagerOptions, Services};
    /// # use labwire_store::{COMPATIBLE_ROUNDS, Database, HashedPassword};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let scratch = tempfile::tempdir()?;
    /// # let home = labwire_home::Home::at(scratch.path());
    /// # let hashed = HashedPassword::new("bench", "difference engine", COMPATIBLE_ROUNDS)?;
    /// # Database::open(&home.database())?.insert_user("bench", &hashed, false)?;
    /// // `labwire user add bench` has made the user.
    /// let options = ManagerOptions::new().login("bench", "difference engine");
    /// # let options = options.port(0).without_tls().home(home);
    /// let running = Services::new().with(Adder).connect(options).await?;
    /// assert_eq!(running.services().len(), 1);
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn login(mut self, username: impl Into<String>, password: impl Into<String>) -> Self {
        self.authentication = Authentication::Login;
        self.connect = self.connect.username(username).password(password);
        self
    }

    /// Admits only the computers in the table of trusted host names. This computer must be among
    /// them.
    ///
    /// ```
    /// # use labwire_service::service;
    /// # struct Adder;
    /// # #[service]
    /// # impl Adder {
    /// #     pub fn add(&self, a: f64, b: f64) -> f64 { a + b }
    /// #     pub fn shutdown_service(&self) {}
    /// # }
    /// # use labwire::{ManagerOptions, Services};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let scratch = tempfile::tempdir()?;
    /// # let home = labwire_home::Home::at(scratch.path());
    /// // `labwire hostname add localhost` has put this computer among them.
    /// # labwire_store::Database::open(&home.database())?.insert_hostname("localhost")?;
    /// let options = ManagerOptions::new().trusted_hosts();
    /// # let options = options.port(0).without_tls().home(home);
    /// let running = Services::new().with(Adder).connect(options).await?;
    /// assert_eq!(running.services().len(), 1);
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn trusted_hosts(mut self) -> Self {
        self.authentication = Authentication::Hostname;
        self
    }

    /// Admits every peer from every computer without authentication. Use it in a closed laboratory
    /// network only.
    ///
    /// ```
    /// # use labwire_service::service;
    /// # struct Adder;
    /// # #[service]
    /// # impl Adder {
    /// #     pub fn add(&self, a: f64, b: f64) -> f64 { a + b }
    /// #     pub fn shutdown_service(&self) {}
    /// # }
    /// # use labwire::{ManagerOptions, Services};
    /// # use labwire_client::{Client, ConnectOptions};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let scratch = tempfile::tempdir()?;
    /// # let home = labwire_home::Home::at(scratch.path());
    /// let options = ManagerOptions::new().open().port(0).without_tls();
    /// # let options = options.host("127.0.0.1").home(home);
    /// let running = Services::new().with(Adder).connect(options).await?;
    /// # let manager = ConnectOptions::new().host("127.0.0.1");
    /// # let manager = manager.port(running.port()).without_tls();
    /// assert!(Client::connect("anybody", manager).await.is_ok());
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn open(mut self) -> Self {
        self.authentication = Authentication::None { open: true };
        self
    }

    /// Disables the encryption of connections.
    ///
    /// See the example of [`ManagerOptions`].
    #[must_use]
    pub fn without_tls(mut self) -> Self {
        self.tls = false;
        self
    }

    /// Sets the certificate, in PEM form. The default is that of the home folder.
    ///
    /// See the example of [`key_password`](Self::key_password).
    #[must_use]
    pub fn certificate_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.certificate_file = Some(path.into());
        self
    }

    /// Sets the private key, in PEM form. The default is that of the home folder.
    ///
    /// See the example of [`key_password`](Self::key_password).
    #[must_use]
    pub fn key_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.key_file = Some(path.into());
        self
    }

    /// Sets the password of the private key.
    ///
    /// ```
    /// # use labwire_service::service;
    /// # struct Adder;
    /// # #[service]
    /// # impl Adder {
    /// #     pub fn add(&self, a: f64, b: f64) -> f64 { a + b }
    /// #     pub fn shutdown_service(&self) {}
    /// # }
    /// # use labwire::{ManagerOptions, Services};
    /// # use labwire_client::{Client, ConnectOptions};
    /// # use labwire_pki::{CertificateOptions, Curve, KeyKind, generate_certificate, generate_key};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let scratch = tempfile::tempdir()?;
    /// # let home = labwire_home::Home::at(scratch.path());
    /// # let (key, certificate) = (scratch.path().join("lab.key"), scratch.path().join("lab.crt"));
    /// # let generated = generate_key(KeyKind::Ecc(Curve::Secp256r1))?;
    /// # generated.write_to(&key, Some("abacus"))?;
    /// # generate_certificate(&generated, &CertificateOptions::for_this_computer())?.write_to(&certificate)?;
    /// let options = ManagerOptions::new()
    ///     .certificate_file(&certificate)
    ///     .key_file(key)
    ///     .key_password("abacus");
    /// # let options = options.port(0).home(home);
    /// let running = Services::new().with(Adder).connect(options).await?;
    ///
    /// let manager = ConnectOptions::new().port(running.port()).certificate_file(certificate);
    /// assert!(Client::connect("Ada", manager).await.is_ok());
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn key_password(mut self, password: impl Into<String>) -> Self {
        self.key_password = Some(password.into());
        self
    }

    /// Sets the database. The default is that of the home folder.
    ///
    /// ```
    /// # use labwire_service::service;
    /// # struct Adder;
    /// # #[service]
    /// # impl Adder {
    /// #     pub fn add(&self, a: f64, b: f64) -> f64 { a + b }
    /// #     pub fn shutdown_service(&self) {}
    /// # }
    /// # use labwire::{ManagerOptions, Services};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let scratch = tempfile::tempdir()?;
    /// # let home = labwire_home::Home::at(scratch.path());
    /// # let file = scratch.path().join("lab.sqlite3");
    /// let options = ManagerOptions::new().database(&file);
    /// # let options = options.port(0).without_tls().home(home);
    /// let running = Services::new().with(Adder).connect(options).await?;
    /// assert!(file.is_file());
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn database(mut self, path: impl Into<PathBuf>) -> Self {
        self.database = Some(path.into());
        self
    }

    /// Sets the folder of keys, certificates, database and logs. The default is the one that the
    /// environment names.
    ///
    /// ```
    /// # use labwire_service::service;
    /// # struct Adder;
    /// # #[service]
    /// # impl Adder {
    /// #     pub fn add(&self, a: f64, b: f64) -> f64 { a + b }
    /// #     pub fn shutdown_service(&self) {}
    /// # }
    /// # use labwire::{ManagerOptions, Services};
    /// use labwire_home::Home;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let scratch = tempfile::tempdir()?;
    /// # let folder = scratch.path();
    /// let home = Home::at(folder);
    /// let options = ManagerOptions::new().home(home.clone());
    /// # let options = options.port(0).without_tls();
    /// let running = Services::new().with(Adder).connect(options).await?;
    /// assert!(home.database().is_file());
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn home(mut self, home: Home) -> Self {
        self.home = Some(home);
        self
    }

    /// Sets the file to log to. The default is a new one in the home folder. Only
    /// [`Services::start`] logs.
    ///
    /// [`Services::start`]: crate::Services::start
    ///
    /// See the example of [`Services::start`].
    #[must_use]
    pub fn log_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.log_file = Some(path.into());
        self
    }

    /// Sets the log level: `TRACE`, `DEBUG`, `INFO`, `WARNING` or `ERROR`. The default is `INFO`.
    ///
    /// See the example of [`Services::start`](crate::Services::start).
    #[must_use]
    pub fn log_level(mut self, level: impl Into<String>) -> Self {
        self.log_level = Some(level.into());
        self
    }

    /// Sets the other options with which the services connect: timeout, read limit, user, whether
    /// they reconnect. The address of the manager, its password and TLS follow from the manager,
    /// whatever these options contain.
    ///
    /// A service that the manager disconnects, for example because it exceeded a limit, connects
    /// again by default. The services end with the manager in any case.
    ///
    /// ```
    /// # use labwire_service::service;
    /// # struct Adder;
    /// # #[service]
    /// # impl Adder {
    /// #     pub fn add(&self, a: f64, b: f64) -> f64 { a + b }
    /// #     pub fn shutdown_service(&self) {}
    /// # }
    /// # use labwire::Services;
    /// use std::time::Duration;
    /// use labwire::ManagerOptions;
    /// use labwire_service::ConnectOptions;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let scratch = tempfile::tempdir()?;
    /// # let home = labwire_home::Home::at(scratch.path());
    /// let services = ConnectOptions::new().timeout(Duration::from_secs(3));
    /// let options = ManagerOptions::new().connect_options(services);
    /// # let options = options.port(0).without_tls().home(home);
    /// let running = Services::new().with(Adder).connect(options).await?;
    /// assert_eq!(running.services()[0].name(), "Adder");
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn connect_options(mut self, options: ConnectOptions) -> Self {
        self.connect = options;
        self
    }

    /// Returns the same options as a [`Plan`].
    pub(super) fn plan(&self) -> anyhow::Result<Plan> {
        let home = match &self.home {
            Some(home) => home.clone(),
            None => Home::resolve()?,
        };
        Ok(Plan {
            options: Options {
                host: self.host.clone(),
                port: self.port,
                disable_tls: Some(!self.tls),
                cert_file: self.certificate_file.clone(),
                key_file: self.key_file.clone(),
                database: self.database.clone(),
                log_level: self.log_level.clone(),
                log_file: self.log_file.clone(),
                ..Options::default()
            },
            authentication: self.authentication.clone(),
            limits: Limits::default(),
            key_password: self.key_password.clone(),
            home,
        })
    }

    /// Returns the options with which the services connect to the manager, which listens on this
    /// port and presents this certificate.
    pub(super) fn reach(&self, port: u16, certificate: Option<&Path>) -> ConnectOptions {
        let options = self.connect.clone().port(port);
        let options = options.host(self.host.as_deref().unwrap_or("localhost"));
        // The program must not prompt for a secret that it should have been given.
        let mut options = options.ask_with(|_| None);
        if let Authentication::Password(password) = &self.authentication {
            options = options.manager_password(password);
        }
        match certificate {
            // The certificate is trusted by its file, and may contain only the names that other
            // computers use for this one.
            Some(file) => options.certificate_file(file).check_hostname(false),
            None => options.without_tls(),
        }
    }
}
