//! The TLS configuration of the manager.

use std::path::Path;
use std::sync::{Arc, OnceLock, PoisonError, RwLock};
use std::time::{SystemTime, UNIX_EPOCH};

use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{ClientHello, ProducesTickets, ResolvesServerCert, WebPkiClientVerifier};
use rustls::sign::CertifiedKey;
use rustls::time_provider::TimeProvider;
use x509_parser::prelude::{FromDer, SubjectPublicKeyInfo, X509Certificate};

use crate::certificate::load_chain;
use crate::client_trust::ClientTrust;
use crate::error::PkiError;
use crate::key::PrivateKey;

/// Reads a certificate, with its chain, and the private key that belongs to it.
///
/// Without a file for the key, the key is read from the certificate's file.
///
/// # Errors
/// Those of [`load_chain`] and [`PrivateKey::load`], [`PkiError::DamagedCertificate`], and
/// [`PkiError::KeyMismatch`] if the first certificate belongs to another key.
pub fn load_certified_key(
    certificate_file: &Path,
    key_file: Option<&Path>,
    password: Option<&str>,
) -> Result<Arc<CertifiedKey>, PkiError> {
    let key_file = key_file.unwrap_or(certificate_file);
    let chain = load_chain(certificate_file)?;
    let key = PrivateKey::load_unchecked(key_file, password)?;
    let public_keys: Option<Vec<_>> = chain.iter().map(public_key_bits).collect();
    let public_keys = public_keys.ok_or_else(|| PkiError::DamagedCertificate {
        path: certificate_file.to_owned(),
    })?;
    // The library verifies an RSA key each time it reads one, which is slow, so it reads this one
    // only once. If it refuses the key, the decoder determines the error.
    let certified = match certify(chain, &key) {
        Ok(certified) => certified,
        Err(error) => return Err(PrivateKey::load(key_file, password).err().unwrap_or(error)),
    };
    let own_key = certified.key.public_key();
    let own_key = own_key.as_ref().and_then(|key| key_bits(key));
    if own_key.is_none() || public_keys.first() != own_key.as_ref() {
        return Err(PkiError::KeyMismatch {
            certificate: certificate_file.to_owned(),
            key: key_file.to_owned(),
        });
    }
    Ok(certified)
}

/// Returns the key bits of a `SubjectPublicKeyInfo`.
fn key_bits(info: &[u8]) -> Option<Vec<u8>> {
    let (_, info) = SubjectPublicKeyInfo::from_der(info).ok()?;
    Some(info.subject_public_key.data.to_vec())
}

/// Combines a chain and its key for the TLS library, without comparing them.
pub(crate) fn certify(
    chain: Vec<CertificateDer<'static>>,
    key: &PrivateKey,
) -> Result<Arc<CertifiedKey>, PkiError> {
    let signing_key =
        aws_lc_rs::sign::any_supported_type(&key.to_der()).map_err(|_| PkiError::Cryptography {
            action: "use the private key for TLS",
        })?;
    Ok(Arc::new(CertifiedKey::new(chain, signing_key)))
}

/// Returns the public key of a certificate. Parses all of it, so that a certificate which no client
/// could read is not served.
pub(crate) fn public_key_bits(certificate: &CertificateDer<'_>) -> Option<Vec<u8>> {
    let (rest, certificate) = X509Certificate::from_der(certificate).ok()?;
    rest.is_empty()
        .then(|| certificate.public_key().subject_public_key.data.to_vec())
}

/// Creates the manager's TLS configuration: versions 1.2 and 1.3, without client certificates. A
/// session can be resumed for some hours with a ticket, so a crowd of returning clients needs no
/// signatures and no memory of earlier sessions. The cryptography is always that of aws-lc-rs,
/// regardless of the process's default.
///
/// # Panics
/// Never: the cryptography of aws-lc-rs has cipher suites for both versions.
pub fn server_config(resolver: Arc<dyn ResolvesServerCert>) -> Arc<ServerConfig> {
    config(resolver, WebPkiClientVerifier::no_client_auth())
}

/// Creates a TLS configuration as [`server_config`] does, which also asks each client for a certificate.
/// Clients without one are served.
///
/// A session that is resumed has the certificate of its first handshake, which is not verified again:
/// the caller must [check](ClientTrust::check) it.
///
/// # Panics
/// Never: see [`server_config`].
pub fn server_config_with_clients(
    resolver: Arc<dyn ResolvesServerCert>,
    clients: Arc<ClientTrust>,
) -> Arc<ServerConfig> {
    config(resolver, clients)
}

fn config(resolver: Arc<dyn ResolvesServerCert>, clients: Arc<dyn ClientCertVerifier>) -> Arc<ServerConfig> {
    let mut config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
        .expect("the provider has cipher suites for both versions")
        .with_client_cert_verifier(clients)
        .with_cert_resolver(resolver);
    config.time_provider = Arc::new(Clock);
    config.ticketer = Arc::new(LateTicketer::default());
    Arc::new(config)
}

/// Encrypts the tickets of sessions, with a key that is made at the first handshake. The first random numbers of
/// aws-lc-rs take up to 25 ms, for which the start of a manager need not wait.
#[derive(Debug, Default)]
struct LateTicketer(OnceLock<Option<Arc<dyn ProducesTickets>>>);

impl LateTicketer {
    /// Returns the actual ticketer; `None` if there are no random numbers for its key, or no time since 1970, before
    /// which it fails. Then there are no tickets, which is harmless.
    fn get(&self) -> Option<&dyn ProducesTickets> {
        let make = || {
            let has_begun = SystemTime::now() >= UNIX_EPOCH;
            has_begun.then(aws_lc_rs::Ticketer::new)?.ok()
        };
        self.0.get_or_init(make).as_deref()
    }
}

impl ProducesTickets for LateTicketer {
    fn enabled(&self) -> bool {
        self.get().is_some_and(ProducesTickets::enabled)
    }

    fn lifetime(&self) -> u32 {
        self.get().map_or(0, ProducesTickets::lifetime)
    }

    fn encrypt(&self, plain: &[u8]) -> Option<Vec<u8>> {
        self.get()?.encrypt(plain)
    }

    fn decrypt(&self, cipher: &[u8]) -> Option<Vec<u8>> {
        self.get()?.decrypt(cipher)
    }
}

/// The computer's clock for the TLS library, which supports no time before 1970.
#[derive(Debug)]
struct Clock;

impl TimeProvider for Clock {
    fn current_time(&self) -> Option<UnixTime> {
        let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH);
        Some(UnixTime::since_unix_epoch(since_1970.unwrap_or_default()))
    }
}

/// A certificate that can be replaced while the manager runs. Existing connections are not
/// affected; the next handshake uses the new one.
#[derive(Debug)]
pub struct ReloadableCertificate {
    current: RwLock<Arc<CertifiedKey>>,
}

impl ReloadableCertificate {
    /// Creates it with a first certificate.
    pub fn new(certificate: Arc<CertifiedKey>) -> Self {
        Self {
            current: RwLock::new(certificate),
        }
    }

    /// Returns the certificate for the next handshake.
    pub fn current(&self) -> Arc<CertifiedKey> {
        Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Replaces the certificate for new handshakes.
    pub fn replace(&self, certificate: Arc<CertifiedKey>) {
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = certificate;
    }
}

impl ResolvesServerCert for ReloadableCertificate {
    fn resolve(&self, _client_hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.current())
    }
}
