//! Private keys: creates, reads and writes them.

use std::fmt;
use std::io;
use std::path::Path;

use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der};
use aws_lc_rs::rsa::{KeyPair as RsaKeyPair, KeySize};
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P384_SHA384_ASN1_SIGNING, ECDSA_P521_SHA512_ASN1_SIGNING,
    EcdsaKeyPair, EcdsaSigningAlgorithm, Ed25519KeyPair,
};
use labwire_home::{Existing, Readers};
use pkcs8::der::zeroize::Zeroizing;
use pkcs8::pkcs5::pbes2;
use pkcs8::{LineEnding, PrivateKeyInfoRef, SecretDocument};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};

use super::decode::{self, Decoded, Failure};
use crate::client_certificate::hexadecimal;
use crate::error::PkiError;
use crate::files;
use crate::kind::{Curve, Hash, KeyKind};

/// The PBKDF2-HMAC-SHA-256 rounds for a key's password: the value of OWASP's password storage cheat
/// sheet since 2023. They take some tenths of a second each time the key is read.
const ROUNDS: u32 = 600_000;

/// A private key, held as PKCS#8 and wiped from memory when dropped.
#[derive(Clone)]
pub struct PrivateKey {
    kind: KeyKind,
    pkcs8: Zeroizing<Vec<u8>>,
}

impl From<Decoded> for PrivateKey {
    fn from(decoded: Decoded) -> Self {
        Self {
            kind: decoded.kind,
            pkcs8: decoded.pkcs8,
        }
    }
}

impl fmt::Debug for PrivateKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("PrivateKey")
            .field("kind", &self.kind)
            .finish_non_exhaustive()
    }
}

/// Creates a new private key. An RSA key of 4096 bits can take seconds.
///
/// # Errors
/// [`PkiError::UnknownKeySize`] for RSA keys of other than 2048, 3072 or 4096 bits, and
/// [`PkiError::Cryptography`] if the system provides no randomness.
pub fn generate_key(kind: KeyKind) -> Result<PrivateKey, PkiError> {
    let failed = |_| PkiError::Cryptography {
        action: "generate a private key",
    };
    let pkcs8 = match kind {
        KeyKind::Rsa { bits } => {
            let pair = RsaKeyPair::generate(rsa_size(bits)?).map_err(failed)?;
            let document: Pkcs8V1Der<'_> = pair.as_der().map_err(failed)?;
            document.as_ref().to_vec()
        }
        KeyKind::Ecc(curve) => {
            let pair = EcdsaKeyPair::generate(ecdsa_algorithm(curve)).map_err(failed)?;
            pair.to_pkcs8v1().map_err(failed)?.as_ref().to_vec()
        }
        KeyKind::Ed25519 => {
            // Version 1 of PKCS#8: OpenSSL before 3.2 does not read version 2.
            let pair = Ed25519KeyPair::generate().map_err(failed)?;
            pair.to_pkcs8v1().map_err(failed)?.as_ref().to_vec()
        }
    };
    Ok(PrivateKey {
        kind,
        pkcs8: Zeroizing::new(pkcs8),
    })
}

fn rsa_size(bits: u32) -> Result<KeySize, PkiError> {
    match bits {
        2048 => Ok(KeySize::Rsa2048),
        3072 => Ok(KeySize::Rsa3072),
        4096 => Ok(KeySize::Rsa4096),
        _ => Err(PkiError::UnknownKeySize { bits }),
    }
}

/// Returns the signature algorithm for a curve, with the hash that TLS 1.3 assigns to it.
pub(crate) fn ecdsa_algorithm(curve: Curve) -> &'static EcdsaSigningAlgorithm {
    match curve {
        Curve::Secp256r1 => &ECDSA_P256_SHA256_ASN1_SIGNING,
        Curve::Secp384r1 => &ECDSA_P384_SHA384_ASN1_SIGNING,
        Curve::Secp521r1 => &ECDSA_P521_SHA512_ASN1_SIGNING,
    }
}

impl PrivateKey {
    /// Returns the kind of the key.
    pub fn kind(&self) -> KeyKind {
        self.kind
    }

