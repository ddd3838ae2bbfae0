//! Keys and certificates: creates, reads and describes them, and serves TLS with them.
//!
//! A manager presents a certificate to its peers, usually a self-signed one: clients save it when
//! they first connect, and compare it from then on. Keys and certificates are PEM files. Those of
//! MSL-Network, OpenSSL and authorities are supported as well.
//!
//! - [`generate_key`] creates a [`PrivateKey`] of a [`KeyKind`]; [`load_or_create_key`] reads the
//!   existing one first. Keys are written with mode 0600, and encrypted if there is a password.
//! - [`generate_certificate`] creates a [`Certificate`] with the contents of
//!   [`CertificateOptions`]. [`Certificate::write_to`] replaces no file that it could not create
//!   again, and never a private key.
//! - [`load_certified_key`] reads both and checks that they belong together. [`server_config`]
//!   serves with them; a [`ReloadableCertificate`] can be replaced while connections stay open.
//! - An [`Authority`] issues certificates to clients, and revokes them. [`ClientTrust`] accepts those of
//!   [`ClientAuthorities`], and a [`ClientCertificate`] tells whose it is.
//! - [`CertificateHealth`] checks whether clients accept a certificate at this time and for which
//!   hosts. [`describe()`] formats its contents for people.
//!
//! All functions block: they read files, and a new RSA key of 4,096 bits or an encrypted key can
//! take some seconds. Errors are of the type [`PkiError`]. Their messages name the file and the
//! remedy, and contain neither a password nor a part of a key.
//!
//! ```
//! use std::sync::Arc;
//!
//! use labwire_pki::{
//!     CertificateHealth, CertificateOptions, KeyKind, PkiError, ReloadableCertificate,
//!     generate_certificate, generate_key, load_certified_key, server_config,
//! };
//!
//! # let scratch = tempfile::tempdir().unwrap();
//! # let home = scratch.path();
//! let (key_file, certificate_file) = (home.join("lab.key"), home.join("lab.crt"));
//! let key = generate_key(KeyKind::DEFAULT)?;
//! key.write_new(&key_file, None)?;
//! let options = CertificateOptions::for_this_computer();
//! generate_certificate(&key, &options)?.write_to(&certificate_file)?;
//!
//! let certified = load_certified_key(&certificate_file, Some(&key_file), None)?;
//! let health = CertificateHealth::of(&certified.cert[0]).unwrap();
//! assert!(health.is_valid() && health.is_for("localhost"));
//! let certificate = Arc::new(ReloadableCertificate::new(certified));
//! let tls = server_config(certificate.clone());
//!
//! // Another certificate for the same key, from the next connection on.
//! generate_certificate(&key, &options)?.write_to(&certificate_file)?;
//! certificate.replace(load_certified_key(&certificate_file, Some(&key_file), None)?);
//! # drop(tls);
//! # Ok::<(), PkiError>(())
//! ```

mod authority;
mod certificate;
mod client_certificate;
mod client_trust;
mod decode;
mod describe;
mod error;
mod files;
#[cfg(any(test, feature = "fuzzing"))]
pub mod fuzzing;
mod health;
mod key;
mod kind;
mod revocation_lists;
mod serve;
mod summary;
#[cfg(test)]
mod tests;
mod tls_files;
mod traditional;

pub use authority::{Authority, revoked_serials};
pub use certificate::{
    Certificate, CertificateOptions, DEFAULT_YEARS_VALID, generate_certificate, holds_private_key, load_chain,
};
pub use client_certificate::{ClientCertificate, ClientNameError};
pub use client_trust::{ClientAuthorities, ClientTrust, ClientTrustError};
pub use describe::{DescribeError, describe};
pub use error::PkiError;
pub use health::CertificateHealth;
pub use key::{PrivateKey, generate_key, load_or_create_key};
pub use kind::{Curve, Hash, KeyKind};
pub use serve::{ReloadableCertificate, load_certified_key, server_config, server_config_with_clients};
pub use summary::{CertificateSummary, is_name_or_address};
pub use tls_files::TlsFiles;
