//! The command that makes a new certificate in the place of a manager's present one.

use std::net::IpAddr;
use std::path::PathBuf;

use labwire_client::Home;
use labwire_pki::{CertificateSummary, is_name_or_address};

use super::subject::Subject;
use crate::output::shell_word;
use crate::saved::Saved;

/// The maximum number of names in the command.
const NAMED: usize = 12;

/// The file and the key of a manager's certificate.
struct Files {
    certificate: PathBuf,
    key: PathBuf,
    is_default: bool,
}

/// Returns the files of the manager in this computer's home folder, if it is the one that presented
/// the certificate. A manager that was started with `--host` has files of that name.
fn files(subject: &Subject, summary: &CertificateSummary) -> Option<Files> {
    if !subject.is_here() {
        return None;
    }
    let home = Home::resolve().ok()?;
    let folder = std::fs::read_dir(home.certificate_file().parent()?).ok()?;
    folder.flatten().find_map(|entry| {
        let certificate = entry.path();
        let host = certificate
            .file_name()?
            .to_str()?
            .strip_suffix(".crt")?
            .to_owned();
        let key = home.key_file_for(&host);
        let saved = Saved::read(&certificate).ok()??;
        let is_presented = saved.fingerprint()? == summary.fingerprint;
        (key.exists() && is_presented).then(|| Files {
            is_default: certificate == home.certificate_file(),
            certificate,
            key,
        })
    })
}

/// Returns the command that makes a certificate for the name by which programs connect, and for the
/// names of the present one.
pub(super) fn certgen(subject: &Subject, summary: &CertificateSummary) -> String {
    let mut words = vec!["labwire certgen".to_owned()];
    let names = names(subject, summary);
    if !names.is_empty() {
        words.push(format!("--name {}", shell_word(&names.join(","))));
    }
    if let Some(files) = files(subject, summary).filter(|files| !files.is_default) {
        words.push(format!("--key-file {}", shell_word(&files.key.to_string_lossy())));
        words.push(shell_word(&files.certificate.to_string_lossy()));
    }
    words.join(" ")
}

/// Returns whether programs of this user trust the file of the manager's certificate itself, so that
/// they trust a new one at once.
pub(super) fn is_own_file_trusted(subject: &Subject, summary: &CertificateSummary) -> bool {
    let deciding = subject.options.deciding_certificate_file().ok().flatten();
    let own = files(subject, summary).map(|files| files.certificate);
    deciding.is_some() && deciding == own
}

/// Returns whether the command names the files of the manager, or they are the default ones.
pub(super) fn is_file_known(subject: &Subject, summary: &CertificateSummary) -> bool {
    files(subject, summary).is_some()
}

/// Returns the names and addresses that `labwire certgen` does not add by itself, the one by which
/// programs connect first.
fn names(subject: &Subject, summary: &CertificateSummary) -> Vec<String> {
    let host = subject.host.as_str();
    let mut kept: Vec<&str> = if subject.is_here() {
        summary.further_names()
    } else {
        // The addresses of another computer may be those that it adds by itself.
        let names = summary.names.iter().map(String::as_str);
        names
            .filter(|name| {
                is_name_or_address(name) && *name != "localhost" && name.parse::<IpAddr>().is_err()
            })
            .take(NAMED)
            .collect()
    };
    let is_first = kept.contains(&host) || !summary.is_for(host) || !subject.is_here();
    kept.retain(|name| *name != host);
    let first = Some(host).filter(|host| is_first && is_name_or_address(host));
    first.into_iter().chain(kept).map(str::to_owned).collect()
}
