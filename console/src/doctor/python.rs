//! The certificate that the Python package has saved for the manager's host.

use labwire_client::{Home, PresentedCertificates};

use super::report::Check;
use super::subject::Subject;
use crate::saved::{Saved, is_place_of_manager, one_file_per_host};

const CHECK: &str = "python";

/// Checks that Python programs trust the certificate. Returns `None` if none is saved for them.
pub(super) fn check(subject: &Subject, presented: &PresentedCertificates) -> Option<Check> {
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
        check
            .command(
                "compare the fingerprint with the one that the manager prints when it starts, and save it for them",
                subject.trust(),
            )
            .remedy(one_file_per_host(&subject.host))
    })
}
