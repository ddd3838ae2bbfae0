//! Certificates of managers that are saved on this computer.

use std::path::Path;

use jiff::Timestamp;
use labwire_home::{Home, local_time_zone};
use labwire_pki::{CertificateSummary, PkiError, load_chain};

use crate::failure::Failure;
use crate::output::one_line;

/// The maximum number of names of a certificate that people are shown. A hostile certificate may have
/// thousands.
pub(crate) const NAMES_SHOWN: usize = 10;

/// A file with trusted certificates.
pub(crate) struct Saved {
    certificates: Vec<Vec<u8>>,
    /// When the file was last written, if the file system records it.
    pub(crate) since: Option<Timestamp>,
}

impl Saved {
    /// Reads a file. Returns `None` if it does not exist.
    ///
    /// # Errors
    /// If it cannot be read, or holds no certificate.
    pub(crate) fn read(file: &Path) -> Result<Option<Self>, Failure> {
        let chain = match load_chain(file) {
            Ok(chain) => chain,
            Err(PkiError::CertificateFileMissing { .. }) => return Ok(None),
            Err(error) => return Err(Failure::Failed(error.to_string())),
        };
        Ok(Some(Self {
            certificates: chain.iter().map(|certificate| certificate.to_vec()).collect(),
            since: written(file),
        }))
    }

    /// Returns whether the certificate, in DER form, is one of them.
    pub(crate) fn holds(&self, certificate: &[u8]) -> bool {
        self.certificates.iter().any(|saved| saved == certificate)
    }

    /// Returns the fingerprint of the first certificate.
    pub(crate) fn fingerprint(&self) -> Option<String> {
        CertificateSummary::of(self.certificates.first()?).map(|summary| summary.fingerprint)
    }

    /// Returns when it was saved, for people: ` on DATE`, or nothing if that is not known.
    pub(crate) fn on_date(&self) -> String {
        self.since
            .map(|since| format!(" on {}", local(since)))
            .unwrap_or_default()
    }
}

/// Returns when a file was last written.
pub(crate) fn written(file: &Path) -> Option<Timestamp> {
    let modified = file.metadata().ok()?.modified().ok()?;
    Timestamp::try_from(modified).ok()
}

/// Returns a time for people, in this computer's time zone.
pub(crate) fn local(time: Timestamp) -> String {
    let zoned = time.to_zoned(local_time_zone());
    zoned.strftime("%Y-%m-%d %H:%M").to_string()
}

/// Returns a day for people, in UTC as in certificates.
pub(crate) fn day(time: Timestamp) -> String {
    time.strftime("%Y-%m-%d").to_string()
}

/// Returns whether the place of a host's certificate in a home folder is that of a manager's own
/// certificate: its private key is beside it.
pub(crate) fn is_place_of_manager(home: &Home, host: &str) -> bool {
    home.key_file_for(host).exists()
}

/// Returns whether a file is a manager's own certificate in a home folder of this user: its private
/// key is in its place, too.
pub(crate) fn is_certificate_of_manager(file: &Path) -> bool {
    let Some(host) = file.file_stem().and_then(|stem| stem.to_str()) else {
        return false;
    };
    let homes = [Home::resolve().ok(), Home::of_msl_network()];
    homes.into_iter().flatten().any(|home| {
        is_same_folder(&home.certificate_file_for(host), file) && is_place_of_manager(&home, host)
    })
}

/// Returns what replacing the certificate that the Python package has saved for a host costs, and
/// the way out, as a sentence without its full stop.
pub(crate) fn one_file_per_host(host: &str) -> String {
    format!(
        "Python programs keep one certificate per host, not per port: those that connect to another manager at \
         {} will refuse it, unless both managers use one certificate, or the programs give that manager's \
         certificate with cert_file=…",
        one_line(host)
    )
}

/// Returns whether both paths mean one folder or file.
pub(crate) fn is_same_folder(one: &Path, other: &Path) -> bool {
    let resolved = |path: &Path| std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    resolved(one) == resolved(other)
}
