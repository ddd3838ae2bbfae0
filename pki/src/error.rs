//! What can go wrong with keys and certificates, in words that name the file and the remedy.

use std::io;
use std::path::PathBuf;

use crate::kind::{Hash, KeyKind};

/// Why a key or a certificate could not be made, read or used.
///
/// No variant ever carries a password or a part of a private key.
#[derive(Debug, thiserror::Error)]
pub enum PkiError {
    /// There is no file where a private key was expected.
    #[error(
        "the private key '{}' does not exist; name another one with --key-file, or create one with: labwire \
         keygen --out '{}'",
        path.display(), path.display()
    )]
    KeyFileMissing {
        /// Where the key was looked for.
        path: PathBuf,
    },

    /// There is no file where a certificate was expected.
    #[error(
        "the certificate '{}' does not exist; name another one with --cert-file, or create one with: labwire \
         certgen '{}'",
        path.display(), path.display()
    )]
    CertificateFileMissing {
        /// Where the certificate was looked for.
        path: PathBuf,
    },

    /// The operating system did not let a file be read.
    #[error("cannot read '{}': {reason}; correct its permissions, or name another file", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        reason: io::Error,
    },

    /// The operating system did not let a file, or the folder it belongs in, be written.
    #[error("cannot write '{}': {reason}; correct its permissions, or name another file", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        reason: io::Error,
    },

    /// A file exists already and was not to be replaced.
    #[error("'{}' exists already and was left as it is", path.display())]
    FileExists {
        /// The file.
        path: PathBuf,
    },

    /// A certificate was about to be written over something that was not made here.
    #[error(
        "'{}' holds something that labwire did not make, and was left as it is; write the certificate to another file",
        path.display()
    )]
    NotOwn {
        /// The file.
        path: PathBuf,
    },

    /// A certificate was about to be written over a file that holds a private key.
    #[error("'{}' holds a private key, which a certificate must not overwrite; choose another file", path.display())]
    KeyInTheWay {
        /// The file.
        path: PathBuf,
    },

    /// A file holds no private key that could be found.
    #[error(
        "'{}' holds no complete private key in PEM form (a block from '-----BEGIN … PRIVATE KEY-----' to \
         '-----END … PRIVATE KEY-----'); name another file with --key-file; a key in DER form becomes PEM with: openssl pkey -inform der \
         -in KEY -out NEW.pem",
        path.display()
    )]
    NoKeyInFile {
        /// The file.
        path: PathBuf,
    },

    /// A file holds no certificate that could be found.
    #[error(
        "'{}' holds no complete certificate in PEM form (a block from '-----BEGIN CERTIFICATE-----' to \
         '-----END CERTIFICATE-----'); name another file with --cert-file; a certificate in DER form becomes PEM \
         with: openssl x509 -inform der -in CERTIFICATE -out NEW.pem",
        path.display()
    )]
    NoCertificateInFile {
        /// The file.
        path: PathBuf,
    },

    /// A private key is encrypted, and nobody gave its password.
    #[error("the private key in '{}' is encrypted; give its password with --key-file-password (or LABWIRE_KEY_FILE_PASSWORD)", path.display())]
    PasswordNeeded {
        /// The file that holds the key.
        path: PathBuf,
    },

    /// A private key is encrypted with another password.
    #[error(
        "wrong password for the private key in '{}' (or the file is damaged); give the right one with \
         --key-file-password (or LABWIRE_KEY_FILE_PASSWORD)",
        path.display()
    )]
    WrongPassword {
        /// The file that holds the key.
        path: PathBuf,
    },

    /// An empty password would look like protection and be none; OpenSSL does not even ask for it.
    #[error("the password is empty; give one, or leave the option out for a key without a password")]
    EmptyPassword,

    /// A private key is of a kind that no peer could be served with.
    #[error("the private key in '{}' is {what}; {remedy}", path.display())]
    UnsupportedKey {
        /// The file that holds the key.
        path: PathBuf,
        /// What it is, with an article.
        what: String,
        /// What to do about it.
        remedy: &'static str,
    },

    /// A private key is encrypted in a way that is not read here.
    #[error(
        "the private key in '{}' is encrypted with {encryption}, which is not read here; convert it with: openssl \
         pkcs8 -topk8 -v2 aes-256-cbc -in KEY -out NEW.pem",
        path.display()
    )]
    UnsupportedEncryption {
        /// The file that holds the key.
        path: PathBuf,
        /// The name of the encryption, as the file tells it.
        encryption: String,
    },

    /// A private key does not have the structure that its label says, or its numbers do not belong together.
    #[error(
        "the private key in '{}' is damaged; restore the file from a copy, or name another one with --key-file, which \
         you can create with: labwire keygen --out NEW.key",
        path.display()
    )]
    DamagedKey {
        /// The file that holds the key.
        path: PathBuf,
    },

    /// A certificate does not have the structure of one.
    #[error(
        "the certificate in '{}' is damaged; restore the file from a copy, or name another one with --cert-file, which \
         you can create with: labwire certgen NEW.crt",
        path.display()
    )]
    DamagedCertificate {
        /// The file that holds the certificate.
        path: PathBuf,
    },

    /// A certificate was made for another key.
    #[error(
        "the certificate '{}' does not belong to the private key '{}'; name the key that it was made with by --key-file, \
         or make a certificate of this key with: labwire certgen --key-file '{key}' '{certificate}.new', and name it \
         with --cert-file (in a chain the manager's own certificate comes first)",
        certificate.display(), key.display(), key = key.display(), certificate = certificate.display()
    )]
    KeyMismatch {
        /// The file that holds the certificate.
        certificate: PathBuf,
        /// The file that holds the key.
        key: PathBuf,
    },

    /// DSA keys can be made, but no TLS peer of today takes a certificate with one.
    #[error(
        "a DSA key cannot be used: TLS 1.3 has no DSA, and current TLS libraries refuse such certificates in TLS \
         1.2 as well; use 'rsa', 'ecc' or 'ed25519'"
    )]
    DsaRefused,

    /// The name of an elliptic curve that TLS certificates do not use.
    #[error(
        "'{name}' is not a curve that TLS certificates use; the curves are secp256r1, secp384r1 and secp521r1"
    )]
    UnknownCurve {
        /// The name that was given.
        name: String,
    },

    /// A size that RSA keys are not made in.
    #[error(
        "RSA keys are made with 2048, 3072 or 4096 bits, not {bits}: fewer are not safe, more only make connecting slow"
    )]
    UnknownKeySize {
        /// The size that was asked for.
        bits: u32,
    },

    /// The name of a hash that certificates are not signed with.
    #[error("'{name}' is not a hash to sign a certificate with: {reason}; use SHA256, SHA384 or SHA512")]
    UnknownHash {
        /// The name that was given.
        name: String,
        /// Why it is refused.
        reason: &'static str,
    },

    /// The hash of a certificate's signature is settled by its key, and another one was asked for.
    #[error("{hash} does not fit {} key, whose certificates are signed with {}; leave --algorithm out", with_article(*kind), signed_with(*kind))]
    HashDoesNotFit {
        /// The hash that was asked for.
        hash: Hash,
        /// The kind of the key.
        kind: KeyKind,
    },

    /// A validity that is nothing, or that ends after the year 9999, where the dates of certificates end.
    #[error(
        "a certificate cannot be valid for {years} years; give a number above 0 that ends before the year 10000"
    )]
    ValidityOutOfRange {
        /// The number of years that was asked for.
        years: f64,
    },

    /// The cryptographic library could not do its work, for instance for want of randomness.
    #[error("cannot {action}: the cryptographic library reported a failure; try again")]
    Cryptography {
        /// What was being done, as a verb with its object.
        action: &'static str,
    },
}

fn with_article(kind: KeyKind) -> String {
    match kind {
        KeyKind::Ecc(_) => format!("a {kind}"),
        KeyKind::Rsa { .. } | KeyKind::Ed25519 => format!("an {kind}"),
    }
}

fn signed_with(kind: KeyKind) -> String {
    match kind.signature_hash() {
        Some(hash) => hash.to_string(),
        None => "the hash that is part of the key's own scheme".to_owned(),
    }
}
