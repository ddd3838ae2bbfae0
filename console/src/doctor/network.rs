//! The network connection to the manager: its name, and its port.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use labwire_client::{DEFAULT_PORT, Home};
use labwire_home::nearest;
use tokio::net::{TcpStream, lookup_host};
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::greeting::{Server, identify};
use super::own_manager;
use super::report::Check;
use super::subject::Subject;
use super::waiting::with_notice;
use crate::failure::Failure;
use crate::output::shell_argument;
use crate::profiles::Profiles;
use crate::settings::Settings;

/// The longest time to wait for an answer of one address: packets that get lost are sent again
/// after one, three and seven seconds.
const PATIENCE: Duration = Duration::from_secs(5);

/// The units of systemd that start a manager: that of the Debian package, and that of `labwire systemd install`.
const UNITS: [&str; 3] = [
    "/usr/lib/systemd/system/labwire.service",
    "/lib/systemd/system/labwire.service",
    "/etc/systemd/system/labwire.service",
];

/// The maximum number of other ports at which a manager is looked for.
const MOST_PORTS: usize = 6;

/// Resolves the name of the manager's computer.
pub(super) async fn check_name(subject: &mut Subject) -> Check {
    const CHECK: &str = "name";
    let limit = subject.options.connect_timeout();
    let looking_up = timeout(limit, lookup_host((subject.host.as_str(), subject.port)));
    let looked_up = with_notice("the name server", limit, looking_up).await;
    let host = subject.host.clone();
    let reason = match looked_up {
        Ok(Ok(found)) => {
            for address in found {
                if !subject.addresses.contains(&address.ip()) {
                    subject.addresses.push(address.ip());
                }
            }
            if subject.addresses.is_empty() {
                "it has no address".to_owned()
            } else {
                return Check::ok(CHECK, named(subject));
            }
        }
        Ok(Err(error)) => error.to_string(),
        Err(_) => format!("no answer within {} s", limit.as_secs_f64()),
    };
    let mut check = Check::failed(
        CHECK,
        "unknown-name",
        Failure::NoManager,
        format!("no computer is known as '{host}': {reason}"),
    );
    let known = known_managers();
    if let Some(near) = nearest(&host, known.iter().map(|(host, _)| host.as_str())) {
        check = check.command(
            format!("did you mean '{near}'?"),
            subject.doctor_at(near, subject.port),
        );
    }
    check
        .remedy(format!(
            "look for a mistake in the name, which is from {}",
            subject.origins.host
        ))
        .remedy(
            "use the manager's IP address in its place, or have its name entered in the network's name server or in \
             this computer's hosts file (the command `hostname` shows the name on the manager's computer)",
        )
}

fn named(subject: &Subject) -> String {
    let Subject { host, addresses, .. } = subject;
    let is_address = host.parse::<IpAddr>().is_ok();
    let here = if subject.is_here() { ", this computer" } else { "" };
    if is_address {
        return format!("{host} is an address{here}");
    }
    let listed: Vec<_> = addresses.iter().map(IpAddr::to_string).collect();
    format!("{host} is {}{here}", listed.join(", "))
}

/// Returns the managers of the profiles, and those whose certificates are saved: their hosts, and
/// their ports if they are known.
fn known_managers() -> Vec<(String, Option<u16>)> {
    let mut known = Vec::new();
    if let Ok(Some(profiles)) = Profiles::read_if_any() {
        known.extend(profiles.all().values().filter_map(Settings::host_and_port));
    }
    for home in [Home::resolve().ok(), Home::of_msl_network()]
        .into_iter()
        .flatten()
    {
        let files = std::fs::read_dir(home.root().join("certs"));
        let files = files.into_iter().flatten().flatten();
        known.extend(files.filter_map(|file| Home::manager_of_certificate(&file.path())));
    }
    known
}

/// Why a manager may be meant that listens at a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Likely {
    /// This user has started one there.
    Started,
    /// It is the default port.
    Default,
    /// A manager of this host is known there.
    Known,
}

/// Returns the ports at which a manager may be meant: those at which this user has started one on this
/// computer, the default one, and those at which managers of this host are known.
fn likely_ports(subject: &Subject) -> Vec<(u16, Likely)> {
    let started = if subject.is_here() {
        own_manager::ports()
    } else {
        Vec::new()
    };
    let of_host = known_managers()
        .into_iter()
        .filter(|(host, _)| host.eq_ignore_ascii_case(&subject.host));
    let known = of_host.filter_map(|(_, port)| Some((port?, Likely::Known)));
    let mut likely = vec![(DEFAULT_PORT, Likely::Default)];
    likely.extend(started.into_iter().map(|port| (port, Likely::Started)));
    likely.extend(known);
    likely.sort_unstable();
    likely.dedup_by_key(|(port, _)| *port);
    likely.sort_by_key(|(_, why)| *why);
    likely.retain(|(port, _)| *port != subject.port);
    likely.truncate(MOST_PORTS);
    likely
}

/// The result of connecting to an address.
enum Reached {
    Connected,
    Refused,
    Silent,
    Other(io::Error),
}

async fn reach(address: SocketAddr, limit: Duration) -> Reached {
    match timeout(limit, TcpStream::connect(address)).await {
        Ok(Ok(_)) => Reached::Connected,
        Ok(Err(error)) if error.kind() == io::ErrorKind::ConnectionRefused => Reached::Refused,
        Ok(Err(error)) if error.kind() == io::ErrorKind::TimedOut => Reached::Silent,
        Ok(Err(error)) => Reached::Other(error),
        Err(_) => Reached::Silent,
    }
}

