//! Which certificates of clients a manager accepts: authorities, and lists of revoked certificates.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};
use std::time::Duration;

use labwire_home::present;
use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{VerifierBuilderError, WebPkiClientVerifier};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, OtherError, RootCertStore,
    SignatureScheme,
};
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::describe::printable;
use crate::files;
use crate::revocation_lists::{List, Lists, Newest};

/// The most certificates that a client may present, its own included.
const MOST_CERTIFICATES: usize = 8;

/// The most bytes of certificates that a client may present. The manager keeps them while the client
/// is connected.
const MOST_BYTES: usize = 16 * 1024;

const SECONDS_OF_A_DAY: i64 = 86_400;

/// The number of days before the end of an authority from which a warning is given.
const SOON: i64 = 30;

/// Why the authorities of clients, or the lists of revoked certificates, cannot be used. Each message
/// names the file and the remedy.
#[derive(Debug, thiserror::Error)]
pub enum ClientTrustError {
    /// A file cannot be read.
    #[error("cannot read '{}': {reason}; correct the path or its permissions", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The error of the operating system.
        reason: std::io::Error,
    },
    /// The file of the authorities contains no certificate.
    #[error(
        "'{}' holds no complete certificate in PEM form (a block from '-----BEGIN CERTIFICATE-----' to '-----END \
         CERTIFICATE-----'); labwire certgen --ca makes an authority",
        path.display()
    )]
    NoCertificate {
        /// The file.
        path: PathBuf,
    },
    /// A certificate is damaged.
    #[error("the certificate {number} in '{}' is damaged; restore the file from a copy", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// The position of the certificate, from 1.
        number: usize,
    },
    /// A certificate is not that of an authority.
    #[error(
        "the certificate '{subject}' in '{}' is no authority, so it cannot have issued those of clients; name the \
         certificate of who issues them (labwire certgen --ca makes one)",
        path.display()
    )]
    NoAuthority {
        /// The file.
        path: PathBuf,
        /// The subject of the certificate.
        subject: String,
    },
    /// The file of the lists contains none.
    #[error(
        "'{}' holds no complete list of revoked certificates in PEM form (a block from '-----BEGIN X509 CRL-----' to \
         '-----END X509 CRL-----'); labwire certgen --crl makes one",
        path.display()
    )]
    NoList {
        /// The file.
        path: PathBuf,
    },
    /// A list of revoked certificates cannot be used, or is not signed by its issuer.
    #[error(
        "the list {number} of revoked certificates in '{}' cannot be used: {reason}; lists are of version 2 and tell \
         when the next one comes (with OpenSSL: crl_extensions and a crlnumber)",
        path.display()
    )]
    UnusableList {
        /// The file.
        path: PathBuf,
        /// The position of the list, from 1.
        number: usize,
        /// The reason.
        reason: String,
    },
    /// A list is older than one of the same issuer that was in use since the manager was started.
    #[error(
        "the list of revoked certificates of '{issuer}' in '{}' is older than one that was in use before, so what was \
         revoked since would be accepted again; restore the newest one, or restart the manager to use this one",
        path.display()
    )]
    OlderList {
        /// The file.
        path: PathBuf,
        /// The issuer of the list.
        issuer: String,
    },
    /// The cryptographic library refuses the authorities.
    #[error("the authorities in '{}' cannot be used: {reason}", path.display())]
    Unusable {
        /// The file.
        path: PathBuf,
        /// The reason.
        reason: String,
    },
}

/// The authorities of clients and the lists of revoked certificates, as read from their files.
pub struct ClientAuthorities {
    /// For handshakes: with an overdue list, or without one, no certificate of its authority is accepted.
    admitting: Arc<dyn ClientCertVerifier>,
    /// For clients that are connected: an overdue list still tells what was revoked, and one that is missing revokes
    /// nothing.
    staying: Arc<dyn ClientCertVerifier>,
    authorities: Vec<String>,
    revoked: Option<usize>,
    doubts: Vec<String>,
    /// The lists, and their file.
    lists: Option<(PathBuf, Vec<List>)>,
}

impl fmt::Debug for ClientAuthorities {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("ClientAuthorities")
            .field("authorities", &self.authorities)
            .field("revoked", &self.revoked)
            .finish_non_exhaustive()
    }
}

