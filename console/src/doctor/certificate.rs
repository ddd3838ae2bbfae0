//! The manager's certificate.

use std::path::Path;

use jiff::Timestamp;
use labwire_client::{Home, PresentedCertificates, TrustError};
use labwire_home::present;
use labwire_pki::{CertificateSummary, is_name_or_address};

use super::clock::set_clock;
use super::renewal::{certgen, is_file_known, is_own_file_trusted};
use super::report::{Check, Kind};
use super::subject::Subject;
use crate::failure::Failure;
use crate::output::{list, one_line};
use crate::saved::{NAMES_SHOWN, Saved, day, is_place_of_manager, local, written};

const CHECK: &str = "certificate";

const REFUSED: Kind = Failure::Refused;

/// Checks that programs trust the certificate.
pub(super) fn check(
    subject: &Subject,
    presented: &PresentedCertificates,
    summary: Option<&CertificateSummary>,
) -> Check {
    let Some(summary) = summary else {
        return Check::failed(
            CHECK,
            "unusable-certificate",
            REFUSED,
            "the certificate is damaged",
        );
    };
    let Err(error) = presented.check(&subject.options) else {
        return trusted(subject, summary);
    };
    let now = present();
    // For an issued certificate, the error about its dates is a text of the library.
    if !(summary.valid_from..=summary.valid_until).contains(&now)
        && !matches!(error, TrustError::Changed { .. })
    {
        return not_valid_now(subject, summary, now);
    }
    // Programs would refuse it even if they trusted it.
    if matches!(error, TrustError::Unknown { .. }) && !summary.is_for(&subject.host) {
        return other_host(subject, summary);
    }
    match error {
        TrustError::Unknown { .. } => unknown(subject, summary),
        TrustError::Changed {
            trusted,
            presented,
            file,
        } => changed(subject, summary, &trusted, &presented, &file),
        TrustError::OtherHost { .. } => other_host(subject, summary),
        TrustError::NotValidNow { .. } => not_valid_now(subject, summary, now),
        TrustError::File { file, reason } => Check::failed(
            CHECK,
            "certificate-file",
            Failure::Failed,
            format!(
                "the file with the trusted certificate, {}: {reason}",
                file.display()
            ),
        )
        .remedy(format!(
            "give the path of the manager's certificate; this one is from {}",
            subject.origins.cert_file
        )),
        TrustError::Home(reason) => Check::failed(CHECK, "no-home-folder", Failure::Failed, reason),
        TrustError::Unusable(reason) => Check::failed(
            CHECK,
            "unusable-certificate",
            REFUSED,
            format!("the certificate cannot be used: {reason}"),
        )
        .command(
            format!("make another one {}", subject.there()),
            certgen(subject, summary),
        ),
    }
}

fn trusted(subject: &Subject, summary: &CertificateSummary) -> Check {
    let until = day(summary.valid_until);
    if let Some(trouble) = summary.trouble() {
        return renewed(Check::warning(CHECK, "expires-soon", trouble), subject, summary);
    }
    Check::ok(
        CHECK,
        format!("trusted, valid until {until}, SHA-256 {}", summary.fingerprint),
    )
}

/// Adds how to get a new certificate.
fn renewed(check: Check, subject: &Subject, summary: &CertificateSummary) -> Check {
    if !summary.is_self_signed {
        return check.remedy(format!(
            "get another one from who issued it ({}), and put it in its place {}",
            one_line(&summary.issuer),
            subject.there()
        ));
    }
    let check = check.command(
        format!(
            "make another one {}, and send the manager the signal HUP (kill -HUP and the number of its process) or restart it",
            subject.there()
        ),
        certgen(subject, summary),
    );
    then_trust(check, subject, summary)
}

