//! The files of a certificate and its key.

use std::fmt;
use std::path::PathBuf;

/// The files of the certificate and its key.
#[derive(Clone, PartialEq, Eq)]
pub struct TlsFiles {
    /// The PEM file of the certificate, followed by its chain, if any.
    pub certificate: PathBuf,
    /// The PEM file of the key; `None` if the key is in the certificate's file.
    pub key: Option<PathBuf>,
    /// The password of the key; `None` if it is not encrypted.
    pub key_password: Option<String>,
}

impl fmt::Debug for TlsFiles {
    /// Omits the password: settings are logged.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            certificate,
            key,
            key_password: _,
        } = self;
        formatter
            .debug_struct("TlsFiles")
            .field("certificate", certificate)
            .field("key", key)
            .finish_non_exhaustive()
    }
}
