//! Hints for a person who starts a manager: the next commands to type, and likely mistakes.

use std::net::{IpAddr, SocketAddr};
use std::path::Path;

use labwire_home::local_addresses;
use labwire_manager::Authentication;
use labwire_pki::TlsFiles;

use super::plan::Plan;
use crate::cli::set_variable;

/// The variables that decide which peers may connect.
const AUTHENTICATION_VARIABLES: [&str; 4] = [
    "LABWIRE_AUTH_CERTIFICATE",
    "LABWIRE_AUTH_PASSWORD",
    "LABWIRE_AUTH_LOGIN",
    "LABWIRE_AUTH_HOSTNAME",
];

/// Returns the next commands to type, depending on the authentication.
pub(super) fn next_steps(plan: &Plan, port: u16, tls: Option<&TlsFiles>) -> [String; 3] {
    let host = plan.options.host.as_deref().unwrap_or("localhost");
    let by_hand = match tls {
        None => format!("nc {host} {port}"),
        Some(files) => {
            // Brackets around an IPv6 address separate its colons from the port.
            let host = if host.contains(':') {
                format!("[{host}]")
            } else {
                host.to_owned()
            };
            let certificate = for_shell(&files.certificate);
            let own = match plan.authentication {
                Authentication::Certificate => " -cert NAME.crt -key NAME.key",
                _ => "",
            };
            format!("openssl s_client -quiet -connect {host}:{port} -CAfile {certificate}{own}")
        }
    };
    let database = if plan.names_database() {
        format!(" --database {}", for_shell(&plan.database()))
    } else {
        String::new()
    };
    let (credentials, command) = match plan.authentication {
        Authentication::Password(_) => (
            "the password, ",
            "make an administrator: labwire user add NAME --admin",
        ),
        Authentication::Login => (
            "your username, your password, ",
            "let somebody else log in: labwire user add NAME",
        ),
        Authentication::Certificate => (
            "",
            "let somebody else connect: labwire user add NAME, labwire certgen --client NAME",
        ),
        Authentication::Hostname => ("", "trust another computer: labwire hostname add NAME"),
        Authentication::None { .. } => ("", "make an administrator: labwire user add NAME --admin"),
    };
    [
        format!(
            "to see who is connected: labwire status{}",
            connection(plan, host, port, tls)
        ),
        format!("to talk to it by hand: {by_hand}   then type: {credentials}client, identity, exit"),
        format!("to {command}{database}   to stop: Ctrl-C"),
    ]
}

/// Returns the options with which the commands of this computer reach the manager, each with a
/// blank before it.
fn connection(plan: &Plan, host: &str, port: u16, tls: Option<&TlsFiles>) -> String {
    let address = match (host, port) {
        ("localhost", labwire_device::DEFAULT_PORT) => String::new(),
        ("localhost", _) => format!(" --port {port}"),
        _ => format!(" --host {host} --port {port}"),
    };
    let tls = if tls.is_none() { " --disable-tls" } else { "" };
    let login = match plan.authentication {
        Authentication::Login => " --username NAME",
        Authentication::Certificate => " --client-cert NAME.crt --client-key NAME.key",
        _ => "",
    };
    format!("{address}{tls}{login}")
}

impl Plan {
    /// Whether a command in another terminal needs `--database`, as it would use another database
    /// by default.
    fn names_database(&self) -> bool {
        let is_elsewhere = ["LABWIRE_HOME", "MSL_NETWORK_HOME"].map(set_variable);
        self.options.database.is_some() || is_elsewhere.iter().any(Option::is_some)
    }
}

/// Returns why other computers cannot reach a manager that listens on a host of this name, with the
/// remedy. `None` if they can, or if the name already implies that they cannot.
pub(super) fn unreachable(host: Option<&str>, listening: &[SocketAddr]) -> Option<String> {
    let host =
        host.filter(|host| host.parse::<IpAddr>().is_err() && !host.eq_ignore_ascii_case("localhost"))?;
    let is_own = |address: &SocketAddr| address.ip().to_canonical().is_loopback();
    if listening.is_empty() || !listening.iter().all(is_own) {
        return None;
    }
    let listed = |addresses: Vec<IpAddr>| -> String {
        let addresses: Vec<_> = addresses.iter().map(IpAddr::to_string).collect();
        addresses.join(", ")
    };
    let mut found: Vec<_> = listening
        .iter()
        .map(|address| address.ip().to_canonical())
        .collect();
    found.dedup();
    let others: Vec<_> = local_addresses().into_iter().filter(is_shown).collect();
    let instead = if others.is_empty() {
        String::new()
    } else {
        format!(", or give one of this computer's addresses: {}", listed(others))
    };
    Some(format!(
        "'{host}' means {} on this computer (see /etc/hosts): no other computer can reach the manager; to be reachable, \
         leave --host (LABWIRE_HOST) out{instead}",
        listed(found)
    ))
}

/// Whether other computers may use the address.
fn is_shown(address: &IpAddr) -> bool {
    let is_link_local = match address {
        IpAddr::V4(address) => address.is_link_local(),
        IpAddr::V6(address) => address.is_unicast_link_local(),
    };
    !address.is_loopback() && !is_link_local
}

/// Returns a warning if a variable that decides which peers may connect is set to an empty value:
/// perhaps its value got lost.
pub(super) fn empty_variables() -> Option<String> {
    let is_empty = |name: &&str| std::env::var_os(name).is_some_and(|value| value.is_empty());
    let empty: Vec<_> = AUTHENTICATION_VARIABLES.into_iter().filter(is_empty).collect();
    (!empty.is_empty()).then(|| {
        format!(
            "{} is set to nothing, which counts as not set: set a value, or remove the variable",
            empty.join(" and ")
        )
    })
}

/// Formats a path for a shell: in quotes if it needs them.
fn for_shell(path: &Path) -> String {
    let text = path.display().to_string();
    let is_plain = |character: char| character.is_alphanumeric() || "/._-+@%,:=".contains(character);
    if text.chars().all(is_plain) {
        text
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_can_be_copied_into_a_shell() {
        for (path, typed) in [
            (
                "/home/ada/.labwire/certs/localhost.crt",
                "/home/ada/.labwire/certs/localhost.crt",
            ),
            ("/lab 7/a.crt", "'/lab 7/a.crt'"),
            ("/ada's $HOME", r"'/ada'\''s $HOME'"),
        ] {
            assert_eq!(for_shell(Path::new(path)), typed);
        }
    }

    #[test]
    fn a_name_that_leads_to_this_computer_alone_is_told() {
        let addresses = |texts: &[&str]| -> Vec<SocketAddr> {
            texts
                .iter()
                .map(|text| text.parse().expect("an address"))
                .collect()
        };
        let told = unreachable(Some("lab-pc"), &addresses(&["127.0.1.1:1", "[::1]:1"])).unwrap();
        for text in [
            "'lab-pc' means 127.0.1.1, ::1 on this computer",
            "leave --host (LABWIRE_HOST) out",
        ] {
            assert!(told.contains(text), "{told}");
        }
        for (host, listening) in [
            (None, &["[::]:1"][..]),
            (Some("lab-pc"), &["127.0.1.1:1", "192.0.2.1:1"]),
            (Some("localhost"), &["127.0.0.1:1"]),
            (Some("127.0.1.1"), &["127.0.1.1:1"]),
            (Some("::1"), &["[::1]:1"]),
        ] {
            assert_eq!(unreachable(host, &addresses(listening)), None, "{host:?}");
        }
    }
}
