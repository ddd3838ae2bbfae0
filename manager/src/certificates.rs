//! The certificates of peers: whose they are, and whether they are still accepted.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use labwire_wire::check_name;
use rustls::pki_types::CertificateDer;
use rustls::{CertificateError, HandshakeKind, ServerConnection};

/// Decides about the certificates of peers. The TLS configuration of [`Settings`](crate::Settings) must
/// verify them in the same way: a certificate gets here only after a handshake that has accepted it.
pub trait PeerCertificates: Send + Sync {
    /// Returns a number that grows whenever certificates that were accepted may not be any more.
    fn version(&self) -> u64;

    /// Returns whose certificate it is, if the certificate can be read.
    fn describe(&self, certificate: &CertificateDer<'_>) -> Option<CertificateHolder>;

    /// Verifies the certificates of a peer that returns to an earlier TLS session, its own first, as in
    /// a handshake. May block for some milliseconds.
    ///
    /// # Errors
    /// Why they are not accepted any more.
    fn verify(&self, chain: &[CertificateDer<'_>]) -> Result<(), CertificateError>;

    /// Checks again the certificates of a peer that is connected, its own first. May block for some
    /// milliseconds.
    ///
    /// # Errors
    /// Why they are not accepted any more.
    fn check(&self, chain: &[CertificateDer<'_>]) -> Result<(), CertificateError>;
}

/// Whose certificate it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateHolder {
    /// The name of the user, or why the certificate is for no user.
    pub user: Result<String, String>,
    /// The serial number, in hexadecimal.
    pub serial: String,
    /// The end of its validity, in seconds since 1970.
    pub valid_until: i64,
}

/// Why a certificate that was accepted is not accepted any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CertificateEnd {
    /// It has expired.
    Expired,
    /// It was revoked.
    Revoked,
    /// Its authority is not accepted any more, or something else is wrong.
    Refused,
}

impl fmt::Display for CertificateEnd {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Expired => "the client certificate has expired",
            Self::Revoked => "the client certificate was revoked",
            Self::Refused => "the client certificate is not accepted any more",
        })
    }
}

/// The certificate that a peer has presented, and which the TLS handshake has accepted.
pub(crate) struct PeerCertificate {
    chain: Vec<CertificateDer<'static>>,
    /// The name of the user, or why the certificate is for no user.
    user: Result<Arc<str>, String>,
    serial: String,
    valid_until: i64,
    /// The version of [`PeerCertificates`] by which it was checked last.
    checked: AtomicU64,
    end: OnceLock<CertificateEnd>,
}

impl PeerCertificate {
    /// Returns the certificate that a peer has presented, if it has. A session that was resumed is
    /// checked here, since TLS does not verify its certificate again. Takes up to some milliseconds if
    /// there is a certificate.
    pub(crate) fn of(
        connection: &ServerConnection,
        judge: &dyn PeerCertificates,
        before: u64,
    ) -> Option<Self> {
        let chain = connection.peer_certificates().filter(|chain| !chain.is_empty())?;
        let holder = judge.describe(&chain[0]);
        let (user, serial, valid_until) = match holder {
            Some(holder) => (holder.user, holder.serial, holder.valid_until),
            None => (Err("it is damaged".to_owned()), String::new(), 0),
        };
        let user = user.and_then(|user| match check_name(&user) {
            Ok(()) => Ok(user.into()),
            Err(error) => Err(error.to_string()),
        });
        let certificate = Self {
            user,
            serial,
            valid_until,
            chain: chain.iter().map(|der| der.clone().into_owned()).collect(),
            checked: AtomicU64::new(before),
            end: OnceLock::new(),
        };
        if connection.handshake_kind() == Some(HandshakeKind::Resumed) || judge.version() != before {
            // Read before the check: a change meanwhile leads to another check.
            let version = judge.version();
            certificate.note(version, judge.verify(&certificate.chain));
        }
        Some(certificate)
    }

    /// Returns the name of the user, or why the certificate is for no user.
    pub(crate) fn user(&self) -> Result<&Arc<str>, &str> {
        self.user.as_ref().map_err(String::as_str)
    }

    pub(crate) fn serial(&self) -> &str {
        &self.serial
    }

    /// Returns why it is not accepted any more at `now`, in seconds since 1970.
    pub(crate) fn end(&self, now: i64) -> Option<CertificateEnd> {
        let has_expired = (now > self.valid_until).then_some(CertificateEnd::Expired);
        self.end.get().copied().or(has_expired)
    }

    /// Returns whether it was checked before this version of [`PeerCertificates`].
    pub(crate) fn is_stale(&self, version: u64) -> bool {
        self.checked.load(Ordering::Relaxed) < version
    }

    /// Checks it again. Blocks for some milliseconds.
    pub(crate) fn check(&self, judge: &dyn PeerCertificates) {
        let version = judge.version();
        self.note(version, judge.check(&self.chain));
    }

    fn note(&self, version: u64, verdict: Result<(), CertificateError>) {
        if let Err(error) = verdict {
            let end = match error {
                CertificateError::Revoked => CertificateEnd::Revoked,
                CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
                    CertificateEnd::Expired
                }
                _ => CertificateEnd::Refused,
            };
            // Only the first reason counts.
            let _ = self.end.set(end);
        }
        self.checked.store(version, Ordering::Relaxed);
    }
}

impl fmt::Debug for PeerCertificate {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("PeerCertificate")
            .field("user", &self.user)
            .field("serial", &self.serial)
            .finish_non_exhaustive()
    }
}

impl PartialEq for PeerCertificate {
    fn eq(&self, other: &Self) -> bool {
        self.chain == other.chain
    }
}

impl Eq for PeerCertificate {}

/// Returns why a TLS handshake has failed, if it has because of the peer's certificate.
pub(crate) fn refused_certificate(error: &std::io::Error) -> Option<String> {
    use CertificateError as E;

    let error = error.get_ref()?.downcast_ref::<rustls::Error>()?;
    let rustls::Error::InvalidCertificate(reason) = error else {
        return None;
    };
    Some(match reason {
        E::Revoked => "it was revoked".to_owned(),
        E::Expired | E::ExpiredContext { .. } => "it has expired".to_owned(),
        E::NotValidYet | E::NotValidYetContext { .. } => "it is not valid yet".to_owned(),
        E::UnknownIssuer => "its issuer is none of the authorities in --client-ca".to_owned(),
        E::BadSignature => "it was not signed by its issuer, or the peer does not have its key".to_owned(),
        E::InvalidPurpose | E::InvalidPurposeContext { .. } => {
            "it is not for TLS clients (extended key usage)".to_owned()
        }
        E::UnknownRevocationStatus => {
            "no list of revoked certificates in --client-crl is that of its issuer".to_owned()
        }
        E::ExpiredRevocationList | E::ExpiredRevocationListContext { .. } => {
            "the list of revoked certificates of its issuer is overdue, renew it (--client-crl) and send HUP"
                .to_owned()
        }
        E::BadEncoding => "it is damaged".to_owned(),
        E::Other(other) => other.0.to_string(),
        other => other.to_string(),
    })
}
