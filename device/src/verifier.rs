//! Verifies a manager's certificate for TLS.

use std::sync::Arc;
use std::time::SystemTime;

use labwire_home::fingerprint_sha256;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, DigitallySignedStruct, RootCertStore, SignatureScheme};
use x509_parser::prelude::{FromDer, X509Certificate, X509Version};

use crate::trust::{TrustError, Trusted};

/// Verifies a manager's certificate.
#[derive(Debug)]
pub(crate) struct Verifier {
    belief: Belief,
    provider: Arc<CryptoProvider>,
}

#[derive(Debug)]
enum Belief {
    /// Accepts every certificate: no data is exchanged on such a connection.
    ToLookAtIt,
    Trust(Box<Trust>),
}

impl Verifier {
    /// Creates a verifier that accepts the trusted certificates, and those that authorities among them issued.
    pub(crate) fn new(
        trusted: Trusted,
        host: &str,
        check_hostname: bool,
        provider: Arc<CryptoProvider>,
    ) -> Self {
        let trust = Trust::new(trusted, host, check_hostname, &provider);
        Self {
            belief: Belief::Trust(Box::new(trust)),
            provider,
        }
    }

    /// Creates a verifier that accepts every certificate, to fetch it.
    pub(crate) fn to_look_at_it(provider: Arc<CryptoProvider>) -> Self {
        Self {
            belief: Belief::ToLookAtIt,
            provider,
        }
    }

    /// Checks certificates as a handshake would, at this time.
    pub(crate) fn check_now(
        &self,
        host: &str,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
    ) -> Result<(), TrustError> {
        match &self.belief {
            Belief::ToLookAtIt => Ok(()),
            Belief::Trust(trust) => {
                // A clock before 1970 counts as 1970, as in the TLS library.
                let since_1970 = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
                let now = UnixTime::since_unix_epoch(since_1970.unwrap_or_default());
                trust.check(end_entity, intermediates, &server_name(host), now)
            }
        }
    }
}

/// Returns the name for TLS. A host that is no valid name cannot be in a certificate; the verifier
/// decides whether that matters.
pub(crate) fn server_name(host: &str) -> ServerName<'static> {
    ServerName::try_from(host.to_owned())
        .unwrap_or_else(|_| ServerName::try_from("manager.invalid").expect("it is a host name"))
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
        if let Belief::Trust(trust) = &self.belief {
            trust
                .check(end_entity, intermediates, server_name, now)
                .map_err(through_tls)?;
        }
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

/// The trusted certificates, and those that authorities among them issued.
#[derive(Debug)]
struct Trust {
    trusted: Trusted,
    /// For issued certificates; `None` if no trusted certificate can issue any.
    issued: Option<Arc<WebPkiServerVerifier>>,
    host: String,
    check_hostname: bool,
}

impl Trust {
    fn new(trusted: Trusted, host: &str, check_hostname: bool, provider: &Arc<CryptoProvider>) -> Self {
        let mut roots = RootCertStore::empty();
        let authorities = trusted.certificates.iter().filter(|trusted| may_issue(trusted));
        roots.add_parsable_certificates(authorities.cloned());
        let issued = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider))
            .build()
            .ok();
        Self {
            trusted,
            issued,
            host: host.to_owned(),
            check_hostname,
        }
    }

    fn check(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        now: UnixTime,
    ) -> Result<(), TrustError> {
        if self.trusted.certificates.contains(certificate) {
            self.check_known(certificate, name, now)
        } else {
            self.check_issued(certificate, intermediates, name, now)
        }
    }

    /// Checks a trusted certificate: it must be for this host, and valid now.
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

    /// Checks a certificate that a trusted one may have issued.
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
            // An authority's own certificate that is not a trusted one. The library has no specific
            // error for it.
            CertificateError::Other(_) if is_authority(certificate) => Err(self.changed(certificate)),
            other => Err(TrustError::Unusable(other.to_string())),
        }
    }
}

/// Returns whether a trusted certificate may issue others, as OpenSSL decides, and so Python programs. For the TLS
/// library, every trusted certificate may: a manager's own would be the issuer of each later one with the same
/// key and name.
fn may_issue(certificate: &CertificateDer<'_>) -> bool {
    let Ok((_, parsed)) = X509Certificate::from_der(certificate) else {
        return false;
    };
    let (Ok(usage), Ok(constraints)) = (parsed.key_usage(), parsed.basic_constraints()) else {
        return false;
    };
    match (usage, constraints) {
        (Some(usage), _) if !usage.value.key_cert_sign() => false,
        (_, Some(constraints)) => constraints.value.ca,
        // Certificates of version 1 have no extensions.
        (usage, None) => usage.is_some() || parsed.version() == X509Version::V1,
    }
}

/// Returns whether a certificate is marked as an authority's, which TLS does not accept from a
/// server.
fn is_authority(certificate: &CertificateDer<'_>) -> bool {
    let Ok((_, parsed)) = X509Certificate::from_der(certificate) else {
        return false;
    };
    let constraints = parsed.basic_constraints().ok().flatten();
    constraints.is_some_and(|constraints| constraints.value.ca)
}

/// Wraps a trust error in an error of the TLS library.
fn through_tls(error: TrustError) -> rustls::Error {
    rustls::Error::InvalidCertificate(CertificateError::Other(rustls::OtherError(Arc::new(error))))
}

/// Returns the trust error that made a TLS handshake fail, if there is one.
pub(crate) fn trust_error(error: &std::io::Error) -> Option<TrustError> {
    match error.get_ref()?.downcast_ref::<rustls::Error>()? {
        rustls::Error::InvalidCertificate(CertificateError::Other(other)) => other.0.downcast_ref().cloned(),
        rustls::Error::InvalidCertificate(error) => Some(TrustError::Unusable(error.to_string())),
        _ => None,
    }
}
