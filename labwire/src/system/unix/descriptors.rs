//! File descriptors: each connection needs one.

use std::fs::File;

use rustix::io::fcntl_dupfd_cloexec;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Number of descriptors that are not connections: files, the database, those of the runtime, and
/// some spare ones.
const OTHERS: usize = 256;

/// Prepares the process for this number of connections. Call it while the process has one thread:
/// see [`enlarge_table`].
///
/// It is not an error if the system grants fewer descriptors. The manager then serves fewer peers
/// at once, and reports it when they connect.
pub(crate) fn prepare(connections: usize) {
    let granted = take_all();
    enlarge_table(connections.saturating_add(OTHERS).min(granted));
}

/// Raises the limit of descriptors as far as the system allows, and returns the new limit. The
/// usual limit of 1,024 is low only for programs that use `select`.
fn take_all() -> usize {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let all = Rlimit {
        current: maximum,
        maximum,
    };
    let granted = if current == maximum || setrlimit(Resource::Nofile, all).is_ok() {
        maximum
    } else {
        current
    };
    granted.map_or(usize::MAX, |granted| {
        usize::try_from(granted).unwrap_or(usize::MAX)
    })
}

/// Makes the kernel enlarge its table of this process's descriptors to the size that it will need,
/// eight bytes for each.
///
/// Linux doubles the table when a descriptor finds no room. A process with several threads then
/// waits each time until all processors have released the old table (`expand_fdtable` in its
/// `fs/file.c`): 8 to 20 ms, in which no peer would be served. The table never shrinks.
fn enlarge_table(descriptors: usize) {
    let last = i32::try_from(descriptors.saturating_sub(1));
    if let (Ok(file), Ok(last)) = (File::open("/dev/null"), last) {
        // Closed at once: it is enough that a descriptor with this number existed.
        drop(fcntl_dupfd_cloexec(file, last));
    }
}
