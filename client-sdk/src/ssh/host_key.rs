//! Verifies the host key of an SSH server.

use russh::client::Handler;
use russh::keys::{PublicKey, PublicKeyOrCertificate};

use super::error::SshError;
use super::known_hosts::{KnownHost, UnknownHost, Verdict};

/// Verifies the server's key.
#[derive(Debug)]
pub(super) struct Checker {
    pub(super) known: KnownHost,
}

#[derive(Debug)]
pub(super) enum CheckError {
    Unknown(UnknownHost, Box<PublicKey>),
    Refused(SshError),
    Library(russh::Error),
}

impl From<russh::Error> for CheckError {
    fn from(error: russh::Error) -> Self {
        Self::Library(error)
    }
}

impl Handler for Checker {
    type Error = CheckError;

    async fn check_server_key(&mut self, presented: &PublicKeyOrCertificate) -> Result<bool, CheckError> {
        let key = presented.public_key();
        match self.known.judge(&key) {
            Verdict::Known => Ok(true),
            Verdict::Unknown(unknown) => Err(CheckError::Unknown(unknown, Box::new(key))),
            Verdict::Refused(error) => Err(CheckError::Refused(error)),
        }
    }
}
