//! The first line of a manager, and whether it is sent over TLS.

use std::time::Duration;

use labwire_client::{ConnectError, PresentedCertificates};
use serde_json::Value;
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};

use super::report::Check;
use super::subject::Subject;
use crate::failure::Failure;
use crate::output::one_line;

const CHECK: &str = "tls";

/// The timeout for the first line of a manager without TLS, which may look up a name before.
const PATIENCE: Duration = Duration::from_secs(2);

/// The maximum number of bytes to read of a first line.
const LONGEST: usize = 4_096;

/// The maximum number of characters of a first line that are shown.
const SHOWN: usize = 60;

/// What a server sends by itself.
enum Heard {
    /// A line of a manager.
    Manager,
    /// Something else, at its beginning.
    Other(String),
    /// Nothing, for some time.
    Silence,
    /// Nothing, and it closed the connection.
    Closed,
}

/// Connects without TLS, and waits for the first line.
async fn listen(subject: &Subject) -> Heard {
    let deadline = Instant::now() + PATIENCE.min(subject.options.connect_timeout());
    let connecting = TcpStream::connect((subject.host.as_str(), subject.port));
    let Ok(Ok(mut stream)) = timeout_at(deadline, connecting).await else {
        return Heard::Closed;
    };
    let mut received = Vec::new();
    let is_closed = loop {
        if received.contains(&b'\n') || received.len() >= LONGEST {
            break false;
        }
        match timeout_at(deadline, stream.read_buf(&mut received)).await {
            Ok(Ok(0) | Err(_)) => break true,
            Ok(Ok(_)) => {}
            Err(_) => break false,
        }
    };
    match received.split(|byte| *byte == b'\n').next() {
        None | Some([]) if is_closed => Heard::Closed,
        None | Some([]) => Heard::Silence,
        Some(line) if is_of_manager(line) => Heard::Manager,
        Some(line) => {
            let line = String::from_utf8_lossy(line);
            Heard::Other(one_line(line.trim()).chars().take(SHOWN).collect())
        }
    }
}

/// Returns whether a line is a request or an error of a manager.
fn is_of_manager(line: &[u8]) -> bool {
    let Ok(frame) = serde_json::from_slice::<Value>(line) else {
        return false;
    };
    let requester = frame["requester"].as_str().unwrap_or_default();
    requester.starts_with("Manager[")
}

/// Checks that both sides use TLS, or neither does. Returns the certificates, if both do.
pub(super) async fn check(subject: &Subject) -> (Check, Option<PresentedCertificates>) {
    let fetched = if subject.options.uses_tls() {
        Some(PresentedCertificates::fetch(&subject.options).await)
    } else {
        None
    };
    let error = match fetched {
        Some(Ok(presented)) => return (Check::ok(CHECK, "both sides use TLS"), Some(presented)),
        Some(Err(error)) => Some(error),
        None => None,
    };
    (without_certificate(subject, error).await, None)
}

/// Identifies the server without a certificate: TLS has failed, or is disabled.
async fn without_certificate(subject: &Subject, error: Option<ConnectError>) -> Check {
    let address = subject.address();
    match (listen(subject).await, error) {
        (Heard::Manager, None) => Check::ok(CHECK, "neither side uses TLS"),
        (Heard::Manager, Some(_)) => not_spoken(subject),
        (Heard::Other(sent), _) => not_a_manager(subject, &format!("it sends {sent:?}{}", guess(&sent))),
        (heard, None) => {
            let Err(error) = PresentedCertificates::fetch(&subject.options).await else {
                return expected(subject);
            };
            match heard {
                Heard::Closed => closed(subject),
                // It has said something now: perhaps it took its time before.
                _ if matches!(error, ConnectError::NoTls { .. })
                    && matches!(listen(subject).await, Heard::Manager) =>
                {
                    Check::ok(CHECK, "neither side uses TLS")
                }
                _ => silent(subject),
            }
        }
        (_, Some(ConnectError::NoTls { .. })) => not_a_manager(
            subject,
            "it does not answer with TLS, and sends nothing by itself",
        ),
        (_, Some(ConnectError::TimedOut { .. })) => silent(subject),
        (Heard::Closed, Some(_)) => closed(subject),
        (Heard::Silence, Some(error)) => Check::failed(
            CHECK,
            "tls-failed",
            Failure::NoManager,
            format!("no TLS connection with {address}: {error}"),
        )
        .remedy("the server may offer only old versions of TLS; managers offer TLS 1.2 and 1.3"),
    }
}