impl ClientAuthorities {
    /// Reads the certificates of authorities, and the lists of revoked certificates, from PEM files.
    ///
    /// With lists, each authority needs one: a certificate whose revocation cannot be looked up is
    /// refused, and so is one whose list is overdue. A list whose issuer is an authority in the file must be signed
    /// by it. Other lists are those of authorities between, whose keys are known when a client presents them.
    ///
    /// # Errors
    /// See [`ClientTrustError`].
    pub fn load(authorities: &Path, lists: Option<&Path>) -> Result<Self, ClientTrustError> {
        let roots = Roots::read(authorities)?;
        let crls = lists.map(|path| Lists::read(path, &roots)).transpose()?;
        let mut doubts = roots.doubts();
        if let Some(crls) = &crls {
            doubts.extend(crls.doubts(&roots));
        }
        let store = Arc::new(roots.store.clone());
        let der = crls.as_ref().map_or(&[][..], |crls| &crls.der);
        let unusable = |error: VerifierBuilderError| ClientTrustError::Unusable {
            path: authorities.to_owned(),
            reason: error.to_string(),
        };
        if let Some(path) = lists {
            // One by one, for an error that names the list.
            for (index, list) in der.iter().enumerate() {
                let built = verifier(&store, std::slice::from_ref(list), true);
                built.map_err(|error| ClientTrustError::UnusableList {
                    path: path.to_owned(),
                    number: index + 1,
                    reason: error.to_string(),
                })?;
            }
        }
        Ok(Self {
            admitting: verifier(&store, der, true).map_err(unusable)?,
            staying: verifier(&store, der, false).map_err(unusable)?,
            authorities: roots.authorities.into_iter().map(|root| root.name).collect(),
            revoked: crls.as_ref().map(|crls| crls.revoked),
            doubts,
            lists: crls
                .zip(lists)
                .map(|(crls, path)| (path.to_owned(), crls.contents)),
        })
    }

    /// Returns the names of the authorities.
    pub fn authorities(&self) -> &[String] {
        &self.authorities
    }

    /// Returns the number of revoked certificates; `None` without a list.
    pub fn revoked(&self) -> Option<usize> {
        self.revoked
    }

    /// Returns what keeps clients out that should be admitted, now or soon: an authority that has
    /// expired, or a list that is overdue, missing, or signed by another authority of the same name.
    pub fn doubts(&self) -> &[String] {
        &self.doubts
    }
}

/// Creates a verifier. A strict one accepts no certificate without a list that tells whether it was revoked, or by
/// a list that is overdue. Another one refuses what a list revokes, and nothing else for want of one.
fn verifier(
    roots: &Arc<RootCertStore>,
    lists: &[CertificateRevocationListDer<'static>],
    is_strict: bool,
) -> Result<Arc<dyn ClientCertVerifier>, VerifierBuilderError> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let builder = WebPkiClientVerifier::builder_with_provider(Arc::clone(roots), provider)
        .allow_unauthenticated()
        .with_crls(lists.iter().cloned());
    if is_strict {
        builder.enforce_revocation_expiration().build()
    } else {
        builder.allow_unknown_revocation_status().build()
    }
}

/// The certificates of authorities.
pub(crate) struct Roots {
    /// Their file.
    pub(crate) path: PathBuf,
    store: RootCertStore,
    pub(crate) authorities: Vec<Root>,
}

/// An authority.
pub(crate) struct Root {
    pub(crate) name: String,
    /// The subject, and the public key with its algorithm, in DER form.
    pub(crate) subject: Vec<u8>,
    pub(crate) key: Vec<u8>,
    /// The end of the validity, in seconds since 1970.
    end: i64,
}

impl Roots {
    fn read(path: &Path) -> Result<Self, ClientTrustError> {
        let contents = read(path)?;
        let chain = crate::certificate::chain_from_pem(&contents);
        let chain = chain.ok_or_else(|| ClientTrustError::NoCertificate {
            path: path.to_owned(),
        })?;
        let mut roots = Self {
            path: path.to_owned(),
            store: RootCertStore::empty(),
            authorities: Vec::new(),
        };
        for (index, certificate) in chain.into_iter().enumerate() {
            let damaged = || ClientTrustError::Damaged {
                path: path.to_owned(),
                number: index + 1,
            };
            let (_, parsed) = X509Certificate::from_der(&certificate).map_err(|_| damaged())?;
            let name = printable(&parsed.subject().to_string());
            if !parsed.is_ca() {
                return Err(ClientTrustError::NoAuthority {
                    path: path.to_owned(),
                    subject: name,
                });
            }
            roots.authorities.push(Root {
                name,
                subject: parsed.subject().as_raw().to_vec(),
                key: parsed.public_key().raw.to_vec(),
                end: parsed.validity().not_after.timestamp(),
            });
            roots.store.add(certificate).map_err(|_| damaged())?;
        }
        Ok(roots)
    }

    fn doubts(&self) -> Vec<String> {
        let now = present().as_second();
        let doubts = self.authorities.iter().filter_map(|Root { name, end, .. }| {
            let days = (end - now) / SECONDS_OF_A_DAY;
            if *end < now {
                Some(format!(
                    "the authority '{name}' has expired on {}; clients need certificates of another one",
                    day(*end)
                ))
            } else if days < SOON {
                Some(format!(
                    "the authority '{name}' expires on {}, in {days} day(s)",
                    day(*end)
                ))
            } else {
                None
            }
        });
        doubts.collect()
    }
}