    /// Reads the first private key of a PEM file, which may also contain certificates.
    ///
    /// Supports PKCS#1, SEC1 and PKCS#8, plain or with the encryption of PKCS#8 (PBES2), and PKCS#1
    /// and SEC1 also with OpenSSL's traditional encryption (AES-128, AES-192 or AES-256 in CBC
    /// mode, or triple DES). A password for a plain key is ignored.
    ///
    /// # Errors
    /// [`PkiError::KeyFileMissing`], [`PkiError::Read`], [`PkiError::NoKeyInFile`],
    /// [`PkiError::PasswordNeeded`], [`PkiError::WrongPassword`], [`PkiError::UnsupportedKey`],
    /// [`PkiError::UnsupportedEncryption`] or [`PkiError::DamagedKey`].
    pub fn load(path: &Path, password: Option<&str>) -> Result<Self, PkiError> {
        Self::read(path, |contents| Self::from_pem(contents, password))
    }

    /// Reads a key as [`PrivateKey::load`] does, without verifying an RSA key. For callers that
    /// pass it to the cryptographic library next, which verifies it.
    pub(crate) fn load_unchecked(path: &Path, password: Option<&str>) -> Result<Self, PkiError> {
        let decode = |contents: &[u8]| decode::private_key(contents, password.map(str::as_bytes));
        Self::read(path, |contents| decode(contents).map(Self::from))
    }

    fn read(path: &Path, decode: impl FnOnce(&[u8]) -> Result<Self, Failure>) -> Result<Self, PkiError> {
        let contents = files::read(path).map_err(|reason| match reason.kind() {
            io::ErrorKind::NotFound => PkiError::KeyFileMissing {
                path: path.to_owned(),
            },
            _ => PkiError::Read {
                path: path.to_owned(),
                reason,
            },
        })?;
        decode(&contents).map_err(|failure| in_file(failure, path))
    }

    pub(crate) fn from_pem(contents: &[u8], password: Option<&str>) -> Result<Self, Failure> {
        let decoded = decode::private_key(contents, password.map(str::as_bytes))?;
        decoded.checked().map(Self::from)
    }

    /// Returns the key as PKCS#8 in PEM form. With a password it is encrypted (PBES2: PBKDF2 with
    /// HMAC-SHA-256 and 600,000 rounds, AES-256 in CBC mode), in a form that OpenSSL and Python's
    /// `cryptography` support.
    ///
    /// # Errors
    /// [`PkiError::EmptyPassword`], or [`PkiError::Cryptography`] if the system provides no
    /// randomness.
    pub fn to_pem(&self, password: Option<&str>) -> Result<Zeroizing<String>, PkiError> {
        self.to_pem_after(ROUNDS, password)
    }

    pub(crate) fn to_pem_after(
        &self,
        rounds: u32,
        password: Option<&str>,
    ) -> Result<Zeroizing<String>, PkiError> {
        let failed = || PkiError::Cryptography {
            action: "encode a private key",
        };
        let (label, document) = match password {
            None => {
                let document = SecretDocument::try_from(self.pkcs8.as_slice()).map_err(|_| failed())?;
                ("PRIVATE KEY", document)
            }
            Some("") => return Err(PkiError::EmptyPassword),
            Some(password) => {
                let (mut salt, mut iv) = ([0; 16], [0; 16]);
                aws_lc_rs::rand::fill(&mut salt).map_err(|_| failed())?;
                aws_lc_rs::rand::fill(&mut iv).map_err(|_| failed())?;
                let parameters = pbes2::Parameters::generate_pbkdf2_sha256_aes256cbc(rounds, &salt, iv)
                    .map_err(|_| failed())?;
                let info = PrivateKeyInfoRef::try_from(self.pkcs8.as_slice()).map_err(|_| failed())?;
                let document = info
                    .encrypt_with_params(parameters, password)
                    .map_err(|_| failed())?;
                ("ENCRYPTED PRIVATE KEY", document)
            }
        };
        document.to_pem(label, LineEnding::LF).map_err(|_| failed())
    }

    /// Writes the key as [`PrivateKey::to_pem`] encodes it, and replaces any existing file.
    ///
    /// The file has mode 0600 from the start and is written as a whole. Missing folders are created
    /// with mode 0700.
    ///
    /// # Errors
    /// Those of [`PrivateKey::to_pem`], and [`PkiError::Write`].
    pub fn write_to(&self, path: &Path, password: Option<&str>) -> Result<(), PkiError> {
        files::write(
            path,
            self.to_pem(password)?.as_bytes(),
            Readers::Owner,
            Existing::Replace,
        )
    }

