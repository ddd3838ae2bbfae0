//! Errors with keys and certificates. The messages name the file and the remedy.

use std::io;
use std::path::{Path, PathBuf};

use crate::kind::{Hash, KeyKind};

/// The reason why a key or a certificate could not be created, read or used.
///
/// No variant contains a password or a part of a private key.
#[derive(Debug, thiserror::Error)]
pub enum PkiError {
    /// The file of the private key does not exist.
    #[error(
        "the private key '{}' does not exist; name another one with --key-file, or create one with: labwire \
         keygen --out '{}'",
        path.display(), path.display()
    )]
    KeyFileMissing {
        /// The path of the missing key.
        path: PathBuf,
    },

    /// The default certificate has no private key.
    #[error(
        "there is no private key '{}' for the certificate '{}', which a program may have saved as that of another \
         manager; move it to another name ('{}' if it is a manager's at port 1875) and start again",
        key.display(), certificate.display(), certificate.with_file_name(trusted_name(certificate)).display()
    )]
    NoKeyForCertificate {
        /// The file of the certificate.
        certificate: PathBuf,
        /// The path of the missing key.
        key: PathBuf,
    },

    /// The file of the certificate does not exist.
    #[error(
        "the certificate '{}' does not exist; name another one with --cert-file, or create one with: labwire \
         certgen '{}'",
        path.display(), path.display()
    )]
    CertificateFileMissing {
        /// The path of the missing certificate.
        path: PathBuf,
    },

    /// A file cannot be read.
    #[error("cannot read '{}': {reason}; correct its permissions, or name another file", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The error of the operating system.
        reason: io::Error,
    },

    /// A file or its folder cannot be written.
    #[error("cannot write '{}': {reason}; correct its permissions, or name another file", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// The error of the operating system.
        reason: io::Error,
    },

    /// The file exists already and must not be replaced.
    #[error("'{}' exists already and was left as it is", path.display())]
    FileExists {
        /// The file.
        path: PathBuf,
    },

    /// The certificate would replace a file that was not created by
    /// [`generate_certificate`](crate::generate_certificate).
    #[error(
        "'{}' holds something that labwire did not make, and was left as it is; write the certificate to another file",
        path.display()
    )]
    NotOwn {
        /// The file.
        path: PathBuf,
    },

    /// The certificate would replace a file with a private key.
    #[error("'{}' holds a private key, which a certificate must not overwrite; choose another file", path.display())]
    KeyInTheWay {
        /// The file.
        path: PathBuf,
    },

    /// A file contains no private key.
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

    /// A file contains no certificate.
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

    /// A private key is encrypted, and no password was given.
    #[error("the private key in '{}' is encrypted; give its password with --key-file-password (or LABWIRE_KEY_FILE_PASSWORD)", path.display())]
    PasswordNeeded {
        /// The file with the key.
        path: PathBuf,
    },

    /// The password of a private key is wrong.
    #[error(
        "wrong password for the private key in '{}' (or the file is damaged); give the right one with \
         --key-file-password (or LABWIRE_KEY_FILE_PASSWORD)",
        path.display()
    )]
    WrongPassword {
        /// The file with the key.
        path: PathBuf,
    },

    /// An empty password, which would give no protection; OpenSSL does not even ask for it.
    #[error("the password is empty; give one, or leave the option out for a key without a password")]
    EmptyPassword,

    /// A private key is of a kind that cannot be used for TLS.
    #[error("the private key in '{}' is {what}; {remedy}", path.display())]
    UnsupportedKey {
        /// The file with the key.
        path: PathBuf,
        /// The kind, with an article.
        what: String,
        /// The remedy.
        remedy: &'static str,
    },

    /// A private key is encrypted with an unsupported method.
    #[error(
        "the private key in '{}' is encrypted with {encryption}, which is not read here; convert it with: openssl \
         pkcs8 -topk8 -v2 aes-256-cbc -in KEY -out NEW.pem",
        path.display()
    )]
    UnsupportedEncryption {
        /// The file with the key.
        path: PathBuf,
        /// The name of the encryption in the file.
        encryption: String,
    },

    /// A private key does not have the structure of its label, or its numbers are inconsistent.
    #[error(
        "the private key in '{}' is damaged; restore the file from a copy, or name another one with --key-file, which \
         you can create with: labwire keygen --out NEW.key",
        path.display()
    )]
    DamagedKey {
        /// The file with the key.
        path: PathBuf,
    },

    /// A certificate does not have the structure of one.
    #[error(
        "the certificate in '{}' is damaged; restore the file from a copy, or name another one with --cert-file, which \
         you can create with: labwire certgen NEW.crt",
        path.display()
    )]
    DamagedCertificate {
        /// The file with the certificate.
        path: PathBuf,
    },

    /// A certificate belongs to another key.
    #[error(
        "the certificate '{}' does not belong to the private key '{}'; name the key that it was made with by --key-file, \
         or make a certificate of this key with: labwire certgen --key-file '{key}' '{certificate}.new', and name it \
         with --cert-file (in a chain the manager's own certificate comes first)",
        certificate.display(), key.display(), key = key.display(), certificate = certificate.display()
    )]
    KeyMismatch {
        /// The file with the certificate.
        certificate: PathBuf,
        /// The file with the key.
        key: PathBuf,
    },

    /// DSA keys are refused, since no current TLS library accepts a certificate with one.
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
        /// The given name.
        name: String,
    },

    /// An RSA key size that is not supported.
    #[error(
        "RSA keys are made with 2048, 3072 or 4096 bits, not {bits}: fewer are not safe, more only make connecting slow"
    )]
    UnknownKeySize {
        /// The given size.
        bits: u32,
    },

    /// The name of a hash that is not used for certificate signatures.
    #[error("'{name}' is not a hash to sign a certificate with: {reason}; use SHA256, SHA384 or SHA512")]
    UnknownHash {
        /// The given name.
        name: String,
        /// The reason why it is refused.
        reason: &'static str,
    },

    /// The requested hash does not fit the key, which determines the hash of its signatures.
    #[error("{hash} does not fit {} key, whose certificates are signed with {}; leave --algorithm out", with_article(*kind), signed_with(*kind))]
    HashDoesNotFit {
        /// The requested hash.
        hash: Hash,
        /// The kind of the key.
        kind: KeyKind,
    },

    /// A validity that is empty, or ends after the year 9999, the last that certificates support.
    #[error(
        "a certificate cannot be valid for {years} years; give a number above 0 that ends before the year 10000"
    )]
    ValidityOutOfRange {
        /// The requested number of years.
        years: f64,
    },

    /// The certificate that is to issue others is not that of an authority.
    #[error(
        "the certificate '{}' is no authority and cannot issue others; make one with: labwire certgen --ca",
        path.display()
    )]
    NoAuthority {
        /// The file with the certificate.
        path: PathBuf,
    },

    /// A certificate would be valid longer than the authority that issues it.
    #[error(
        "the authority is valid until {until} only, and a certificate must not outlive it; give fewer --years-valid"
    )]
    OutlivesAuthority {
        /// The last day of the authority.
        until: String,
    },

    /// A text cannot be the name of a user or an authority in a certificate.
    #[error(
        "'{name}' cannot be a name in a certificate: give 1 to 64 characters, without control characters and blanks at \
         its ends"
    )]
    UnsuitableName {
        /// The text.
        name: String,
    },

    /// A file for a list of revoked certificates contains something else.
    #[error(
        "'{}' is not one list of revoked certificates of this authority, and was left as it is; name another file",
        path.display()
    )]
    ListOfAnother {
        /// The file.
        path: PathBuf,
    },

    /// A text is no serial number.
    #[error(
        "'{text}' is neither the file of a certificate nor a serial number, of up to 40 hexadecimal digits"
    )]
    BadSerial {
        /// The text.
        text: String,
    },

    /// The cryptographic library failed, for instance for lack of randomness.
    #[error("cannot {action}: the cryptographic library reported a failure; try again")]
    Cryptography {
        /// The failed action, as a verb with its object.
        action: &'static str,
    },
}

/// Returns the name of the file in which programs look for the certificate of another manager.
fn trusted_name(certificate: &Path) -> String {
    let host = certificate.file_stem().unwrap_or_default().to_string_lossy();
    format!("{host}_1875.crt")
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
