//! The ports of the managers that this user has started on this computer, from their log files.

use std::cmp::Reverse;
use std::fs::{self, File};
use std::io::Read;
use std::path::Path;

use labwire_client::Home;

/// The line of a log that has the port.
const RUNNING: &str = "Network Manager running on ";

/// The most log files that are read, the newest first.
const MOST_LOGS: usize = 4;

/// The most bytes that are read of a log: the line is one of the first.
const LONGEST: u64 = 64 * 1024;

/// Returns the ports, those of the newest logs first. Logs elsewhere than in the home folder are not
/// found.
pub(super) fn ports() -> Vec<u16> {
    let Ok(home) = Home::resolve() else {
        return Vec::new();
    };
    let files = fs::read_dir(home.logs_folder()).into_iter().flatten().flatten();
    let mut logs: Vec<_> = files
        .filter_map(|file| {
            let data = file.metadata().ok().filter(fs::Metadata::is_file)?;
            Some((Reverse(data.modified().ok()?), file.path()))
        })
        .collect();
    logs.sort();
    let newest = logs.iter().take(MOST_LOGS);
    newest.filter_map(|(_, path)| port(path)).collect()
}

/// Returns the port of the manager that has written a log.
fn port(log: &Path) -> Option<u16> {
    let mut beginning = Vec::new();
    File::open(log)
        .ok()?
        .take(LONGEST)
        .read_to_end(&mut beginning)
        .ok()?;
    port_in(&String::from_utf8_lossy(&beginning))
}

fn port_in(log: &str) -> Option<u16> {
    let (_, running) = log.rsplit_once(RUNNING)?;
    let (address, _) = running.split_once(" (TLS ")?;
    address.rsplit_once(':')?.1.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::port_in;

    #[test]
    fn the_port_is_in_the_last_line_of_a_start() {
        for (log, port) in [
            (
                "… [INFO ] Network Manager running on bench:1876 (TLS ENABLED)\n…",
                Some(1_876),
            ),
            (
                "Network Manager running on bench:1 (TLS ENABLED)\nNetwork Manager running on ::1:2 (TLS DISABLED)\n",
                Some(2),
            ),
            ("Network Manager running on bench", None),
            ("", None),
        ] {
            assert_eq!(port_in(log), port, "{log}");
        }
    }
}