pub(crate) fn read(
    path: &Path,
) -> Result<impl AsRef<[u8]> + std::ops::Deref<Target = Vec<u8>>, ClientTrustError> {
    files::read(path).map_err(|reason| ClientTrustError::Read {
        path: path.to_owned(),
        reason,
    })
}

pub(crate) fn day(seconds: i64) -> String {
    let moment = jiff::Timestamp::from_second(seconds).unwrap_or(jiff::Timestamp::MAX);
    moment.strftime("%Y-%m-%d").to_string()
}

/// Decides which certificates of clients are accepted. It can be replaced while the manager runs:
/// the next handshake uses the new authorities and lists.
///
/// A client that presents no certificate is accepted by TLS. The names of the authorities are not
/// sent to clients: strangers need not learn them, and a client has one certificate.
#[derive(Debug)]
pub struct ClientTrust {
    current: RwLock<Current>,
}

/// What is in use.
#[derive(Debug)]
struct Current {
    authorities: Arc<ClientAuthorities>,
    version: u64,
    /// Also of lists that were in use before: one that was left out for some time must not return as an older one.
    newest: Newest,
}

/// The client has presented too many certificates, or too large ones.
#[derive(Debug, thiserror::Error)]
#[error("the chain has more than {MOST_CERTIFICATES} certificates or {MOST_BYTES} bytes")]
struct ChainTooLong;

impl ClientTrust {
    /// Creates it with first authorities. Their lists may be of any age.
    pub fn new(authorities: ClientAuthorities) -> Self {
        let mut newest = Newest::default();
        if let Some((_, lists)) = &authorities.lists {
            newest.remember(lists);
        }
        Self {
            current: RwLock::new(Current {
                authorities: Arc::new(authorities),
                version: 1,
                newest,
            }),
        }
    }

    /// Replaces the authorities and lists. The same lists once more are fine.
    ///
    /// # Errors
    /// [`ClientTrustError::OlderList`] if a list is older than any of its issuer that was in use before, so that what
    /// was revoked would be accepted again. Nothing is replaced then.
    pub fn replace(&self, authorities: ClientAuthorities) -> Result<(), ClientTrustError> {
        let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
        if let Some((path, lists)) = &authorities.lists {
            current.newest.check(path, lists)?;
            current.newest.remember(lists);
        }
        current.authorities = Arc::new(authorities);
        current.version += 1;
        Ok(())
    }

    /// Returns a number that grows when they are replaced.
    pub fn version(&self) -> u64 {
        self.read().version
    }

    /// Verifies the certificates of a client that returns to an earlier TLS session, its own first. The
    /// TLS library does not.
    ///
    /// Takes up to some milliseconds.
    ///
    /// # Errors
    /// Why they are not accepted.
    pub fn verify(&self, chain: &[CertificateDer<'_>]) -> Result<(), CertificateError> {
        check(&*self.current().admitting, chain)
    }

    /// Checks the certificates of a client that is connected, its own first. A list that is overdue or
    /// missing is no reason to refuse them, since they were accepted before.
    ///
    /// Takes up to some milliseconds.
    ///
    /// # Errors
    /// Why they are not accepted any more.
    pub fn check(&self, chain: &[CertificateDer<'_>]) -> Result<(), CertificateError> {
        check(&*self.current().staying, chain)
    }

    fn current(&self) -> Arc<ClientAuthorities> {
        Arc::clone(&self.read().authorities)
    }

    fn read(&self) -> RwLockReadGuard<'_, Current> {
        self.current.read().unwrap_or_else(PoisonError::into_inner)
    }
}

fn check(verifier: &dyn ClientCertVerifier, chain: &[CertificateDer<'_>]) -> Result<(), CertificateError> {
    let (first, others) = chain.split_first().ok_or(CertificateError::BadEncoding)?;
    let seconds = u64::try_from(present().as_second()).unwrap_or_default();
    let now = UnixTime::since_unix_epoch(Duration::from_secs(seconds));
    match verifier.verify_client_cert(first, others, now) {
        Ok(_) => Ok(()),
        Err(Error::InvalidCertificate(reason)) => Err(reason),
        Err(_) => Err(CertificateError::ApplicationVerificationFailure),
    }
}

impl ClientCertVerifier for ClientTrust {
    fn client_auth_mandatory(&self) -> bool {
        false
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let bytes = end_entity.len() + intermediates.iter().map(|der| der.len()).sum::<usize>();
        if bytes > MOST_BYTES || intermediates.len() >= MOST_CERTIFICATES {
            let reason = CertificateError::Other(OtherError(Arc::new(ChainTooLong)));
            return Err(Error::InvalidCertificate(reason));
        }
        let admitting = Arc::clone(&self.current().admitting);
        admitting.verify_client_cert(end_entity, intermediates, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.current()
            .admitting
            .verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.current()
            .admitting
            .verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.current().admitting.supported_verify_schemes()
    }
}