/// Connects to the port at each address.
pub(super) async fn check_port(subject: &Subject) -> Check {
    const CHECK: &str = "port";
    let limit = subject.options.connect_timeout().min(PATIENCE);
    let mut attempts = JoinSet::new();
    for ip in &subject.addresses {
        let address = SocketAddr::new(*ip, subject.port);
        attempts.spawn(async move { (address, reach(address, limit).await) });
    }
    let what = format!("an answer of {}", subject.address());
    let mut reached = with_notice(&what, limit, attempts.join_all()).await;
    reached.sort_by_key(|(address, _)| *address);
    let those = |wanted: fn(&Reached) -> bool| -> Vec<String> {
        let those = reached.iter().filter(|(_, reached)| wanted(reached));
        those.map(|(address, _)| address.to_string()).collect()
    };
    let connected = those(|reached| matches!(reached, Reached::Connected));
    let silent = those(|reached| matches!(reached, Reached::Silent));
    if !connected.is_empty() {
        let connected = format!("{} accepts connections", connected.join(", "));
        if silent.is_empty() {
            return Check::ok(CHECK, connected);
        }
        return Check::warning(
            CHECK,
            "silent-address",
            format!("{connected}, but {} does not answer", silent.join(", ")),
        )
        .remedy("programs may try that address first and wait: use the other one in place of the name");
    }
    if !silent.is_empty() {
        return silence(subject, limit);
    }
    if reached
        .iter()
        .any(|(_, reached)| matches!(reached, Reached::Refused))
    {
        return nothing_listens(subject).await;
    }
    let reasons: Vec<_> = reached
        .iter()
        .filter_map(|(address, reached)| match reached {
            Reached::Other(error) => Some(format!("{address}: {error}")),
            _ => None,
        })
        .collect();
    Check::failed(
        CHECK,
        "unreachable",
        Failure::NoManager,
        format!("cannot reach {}: {}", subject.host, reasons.join("; ")),
    )
    .remedy("check this computer's network: the cable, the wireless network, the VPN of the laboratory")
}

fn silence(subject: &Subject, limit: Duration) -> Check {
    let port = subject.port;
    Check::failed(
        "port",
        "silence",
        Failure::NoManager,
        format!(
            "no answer from port {port} of {} within {} s, not even a refusal: a firewall drops the connections, or \
             the computer is off or in another network",
            subject.host,
            limit.as_secs_f64()
        ),
    )
    .command("does the computer answer at all?", format!("ping {}", shell_argument(&subject.host)))
    .command(
        format!("let the port through a firewall {} (Linux with ufw)", subject.there()),
        format!("sudo ufw allow {port}/tcp"),
    )
    .command(
        "the same on Windows, as an administrator",
        format!(
            "netsh advfirewall firewall add rule name=Labwire dir=in action=allow protocol=TCP localport={port}"
        ),
    )
}

async fn nothing_listens(subject: &Subject) -> Check {
    let (host, port) = (&subject.host, subject.port);
    let mut found = Vec::new();
    for (other, why) in likely_ports(subject) {
        let server = identify(subject, other).await;
        found.extend(server.map(|server| (other, why, server)));
    }
    let is_nowhere = port != DEFAULT_PORT && found.iter().all(|(other, ..)| *other != DEFAULT_PORT);
    let nor = if is_nowhere {
        format!(", nor at the default port {DEFAULT_PORT}")
    } else {
        String::new()
    };
    let text = format!("nothing listens at port {port} of {host}{nor}");
    let mut check = Check::failed("port", "no-listener", Failure::NoManager, text);
    for (other, why, server) in found {
        check = elsewhere(check, subject, (other, why), server);
    }
    if subject.is_here() && port == DEFAULT_PORT && UNITS.iter().any(|unit| Path::new(unit).exists()) {
        // Another manager would have another home folder, with other users and another certificate.
        let text = "start the manager that starts with this computer";
        return check.command(text, "sudo systemctl start labwire");
    }
    let text = format!("start a manager {}", subject.there());
    check = check.command(text, subject.start(""));
    let running = "if one is running, the last line that it printed at its start contains its port: Network Manager \
                   running on …";
    if subject.is_here() {
        return check.remedy(format!("{running}; give it as HOST:PORT"));
    }
    check.remedy(format!(
        "{running}; one that was started with --host localhost is not reachable from here"
    ))
}

/// Adds a server at another port, which may be meant.
fn elsewhere(check: Check, subject: &Subject, (port, why): (u16, Likely), server: Server) -> Check {
    let what = match server {
        Server::PlainManager => "a manager without TLS listens",
        Server::WithTls => "a server with TLS, as managers are, listens",
        Server::Other => "a server that is no manager listens",
    };
    let place = match why {
        Likely::Started => format!("at port {port}, at which you have started one"),
        Likely::Default => format!("at the default port {port}"),
        Likely::Known => format!("at port {port}, at which you have used one before"),
    };
    let text = format!(
        "{what} {place}; the port {} is from {}",
        subject.port, subject.origins.port
    );
    match server {
        Server::Other => check.remedy(text),
        server => check.command(
            text,
            subject.doctor_with_tls(&subject.host, port, server == Server::WithTls),
        ),
    }
}
