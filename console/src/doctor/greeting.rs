//! The first line of a manager, and whether it is sent over TLS.

use std::pin::pin;
use std::time::Duration;

use labwire_client::{ConnectError, PresentedCertificates};
use serde_json::Value;
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout, timeout_at};

use super::report::Check;
use super::subject::Subject;
use super::waiting::with_notice;
use crate::failure::Failure;
use crate::output::one_line;

const CHECK: &str = "tls";

/// The timeout for a first line, and for TLS: the resolver of a manager may be slow.
const PATIENCE: Duration = Duration::from_secs(4);

/// The timeout for the first line of a server that does not answer with TLS.
const PLAIN_PATIENCE: Duration = Duration::from_secs(2);

/// How long one kind of connection is tried alone before the other one is tried, too.
const HEAD_START: Duration = Duration::from_secs(1);

/// The maximum number of bytes to read of a first line.
const LONGEST: usize = 4_096;

/// The maximum number of characters of a first line that are shown.
const SHOWN: usize = 60;

/// What a server sends by itself.
enum Heard {
    /// A request of a manager.
    Manager,
    /// An error of a manager. One with TLS sends it in plain text after some seconds of silence.
    Refusal,
    /// Something else, at its beginning.
    Other(String),
    /// Nothing, for some time.
    Silence,
    /// Nothing, and it closed the connection.
    Closed,
}

/// Connects without TLS, and waits for the first line.
async fn listen(host: &str, port: u16, patience: Duration) -> Heard {
    let deadline = Instant::now() + patience;
    let Ok(Ok(mut stream)) = timeout_at(deadline, TcpStream::connect((host, port))).await else {
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
        Some(line) => of_manager(line).unwrap_or_else(|| {
            let line = String::from_utf8_lossy(line);
            Heard::Other(one_line(line.trim()).chars().take(SHOWN).collect())
        }),
    }
}

/// Returns whether a line is a request or an error of a manager, or `None` if it is neither.
fn of_manager(line: &[u8]) -> Option<Heard> {
    let frame: Value = serde_json::from_slice(line).ok()?;
    let requester = frame["requester"].as_str().unwrap_or_default();
    requester.starts_with("Manager[").then(|| {
        if frame["error"] == true {
            Heard::Refusal
        } else {
            Heard::Manager
        }
    })
}

/// A kind of server at another port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Server {
    /// A manager without TLS.
    PlainManager,
    /// A server with TLS, as most managers are.
    WithTls,
    /// Another server.
    Other,
}

/// Returns the kind of server at another port of the manager's computer. Returns `None` if nothing
/// accepts connections there. Takes two seconds at most.
pub(super) async fn identify(subject: &Subject, port: u16) -> Option<Server> {
    let connecting = TcpStream::connect((subject.host.as_str(), port));
    timeout(HEAD_START, connecting).await.ok()?.ok()?;
    let options = subject.options.clone().port(port).timeout(HEAD_START);
    let (heard, fetched) = tokio::join!(
        listen(&subject.host, port, HEAD_START),
        PresentedCertificates::fetch(&options)
    );
    Some(match (heard, fetched) {
        (_, Ok(_)) => Server::WithTls,
        (Heard::Manager | Heard::Refusal, _) => Server::PlainManager,
        _ => Server::Other,
    })
}

/// Checks that both sides use TLS, or neither does. Returns the certificates, if both do.
pub(super) async fn check(subject: &Subject) -> (Check, Option<PresentedCertificates>) {
    let patience = PATIENCE.min(subject.options.connect_timeout());
    let what = format!("the first bytes of {}", subject.address());
    if subject.options.uses_tls() {
        with_notice(&what, patience, with_tls(subject, patience)).await
    } else {
        (
            with_notice(&what, patience, without_tls(subject, patience)).await,
            None,
        )
    }
}