/// Returns the kind of server that sends this first line, as the end of a sentence.
fn guess(sent: &str) -> &'static str {
    if sent.starts_with("SSH-") {
        ", so it is an SSH server"
    } else if sent.starts_with("HTTP/") {
        ", so it is a web server"
    } else if sent.starts_with("220") {
        ", so it may be a mail or a file server"
    } else {
        ""
    }
}

fn not_a_manager(subject: &Subject, reason: &str) -> Check {
    Check::failed(
        CHECK,
        "not-a-manager",
        Failure::NoManager,
        format!("what listens at {} is not a manager: {reason}", subject.address()),
    )
    .remedy(format!(
        "give the port that the manager printed when it started; {} is from {}",
        subject.port, subject.origins.address
    ))
}

/// This side uses TLS and the manager does not.
fn not_spoken(subject: &Subject) -> Check {
    let check = Check::failed(
        CHECK,
        "tls-not-spoken",
        Failure::NoManager,
        format!(
            "the manager at {} does not use TLS (it was started with --disable-tls), and this side does",
            subject.address()
        ),
    );
    let check = match subject.origins.tls.as_str() {
        "the default" => check,
        origin => check.remedy(format!("TLS is on because of {origin}")),
    };
    check
        .command(
            "connect without TLS (LABWIRE_DISABLE_TLS=true for programs, disable_tls=True in Python)",
            format!("labwire doctor {} --disable-tls", subject.argument()),
        )
        .command(
            format!(
                "better, since passwords are readable without TLS: start the manager with it {}",
                subject.there()
            ),
            format!("labwire start{}", subject.port_option()),
        )
}

/// The manager uses TLS and this side does not.
fn expected(subject: &Subject) -> Check {
    Check::failed(
        CHECK,
        "tls-expected",
        Failure::NoManager,
        format!(
            "the manager at {} uses TLS, and this side does not, because of {}",
            subject.address(),
            subject.origins.tls
        ),
    )
    .command(
        match subject.origins.tls.as_str() {
            "LABWIRE_DISABLE_TLS" => "unset the environment variable LABWIRE_DISABLE_TLS; until then",
            "--disable-tls" => "leave --disable-tls out (disable_tls=True in Python)",
            _ => "change the profile, or turn TLS on",
        },
        format!("labwire doctor {} --disable-tls=false", subject.argument()),
    )
}

fn silent(subject: &Subject) -> Check {
    Check::failed(
        CHECK,
        "silent",
        Failure::NoManager,
        format!(
            "{} accepts connections but sends nothing: the manager does not respond, something between it and this \
             computer drops the data, or it is not a manager",
            subject.address()
        ),
    )
    .command(
        format!("does the manager answer {}?", subject.there()),
        format!("labwire doctor {}", subject.argument_for("localhost")),
    )
    .remedy("a proxy or a tunnel (ssh -L) accepts connections even if the manager behind it is not running")
}

fn closed(subject: &Subject) -> Check {
    Check::failed(
        CHECK,
        "closed",
        Failure::NoManager,
        format!(
            "{} accepts connections and closes them at once: a tunnel or a proxy whose manager is not running, a \
             manager that is being stopped, or no manager",
            subject.address()
        ),
    )
    .command(
        format!("does the manager answer {}?", subject.there()),
        format!("labwire doctor {}", subject.argument_for("localhost")),
    )
}
