//! The certificates that a device trusts.
//!
//! Managers have self-signed certificates. A device trusts the one that it saved when it first
//! connected to the manager, or the ones in a given file, and those that authorities among them issued.

use std::path::{Path, PathBuf};

use labwire_home::{Existing, Home, HomeError, Readers, write_whole_file};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use thiserror::Error;

/// The certificate of an unknown manager; [`FirstUse`](crate::FirstUse) has an example.
///
/// ```
/// use std::sync::{Arc, Mutex};
/// use labwire_device::{ConnectOptions, FirstUse, Introduction, UnknownCertificate, connect};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let manager = labwire_testing::TestManager::builder().tls().start().await;
/// # let scratch = tempfile::tempdir()?;
/// # let home = labwire_device::Home::at(scratch.path());
/// let met = Arc::new(Mutex::new(None));
/// let seen = Arc::clone(&met);
/// let refuse = move |certificate: &UnknownCertificate| {
///     *seen.lock().unwrap() = Some(certificate.clone());
///     false
/// };
/// let options = ConnectOptions::new().first_use(FirstUse::Decide(Arc::new(refuse)));
/// # let options = options.port(manager.port()).home(home);
/// assert!(connect(&options, &Introduction::client("Ada")).await.is_err());
/// let certificate = met.lock().unwrap().take().expect("it was never met before");
/// assert_eq!(certificate.host, "localhost");
/// assert_eq!(certificate.fingerprint.split(':').count(), 32);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownCertificate {
    /// The manager's host, as given in the options.
    pub host: String,
    /// The certificate's SHA-256 fingerprint, in lower-case hexadecimal with colons. The manager
    /// prints its own when it starts; they must be equal.
    pub fingerprint: String,
}

/// The reason why a manager is not trusted.
///
/// ```
/// use labwire_device::{ConnectError, ConnectOptions, FirstUse, Introduction, TrustError, connect};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let manager = labwire_testing::TestManager::builder().tls().start().await;
/// # let scratch = tempfile::tempdir()?;
/// # let home = labwire_device::Home::at(scratch.path());
/// let options = ConnectOptions::new().first_use(FirstUse::Refuse);
/// # let options = options.port(manager.port()).home(home);
/// let error = connect(&options, &Introduction::client("Ada")).await.unwrap_err();
/// let ConnectError::Trust(TrustError::Unknown { host, fingerprint, file, .. }) = &error else {
///     panic!("{error}");
/// };
/// assert_eq!(host, "localhost");
/// assert!(file.ends_with(format!("certs/localhost_{}.crt", manager.port())));
/// assert!(error.to_string().contains(fingerprint));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum TrustError {
    /// The manager's certificate is unknown, and the first-use policy does not accept it.
    #[error(
        "the certificate of {host} is not known, its SHA-256 fingerprint is {fingerprint}; compare it with the one \
         that the manager tells when it starts, then save the certificate as {} (`labwire trust` does) or let the \
         first use save it",
        file.display()
    )]
    Unknown {
        /// The manager's host.
        host: String,
        /// The manager's port.
        port: u16,
        /// The certificate's SHA-256 fingerprint.
        fingerprint: String,
        /// The file for the certificate.
        file: PathBuf,
    },
    /// The manager's certificate differs from the saved or given one.
    #[error(
        "the manager's certificate has changed: trusted is {trusted} ({}), presented was {presented} (SHA-256). Somebody \
         may be between you and the manager. If the manager has a new certificate, trust it with `labwire trust HOST:PORT`, \
         or give it with LABWIRE_CERT_FILE",
        file.display()
    )]
    Changed {
        /// The SHA-256 fingerprint of the trusted certificate.
        trusted: String,
        /// The SHA-256 fingerprint of the presented certificate.
        presented: String,
        /// The file that holds the trusted certificate.
        file: PathBuf,
    },
    /// The certificate is trusted, but does not name this host.
    #[error(
        "the manager's certificate is not for '{host}'; use a name that it holds, or turn the check of the host \
         name off if you trust the connection"
    )]
    OtherHost {
        /// The host, as given in the options.
        host: String,
    },
    /// The certificate is not valid at this time.
    #[error(
        "the manager's certificate is not valid at this time ({from} to {until}); make a new one \
         (`labwire doctor` shows how), or set this computer's clock"
    )]
    NotValidNow {
        /// The start of its validity.
        from: String,
        /// The end of its validity.
        until: String,
    },
    /// The certificate is unusable for another reason.
    #[error("the manager's certificate cannot be used: {0}")]
    Unusable(String),
    /// The file with the trusted certificate cannot be read or written.
    #[error("the certificate file {}: {reason}", file.display())]
    File {
        /// The file.
        file: PathBuf,
        /// The reason.
        reason: String,
    },
    /// There is no folder for certificates.
    #[error("{0}")]
    Home(String),
}

impl From<HomeError> for TrustError {
    fn from(error: HomeError) -> Self {
        Self::Home(error.to_string())
    }
}

/// The trusted certificates, and the file that they came from.
#[derive(Debug)]
pub(crate) struct Trusted {
    pub(crate) file: PathBuf,
    pub(crate) certificates: Vec<CertificateDer<'static>>,
}

impl Trusted {
    /// Reads the certificates in a PEM file. Returns `None` if the file does not exist.
    pub(crate) fn read(file: &Path) -> Result<Option<Self>, TrustError> {
        let fail = |reason: String| TrustError::File {
            file: file.to_owned(),
            reason,
        };
        let text = match std::fs::read(file) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(fail(error.to_string())),
        };
        let certificates = CertificateDer::pem_slice_iter(&text)
            .collect::<Result<Vec<_>, _>>()
            .map_err(|error| fail(format!("it holds no certificate that can be read ({error})")))?;
        if certificates.is_empty() {
            return Err(fail("it holds no certificate".to_owned()));
        }
        Ok(Some(Self {
            file: file.to_owned(),
            certificates,
        }))
    }

    /// Saves the certificate of an unknown manager. A file that was written meanwhile is not
    /// overwritten.
    pub(crate) fn save(file: &Path, certificate: &CertificateDer<'_>) -> Result<(), TrustError> {
        let text = pem::encode(&pem::Pem::new("CERTIFICATE", certificate.as_ref()));
        match write_whole_file(file, text.as_bytes(), Readers::Owner, Existing::Keep) {
            Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => Err(TrustError::File {
                file: file.to_owned(),
                reason: error.to_string(),
            }),
            _ => Ok(()),
        }
    }
}

/// The places of the trusted certificate of a manager.
#[derive(Debug)]
pub(crate) struct Places {
    /// The file with the certificate of the manager at this host and port.
    pub(crate) own: PathBuf,
    /// The file with the certificate of the host, which counts if the other one does not exist. A
    /// manager of this computer keeps its own certificate there, and peers of MSL-Network save those
    /// of others.
    of_host: PathBuf,
}

impl Places {
    /// Returns the places in this home folder; `None` stands for the user's.
    pub(crate) fn new(home: Option<&Home>, host: &str, port: u16) -> Result<Self, TrustError> {
        if host.contains(['/', '\\']) || host == ".." {
            return Err(TrustError::Home(format!("'{host}' is no host name")));
        }
        let home = match home {
            Some(home) => home.clone(),
            None => Home::resolve()?,
        };
        Ok(Self {
            own: home.trusted_certificate_file(host, port),
            of_host: home.certificate_file_for(host),
        })
    }

    /// Returns the file that decides whether the manager is trusted; `None` if there is none.
    pub(crate) fn existing(self) -> Option<PathBuf> {
        [self.own, self.of_host].into_iter().find(|file| file.exists())
    }
}