/// Adds what to do besides making a new certificate, so that programs trust it.
fn then_trust(check: Check, subject: &Subject, summary: &CertificateSummary) -> Check {
    let check = if is_file_known(subject, summary) {
        check
    } else {
        check.remedy(
            "if the manager was started with --cert-file FILE, give certgen that FILE, too, and --key-file as the manager",
        )
    };
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

fn unknown(subject: &Subject, summary: &CertificateSummary) -> Check {
    let check = Check::failed(
        CHECK,
        "unknown-certificate",
        REFUSED,
        format!(
            "the certificate is not known on this computer; its SHA-256 fingerprint is {}",
            summary.fingerprint
        ),
    );
    check.command(
        "compare the fingerprint with the one that the manager prints when it starts, or that `labwire certdump FILE` \
         shows on its computer, and trust it",
        subject.trust(),
    )
}

fn changed(
    subject: &Subject,
    summary: &CertificateSummary,
    trusted: &str,
    presented: &str,
    file: &Path,
) -> Check {
    let since = written(file)
        .map(|time| format!(", saved on {}", local(time)))
        .unwrap_or_default();
    let files = format!(
        "trusted is {trusted} ({}{since}), presented was {presented} (SHA-256)",
        file.display()
    );
    let is_given = subject.options.given_certificate_file().is_some();
    let origin = &subject.origins.cert_file;
    if !summary.is_self_signed {
        let check = Check::failed(
            CHECK,
            "unknown-issuer",
            REFUSED,
            format!(
                "the certificate was issued by '{}', which none of the trusted certificates is: {files}",
                one_line(&summary.issuer)
            ),
        )
        .remedy(
            "get the certificate of that authority from your administrators, and give it with --cert-file \
             (LABWIRE_CERT_FILE, cert_file in Python)",
        )
        .remedy(format!(
            "if the manager sends a chain, its own certificate has to come first in the file {}, then those of the \
             authorities between",
            subject.there()
        ));
        return if is_given {
            check
        } else {
            check.command("or trust this one certificate", subject.trust())
        };
    }
    let check = Check::failed(
        CHECK,
        "certificate-changed",
        REFUSED,
        format!(
            "the certificate is another one than the trusted one: the manager has a new one, another manager answers, \
             or somebody is between you and the manager; {files}"
        ),
    );
    if is_given {
        return check.remedy(format!(
            "compare the fingerprint with the one that the manager prints when it starts; then put the new certificate \
             in the place of the file from {origin}, or leave {origin} out"
        ));
    }
    check.command(
        "compare the fingerprint with the one that the manager prints when it starts; if they are equal, trust the new one",
        subject.trust(),
    )
}

fn other_host(subject: &Subject, summary: &CertificateSummary) -> Check {
    let listed = if summary.names.is_empty() {
        "it names no host".to_owned()
    } else {
        format!("it is for {}", list(&summary.names, NAMES_SHOWN))
    };
    let host = &subject.host;
    let mut check = Check::failed(
        CHECK,
        "other-host",
        REFUSED,
        format!("the certificate is not for '{host}': {listed}"),
    );
    // A name of the manager's computer. A loopback name is of use on that computer only.
    let usable = summary.names.iter().find(|name| {
        let is_loopback = name.eq_ignore_ascii_case("localhost")
            || name
                .parse::<std::net::IpAddr>()
                .is_ok_and(|address| address.is_loopback());
        is_name_or_address(name) && !name.starts_with("*.") && (!is_loopback || subject.is_here())
    });
    if let Some(name) = usable {
        check = check.command(
            "connect by a name that it holds",
            subject.doctor_at(name, subject.port),
        );
    }
    let check = check.command(
        format!(
            "or make one for this name {}, and send the manager the signal HUP (kill -HUP and the number of its process) or restart it",
            subject.there()
        ),
        certgen(subject, summary),
    );
    then_trust(check, subject, summary)
}

fn not_valid_now(subject: &Subject, summary: &CertificateSummary, now: Timestamp) -> Check {
    let (from, until) = (day(summary.valid_from), day(summary.valid_until));
    let clock = format!("this computer's clock shows {}", local(now));
    if now < summary.valid_from {
        let check = Check::failed(
            CHECK,
            "not-yet-valid",
            REFUSED,
            format!("the certificate is valid from {from} on, and {clock}"),
        );
        return renewed(
            set_clock(check, "if this computer's clock is wrong, set it"),
            subject,
            summary,
        );
    }
    let check = Check::failed(
        CHECK,
        "expired",
        REFUSED,
        format!("the certificate has expired on {until}, and {clock}"),
    );
    set_clock(
        renewed(check, subject, summary),
        "if this computer's clock is wrong, set it",
    )
}

/// Checks the certificate that the Python package has saved for this host. Returns `None` if there
/// is none.
pub(super) fn check_python(subject: &Subject, presented: &PresentedCertificates) -> Option<Check> {
    const CHECK: &str = "python";
    let home = Home::of_msl_network()?;
    let file = home.certificate_file_for(&subject.host);
    let shown = file.display();
    let saved = match Saved::read(&file) {
        Ok(None) => return None,
        Ok(Some(saved)) if saved.holds(presented.der()) => {
            return Some(Check::ok(
                CHECK,
                format!("Python programs trust the certificate, too ({shown})"),
            ));
        }
        Ok(Some(saved)) => Some(saved),
        Err(_) => None,
    };
    let on_date = saved.map(|saved| saved.on_date()).unwrap_or_default();
    let check = Check::warning(
        CHECK,
        "python-certificate",
        format!(
            "Python programs refuse the manager: they trust the certificate in {shown}, saved{on_date}, which is \
             another one"
        ),
    );
    Some(if is_place_of_manager(&home, &subject.host) {
        check.remedy(format!(
            "{shown} is a manager's own certificate: give Python programs the one of this manager with cert_file=…"
        ))
    } else {
        check.command(
            "compare the fingerprint with the one that the manager prints when it starts, and save it for them",
            subject.trust(),
        )
    })
}
