//! Where a certificate and its key are.

use std::fmt;
use std::path::PathBuf;

/// Where the certificate and its key are.
#[derive(Clone, PartialEq, Eq)]
pub struct TlsFiles {
    /// PEM: the certificate, then those that lead to its authority, if there are any.
    pub certificate: PathBuf,
    /// PEM; `None` when the key is in the certificate's file.
    pub key: Option<PathBuf>,
    /// What the key is encrypted with; `None` when it is not.
    pub key_password: Option<String>,
}

impl fmt::Debug for TlsFiles {
    /// Leaves the password out: settings are logged.
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
