//! The command that makes a new certificate in the place of a manager's present one.

use std::net::IpAddr;
use std::path::PathBuf;

use labwire_client::Home;
use labwire_pki::{CertificateOptions, CertificateSummary};

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

/// Returns what to add to the command if the manager's files are not known.
pub(super) fn own_file(subject: &Subject, summary: &CertificateSummary) -> &'static str {
    if files(subject, summary).is_some() {
        ""
    } else {
        " (if the manager was started with --cert-file FILE, add that FILE, and --key-file as it was given)"
    }
}

/// Returns the names and addresses that `labwire certgen` does not add by itself, the one by which
/// programs connect first.
fn names(subject: &Subject, summary: &CertificateSummary) -> Vec<String> {
    let (usual_names, usual_addresses) = if subject.is_here() {
        let usual = CertificateOptions::for_this_computer();
        (usual.alternative_names, usual.addresses)
    } else {
        (vec!["localhost".to_owned()], Vec::new())
    };
    let is_usual = |name: &str| match name.parse::<IpAddr>() {
        Ok(address) => usual_addresses.contains(&address),
        Err(_) => usual_names.iter().any(|usual| usual.eq_ignore_ascii_case(name)),
    };
    // The addresses of another computer may be those that it adds by itself.
    let is_kept = |name: &&String| subject.is_here() || name.parse::<IpAddr>().is_err();
    let kept = summary.names.iter().filter(is_kept);
    let mut names: Vec<String> = Vec::new();
    for name in [&subject.host].into_iter().chain(kept) {
        // The name by which programs connect is new if the certificate lacks it.
        let is_lacking = name == &subject.host && !summary.is_for(name);
        let is_wanted = is_lacking || !is_usual(name);
        if is_wanted && is_name_or_address(name) && !names.contains(name) && names.len() < NAMED {
            names.push(name.clone());
        }
    }
    names
}

/// Returns whether a text can be a name or an address of a computer. The text may be anybody's.
pub(super) fn is_name_or_address(text: &str) -> bool {
    let is_fitting = |character: char| character.is_ascii_alphanumeric() || "._-:*".contains(character);
    !text.is_empty() && text.len() <= 253 && !text.starts_with('-') && text.chars().all(is_fitting)
}
