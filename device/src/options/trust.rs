//! TLS, and the certificates to trust.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::ConnectOptions;
use crate::client_certificate::{ClientCertificateError, ClientFiles};
use crate::trust::UnknownCertificate;

/// The policy for the certificate of an unknown manager.
///
/// A computer without a terminal can check the fingerprint that the manager prints when it starts:
///
/// ```
/// use std::sync::Arc;
/// use labwire_device::{ConnectOptions, FirstUse, Introduction, UnknownCertificate, connect};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let manager = labwire_testing::TestManager::builder().tls().start().await;
/// # let pem = pem::parse(std::fs::read(manager.certificate_file())?)?;
/// # let told_by_the_manager = labwire_home::fingerprint_sha256(pem.contents());
/// # let scratch = tempfile::tempdir()?;
/// # let home = labwire_device::Home::at(scratch.path());
/// let known = move |certificate: &UnknownCertificate| certificate.fingerprint == told_by_the_manager;
/// let options = ConnectOptions::new().first_use(FirstUse::Decide(Arc::new(known)));
/// # let options = options.port(manager.port()).home(home);
/// assert!(connect(&options, &Introduction::client("Ada")).await.is_ok());
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Default)]
pub enum FirstUse {
    /// Shows its fingerprint at the terminal and asks; refuses without a terminal. The default.
    #[default]
    Ask,
    /// Saves the certificate and trusts it from now on, unless it has expired or is for another host.
    /// The first server that answers is trusted: use it only in trusted networks.
    Save,
    /// Refuses the certificate.
    Refuse,
    /// Calls this function; if it returns `true`, the certificate is saved and trusted.
    Decide(Arc<dyn Fn(&UnknownCertificate) -> bool + Send + Sync>),
}

impl fmt::Debug for FirstUse {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Ask => "Ask",
            Self::Save => "Save",
            Self::Refuse => "Refuse",
            Self::Decide(_) => "Decide",
        })
    }
}

impl ConnectOptions {
    /// Disables TLS, for a manager that was started with `--disable-tls`.
    ///
    /// ```
    /// use labwire_device::{ConnectError, ConnectOptions, Introduction, connect};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let manager = labwire_testing::TestManager::start().await;
    /// # let scratch = tempfile::tempdir()?;
    /// # let home = labwire_device::Home::at(scratch.path());
    /// let options = ConnectOptions::new().port(manager.port());
    /// # let options = options.home(home);
    /// let ada = Introduction::client("Ada");
    /// let error = connect(&options, &ada).await.unwrap_err();
    /// assert!(matches!(error, ConnectError::NoTls { .. }));
    /// assert!(connect(&options.without_tls(), &ada).await.is_ok());
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn without_tls(mut self) -> Self {
        self.tls = false;
        self
    }

    /// Connects with TLS, the default, after [`without_tls`](Self::without_tls).
    #[must_use]
    pub fn with_tls(mut self) -> Self {
        self.tls = true;
        self
    }

