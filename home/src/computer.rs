//! The name, the addresses and the operating system of this computer.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Returns the name of this computer from the operating system.
///
/// Bytes that are not UTF-8 are replaced, so that the name can be shown and encoded as JSON.
///
/// ```
/// assert!(!labwire_home::hostname().is_empty());
/// ```
pub fn hostname() -> String {
    gethostname::gethostname().to_string_lossy().into_owned()
}

/// Returns every address of this computer once: `127.0.0.1` and `::1` first, then IPv4 before IPv6.
///
/// The two loopback addresses are always in the list. They are the only ones if the operating
/// system does not return its network interfaces: a lab computer without a network still needs a
/// certificate.
///
/// ```
/// use std::net::{IpAddr, Ipv4Addr};
///
/// assert_eq!(labwire_home::local_addresses()[0], IpAddr::V4(Ipv4Addr::LOCALHOST));
/// ```
pub fn local_addresses() -> Vec<IpAddr> {
    let interfaces = if_addrs::get_if_addrs().unwrap_or_default();
    let mut others: Vec<IpAddr> = interfaces.iter().map(if_addrs::Interface::ip).collect();
    others.sort_unstable();
    let mut addresses = vec![IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)];
    for address in others {
        if !addresses.contains(&address) {
            addresses.push(address);
        }
    }
    addresses
}

/// Returns the operating system in the form of MSL-Network: its name, its release and the processor
/// architecture, as in `Linux 6.1.0 x86_64` or `Windows 11 AMD64`.
///
/// ```
/// let system = labwire_home::operating_system();
/// assert!(system.split(' ').count() >= 3, "{system}");
/// ```
pub fn operating_system() -> String {
    crate::system::operating_system()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_loopback_addresses_come_first_and_nothing_comes_twice() {
        let addresses = local_addresses();
        assert_eq!(addresses[0], IpAddr::V4(Ipv4Addr::LOCALHOST));
        assert_eq!(addresses[1], IpAddr::V6(Ipv6Addr::LOCALHOST));
        let mut unique = addresses.clone();
        unique.sort_unstable();
        unique.dedup();
        assert_eq!(unique.len(), addresses.len());
    }

    #[test]
    fn the_computer_has_a_name() {
        assert!(!hostname().is_empty());
    }
}