    /// Writes the key as [`PrivateKey::write_to`] does, unless the file exists. If several programs
    /// do so at once, one succeeds.
    ///
    /// # Errors
    /// Those of [`PrivateKey::to_pem`], [`PkiError::Write`] and [`PkiError::FileExists`].
    pub fn write_new(&self, path: &Path, password: Option<&str>) -> Result<(), PkiError> {
        files::write(
            path,
            self.to_pem(password)?.as_bytes(),
            Readers::Owner,
            Existing::Keep,
        )
    }

    /// Returns the key in the form for rustls.
    pub(crate) fn to_der(&self) -> PrivateKeyDer<'static> {
        PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(self.pkcs8.to_vec()))
    }

    /// Returns the key in the form that signs certificates with this hash, which must fit it.
    pub(crate) fn signing_pair(&self, hash: Option<Hash>) -> Result<rcgen::KeyPair, PkiError> {
        let algorithm = match (self.kind, hash) {
            (KeyKind::Rsa { .. }, Some(Hash::Sha384)) => &rcgen::PKCS_RSA_SHA384,
            (KeyKind::Rsa { .. }, Some(Hash::Sha512)) => &rcgen::PKCS_RSA_SHA512,
            (KeyKind::Rsa { .. }, _) => &rcgen::PKCS_RSA_SHA256,
            (KeyKind::Ecc(Curve::Secp256r1), _) => &rcgen::PKCS_ECDSA_P256_SHA256,
            (KeyKind::Ecc(Curve::Secp384r1), _) => &rcgen::PKCS_ECDSA_P384_SHA384,
            (KeyKind::Ecc(Curve::Secp521r1), _) => &rcgen::PKCS_ECDSA_P521_SHA512,
            (KeyKind::Ed25519, _) => &rcgen::PKCS_ED25519,
        };
        rcgen::KeyPair::from_pkcs8_der_and_sign_algo(
            &PrivatePkcs8KeyDer::from(self.pkcs8.as_slice()),
            algorithm,
        )
        .map_err(|_| PkiError::Cryptography {
            action: "use the private key",
        })
    }

    /// Returns up to eight hexadecimal digits of a digest of the public half, by which people tell keys apart.
    ///
    /// # Errors
    /// [`PkiError::Cryptography`].
    pub fn short_id(&self) -> Result<String, PkiError> {
        let pair = self.signing_pair(None)?;
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, pair.public_key_raw());
        Ok(hexadecimal(&digest.as_ref()[..4]))
    }

    /// Returns the public half, as the bits of a certificate's `subjectPublicKey`.
    #[cfg(any(test, feature = "fuzzing"))]
    pub(crate) fn public_key_bits(&self) -> Result<Vec<u8>, PkiError> {
        Ok(self.signing_pair(None)?.public_key_raw().to_vec())
    }
}

/// Reads the private key of a file, or creates one of the default kind if the file does not exist.
///
/// The boolean is `true` if the key was created. A created key is encrypted if a password is given.
///
/// # Errors
/// Those of [`PrivateKey::load`] (except the missing file) and of [`PrivateKey::write_new`].
pub fn load_or_create_key(path: &Path, password: Option<&str>) -> Result<(PrivateKey, bool), PkiError> {
    match PrivateKey::load(path, password) {
        Err(PkiError::KeyFileMissing { .. }) => {}
        other => return other.map(|key| (key, false)),
    }
    let key = generate_key(KeyKind::DEFAULT)?;
    match key.write_new(path, password) {
        Ok(()) => Ok((key, true)),
        // Another program was faster: use its key.
        Err(PkiError::FileExists { .. }) => PrivateKey::load(path, password).map(|key| (key, false)),
        Err(error) => Err(error),
    }
}

/// Returns whether a file contains a private key of any kind, readable or not.
pub(crate) fn is_in(contents: &[u8]) -> bool {
    String::from_utf8_lossy(contents).contains("PRIVATE KEY-----")
}

fn in_file(failure: Failure, path: &Path) -> PkiError {
    let path = path.to_owned();
    match failure {
        Failure::NoKey => PkiError::NoKeyInFile { path },
        Failure::PasswordNeeded => PkiError::PasswordNeeded { path },
        Failure::WrongPassword => PkiError::WrongPassword { path },
        Failure::UnsupportedEncryption(encryption) => PkiError::UnsupportedEncryption { path, encryption },
        Failure::Unsupported { what, remedy } => PkiError::UnsupportedKey { path, what, remedy },
        Failure::Damaged => PkiError::DamagedKey { path },
    }
}
