//! The sockets that a manager listens on.

use std::io;
use std::net::SocketAddr;

use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::TcpListener;

/// How many connections may wait to be accepted: enough for a laboratory after a power cut.
const BACKLOG: i32 = 4_096;

/// Binds the sockets that a manager listens on.
///
/// Without a host these are all interfaces, with one socket for IPv6 and IPv4 if the computer has
/// IPv6. With a host these are all of its addresses. For port 0 the system chooses a port, the same
/// for all.
pub(crate) async fn bind(host: Option<&str>, port: u16) -> io::Result<Vec<TcpListener>> {
    let Some(host) = host else {
        let everywhere = bind_address((std::net::Ipv6Addr::UNSPECIFIED, port).into(), false);
        let listener = everywhere.or_else(|error| match error.kind() {
            io::ErrorKind::AddrInUse | io::ErrorKind::PermissionDenied => Err(error),
            // A computer without IPv6 reports that in several ways.
            _ => bind_address((std::net::Ipv4Addr::UNSPECIFIED, port).into(), true),
        })?;
        return Ok(vec![listener]);
    };
    let mut listeners = Vec::new();
    let mut chosen = port;
    for mut address in tokio::net::lookup_host((host, port)).await? {
        address.set_port(chosen);
        if listeners
            .iter()
            .any(|listener: &TcpListener| listener.local_addr().is_ok_and(|own| own == address))
        {
            continue;
        }
        let listener = bind_address(address, true)?;
        chosen = listener.local_addr()?.port();
        listeners.push(listener);
    }
    if listeners.is_empty() {
        return Err(io::Error::new(
            io::ErrorKind::AddrNotAvailable,
            "the host has no address",
        ));
    }
    Ok(listeners)
}

fn bind_address(address: SocketAddr, one_version: bool) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    if address.is_ipv6() {
        socket.set_only_v6(one_version)?;
    }
    // A manager that is started again must not wait until the old one's connections time out. On Windows it
    // need not, and there the option would let two programs listen at one port.
    if cfg!(unix) {
        socket.set_reuse_address(true)?;
    }
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    socket.set_nonblocking(true)?;
    TcpListener::from_std(socket.into())
}
