//! Two computers with a cable that a test can pull: network namespaces, which need root.

use std::fs::File;
use std::net::{Ipv4Addr, TcpStream};
use std::os::fd::AsFd;
use std::panic::resume_unwind;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use super::requirements::left_out;
use super::waiting::wait_until;

/// The network of a separate computer. Dropping it removes it, with all connections in it.
struct Namespace(String);

impl Namespace {
    fn new(name: String) -> Self {
        ip(&["netns", "add", &name]);
        let namespace = Self(name);
        namespace.ip("link set lo up");
        namespace
    }

    /// Runs `ip` in it with these words.
    fn ip(&self, words: &str) {
        let words: Vec<&str> = words.split_whitespace().collect();
        ip(&[&["-n", &self.0], &words[..]].concat());
    }

    /// Runs `work` on a thread in it. Processes and connections that the thread starts stay in it.
    fn within<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        std::thread::scope(|scope| {
            let thread = scope.spawn(|| {
                let file = File::open(format!("/run/netns/{}", self.0)).expect("the namespace is there");
                move_into_link_name_space(file.as_fd(), Some(LinkNameSpaceType::Network))
                    .expect("root may enter a namespace");
                work()
            });
            thread.join().unwrap_or_else(|panic| resume_unwind(panic))
        })
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        let _ = Command::new("ip").args(["netns", "delete", &self.0]).output();
    }
}

/// Runs `ip`, which must succeed.
fn ip(words: &[&str]) {
    let output = Command::new("ip")
        .args(words)
        .output()
        .expect("ip was found before");
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "`ip {}`: {error}", words.join(" "));
}

/// A near and a far computer, each connected by a cable to a router in the middle.
pub(crate) struct Network {
    /// `None` if the near computer is the one that the tests run on.
    near: Option<Namespace>,
    middle: Namespace,
    far: Namespace,
    near_address: Ipv4Addr,
    far_address: Ipv4Addr,
}

impl Network {
    /// Creates two separate computers. Returns `None` and reports it where that is not allowed.
    pub(crate) fn new() -> Option<Self> {
        Self::make(true)
            .inspect_err(|reason| left_out(&format!("what needs a cable that can be pulled: {reason}")))
            .ok()
    }

    /// Like [`Self::new`], with this computer as the near one. Returns the reason where that is not
    /// allowed.
    #[allow(dead_code, reason = "only the faults use it")]
    pub(crate) fn from_here() -> Result<Self, String> {
        Self::make(false)
    }

    fn make(apart: bool) -> Result<Self, String> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let name = |of: &str| {
            let number = NUMBER.fetch_add(1, Ordering::Relaxed);
            format!("labwire-{}-{number}-{of}", std::process::id())
        };
        if let Some(reason) = missing(&name("attempt")) {
            return Err(reason);
        }
        let near = apart.then(|| Namespace::new(name("near")));
        let (middle, far) = (Namespace::new(name("middle")), Namespace::new(name("far")));
        // The address must be unused on this computer, in case it is the near one.
        let [_, _, high, low] = std::process::id().to_be_bytes();
        let address = |last| Ipv4Addr::new(10, high | 128, low, last);
        let [near_address, near_end, far_address, far_end] = [1, 2, 5, 6].map(address);
        let (link, here) = (name("v"), |words: &str| match &near {
            Some(near) => near.ip(words),
            None => ip(&words.split_whitespace().collect::<Vec<_>>()),
        });
        // The names of links are limited in length.
        let link = format!("lw{}", link.trim_start_matches("labwire-").trim_end_matches("-v"));
        here(&format!(
            "link add {link} type veth peer name near netns {}",
            middle.0
        ));
        here(&format!("addr add {near_address}/30 dev {link}"));
        here(&format!("link set {link} up"));
        far.ip(&format!(
            "link add far type veth peer name far netns {}",
            middle.0
        ));
        far.ip(&format!("addr add {far_address}/30 dev far"));
        far.ip("link set far up");
        middle.ip(&format!("addr add {near_end}/30 dev near"));
        middle.ip(&format!("addr add {far_end}/30 dev far"));
        middle.ip("link set near up");
        middle.ip("link set far up");
        here(&format!("route add {far_address}/32 via {near_end}"));
        far.ip(&format!("route add {near_address}/32 via {far_end}"));
        middle.within(|| {
            std::fs::write("/proc/sys/net/ipv4/ip_forward", "1").expect("root may make a router");
        });
        Ok(Self {
            near,
            middle,
            far,
            near_address,
            far_address,
        })
    }

    /// Runs `work` on the near computer. Processes and connections that it starts stay there.
    pub(crate) fn near<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        match &self.near {
            Some(near) => near.within(work),
            None => work(),
        }
    }

    /// Runs `work` on the far computer. Processes and connections that it starts stay there.
    pub(crate) fn far<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        self.far.within(work)
    }

    /// Returns the address of the near computer for the far one.
    pub(crate) fn near_address(&self) -> Ipv4Addr {
        self.near_address
    }

    /// Connects from the far computer to a port of the near one.
    pub(crate) fn connect_from_far(&self, port: u16) -> TcpStream {
        self.far(|| TcpStream::connect((self.near_address, port)))
            .expect("the near computer listens")
    }

    /// Waits until the far computer has acknowledged everything on a connection: the near one's
    /// next timer for it is then that of keep-alive.
    pub(crate) fn wait_until_acknowledged(&self, far_port: u16) {
        const KEEP_ALIVE: &str = "02";
        let end = format!(":{far_port:04X}");
        let is_acknowledged = || {
            let tables =
                ["tcp", "tcp6"].map(|name| std::fs::read_to_string(format!("/proc/thread-self/net/{name}")));
            let tables = tables.map(Result::unwrap_or_default);
            let mut lines = tables.iter().flat_map(|table| table.lines().skip(1));
            lines.any(|line| {
                let fields: Vec<&str> = line.split_whitespace().collect();
                fields[2].ends_with(&end) && fields[5].starts_with(KEEP_ALIVE)
            })
        };
        wait_until("bytes are in flight all the time", || self.near(is_acknowledged));
    }

    /// Pulls the cable: no packet arrives at either end, and neither is notified.
    pub(crate) fn pull(&self) {
        for address in [self.near_address, self.far_address] {
            self.middle.ip(&format!("route add blackhole {address}/32"));
        }
    }

    /// Makes the router drop one connection, given by its port at the far computer: none of its
    /// packets arrive at either end, and neither is notified. Other traffic continues.
    pub(crate) fn forget(&self, far_port: u16) {
        for end in ["sport", "dport"] {
            self.middle
                .ip(&format!("rule add ipproto tcp {end} {far_port} blackhole"));
        }
    }
}

/// Returns why such networks are not possible here.
fn missing(name: &str) -> Option<String> {
    if !rustix::process::geteuid().is_root() {
        return Some("only root can make networks".to_owned());
    }
    match Command::new("ip").args(["netns", "add", name]).output() {
        Err(_) => Some("the program `ip` is not here; it is in Debian's package iproute2".to_owned()),
        Ok(output) if !output.status.success() => {
            let error = String::from_utf8_lossy(&output.stderr);
            Some(format!("this computer makes no networks: {}", error.trim()))
        }
        Ok(_) => {
            drop(Namespace(name.to_owned()));
            None
        }
    }
}
