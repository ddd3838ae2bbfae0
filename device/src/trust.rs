//! Whom a device believes to be the manager.
//!
//! Managers have self-signed certificates. A device trusts the one that it saved when it met the manager for the
//! first time, or the ones in a file that it was given, and what those issued.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use labwire_home::{Home, HomeError, create_private_file, create_private_folder, fingerprint_sha256};
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, DigitallySignedStruct, RootCertStore, SignatureScheme};
use thiserror::Error;
use x509_parser::prelude::{FromDer, X509Certificate};

/// The certificate of a manager that was never met before; [`FirstUse`](crate::FirstUse) has an example.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownCertificate {
    /// The manager's host, as it was asked for.
    pub host: String,
    /// The certificate's SHA-256 fingerprint, in lower-case hexadecimal with colons. The manager tells its own when
    /// it starts; they must be equal.
    pub fingerprint: String,
}

/// The manager is not trusted.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum TrustError {
    /// The manager was never met before, and nobody said that it can be trusted.
    #[error(
        "the certificate of {host} is not known, its SHA-256 fingerprint is {fingerprint}; compare it with the one \
         that the manager tells when it starts, then save the certificate as {} or let the first use save it",
        file.display()
    )]
    Unknown {
        /// The manager's host.
        host: String,
        /// The certificate's SHA-256 fingerprint.
        fingerprint: String,
        /// Where the certificate belongs.
        file: PathBuf,
    },
    /// The manager has another certificate than the one that was saved or given.
    #[error(
        "the manager's certificate has changed: trusted is {trusted}, presented was {presented} (SHA-256). Somebody \
         may be between you and the manager. If the manager has a new certificate, delete {} and connect again",
        file.display()
    )]
    Changed {
        /// The SHA-256 fingerprint of the certificate that is trusted.
        trusted: String,
        /// The SHA-256 fingerprint of the certificate that the manager presented.
        presented: String,
        /// The file that holds the trusted certificate.
        file: PathBuf,
    },
    /// The certificate is the right one, but not for this host.
    #[error(
        "the manager's certificate is not for '{host}'; use a name that it holds, or turn the check of the host \
         name off if you trust the connection"
    )]
    OtherHost {
        /// The host, as it was asked for.
        host: String,
    },
    /// The certificate is not valid now.
    #[error(
        "the manager's certificate is not valid at this time ({from} to {until}); make a new one with `labwire \
         certgen`, or set this computer's clock"
    )]
    NotValidNow {
        /// When it begins to be valid.
        from: String,
        /// When it ends to be valid.
        until: String,
    },
    /// Something else is wrong with the certificate.
    #[error("the manager's certificate cannot be used: {0}")]
    Unusable(String),
    /// The file with the trusted certificate cannot be read or written.
    #[error("the certificate file {}: {reason}", file.display())]
    File {
        /// The file.
        file: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// There is no folder to save certificates in.
    #[error("{0}")]
    Home(String),
}

impl From<HomeError> for TrustError {
    fn from(error: HomeError) -> Self {
        Self::Home(error.to_string())
    }
}

/// The certificates that are trusted, and the file that they came from.
#[derive(Debug)]
pub(crate) struct Trusted {
    file: PathBuf,
    certificates: Vec<CertificateDer<'static>>,
}

impl Trusted {
    /// Reads the certificates in a PEM file; `None` when there is no such file.
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

    /// Saves a certificate that was met for the first time. Who was faster is not overwritten.
    pub(crate) fn save(file: &Path, certificate: &CertificateDer<'_>) -> Result<(), TrustError> {
        let text = pem::encode(&pem::Pem::new("CERTIFICATE", certificate.as_ref()));
        let written = || {
            create_private_folder(file.parent().unwrap_or(Path::new("")))?;
            create_private_file(file)?.write_all(text.as_bytes())
        };
        match written() {
            Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => Err(TrustError::File {
                file: file.to_owned(),
                reason: error.to_string(),
            }),
            _ => Ok(()),
        }
    }
}

/// Where the certificate of a host is saved.
pub(crate) fn saved_file(home: Option<&Home>, host: &str) -> Result<PathBuf, TrustError> {
    if host.contains('/') || host == ".." {
        return Err(TrustError::Home(format!("'{host}' is no host name")));
    }
    Ok(match home {
        Some(home) => home.certificate_file_for(host),
        None => Home::resolve()?.certificate_file_for(host),
    })
}

