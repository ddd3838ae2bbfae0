//! The programs that must trust the new certificate of a manager.

use std::fmt::Write;
use std::path::{Path, PathBuf};

use labwire_device::DEFAULT_PORT;
use labwire_home::{Home, hostname, local_addresses};
use labwire_pki::{CertificateSummary, load_chain};
use labwire_store::{RecentComputer, recent_computers};

use super::names::HostName;

/// The age in days up to which connections count.
const DAYS: u32 = 30;

/// The maximum number of computers that are listed.
const NAMED: usize = 12;

/// The maximum number of computers that are counted.
const MOST: u32 = 10_000;

/// Returns instructions for a replaced certificate: for the manager, and for the programs that
/// saved the former one.
pub(super) fn to_be_told(
    path: &Path,
    new: &CertificateSummary,
    former: Option<&[u8]>,
    names: &[HostName],
) -> String {
    let host = names.first().map_or_else(hostname, ToString::to_string);
    let fingerprint = &new.fingerprint;
    let mut text =
        "A running manager uses the old one until it receives the signal HUP (kill -HUP and the number \
                    of its process); clients that saved the old one must fetch it anew:"
            .to_owned();
    for file in former.map(|former| holders(path, former)).unwrap_or_default() {
        // Writing to a string cannot fail.
        let _ = write!(
            text,
            "\n- programs on this computer that trust {}: labwire trust {}",
            file.display(),
            host_of(&file)
        );
    }
    let _ = write!(
        text,
        "\n- on every other computer from which programs connect, run (with HOST:PORT for another port than 1875):\n    \
         labwire trust {host} --fingerprint {fingerprint}\n- where there is no labwire, copy {} there: for Python \
         programs as ~/.msl/network/certs/{host}.crt",
        path.display()
    );
    if let Some(computers) = computers(path) {
        let _ = write!(
            text,
            "\nIn the last {DAYS} days, programs on these have connected: {computers}"
        );
    }
    text
}

/// Returns the files of this user that contain the certificate, except the manager's own.
fn holders(path: &Path, certificate: &[u8]) -> Vec<PathBuf> {
    let own = std::fs::canonicalize(path).ok();
    let homes = [Home::resolve().ok(), Home::of_msl_network()];
    let folders = homes.into_iter().flatten().map(|home| home.root().join("certs"));
    let entries = folders.filter_map(|folder| std::fs::read_dir(folder).ok());
    let files = entries.flatten().flatten().map(|entry| entry.path());
    let mut holders: Vec<_> = files
        .filter(|file| std::fs::canonicalize(file).ok() != own)
        .filter(|file| file.extension().is_some_and(|ending| ending == "crt"))
        .filter(|file| {
            let chain = load_chain(file).unwrap_or_default();
            chain.iter().any(|held| held.as_ref() == certificate)
        })
        .collect();
    holders.sort();
    holders.dedup();
    holders
}

/// Returns the manager to which the file of a certificate belongs, as the argument of a command.
fn host_of(file: &Path) -> String {
    match Home::manager_of_certificate(file) {
        Some((host, None | Some(DEFAULT_PORT))) => host,
        Some((host, Some(port))) if host.contains(':') => format!("[{host}]:{port}"),
        Some((host, Some(port))) => format!("{host}:{port}"),
        None => "HOST".to_owned(),
    }
}

/// Returns the computers whose programs have recently connected to the manager with this
/// certificate, from its database. `None` if there are none, or if the certificate is not that of
/// the home folder.
fn computers(path: &Path) -> Option<String> {
    let home = Home::resolve().ok()?;
    let is_default = path == home.certificate_file();
    let database = home.database();
    if !is_default || !database.is_file() {
        return None;
    }
    let own = local_addresses();
    let is_other = |computer: &RecentComputer| {
        let address = computer.address.parse::<std::net::IpAddr>();
        !address.is_ok_and(|address| address.is_loopback() || own.contains(&address.to_canonical()))
    };
    let found = recent_computers(&database, DAYS, MOST).ok()?;
    let at_least = if found.len() < MOST as usize {
        ""
    } else {
        "at least "
    };
    let mut named: Vec<_> = found
        .iter()
        .filter(|computer| is_other(computer))
        .map(named)
        .collect();
    let others = named.len().saturating_sub(NAMED);
    named.truncate(NAMED);
    if others > 0 {
        named.push(format!("and {at_least}{others} more"));
    }
    (!named.is_empty()).then(|| named.join(", "))
}

fn named(computer: &RecentComputer) -> String {
    let RecentComputer { name, address, .. } = computer;
    let name = name.escape_debug().to_string();
    if name == *address {
        name
    } else {
        format!("{name} ({address})")
    }
}
