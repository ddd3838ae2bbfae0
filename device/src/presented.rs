//! The certificates that a manager presents, fetched without trusting it.

use std::path::PathBuf;
use std::sync::Arc;

use labwire_home::fingerprint_sha256;
use rustls::pki_types::CertificateDer;

use crate::dial::{Clock, encrypt, open, trusted, verifier_of};
use crate::error::ConnectError;
use crate::options::ConnectOptions;
use crate::trust::{Places, TrustError, Trusted};
use crate::verifier::Verifier;

/// The certificates that a manager presents: its own, and those of authorities that it sends along.
/// They may be anybody's until they are checked.
///
/// ```
/// use labwire_device::{ConnectOptions, PresentedCertificates, TrustError};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let manager = labwire_testing::TestManager::builder().tls().start().await;
/// # let scratch = tempfile::tempdir()?;
/// # let home = labwire_device::Home::at(scratch.path());
/// let options = ConnectOptions::new();
/// # let options = options.port(manager.port()).home(home);
/// let presented = PresentedCertificates::fetch(&options).await?;
/// assert_eq!(presented.fingerprint().split(':').count(), 32);
/// assert!(matches!(presented.check(&options), Err(TrustError::Unknown { .. })));
///
/// let file = options.trusted_certificate_file()?;
/// std::fs::create_dir_all(file.parent().expect("it is in a folder"))?;
/// std::fs::write(file, presented.pem())?;
/// assert_eq!(presented.check(&options), Ok(()));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct PresentedCertificates {
    own: CertificateDer<'static>,
    others: Vec<CertificateDer<'static>>,
}

impl PresentedCertificates {
    /// Fetches them on a connection of its own, which sends nothing else. Uses TLS even if the
    /// options disable it.
    ///
    /// Cancel safe: if the future is dropped early, the connection is closed.
    ///
    /// See the example of [`PresentedCertificates`].
    ///
    /// # Errors
    /// [`ConnectError::NoTls`] if the manager does not use TLS, and the errors of a connection that
    /// cannot be made.
    pub async fn fetch(options: &ConnectOptions) -> Result<Self, ConnectError> {
        let options = options.clone().with_tls();
        let clock = Clock::start(&options);
        clock.limit(&options, fetch(&options)).await?
    }

    pub(crate) fn first(&self) -> &CertificateDer<'static> {
        &self.own
    }

    /// Checks whether a connection with these options trusts the manager. Nothing is saved and
    /// nobody is asked.
    ///
    /// See the example of [`PresentedCertificates`].
    pub fn check(&self, options: &ConnectOptions) -> Result<(), TrustError> {
        match trusted(options)? {
            Ok(trusted) => self.check_against(options, trusted),
            Err(file) => Err(TrustError::Unknown {
                host: options.host.clone(),
                port: options.port,
                fingerprint: self.fingerprint(),
                file,
            }),
        }
    }

    /// Checks whether a connection with these options accepts the manager if it trusts these
    /// certificates.
    pub(crate) fn check_against(&self, options: &ConnectOptions, trusted: Trusted) -> Result<(), TrustError> {
        verifier_of(options, trusted).check_now(&options.host, &self.own, &self.others)
    }

    /// Returns the manager's own certificate in DER form.
    pub fn der(&self) -> &[u8] {
        &self.own
    }

    /// Returns the SHA-256 fingerprint of the manager's own certificate, in lower-case hexadecimal
    /// with colons.
    ///
    /// See the example of [`PresentedCertificates`].
    pub fn fingerprint(&self) -> String {
        fingerprint_sha256(&self.own)
    }

    /// Returns the manager's own certificate in PEM form, as it is saved.
    ///
    /// See the example of [`PresentedCertificates`].
    pub fn pem(&self) -> String {
        pem::encode(&pem::Pem::new("CERTIFICATE", self.own.as_ref()))
    }
}

/// Fetches the certificates, without a time limit.
pub(crate) async fn fetch(options: &ConnectOptions) -> Result<PresentedCertificates, ConnectError> {
    let stream = open(options).await?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    // A certificate of this side is for a manager that is trusted.
    let stream = encrypt(options, None, stream, Verifier::to_look_at_it(provider)).await?;
    let (_, session) = stream.get_ref();
    let mut certificates = session.peer_certificates().unwrap_or_default().iter();
    let own = certificates
        .next()
        .ok_or_else(|| TrustError::Unusable("the manager sent none".to_owned()))?;
    Ok(PresentedCertificates {
        own: own.clone().into_owned(),
        others: certificates.map(|other| other.clone().into_owned()).collect(),
    })
}

impl ConnectOptions {
    /// Returns the file that decides whether the manager is trusted: the given one, or else that of
    /// this manager, or else that of its host. Returns `None` if none of them exists.
    ///
    /// See the example of [`trusted_certificate_file`](Self::trusted_certificate_file).
    ///
    /// # Errors
    /// If there is no home folder, or the host is no name of a file.
    pub fn deciding_certificate_file(&self) -> Result<Option<PathBuf>, TrustError> {
        match &self.certificate_file {
            Some(file) => Ok(file.exists().then(|| file.clone())),
            None => Ok(Places::new(self.home.as_ref(), &self.host, self.port)?.existing()),
        }
    }

    /// Returns the file for the certificate of the manager at this host and port. A first use saves
    /// it there.
    ///
    /// ```
    /// use labwire_device::{ConnectOptions, Home};
    ///
    /// let options = ConnectOptions::new().host("lab-pc").home(Home::at("/lab"));
    /// let file = options.trusted_certificate_file()?;
    /// assert_eq!(file.to_str(), Some("/lab/certs/lab-pc_1875.crt"));
    /// assert_eq!(options.deciding_certificate_file()?, None);
    /// # Ok::<(), labwire_device::TrustError>(())
    /// ```
    ///
    /// # Errors
    /// If there is no home folder, or the host is no name of a file.
    pub fn trusted_certificate_file(&self) -> Result<PathBuf, TrustError> {
        Ok(Places::new(self.home.as_ref(), &self.host, self.port)?.own)
    }
}