/// Examines a server that is expected to use TLS.
async fn with_tls(subject: &Subject, patience: Duration) -> (Check, Option<PresentedCertificates>) {
    let options = subject.options.clone().timeout(patience);
    let mut fetching = pin!(PresentedCertificates::fetch(&options));
    let listening = listen(&subject.host, subject.port, PLAIN_PATIENCE.min(patience));
    let (fetched, heard) = match timeout(HEAD_START.min(patience), &mut fetching).await {
        Ok(fetched @ Ok(_)) => (fetched, Heard::Silence),
        Ok(fetched) => (fetched, listening.await),
        Err(_) => tokio::join!(fetching, listening),
    };
    let error = match fetched {
        Ok(presented) => return (Check::ok(CHECK, "both sides use TLS"), Some(presented)),
        Err(error) => error,
    };
    let check = match (heard, error) {
        (Heard::Manager | Heard::Refusal, _) => not_spoken(subject),
        (Heard::Other(sent), _) => not_a_manager(subject, &format!("it sends {sent:?}{}", guess(&sent))),
        (_, ConnectError::NoTls { .. }) => not_a_manager(
            subject,
            "it does not answer with TLS, and sends nothing by itself",
        ),
        (_, ConnectError::TimedOut { .. }) => silent(subject, patience),
        (Heard::Closed, _) => closed(subject),
        (Heard::Silence, error) => Check::failed(
            CHECK,
            "tls-failed",
            Failure::NoManager,
            format!("no TLS connection with {}: {error}", subject.address()),
        )
        .remedy("the server may offer only old versions of TLS; managers offer TLS 1.2 and 1.3"),
    };
    (check, None)
}

/// Examines a server that is expected to use no TLS.
async fn without_tls(subject: &Subject, patience: Duration) -> Check {
    let options = subject
        .options
        .clone()
        .timeout(patience.saturating_sub(HEAD_START).max(patience / 2));
    let mut listening = pin!(listen(&subject.host, subject.port, patience));
    let early = timeout(HEAD_START.min(patience / 2), &mut listening).await;
    let fetching = PresentedCertificates::fetch(&options);
    let (heard, fetched) = match early {
        Ok(Heard::Manager) => (Heard::Manager, None),
        Ok(heard) => (heard, Some(fetching.await)),
        Err(_) => match fetching.await {
            Ok(presented) => (Heard::Silence, Some(Ok(presented))),
            // It may take its time: the resolver of a manager may be slow.
            Err(error) => (listening.await, Some(Err(error))),
        },
    };
    match (heard, fetched) {
        (Heard::Manager, _) => Check::ok(CHECK, "neither side uses TLS"),
        (_, Some(Ok(_))) => expected(subject),
        // The check of the login tells what it refuses.
        (Heard::Refusal, _) => Check::ok(CHECK, "neither side uses TLS"),
        (Heard::Other(sent), _) => not_a_manager(subject, &format!("it sends {sent:?}{}", guess(&sent))),
        (Heard::Closed, _) => closed(subject),
        (Heard::Silence, _) => silent(subject, patience),
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
        subject.port, subject.origins.port
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
            subject.doctor_with_tls(&subject.host, subject.port, false),
        )
        .command(
            format!(
                "better, since passwords are readable without TLS: stop the manager, and start it again without \
                 --disable-tls, with its other options, {}",
                subject.there()
            ),
            subject.start(""),
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
            _ => "change the profile; until then",
        },
        subject.doctor_with_tls(&subject.host, subject.port, true),
    )
}

fn silent(subject: &Subject, patience: Duration) -> Check {
    Check::failed(
        CHECK,
        "silent",
        Failure::NoManager,
        format!(
            "{} accepts connections but has sent nothing within {} s: the manager does not respond, something between \
             it and this computer drops the data, or it is not a manager",
            subject.address(),
            patience.as_secs_f64()
        ),
    )
    .command(
        format!("does the manager answer {}?", subject.there()),
        subject.doctor_at("localhost", subject.port),
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
        subject.doctor_at("localhost", subject.port),
    )
}
