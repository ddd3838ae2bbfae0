//! `labwire trust`: shows the certificate of a manager, and saves it for the programs of this user.

mod fingerprint;
mod places;

use std::fmt::Write as _;
use std::io::{self, IsTerminal};

use clap::Args;
use labwire_client::{ConnectError, ConnectOptions, PresentedCertificates, confirm_trust};
use labwire_pki::CertificateSummary;
use serde::Serialize;

use crate::connection::ConnectionArgs;
use crate::failure::Failure;
use crate::output::{OutputArgs, STRONG, list, one_line, say, say_json, shell_argument, tell};
use crate::saved::{NAMES_SHOWN, day, local, one_file_per_host};
use fingerprint::Fingerprint;
use places::{Place, Places, State};

pub(crate) const EXAMPLES: &str = "\
Examples:
  labwire trust lab-pc
  labwire trust lab-pc:1876 --fingerprint 3a:5f:…";

pub(crate) const AFTER_HELP: &str = "\
Examples:
  labwire trust lab-pc
  labwire trust lab-pc:1876 --fingerprint 3a:5f:…
  labwire trust --profile clean-room --yes --json

The manager prints its fingerprint when it starts, and `labwire certgen` when it
makes a certificate: compare it with the one that is shown here. Without a
terminal, --fingerprint or --yes is needed.

The certificate is saved for programs of the Rust SDK in the home folder, as
certs/HOST_PORT.crt, and for programs of the Python package MSL-Network in its
own folder ($MSL_NETWORK_HOME, else ~/.msl/network), as certs/HOST.crt. The
certificate of a manager that has its files there is never replaced. The Python
package has one certificate for all managers of a host: give the others with
cert_file=… in Python, or give all of them one certificate.

With --json, the certificate is one object: host, port, subject, issuer, names,
valid_from, valid_until, self_signed, fingerprint, changed (whether another one
was trusted), warnings, and saved: a list of objects with programs (rust or
python), file, action (added, replaced, unchanged, or kept: not saved) and
reason.

Exit codes: 4 if the fingerprint is another one, 1 if the answer is no; see
`labwire --help`.";

#[derive(Args, Debug)]
pub struct TrustArgs {
    #[arg(
        value_name = "HOST",
        help = "The manager: HOST, HOST:PORT or [IPv6]:PORT [default: as for other commands]"
    )]
    manager: Option<String>,
    /// Save the certificate without a question
    #[arg(short, long)]
    yes: bool,
    /// Save it without a question if this is its SHA-256 fingerprint
    #[arg(long, value_name = "SHA256", conflicts_with = "yes")]
    fingerprint: Option<Fingerprint>,
    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten)]
    connection: ConnectionArgs,
}

/// A certificate and where it was saved, as an object of JSON.
#[derive(Serialize)]
struct Told<'a> {
    host: &'a str,
    port: u16,
    subject: &'a str,
    issuer: &'a str,
    names: &'a [String],
    valid_from: String,
    valid_until: String,
    self_signed: bool,
    fingerprint: &'a str,
    changed: bool,
    warnings: &'a [String],
    saved: &'a [Place],
}

/// Returns the failure of a manager that presented no certificate.
fn unfetched(error: ConnectError) -> Failure {
    match error {
        ConnectError::NoTls { address } => {
            let address = one_line(&address);
            let failure = Failure::NoManager(format!("{address} does not answer with TLS"));
            let hint = "a manager that was started with --disable-tls has no certificate to trust: the other commands \
                        connect to it with --disable-tls, and Python programs with disable_tls=True";
            failure.with_hint(Some(hint.to_owned()))
        }
        other => other.into(),
    }
}

