//! The names of peers' computers.

use std::collections::HashSet;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use labwire_home::local_addresses;
use labwire_store::ConnectionEvent;
use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use crate::certificates::PeerCertificate;

/// How long a peer waits for the name of its computer before its IP address is used instead.
const LOOKUP_TIME: Duration = Duration::from_secs(2);

/// The most lookups at the same time: a resolver that hangs must not use up all threads.
const LOOKUPS: usize = 8;

/// Returns the name that a peer gave itself: the `NAME` in `NAME[HOST:PORT]`.
pub(crate) fn own_name(name: &str) -> &str {
    name.rsplit_once('[').map_or(name, |(own, _)| own)
}

/// Returns the address by which failures, limits and turns are counted: for IPv6 the /64 network,
/// since one computer has all of its addresses.
pub(crate) fn network_of(ip: IpAddr) -> IpAddr {
    match ip {
        IpAddr::V4(_) => ip,
        IpAddr::V6(ip) => Ipv6Addr::from_bits(ip.to_bits() >> 64 << 64).into(),
    }
}

/// The address and names of a peer's computer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PeerAddress {
    pub(crate) ip: IpAddr,
    pub(crate) port: u16,
    /// The resolver's name for the IP address, or the address itself.
    pub(crate) domain: String,
    /// `HOST:PORT`, as other peers see it.
    pub(crate) address: String,
    /// Whether the peer is on the manager's own computer.
    pub(crate) local: bool,
    /// The computer's name in messages about trust.
    pub(crate) host: String,
    /// Whether its connection is encrypted.
    pub(crate) encrypted: bool,
    /// The certificate that the peer has presented.
    pub(crate) certificate: Option<Arc<PeerCertificate>>,
    /// The names by which the computer may be trusted: those that resolve to its address.
    aliases: Vec<String>,
}

impl PeerAddress {
    /// Returns the address of a peer on this computer.
    #[cfg(any(test, feature = "benchmarks", feature = "fuzzing", feature = "lab"))]
    pub(crate) fn sample() -> Self {
        Self {
            ip: std::net::Ipv4Addr::LOCALHOST.into(),
            port: 1,
            domain: "localhost".to_owned(),
            address: "h:1".to_owned(),
            local: true,
            host: "localhost".to_owned(),
            encrypted: false,
            certificate: None,
            aliases: Vec::new(),
        }
    }

    /// Notes that its connection is encrypted, and the certificate that the peer has presented.
    pub(crate) fn with_tls(self: Arc<Self>, certificate: Option<Arc<PeerCertificate>>) -> Arc<Self> {
        Arc::new(Self {
            encrypted: true,
            certificate,
            ..Arc::unwrap_or_clone(self)
        })
    }

    /// Returns a row about the peer for the table of connections.
    pub(crate) fn event(&self, message: &str) -> ConnectionEvent {
        ConnectionEvent {
            ip: self.ip.to_string(),
            domain: self.domain.clone(),
            port: self.port,
            message: message.to_owned(),
        }
    }

    /// Returns whether one of the computer's names is trusted.
    pub(crate) fn is_trusted(&self, trusted: &HashSet<String>) -> bool {
        self.aliases.iter().any(|alias| trusted.contains(alias))
    }
}

/// Resolves the names of peers' computers without blocking other tasks.
#[derive(Debug)]
pub(crate) struct Resolver {
    lookups: Arc<Semaphore>,
    hostname: String,
}

impl Resolver {
    /// Creates a resolver on the computer of that name.
    pub(crate) fn new(hostname: &str) -> Self {
        Self {
            lookups: Arc::new(Semaphore::new(LOOKUPS)),
            hostname: hostname.to_owned(),
        }
    }

    /// Describes the peer at the other end of a connection. Takes a few seconds at most.
    pub(crate) async fn describe(&self, peer: SocketAddr, own: SocketAddr) -> Arc<PeerAddress> {
        Arc::new(self.find_out(peer, own).await)
    }

    async fn find_out(&self, peer: SocketAddr, own: SocketAddr) -> PeerAddress {
        // A dual-stack socket reports IPv4 addresses in their IPv6 form.
        let (ip, port) = (peer.ip().to_canonical(), peer.port());
        if is_local(ip, own.ip().to_canonical()) {
            return self.describe_local(ip, port);
        }
        let names = self.look_up(ip).await.unwrap_or_else(|| Names::of_address(ip));
        let Names {
            domain,
            host,
            aliases,
        } = names;
        PeerAddress {
            ip,
            port,
            address: format!("{host}:{port}"),
            domain,
            local: false,
            host,
            encrypted: false,
            certificate: None,
            aliases,
        }
    }

    fn describe_local(&self, ip: IpAddr, port: u16) -> PeerAddress {
        // Under a loopback address the computer has no name but localhost, so that removing that
        // name from the table shuts its own peers out, as in MSL-Network.
        let (host, aliases) = if ip.is_loopback() {
            ("localhost".to_owned(), vec!["localhost".to_owned()])
        } else {
            (self.hostname.clone(), vec![self.hostname.clone(), ip.to_string()])
        };
        let address = format!("{}:{port}", self.hostname);
        PeerAddress {
            ip,
            port,
            domain: host.clone(),
            address,
            local: true,
            host,
            encrypted: false,
            certificate: None,
            aliases,
        }
    }

