//! The certificate that a device presents to managers.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::AlertDescription;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use thiserror::Error;

/// The files of a certificate and its key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ClientFiles {
    pub(crate) certificate: Option<PathBuf>,
    pub(crate) key: Option<PathBuf>,
}

/// The certificate that a device is to present cannot be used.
///
/// ```
/// use labwire_device::{ConnectError, ConnectOptions, Introduction, connect};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let manager = labwire_testing::TestManager::builder().tls().start().await;
/// # let certificate = manager.certificate_file();
/// let options = ConnectOptions::new().client_certificate("ada.crt", "ada.key");
/// # let options = options.port(manager.port()).certificate_file(certificate);
/// let error = connect(&options, &Introduction::client("Ada")).await.unwrap_err();
/// let ConnectError::ClientCertificate(error) = error else { panic!("{error}") };
/// assert!(error.file.ends_with("ada.crt") && error.reason.contains("cannot be read"));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("the client certificate cannot be used: {} {reason}", file.display())]
pub struct ClientCertificateError {
    /// The file.
    pub file: PathBuf,
    /// What is wrong with it, and the remedy.
    pub reason: String,
}

/// A certificate with its chain, and the key.
pub(crate) struct Presentable {
    pub(crate) chain: Vec<CertificateDer<'static>>,
    pub(crate) key: PrivateKeyDer<'static>,
}

impl ClientFiles {
    /// Reads the files. They are read for each connection, so that a certificate can be renewed while a
    /// program runs.
    pub(crate) fn read(&self) -> Result<Presentable, ClientCertificateError> {
        let wrong = |file: &Path, reason: &str| ClientCertificateError {
            file: file.to_owned(),
            reason: reason.to_owned(),
        };
        let Some(certificate) = &self.certificate else {
            let key = self.key.as_deref().unwrap_or(Path::new(""));
            return Err(wrong(
                key,
                "is a key without a certificate; name the certificate too (--client-cert or LABWIRE_CLIENT_CERT)",
            ));
        };
        let unreadable = |file: &Path, error: &io::Error| wrong(file, &format!("cannot be read: {error}"));
        let text = std::fs::read(certificate).map_err(|error| unreadable(certificate, &error))?;
        let chain = CertificateDer::pem_slice_iter(&text).collect::<Result<Vec<_>, _>>();
        let chain = chain.ok().filter(|chain| !chain.is_empty());
        let chain = chain.ok_or_else(|| wrong(certificate, "holds no certificate in PEM form"))?;
        let file = self.key.as_ref().unwrap_or(certificate);
        let text = std::fs::read(file).map_err(|error| unreadable(file, &error))?;
        let key = PrivateKeyDer::from_pem_slice(&text).map_err(|_| {
            let text = String::from_utf8_lossy(&text);
            if text.contains("BEGIN ENCRYPTED PRIVATE KEY") || text.contains("Proc-Type: 4,ENCRYPTED") {
                let reason = format!(
                    "holds an encrypted key, and programs connect without a person who could type its password; \
                     decrypt it with: openssl pkey -in '{}' -out NEW.key (and keep it with chmod 600)",
                    file.display()
                );
                return wrong(file, &reason);
            }
            wrong(
                file,
                "holds no private key in PEM form; name the file of the key (--client-key or LABWIRE_CLIENT_KEY)",
            )
        })?;
        if let Some(reason) = readable_by_others(file).map_err(|error| unreadable(file, &error))? {
            return Err(wrong(file, &reason));
        }
        Ok(Presentable { chain, key })
    }

    /// Checks that the files can be read and belong together.
    pub(crate) fn check(&self) -> Result<(), ClientCertificateError> {
        let Presentable { chain, key } = self.read()?;
        let provider = rustls::crypto::aws_lc_rs::default_provider();
        let certified = rustls::sign::CertifiedKey::from_der(chain, key, &provider);
        certified.map(drop).map_err(|error| self.unfit(&error))
    }

    /// Returns the error for a key that does not fit the certificate.
    fn unfit(&self, error: &rustls::Error) -> ClientCertificateError {
        let file = self.key.as_ref().or(self.certificate.as_ref());
        let reason = match error {
            rustls::Error::InconsistentKeys(_) => "holds the key of another certificate".to_owned(),
            error => format!("holds a key that cannot be used: {error}"),
        };
        ClientCertificateError {
            file: file.cloned().unwrap_or_default(),
            reason,
        }
    }
}

/// Returns the remedy if other users of this computer can read or change a key.
#[cfg(unix)]
fn readable_by_others(key: &Path) -> io::Result<Option<String>> {
    use std::os::unix::fs::PermissionsExt;

    let mode = std::fs::metadata(key)?.permissions().mode();
    Ok((mode & 0o077 != 0).then(|| {
        format!(
            "holds a private key that other users of this computer can read (mode {:o}); keep it for yourself with: chmod \
             600 '{}'",
            mode & 0o777,
            key.display()
        )
    }))
}

#[cfg(not(unix))]
#[expect(clippy::unnecessary_wraps, reason = "as on the other systems")]
fn readable_by_others(_: &Path) -> io::Result<Option<String>> {
    Ok(None)
}

/// Returns why a server has refused the certificate of this side, if it has.
pub(crate) fn refused(error: &io::Error) -> Option<&'static str> {
    let error = error.get_ref()?.downcast_ref::<rustls::Error>()?;
    let rustls::Error::AlertReceived(alert) = error else {
        return None;
    };
    Some(match alert {
        AlertDescription::CertificateExpired => "it has expired or is not valid yet",
        AlertDescription::CertificateRevoked => "it was revoked",
        AlertDescription::UnknownCA => {
            "its issuer is unknown to the manager, or whether it was revoked cannot be told"
        }
        AlertDescription::UnsupportedCertificate => "it is not for TLS clients",
        AlertDescription::CertificateRequired => "there is none, and the server serves nobody without",
        AlertDescription::BadCertificate
        | AlertDescription::CertificateUnknown
        | AlertDescription::AccessDenied => "it is damaged or not suitable",
        AlertDescription::DecryptError => "its signature or that of its key is wrong",
        _ => return None,
    })
}

/// Adds the certificate to a TLS configuration.
pub(crate) fn with_certificate(
    builder: rustls::ConfigBuilder<rustls::ClientConfig, rustls::client::WantsClientCert>,
    files: Option<&Arc<ClientFiles>>,
) -> Result<rustls::ClientConfig, ClientCertificateError> {
    let Some(files) = files else {
        return Ok(builder.with_no_client_auth());
    };
    let Presentable { chain, key } = files.read()?;
    builder
        .with_client_auth_cert(chain, key)
        .map_err(|error| files.unfit(&error))
}