/// Accepts the trusted certificates, and what they issued.
#[derive(Debug)]
pub(crate) struct Verifier {
    trusted: Trusted,
    /// For certificates that the trusted ones issued; `None` where none of those can issue any.
    issued: Option<Arc<WebPkiServerVerifier>>,
    host: String,
    check_hostname: bool,
    provider: Arc<CryptoProvider>,
}

impl Verifier {
    pub(crate) fn new(
        trusted: Trusted,
        host: &str,
        check_hostname: bool,
        provider: Arc<CryptoProvider>,
    ) -> Self {
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(trusted.certificates.iter().cloned());
        let issued = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider))
            .build()
            .ok();
        Self {
            trusted,
            issued,
            host: host.to_owned(),
            check_hostname,
            provider,
        }
    }

    /// The certificate itself is trusted: it must be for this host, and valid now.
    fn check_known(
        &self,
        certificate: &CertificateDer<'_>,
        name: &ServerName<'_>,
        now: UnixTime,
    ) -> Result<(), TrustError> {
        let (_, parsed) = X509Certificate::from_der(certificate)
            .map_err(|error| TrustError::Unusable(error.to_string()))?;
        let validity = parsed.validity();
        let now = i64::try_from(now.as_secs()).unwrap_or(i64::MAX);
        if now < validity.not_before.timestamp() || now > validity.not_after.timestamp() {
            return Err(TrustError::NotValidNow {
                from: validity.not_before.to_string(),
                until: validity.not_after.to_string(),
            });
        }
        if self.check_hostname {
            let certificate = ParsedCertificate::try_from(certificate)
                .map_err(|error| TrustError::Unusable(error.to_string()))?;
            rustls::client::verify_server_name(&certificate, name).map_err(|_| TrustError::OtherHost {
                host: self.host.clone(),
            })?;
        }
        Ok(())
    }

    fn changed(&self, presented: &CertificateDer<'_>) -> TrustError {
        TrustError::Changed {
            trusted: fingerprint_sha256(&self.trusted.certificates[0]),
            presented: fingerprint_sha256(presented),
            file: self.trusted.file.clone(),
        }
    }

    /// The certificate may be one that a trusted one issued.
    fn check_issued(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        now: UnixTime,
    ) -> Result<(), TrustError> {
        let Some(issued) = &self.issued else {
            return Err(self.changed(certificate));
        };
        let error = match issued.verify_server_cert(certificate, intermediates, name, &[], now) {
            Ok(_) => return Ok(()),
            Err(rustls::Error::InvalidCertificate(error)) => error,
            Err(error) => return Err(TrustError::Unusable(error.to_string())),
        };
        match error {
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                if self.check_hostname {
                    return Err(TrustError::OtherHost {
                        host: self.host.clone(),
                    });
                }
                Ok(())
            }
            CertificateError::UnknownIssuer | CertificateError::BadSignature => {
                Err(self.changed(certificate))
            }
            CertificateError::Other(other) if other.to_string().contains("CaUsedAsEndEntity") => {
                Err(self.changed(certificate))
            }
            other => Err(TrustError::Unusable(other.to_string())),
        }
    }
}

/// Carries a trust error through the TLS library.
fn through_tls(error: TrustError) -> rustls::Error {
    rustls::Error::InvalidCertificate(CertificateError::Other(rustls::OtherError(Arc::new(error))))
}

/// The trust error that a failed TLS handshake carries, if that was the reason.
pub(crate) fn trust_error(error: &std::io::Error) -> Option<TrustError> {
    match error.get_ref()?.downcast_ref::<rustls::Error>()? {
        rustls::Error::InvalidCertificate(CertificateError::Other(other)) => other.0.downcast_ref().cloned(),
        rustls::Error::InvalidCertificate(error) => Some(TrustError::Unusable(error.to_string())),
        _ => None,
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let checked = if self.trusted.certificates.contains(end_entity) {
            self.check_known(end_entity, server_name, now)
        } else {
            self.check_issued(end_entity, intermediates, server_name, now)
        };
        checked.map_err(through_tls)?;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(
            message,
            certificate,
            signature,
            &self.provider.signature_verification_algorithms,
        )
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(
            message,
            certificate,
            signature,
            &self.provider.signature_verification_algorithms,
        )
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}
