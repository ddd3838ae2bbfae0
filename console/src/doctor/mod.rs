//! `labwire doctor`: finds out why a connection fails, step by step.

mod certificate;
mod client_certificate;
mod clock;
mod greeting;
mod home;
mod login;
mod network;
mod own_manager;
mod python;
mod refusals;
mod renewal;
mod report;
mod service;
mod subject;
mod waiting;

use clap::Args;
use labwire_pki::CertificateSummary;

use crate::connection::ConnectionArgs;
use crate::failure::Failure;
use crate::output::OutputArgs;
use report::{Check, Report};
use subject::Subject;

pub(crate) const EXAMPLES: &str = "\
Examples:
  labwire doctor
  labwire doctor lab-pc --service DMM";

pub(crate) const AFTER_HELP: &str = "\
Examples:
  labwire doctor
  labwire doctor lab-pc --service DMM
  labwire doctor --profile clean-room --json

Checks, in this order: settings, home (folders of this computer), client-cert
(with --client-cert), name, port, tls, certificate, python (the certificate that
the Python package has saved), clock, login, manager, and service with
--service. python and clock are left out where there is nothing to compare. Each
is ok, a warning, failed, or not checked because of one before it. Nothing is
changed or saved; a wrong password counts as a failed login.

With --json, each check is one object: check, status (ok, warning, failed or
not-checked), problem (a fixed word, or null), message, and remedies: a list of
objects with text and command (or null). The problems are: two-home-folders,
no-home-folder, unusable-home-folder, missing-home-folder; client-certificate;
certificate-refused, certificate-needed, no-user-of-certificate; unknown-name;
no-listener, silence, silent-address, unreachable; tls-expected, tls-not-spoken,
tls-failed, not-a-manager, silent, closed; unknown-certificate,
certificate-changed, unknown-issuer, other-host, expired, expires-soon,
not-yet-valid, unusable-certificate, certificate-file; python-certificate;
clock-behind; login-needed, wrong-login, manager-password-needed,
wrong-manager-password, hostname-not-trusted, own-computer-only,
too-many-logins, too-many-connections, manager-stopping, refused, no-connection;
msl-network, no-identity; other-case, misspelt, not-connected, not-permitted,
limit-reached, locked, no-link.

Exit codes: 0 if nothing failed, else that of the first failure: 3 no manager,
4 refused, 1 a file of this computer; see `labwire --help`.";

#[derive(Args, Debug)]
pub struct DoctorArgs {
    #[arg(
        value_name = "HOST",
        help = "The manager: HOST, HOST:PORT or [IPv6]:PORT [default: as for other commands]"
    )]
    manager: Option<String>,
    /// Also check that clients can use this service
    #[arg(long, value_name = "NAME")]
    service: Option<String>,
    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten)]
    connection: ConnectionArgs,
}

pub(crate) async fn run(arguments: &DoctorArgs) -> Result<(), Failure> {
    let connection = arguments.connection.for_manager(arguments.manager.as_deref())?;
    let mut subject = Subject::new(&connection, arguments.service.as_deref())?;
    let mut report = Report::new(arguments.output, planned(&subject));
    examine(&mut subject, &mut report).await?;
    report.leave_out()?;
    report.end(subject.address())
}

fn settings(subject: &Subject) -> Check {
    let tls = if subject.options.uses_tls() {
        "with TLS"
    } else {
        "without TLS"
    };
    let file = match subject.options.given_certificate_file() {
        Some(file) => format!(", trusting {} ({})", file.display(), subject.origins.cert_file),
        None => String::new(),
    };
    Check::ok(
        "settings",
        format!(
            "{} ({}), {tls} ({}){file}",
            subject.address(),
            subject.origins.address(),
            subject.origins.tls
        ),
    )
}

/// Returns the names of the checks that are always made.
fn planned(subject: &Subject) -> Vec<&'static str> {
    let mut planned = vec!["settings", "home", "name", "port", "tls"];
    if subject.options.uses_tls() {
        planned.push("certificate");
    }
    planned.extend(["login", "manager"]);
    planned.extend(subject.service.as_ref().map(|_| "service"));
    planned
}

/// Makes the checks one after the other, until one fails on which the others depend.
async fn examine(subject: &mut Subject, report: &mut Report) -> Result<(), Failure> {
    report.tell(&settings(subject))?;
    report.tell(&home::check())?;
    if let Some(own) = client_certificate::check(subject)
        && !report.tell(&own)?
    {
        return Ok(());
    }
    let named = network::check_name(subject).await;
    if !report.tell(&named)? || !report.tell(&network::check_port(subject).await)? {
        return Ok(());
    }
    let (greeted, presented) = greeting::check(subject).await;
    if !report.tell(&greeted)? {
        return Ok(());
    }
    if let Some(presented) = presented {
        let summary = CertificateSummary::of(presented.der());
        let is_trusted = report.tell(&certificate::check(subject, &presented, summary.as_ref()))?;
        if let Some(python) = python::check(subject, &presented) {
            report.tell(&python)?;
        }
        report.tell(&clock::check(subject))?;
        if !is_trusted {
            return Ok(());
        }
    }
    let (admitted, connection) = login::check(subject).await;
    report.tell(&admitted)?;
    let Some(connection) = connection else {
        return Ok(());
    };
    let (known, identities) = service::check_manager(&connection).await;
    report.tell(&known)?;
    if let (Some(identities), Some(name)) = (identities, &subject.service) {
        let check = service::check(subject, &connection, &identities, name).await;
        report.tell(&check)?;
    }
    connection.disconnect().await;
    Ok(())
}
