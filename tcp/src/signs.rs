//! The operating system's information about a connection's peer.

use std::io;
use std::time::Duration;

use tokio::net::TcpStream;

/// The operating system's information about a connection's peer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Signs {
    /// The time since the last packet from the peer.
    pub(crate) silence: Duration,
    /// The number of unacknowledged packets.
    pub(crate) unacknowledged: u32,
    /// The number of bytes that wait for the peer's buffer space.
    pub(crate) unsent: u32,
    /// The number of retransmissions of the oldest unacknowledged packet.
    pub(crate) retransmits: u8,
    /// The number of probes since the last packet from the peer.
    pub(crate) probes: u8,
    /// The number of acknowledged bytes since the connection was made.
    pub(crate) acknowledged: u64,
}

impl Signs {
    /// Returns whether anything that was written is unacknowledged.
    pub(crate) fn is_pending(&self) -> bool {
        self.unacknowledged > 0 || self.unsent > 0
    }

    /// Returns the number of unanswered packets since the last acknowledgement.
    pub(crate) fn unanswered(&self) -> u8 {
        self.retransmits.max(self.probes)
    }
}

#[cfg(target_os = "linux")]
mod linux {
    use nix::sys::socket::GetSockOpt;
    use nix::{getsockopt_impl, sockopt_impl};

    use super::{Duration, Signs, TcpStream, io};

    /// The beginning of Linux' `struct tcp_info` since Linux 4.6. Times are in milliseconds.
    #[derive(Clone, Copy)]
    #[repr(C)]
    #[allow(dead_code, reason = "the members stand where the kernel puts them")]
    #[allow(
        unreachable_pub,
        reason = "the option is public, as all are that the macro makes"
    )]
    pub struct TcpInfo {
        state: u8,
        congestion: u8,
        retransmits: u8,
        probes: u8,
        backoff: u8,
        options: [u8; 3],
        timeouts_and_sizes: [u32; 4],
        unacknowledged: u32,
        other_packets: [u32; 4],
        last_data_sent: u32,
        last_ack_sent: u32,
        last_data_received: u32,
        last_ack_received: u32,
        path: [u32; 11],
        pacing_rates: [u64; 2],
        acknowledged: u64,
        received: u64,
        segments: [u32; 2],
        unsent: u32,
        round_trip: u32,
    }

    sockopt_impl!(TcpInfoOption, GetOnly, libc::IPPROTO_TCP, libc::TCP_INFO, TcpInfo);

    pub(super) fn read(stream: &TcpStream) -> io::Result<Signs> {
        let info = TcpInfoOption.get(stream)?;
        let silence = info.last_data_received.min(info.last_ack_received);
        Ok(Signs {
            silence: Duration::from_millis(silence.into()),
            unacknowledged: info.unacknowledged,
            unsent: info.unsent,
            retransmits: info.retransmits,
            probes: info.probes,
            acknowledged: info.acknowledged,
        })
    }
}

/// Reads the current information. Fails on platforms that this crate does not support.
pub(crate) fn read(stream: &TcpStream) -> io::Result<Signs> {
    #[cfg(target_os = "linux")]
    return linux::read(stream);
    #[cfg(not(target_os = "linux"))]
    {
        let _ = stream;
        Err(io::ErrorKind::Unsupported.into())
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn acknowledged_bytes_and_the_time_of_the_last_packet_are_read_from_where_the_kernel_puts_them() {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let mut near = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (mut far, _) = listener.accept().await.unwrap();
        let before = read(&near).unwrap();
        near.write_all(&[b'x'; 1_000]).await.unwrap();
        far.read_exact(&mut [0; 1_000]).await.unwrap();
        let after = read(&near).unwrap();
        assert_eq!(after.acknowledged - before.acknowledged, 1_000, "{after:?}");
        assert!(!after.is_pending(), "{after:?}");
        assert!(after.silence < Duration::from_secs(30), "{after:?}");
        assert_eq!(after.unanswered(), 0);
        // More than the buffers of both ends can hold: the peer does not read.
        let text = vec![b'x'; 16 << 20];
        while near.try_write(&text).is_ok() {}
        let stuck = read(&near).unwrap();
        assert!(stuck.is_pending() && stuck.unsent > 0, "{stuck:?}");
    }
}
