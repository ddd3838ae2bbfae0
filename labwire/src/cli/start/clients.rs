//! The certificates of clients: the authorities that issue them, and the lists of revoked ones.

use std::path::PathBuf;
use std::sync::Arc;

use labwire_manager::{CertificateHolder, PeerCertificates};
use labwire_pki::{ClientAuthorities, ClientCertificate, ClientTrust, ClientTrustError};
use rustls::CertificateError;
use rustls::pki_types::CertificateDer;
use tracing::{info, warn};

use super::options::Options;
use crate::cli::UsageError;

/// The files of the authorities and of the lists.
#[derive(Clone, Debug)]
pub(super) struct ClientFiles {
    authorities: PathBuf,
    lists: Option<PathBuf>,
}

impl ClientFiles {
    /// Returns the files, if there are any.
    pub(super) fn of(options: &Options) -> Result<Option<Self>, UsageError> {
        let wants = options.auth_certificate.unwrap_or(false);
        let Some(authorities) = options.client_ca.clone() else {
            let lacking = if wants {
                "--auth-certificate needs the authorities of the certificates"
            } else if options.client_crl.is_some() {
                "--client-crl is about the certificates of the authorities in --client-ca, which is missing"
            } else {
                return Ok(None);
            };
            return Err(UsageError(format!(
                "{lacking}: add --client-ca FILE (or LABWIRE_CLIENT_CA; labwire certgen --ca makes one)"
            )));
        };
        if options.disable_tls.unwrap_or(false) {
            return Err(UsageError(
                "--client-ca needs TLS, which presents the certificates: leave out --disable-tls (or \
                 LABWIRE_DISABLE_TLS), or --client-ca (or LABWIRE_CLIENT_CA)"
                    .to_owned(),
            ));
        }
        Ok(Some(Self {
            authorities,
            lists: options.client_crl.clone(),
        }))
    }

    /// Reads the files.
    pub(super) fn load(&self) -> Result<ClientAuthorities, ClientTrustError> {
        ClientAuthorities::load(&self.authorities, self.lists.as_deref())
    }

    /// Returns whether peers may have users by their certificates.
    pub(super) fn are_in(options: &Options) -> bool {
        options.client_ca.is_some()
    }

    /// Returns the authorities, and how many certificates are revoked, for people.
    pub(super) fn told(&self, authorities: &ClientAuthorities) -> String {
        let names: Vec<_> = authorities
            .authorities()
            .iter()
            .map(|name| format!("'{name}'"))
            .collect();
        let lists = match (authorities.revoked(), &self.lists) {
            (Some(revoked), Some(lists)) => format!("{revoked} revoked in {}", lists.display()),
            _ => "none can be revoked, since there is no --client-crl".to_owned(),
        };
        format!(
            "client certificates of {} ({}), {lists}",
            names.join(", "),
            self.authorities.display()
        )
    }
}

/// The authorities and lists of a manager that runs, and their files.
#[derive(Clone)]
pub(super) struct Clients {
    files: ClientFiles,
    pub(super) trust: Arc<ClientTrust>,
}

impl Clients {
    /// Reads the files.
    pub(super) fn prepare(files: ClientFiles) -> Result<(Self, Vec<String>), ClientTrustError> {
        let authorities = files.load()?;
        let mut told = vec![format!("accepting {}", files.told(&authorities))];
        told.extend(authorities.doubts().iter().cloned());
        if authorities.revoked().is_none() {
            told.push(
                "a client certificate that is lost or stolen is accepted until it expires: make a list of revoked ones \
                 with labwire certgen --crl, and name it with --client-crl"
                    .to_owned(),
            );
        }
        let trust = Arc::new(ClientTrust::new(authorities));
        Ok((Self { files, trust }, told))
    }

    /// Reads the files again, on another thread.
    ///
    /// # Errors
    /// If a file cannot be used. The old authorities and lists stay.
    pub(super) async fn reload(&self) -> anyhow::Result<()> {
        let files = self.files.clone();
        let authorities = tokio::task::spawn_blocking(move || files.load()).await??;
        let told = self.files.told(&authorities);
        let doubts = authorities.doubts().to_vec();
        self.trust.replace(authorities)?;
        info!("accepting {told}");
        for doubt in doubts {
            warn!("{doubt}");
        }
        Ok(())
    }
}

/// The trust of the manager's TLS, for the manager.
pub(super) struct Judge(pub(super) Arc<ClientTrust>);

impl PeerCertificates for Judge {
    fn version(&self) -> u64 {
        self.0.version()
    }

    fn describe(&self, certificate: &CertificateDer<'_>) -> Option<CertificateHolder> {
        let ClientCertificate {
            name,
            serial,
            valid_until,
        } = ClientCertificate::of(certificate)?;
        Some(CertificateHolder {
            user: name.map_err(|error| error.to_string()),
            serial,
            valid_until,
        })
    }

    fn verify(&self, chain: &[CertificateDer<'_>]) -> Result<(), CertificateError> {
        self.0.verify(chain)
    }

    fn check(&self, chain: &[CertificateDer<'_>]) -> Result<(), CertificateError> {
        self.0.check(chain)
    }
}
