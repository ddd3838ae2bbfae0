//! Keys, certificates and fingerprints.

mod certificate;
#[cfg(any(test, feature = "fuzzing"))]
mod checks;
mod decode;
mod describe;
mod error;
mod files;
mod health;
mod key;
mod kind;
mod serve;
#[cfg(test)]
mod tests;
mod traditional;

pub use certificate::{
    Certificate, CertificateOptions, DEFAULT_YEARS_VALID, generate_certificate, holds_private_key, load_chain,
};
#[cfg(any(test, feature = "fuzzing"))]
pub use checks::{check_files, check_key_block};
pub use describe::{DescribeError, describe};
pub use error::PkiError;
pub use health::CertificateHealth;
pub use key::{PrivateKey, generate_key, load_or_create_key};
pub use kind::{Curve, Hash, KeyKind};
pub use serve::{ReloadableCertificate, load_certified_key, server_config};
