//! File descriptors: each connection needs one.

use std::fs::File;

use rustix::io::fcntl_dupfd_cloexec;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// How many descriptors are not connections: files, the database, what the runtime needs, and some room.
const OTHERS: usize = 256;

/// Has the system ready for so many connections. To be called while the process has one thread: see
/// [`enlarge_table`].
///
/// What the system does not grant is no error. The manager serves fewer peers at once then, and says so when they come.
pub(super) fn prepare(connections: usize) {
    let granted = take_all();
    enlarge_table(connections.saturating_add(OTHERS).min(granted));
}

/// Takes all the descriptors that the system grants, since the usual limit of 1,024 is kept low only for programs that
/// use `select`; returns how many they are.
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

/// Has the kernel make its table of this process's descriptors as large as it will be needed, eight bytes for each.
///
/// Linux doubles the table when a descriptor finds no room, and each time a process with several threads then waits until all
/// processors have let go of the old one (`expand_fdtable` in its `fs/file.c`): 8 to 20 ms, in which nobody would be
/// served. The table never shrinks.
fn enlarge_table(descriptors: usize) {
    let last = i32::try_from(descriptors.saturating_sub(1));
    if let (Ok(file), Ok(last)) = (File::open("/dev/null"), last) {
        // Closed at once: what counts is that there was a descriptor with this number.
        drop(fcntl_dupfd_cloexec(file, last));
    }
}
