//! The manager's certificate.

use std::path::Path;

use jiff::Timestamp;
use labwire_client::{PresentedCertificates, TrustError};
use labwire_home::present;
use labwire_pki::{CertificateSummary, is_name_or_address};

use super::clock::set_clock;
use super::renewal::renewed;
use super::report::{Check, Kind};
use super::subject::Subject;
use crate::failure::Failure;
use crate::output::{list, one_line};
use crate::saved::{NAMES_SHOWN, day, is_certificate_of_manager, local, written};

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
        TrustError::Unusable(reason) => {
            let text = format!("the certificate cannot be used: {reason}");
            let check = Check::failed(CHECK, "unusable-certificate", REFUSED, text);
            renewed(check, subject, summary, "", "another one")
        }
    }
}

fn trusted(subject: &Subject, summary: &CertificateSummary) -> Check {
    let until = day(summary.valid_until);
    if let Some(trouble) = summary.trouble() {
        let check = Check::warning(CHECK, "expires-soon", trouble);
        return renewed(check, subject, summary, "", "another one");
    }
    Check::ok(
        CHECK,
        format!("trusted, valid until {until}, SHA-256 {}", summary.fingerprint),
    )
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
    // The certificate of a manager of this computer has to stay in its place.
    let is_own = is_certificate_of_manager(file);
    let of_manager = if is_own {
        ", the own certificate of a manager of this computer"
    } else {
        ""
    };
    let files = format!(
        "trusted is {trusted} ({}{of_manager}{since}), presented was {presented} (SHA-256)",
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
    if is_given && is_own {
        return check.remedy(format!(
            "compare the fingerprint with the one that the manager prints when it starts; then give this manager's \
             certificate in the place of the file from {origin}, which stays as it is, or leave {origin} out"
        ));
    }
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
    let or = if usable.is_some() { "or " } else { "" };
    renewed(check, subject, summary, or, "one for this name")
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
        let check = set_clock(check, "if this computer's clock is wrong, set it");
        return renewed(check, subject, summary, "", "another one");
    }
    let check = Check::failed(
        CHECK,
        "expired",
        REFUSED,
        format!("the certificate has expired on {until}, and {clock}"),
    );
    set_clock(
        renewed(check, subject, summary, "", "another one"),
        "if this computer's clock is wrong, set it",
    )
}
