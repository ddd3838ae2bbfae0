//! What uses a port at which a manager cannot listen, where the system lists its sockets in `/proc`.

use std::fmt;
use std::fs;
use std::path::Path;

/// The tables of sockets.
const TABLES: [&str; 2] = ["/proc/net/tcp", "/proc/net/tcp6"];

/// What uses a port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum PortUser {
    /// This program listens there.
    Process { name: String, id: u32 },
    /// A program of this user listens there that cannot be looked at.
    Unseen { user: u32 },
    /// Nothing listens there: a connection that has ended has the port until the system forgets it.
    EndedConnection,
    /// Nothing listens there: the port is that of a connection of another program.
    Connection,
}

impl fmt::Display for PortUser {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Process { name, id } if name == "labwire" => {
                write!(formatter, "another manager ('{name}', process {id}) listens there: stop it")
            }
            Self::Process { name, id } => {
                write!(formatter, "the program '{name}' (process {id}) listens there: stop it")
            }
            Self::Unseen { user } => {
                write!(formatter, "a program of the user with the number {user} listens there: stop it (the manager of the \
                     package: sudo systemctl stop labwire)")
            }
            Self::EndedConnection => formatter.write_str(
                "nothing listens there, but a connection that has just ended has the port (TIME_WAIT): wait a minute",
            ),
            Self::Connection => formatter.write_str(
                "nothing listens there, but another program's connection has the port: wait for its end",
            ),
        }
    }
}

/// A socket of a table.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Socket {
    state: u8,
    user: u32,
    inode: u64,
}

/// The state of a socket that listens.
const LISTEN: u8 = 0x0a;

/// The state of a socket whose connection has ended.
const TIME_WAIT: u8 = 0x06;

/// Returns what uses a port; `None` if that is not known.
pub(super) fn of_port(port: u16) -> Option<PortUser> {
    if cfg!(windows) {
        return None;
    }
    let tables = TABLES.iter().filter_map(|table| fs::read_to_string(table).ok());
    let sockets: Vec<_> = tables.flat_map(|table| sockets(&table, port)).collect();
    if let Some(listening) = sockets.iter().find(|socket| socket.state == LISTEN) {
        let process = process_with(listening.inode);
        return Some(process.unwrap_or(PortUser::Unseen { user: listening.user }));
    }
    let is_ended = |socket: &Socket| socket.state == TIME_WAIT;
    if sockets.is_empty() {
        None
    } else if sockets.iter().all(is_ended) {
        Some(PortUser::EndedConnection)
    } else {
        Some(PortUser::Connection)
    }
}

/// Returns the sockets at a local port in a table.
fn sockets(table: &str, port: u16) -> Vec<Socket> {
    let socket = |line: &str| {
        let mut columns = line.split_whitespace().skip(1);
        let (_, local) = columns.next()?.rsplit_once(':')?;
        let is_there = u16::from_str_radix(local, 16) == Ok(port);
        let state = u8::from_str_radix(columns.nth(1)?, 16).ok()?;
        let user = columns.nth(3)?.parse().ok()?;
        let inode = columns.nth(1)?.parse().ok()?;
        is_there.then_some(Socket { state, user, inode })
    };
    table.lines().skip(1).filter_map(socket).collect()
}

/// Returns the process that has a socket, if this user may look at it.
fn process_with(inode: u64) -> Option<PortUser> {
    let wanted = format!("socket:[{inode}]");
    let has_socket = |process: &Path| {
        let files = fs::read_dir(process.join("fd")).into_iter().flatten().flatten();
        let mut targets = files.filter_map(|file| fs::read_link(file.path()).ok());
        targets.any(|target| target.as_os_str() == wanted.as_str())
    };
    let processes = fs::read_dir("/proc").ok()?.flatten();
    let mut processes = processes.filter_map(|entry| {
        let id = entry.file_name().to_str()?.parse().ok()?;
        Some((id, entry.path()))
    });
    let (id, path) = processes.find(|(_, path)| has_socket(path))?;
    let name = fs::read_to_string(path.join("comm")).ok()?;
    let name = name.trim_end().replace(char::is_control, "?");
    Some(PortUser::Process { name, id })
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};

    use super::*;

    #[test]
    fn the_sockets_at_a_port_are_found_in_the_table() {
        let table = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n   0: \
             0100007F:0753 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 4711 1 0000 100 0\n   \
             1: 0100007F:0754 0100007F:0753 06 00000000:00000000 03:000016F4 00000000     0        0 0 3 0000\n   2: \
             0100007F:D431 0100007F:0753 01 00000000:00000000 00:00000000 00000000  1000        0 12 1 0000\nrubbish\n";
        let listening = Socket {
            state: LISTEN,
            user: 1_000,
            inode: 4_711,
        };
        assert_eq!(sockets(table, 1_875), [listening]);
        assert_eq!(sockets(table, 1_876)[0].state, TIME_WAIT);
        assert_eq!(sockets(table, 1_877), []);
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn the_program_that_listens_is_found() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let expected = std::process::id();
        let found = of_port(port);
        assert!(
            matches!(found, Some(PortUser::Process { id, .. }) if id == expected),
            "{found:?}"
        );
        let stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
        let own = stream.local_addr().unwrap().port();
        assert_eq!(of_port(own), Some(PortUser::Connection));
    }
}