pub(crate) async fn run(arguments: &TrustArgs) -> Result<(), Failure> {
    let connection = arguments.connection.for_manager(arguments.manager.as_deref())?;
    let options = connection.options()?;
    let presented = PresentedCertificates::fetch(&options).await.map_err(unfetched)?;
    let summary = CertificateSummary::of(presented.der())
        .ok_or_else(|| Failure::Refused(format!("the certificate of {} is damaged", options.address())))?;
    let mut places = Places::find(&options, &presented, &summary)?;
    let mut warnings = warnings(&options, &summary);
    if options.given_certificate_file().is_some() {
        let origin = connection.origins()?.cert_file;
        warnings.push(format!(
            "connections with these settings trust the file of {origin} alone, and not what is saved here"
        ));
    }
    if places.replaces_for_python() {
        warnings.push(one_file_per_host(options.host_and_port().0));
    }
    let shown = shown(&options, &summary, &places);
    if arguments.output.json {
        if is_asking(arguments) {
            tell(&shown);
        }
    } else {
        say(&shown)?;
    }
    if !arguments.output.json || is_asking(arguments) {
        for warning in &warnings {
            tell(format_args!("warning: {warning}"));
        }
    }
    if places.is_anything_to_do() || arguments.fingerprint.is_some() {
        decide(arguments, &options, &summary)?;
    }
    places.save(&presented)?;
    if arguments.output.json {
        let (host, port) = options.host_and_port();
        return say_json(&Told {
            host,
            port,
            subject: &summary.subject,
            issuer: &summary.issuer,
            names: &summary.names,
            valid_from: summary.valid_from.to_string(),
            valid_until: summary.valid_until.to_string(),
            self_signed: summary.is_self_signed,
            fingerprint: &summary.fingerprint,
            changed: places.is_changed(),
            warnings: &warnings,
            saved: &places.all,
        });
    }
    places.all.iter().try_for_each(|place| say(place.told()))
}

/// Returns why programs would not accept the certificate although it is saved.
fn warnings(options: &ConnectOptions, summary: &CertificateSummary) -> Vec<String> {
    let (host, _) = options.host_and_port();
    let now = labwire_home::present();
    let mut warnings = Vec::new();
    if now > summary.valid_until {
        warnings.push(format!(
            "the certificate has expired on {}: programs refuse it; for the command that makes a new one: labwire \
             doctor {}",
            day(summary.valid_until),
            shell_argument(&options.address())
        ));
    }
    if now < summary.valid_from {
        warnings.push(format!(
            "the certificate is not valid before {}: programs refuse it; this computer's clock shows {}",
            day(summary.valid_from),
            local(now)
        ));
    }
    if !summary.is_for(host) {
        warnings.push(format!(
            "the certificate is not for '{}': programs that connect by this name refuse it; connect by a name that \
             it holds ({}), or make one that holds it; for the command: labwire doctor {}",
            one_line(host),
            list(&summary.names, NAMES_SHOWN),
            shell_argument(&options.address())
        ));
    }
    warnings
}

/// Returns the certificate for people.
fn shown(options: &ConnectOptions, summary: &CertificateSummary, places: &Places) -> String {
    let issuer = if summary.is_self_signed {
        "itself".to_owned()
    } else {
        one_line(&summary.issuer)
    };
    let mut text = format!(
        "{STRONG}Certificate of {}{STRONG:#}\n  subject      {}\n  issued by    {issuer}\n  names        {}\n  \
         valid        {} to {}\n  fingerprint  {} (SHA-256)",
        one_line(&options.address()),
        one_line(&summary.subject),
        list(&summary.names, NAMES_SHOWN),
        day(summary.valid_from),
        day(summary.valid_until),
        summary.fingerprint,
    );
    for place in &places.all {
        if let State::Differs { former, since } = &place.state {
            let _ = write!(
                text,
                "\nIt is another one than {} programs have trusted until now ({}), saved{}:\n  {former}",
                place.programs.name(),
                place.file.display(),
                since.as_deref().unwrap_or_default()
            );
        }
    }
    if places.is_changed() {
        text.push_str("\nSomebody may be between you and the manager, unless it has a new certificate.");
    }
    text
}

fn is_asking(arguments: &TrustArgs) -> bool {
    !arguments.yes && arguments.fingerprint.is_none() && io::stdin().is_terminal()
}

/// Decides whether the certificate is trusted: by its fingerprint, or by a person's answer.
fn decide(
    arguments: &TrustArgs,
    options: &ConnectOptions,
    summary: &CertificateSummary,
) -> Result<(), Failure> {
    if let Some(expected) = &arguments.fingerprint {
        if expected.is_of(summary) {
            return Ok(());
        }
        return Err(Failure::Refused(format!(
            "the certificate of {} has another fingerprint than the given one, and was not saved: it is {}",
            options.address(),
            summary.fingerprint
        )));
    }
    if arguments.yes {
        return Ok(());
    }
    if !is_asking(arguments) {
        return Err(Failure::Usage(format!(
            "there is no terminal to ask whether to trust the certificate; compare it with --fingerprint {}, or save \
             it with --yes",
            summary.fingerprint
        )));
    }
    tell(
        "The manager prints its fingerprint when it starts, and `labwire certdump FILE` shows it on the manager's \
         computer: they must be equal.",
    );
    if confirm_trust() {
        Ok(())
    } else {
        Err(Failure::Failed("the certificate was not saved".to_owned()))
    }
}
