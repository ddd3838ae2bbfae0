//! The check of the certificate that programs present to the manager.

use labwire_home::present;
use labwire_pki::{CertificateSummary, ClientCertificate, load_chain};

use super::report::Check;
use super::subject::Subject;
use crate::failure::Failure;

const CHECK: &str = "client-cert";

/// The number of days before the end of a certificate from which a warning is given.
const SOON: i64 = 30;

const SECONDS_OF_A_DAY: i64 = 86_400;

/// Checks the files of the certificate. Returns `None` if none is presented.
pub(super) fn check(subject: &Subject) -> Option<Check> {
    if !subject.options.presents_certificate() {
        return None;
    }
    let failed = |text: String| Check::failed(CHECK, "client-certificate", Failure::Failed, text);
    if let Err(error) = subject.options.check_client_certificate() {
        return Some(failed(error.to_string()));
    }
    let (file, _) = subject.options.client_certificate_files()?;
    let shown = file.display();
    let chain = load_chain(file).ok()?;
    let first = chain.first()?;
    let (Some(certificate), Some(summary)) = (ClientCertificate::of(first), CertificateSummary::of(first))
    else {
        return Some(failed(format!("the client certificate {shown} is damaged")));
    };
    let name = match certificate.name {
        Ok(name) => name,
        Err(error) => {
            return Some(failed(format!(
                "the client certificate {shown} is for no user: {error}"
            )));
        }
    };
    let remedy = |check: Check| {
        check.command(
            "make another one where the key of the authority is",
            format!(
                "labwire certgen --client {}",
                crate::output::shell_argument(&name)
            ),
        )
    };
    let (now, until) = (present().as_second(), summary.valid_until.strftime("%Y-%m-%d"));
    let days = (certificate.valid_until - now) / SECONDS_OF_A_DAY;
    Some(if now > certificate.valid_until {
        remedy(failed(format!(
            "the client certificate {shown} has expired on {until}"
        )))
    } else if days < SOON {
        let text = format!("the client certificate {shown} expires on {until}, in {days} day(s)");
        remedy(Check::warning(CHECK, "expires-soon", text))
    } else {
        let serial = certificate.serial;
        let text = format!("{shown} is for the user '{name}', valid until {until}, serial number {serial}");
        Check::ok(CHECK, text)
    })
}
