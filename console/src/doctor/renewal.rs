//! How to make a new certificate in the place of a manager's present one.

use std::net::IpAddr;
use std::path::PathBuf;

use labwire_client::Home;
use labwire_pki::{CertificateSummary, is_name_or_address};

use super::report::Check;
use super::subject::Subject;
use crate::output::{one_line, shell_word};
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

/// Who makes the manager's certificates, and where.
enum Origin {
    /// An authority has issued it.
    Issued,
    /// `labwire certgen` in this computer's home folder.
    HomeFolder,
    /// `labwire certgen` on this computer, with other files than those of this home folder, which
    /// belong to another manager or to none.
    OtherFiles,
    /// `labwire certgen` on another computer.
    OtherComputer,
}

impl Origin {
    fn of(subject: &Subject, summary: &CertificateSummary) -> Self {
        if !summary.is_self_signed {
            Self::Issued
        } else if !subject.is_here() {
            Self::OtherComputer
        } else if files(subject, summary).is_some() {
            Self::HomeFolder
        } else {
            Self::OtherFiles
        }
    }
}

/// Adds how to get a new certificate, and to make programs trust it. `or` is `or ` after another
/// remedy, else empty; `wanted` is the certificate, such as `another one`.
pub(super) fn renewed(
    check: Check,
    subject: &Subject,
    summary: &CertificateSummary,
    or: &str,
    wanted: &str,
) -> Check {
    const TAKEN_UP: &str =
        "send the manager the signal HUP (kill -HUP and the number of its process) or restart it";
    let there = subject.there();
    let command = |check: Check| {
        let text = format!("{or}make {wanted} {there}, and {TAKEN_UP}");
        check.command(text, certgen(subject, summary))
    };
    let check = match Origin::of(subject, summary) {
        Origin::Issued => {
            return check.remedy(format!(
                "{or}get {wanted} from who issued it ({}), and put it in its place {there}",
                one_line(&summary.issuer)
            ));
        }
        Origin::HomeFolder => command(check),
        Origin::OtherComputer => command(check).remedy(
            "run certgen with the LABWIRE_HOME with which the manager was started; if it was started with --cert-file \
             FILE, give certgen that FILE, too, and --key-file as the manager",
        ),
        // The command without these files would replace a certificate that another manager uses.
        Origin::OtherFiles => {
            let names = match names(subject, summary) {
                names if names.is_empty() => String::new(),
                names => format!(", with --name {}", shell_word(&names.join(","))),
            };
            check.remedy(format!(
                "{or}make {wanted}; this manager uses another certificate file than this home folder's (its \
                 --cert-file, or another LABWIRE_HOME): run certgen where it was started{names} (and with the \
                 manager's --key-file and the FILE of its --cert-file, if it has them); then {TAKEN_UP}"
            ))
        }
    };
    then_trust(check, subject, summary)
}

/// Adds what to do besides making a new certificate, so that programs trust it.
fn then_trust(check: Check, subject: &Subject, summary: &CertificateSummary) -> Check {
    if is_own_file_trusted(subject, summary) {
        return check;
    }
    match subject.options.given_certificate_file() {
        Some(file) => check.remedy(format!(
            "then put the new certificate in the place of {} (from {})",
            file.display(),
            subject.origins.cert_file
        )),
        None => check.command("then trust it on this computer", subject.trust()),
    }
}

/// Returns the command that makes a certificate for the name by which programs connect, and for the
/// names of the present one.
fn certgen(subject: &Subject, summary: &CertificateSummary) -> String {
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
fn is_own_file_trusted(subject: &Subject, summary: &CertificateSummary) -> bool {
    let deciding = subject.options.deciding_certificate_file().ok().flatten();
    let own = files(subject, summary).map(|files| files.certificate);
    deciding.is_some() && deciding == own
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
