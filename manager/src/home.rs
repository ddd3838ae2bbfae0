//! Where the files of an installation are.

use std::path::{Path, PathBuf};

/// The folder that holds everything.
pub(crate) struct Home(PathBuf);

impl Home {
    /// The folder that the environment names, else the one in the user's own folder.
    pub(crate) fn resolve() -> anyhow::Result<Self> {
        if let Some(folder) = std::env::var_os("MSL_NETWORK_HOME") {
            return Ok(Self(folder.into()));
        }
        let user = std::env::home_dir().ok_or_else(|| anyhow::anyhow!("set MSL_NETWORK_HOME"))?;
        Ok(Self(user.join(".msl/network")))
    }

    /// The folder.
    #[allow(dead_code)]
    pub(crate) fn root(&self) -> &Path {
        &self.0
    }

    /// The private key.
    pub(crate) fn key_file(&self) -> PathBuf {
        self.0.join("keys/localhost.key")
    }

    /// The certificate.
    pub(crate) fn certificate_file(&self) -> PathBuf {
        self.0.join("certs/localhost.crt")
    }
}