    /// Returns the names of an address, if the resolver finds them in time.
    async fn look_up(&self, ip: IpAddr) -> Option<Names> {
        let lookups = Arc::clone(&self.lookups);
        let hostname = self.hostname.clone();
        let lookup = async move {
            let permit = lookups.acquire_owned().await.ok()?;
            spawn_blocking(move || {
                // The permit moves to the thread: a timeout does not end the lookup.
                let _permit = permit;
                let domain = dns_lookup::lookup_addr(&ip).ok()?;
                let leads_back = |name: &str| {
                    dns_lookup::lookup_host(name)
                        .is_ok_and(|mut found| found.any(|found| found.to_canonical() == ip))
                };
                Some(Names::new(ip, &domain, &hostname, leads_back))
            })
            .await
            .ok()?
        };
        timeout(LOOKUP_TIME, lookup).await.ok().flatten()
    }
}

/// The names of an address of another computer.
#[derive(Debug, PartialEq, Eq)]
struct Names {
    domain: String,
    /// The first part of the domain, or the address.
    host: String,
    /// The names by which it may be trusted.
    aliases: Vec<String>,
}

impl Names {
    /// Returns the names of an address without a domain.
    fn of_address(ip: IpAddr) -> Self {
        let text = ip.to_string();
        Self {
            domain: text.clone(),
            host: text.clone(),
            aliases: vec![text],
        }
    }

    /// Returns the names of an address whose owner calls it `domain`. The owner of an address can
    /// give it any name, so a name is trusted only if it resolves to the address. The first part of
    /// a domain is a name of its own, which anyone can put in front of theirs, and is checked as
    /// such. The names of this computer are never trusted for another.
    fn new(ip: IpAddr, domain: &str, hostname: &str, leads_back: impl Fn(&str) -> bool) -> Self {
        let domain = printable(domain);
        let host = domain.split('.').next().unwrap_or_default().to_owned();
        if host.is_empty() || domain.parse::<IpAddr>().is_ok() {
            return Self::of_address(ip);
        }
        let own = ["localhost", hostname];
        let mut aliases = vec![ip.to_string()];
        for name in [&domain, &host] {
            if !aliases.contains(name) && !own.contains(&name.as_str()) && leads_back(name) {
                aliases.push(name.clone());
            }
        }
        Self {
            domain,
            host,
            aliases,
        }
    }
}

/// Keeps the characters that are safe in log lines and between brackets, since the owner of the
/// peer's network chooses the name.
fn printable(domain: &str) -> String {
    let allowed = |character: &char| character.is_ascii_graphic() && !matches!(character, '[' | ']' | ':');
    domain.chars().filter(allowed).take(253).collect()
}

/// Returns whether an address is one of the manager's own computer. `own` is the manager's end of
/// the connection.
fn is_local(ip: IpAddr, own: IpAddr) -> bool {
    ip.is_loopback() || ip == own || local_addresses().contains(&ip)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_computer_does_not_get_a_new_record_with_each_of_its_addresses() {
        let network = |text: &str| network_of(text.parse().unwrap());
        assert_eq!(network("2001:db8:1:2:3:4:5:6"), network("2001:db8:1:2:ffff::1"));
        assert_ne!(network("2001:db8:1:2::1"), network("2001:db8:1:3::1"));
        assert_ne!(network("192.0.2.1"), network("192.0.2.2"));
    }

    #[tokio::test]
    async fn every_address_of_the_computer_itself_is_local() {
        let resolver = Resolver::new("bench");
        for ip in local_addresses() {
            let peer = resolver
                .describe(SocketAddr::new(ip, 5), "127.0.0.1:1875".parse().unwrap())
                .await;
            assert!(peer.local, "{ip}");
            assert_eq!(peer.address, "bench:5");
        }
        let mapped = resolver
            .describe(
                "[::ffff:127.0.0.1]:5".parse().unwrap(),
                "[::1]:1".parse().unwrap(),
            )
            .await;
        assert!(mapped.local);
        assert!(mapped.is_trusted(&HashSet::from(["localhost".to_owned()])));
        assert!(!mapped.is_trusted(&HashSet::from(["127.0.0.1".to_owned(), "bench".to_owned()])));
    }

    #[tokio::test]
    async fn another_computer_is_called_by_its_address_when_it_has_no_name() {
        // An address of the range reserved for documentation, where no name resolves to it.
        let resolver = Resolver::new("bench");
        let peer = resolver
            .describe("203.0.113.7:5".parse().unwrap(), "127.0.0.1:1".parse().unwrap())
            .await;
        assert!(!peer.local);
        assert_eq!(peer.address, "203.0.113.7:5");
        assert!(peer.is_trusted(&HashSet::from(["203.0.113.7".to_owned()])));
        assert!(!peer.is_trusted(&HashSet::from(["localhost".to_owned(), "bench".to_owned()])));
    }

    #[test]
    fn a_name_is_trusted_only_if_it_leads_back_and_is_not_this_computers_own() {
        let ip: IpAddr = "203.0.113.7".parse().unwrap();
        let aliases = |domain: &str, leading_back: &[&str]| {
            Names::new(ip, domain, "bench", |name| leading_back.contains(&name)).aliases
        };
        let own = "203.0.113.7";
        assert_eq!(
            aliases("pc1.lab.example", &["pc1.lab.example", "pc1"]),
            [own, "pc1.lab.example", "pc1"]
        );
        assert_eq!(
            aliases("pc1.lab.example", &["pc1.lab.example"]),
            [own, "pc1.lab.example"]
        );
        assert_eq!(aliases("pc1.lab.example", &[]), [own]);
        // Its owner makes it resolve to the address, and still it is not this computer.
        let evil = "localhost.evil.example";
        assert_eq!(aliases(evil, &[evil, "localhost"]), [own, evil]);
        assert_eq!(aliases("bench.evil.example", &["bench"]), [own]);
        assert_eq!(aliases("localhost", &["localhost"]), [own]);
        assert_eq!(aliases("203.0.113.7", &[own]), [own]);
    }
}