    /// Trusts the certificates in this PEM file, and those that they issued, instead of the saved
    /// one.
    ///
    /// ```
    /// use labwire_device::{ConnectOptions, Introduction, connect};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let manager = labwire_testing::TestManager::builder().tls().start().await;
    /// # let copied_from_the_manager = manager.certificate_file();
    /// let options = ConnectOptions::new().certificate_file(copied_from_the_manager);
    /// # let options = options.port(manager.port());
    /// assert!(connect(&options, &Introduction::client("Ada")).await.is_ok());
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn certificate_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.certificate_file = Some(path.into());
        self
    }

    /// Presents this certificate to a manager that asks for one (`labwire start --client-ca`): it logs the
    /// device in as the user that it names, without a password. Both are PEM files, which are read for
    /// each connection. The certificate may be followed by its chain. The key must not be encrypted, and
    /// other users of the computer must not be able to read it.
    ///
    /// See the example of [`ClientCertificateError`].
    #[must_use]
    pub fn client_certificate(self, certificate: impl Into<PathBuf>, key: impl Into<PathBuf>) -> Self {
        self.client_certificate_file(certificate).client_key_file(key)
    }

    /// Sets the file of the certificate that is presented, as
    /// [`client_certificate`](Self::client_certificate) does. Without a file for the key, the key is in
    /// the file of the certificate.
    ///
    /// ```
    /// # use labwire_device::ConnectOptions;
    /// let options = ConnectOptions::new().client_certificate_file("ada.pem");
    /// assert!(options.presents_certificate());
    /// ```
    #[must_use]
    pub fn client_certificate_file(self, path: impl Into<PathBuf>) -> Self {
        let path = path.into();
        self.with_client_files(|files| files.certificate = Some(path))
    }

    /// Sets the file of the key of the certificate that is presented.
    ///
    /// ```
    /// # use labwire_device::ConnectOptions;
    /// let options = ConnectOptions::new().client_certificate_file("ada.crt").client_key_file("ada.key");
    /// assert!(options.presents_certificate());
    /// ```
    #[must_use]
    pub fn client_key_file(self, path: impl Into<PathBuf>) -> Self {
        let path = path.into();
        self.with_client_files(|files| files.key = Some(path))
    }

    /// Returns whether a certificate is presented to managers that ask for one.
    ///
    /// ```
    /// # use labwire_device::ConnectOptions;
    /// assert!(!ConnectOptions::new().presents_certificate());
    /// ```
    pub fn presents_certificate(&self) -> bool {
        self.client_certificate.is_some()
    }

    /// Returns the files of the certificate and the key that are presented, if there are any. They can be
    /// the same.
    ///
    /// ```
    /// # use labwire_device::ConnectOptions;
    /// assert_eq!(ConnectOptions::new().client_certificate_files(), None);
    /// ```
    pub fn client_certificate_files(&self) -> Option<(&Path, &Path)> {
        let files = self.client_certificate.as_ref()?;
        let certificate = files.certificate.as_deref()?;
        Some((certificate, files.key.as_deref().unwrap_or(certificate)))
    }

    /// Checks that the certificate and the key to present can be read and belong together. Without a
    /// certificate to present there is nothing to check.
    ///
    /// # Errors
    /// What a connection would fail with.
    ///
    /// ```
    /// # use labwire_device::ConnectOptions;
    /// let options = ConnectOptions::new().client_certificate("missing.crt", "missing.key");
    /// assert!(options.check_client_certificate().is_err());
    /// ```
    pub fn check_client_certificate(&self) -> Result<(), ClientCertificateError> {
        self.client_certificate
            .as_ref()
            .map_or(Ok(()), |files| files.check())
    }

    fn with_client_files(mut self, change: impl FnOnce(&mut ClientFiles)) -> Self {
        let mut files = self
            .client_certificate
            .as_deref()
            .cloned()
            .unwrap_or(ClientFiles {
                certificate: None,
                key: None,
            });
        change(&mut files);
        self.client_certificate = Some(Arc::new(files));
        self
    }

    /// Sets whether the certificate must name the host. The default is `true`.
    ///
    /// ```
    /// use labwire_device::{ConnectError, ConnectOptions, Introduction, TrustError, connect};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let manager = labwire_testing::TestManager::builder().tls().start().await;
    /// # let certificate = manager.certificate_file();
    /// // The certificate does not name this address.
    /// let options = ConnectOptions::new().host("127.0.0.2").certificate_file(certificate);
    /// # // One listens where the other was dialled: the manager serves 127.0.0.1 alone.
    /// # let listener = tokio::net::TcpListener::bind("127.0.0.2:0").await?;
    /// # let (forwarded, port) = (listener.local_addr()?.port(), manager.port());
    /// # tokio::spawn(async move {
    /// #     while let Ok((mut peer, _)) = listener.accept().await {
    /// #         tokio::spawn(async move {
    /// #             let mut manager = tokio::net::TcpStream::connect(("127.0.0.1", port)).await?;
    /// #             tokio::io::copy_bidirectional(&mut peer, &mut manager).await
    /// #         });
    /// #     }
    /// # });
    /// # let options = options.port(forwarded);
    /// let ada = Introduction::client("Ada");
    /// let error = connect(&options, &ada).await.unwrap_err();
    /// assert!(matches!(error, ConnectError::Trust(TrustError::OtherHost { .. })));
    /// assert!(connect(&options.check_hostname(false), &ada).await.is_ok());
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn check_hostname(mut self, check: bool) -> Self {
        self.check_hostname = check;
        self
    }

    /// Sets the policy for the certificate of an unknown manager. The default is [`FirstUse::Ask`].
    ///
    /// ```
    /// use labwire_device::{ConnectOptions, FirstUse, Introduction, connect};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let manager = labwire_testing::TestManager::builder().tls().start().await;
    /// # let scratch = tempfile::tempdir()?;
    /// let options = ConnectOptions::new().port(manager.port());
    /// # let options = options.home(labwire_device::Home::at(scratch.path()));
    /// let ada = Introduction::client("Ada");
    /// assert!(connect(&options.clone().first_use(FirstUse::Refuse), &ada).await.is_err());
    /// assert!(connect(&options.clone().first_use(FirstUse::Save), &ada).await.is_ok());
    /// // From now on it is known.
    /// assert!(connect(&options.first_use(FirstUse::Refuse), &ada).await.is_ok());
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn first_use(mut self, first_use: FirstUse) -> Self {
        self.first_use = first_use;
        self
    }

    /// Returns whether a person at the terminal is asked about the certificate of an unknown manager:
    /// [`FirstUse::Ask`].
    ///
    /// ```
    /// # use labwire_device::{ConnectOptions, FirstUse};
    /// assert!(ConnectOptions::new().asks_on_first_use());
    /// assert!(!ConnectOptions::new().first_use(FirstUse::Save).asks_on_first_use());
    /// ```
    pub fn asks_on_first_use(&self) -> bool {
        matches!(self.first_use, FirstUse::Ask)
    }

    /// Returns whether the connection uses TLS.
    ///
    /// ```
    /// # use labwire_device::ConnectOptions;
    /// assert!(ConnectOptions::new().uses_tls());
    /// assert!(!ConnectOptions::new().without_tls().uses_tls());
    /// ```
    pub fn uses_tls(&self) -> bool {
        self.tls
    }

    /// Returns the file with the only trusted certificates, if one was given.
    ///
    /// ```
    /// # use labwire_device::ConnectOptions;
    /// assert_eq!(ConnectOptions::new().given_certificate_file(), None);
    /// ```
    pub fn given_certificate_file(&self) -> Option<&Path> {
        self.certificate_file.as_deref()
    }
}
