//! Raw TCP, as at port 5025 of many instruments.

use std::io::{self, Read as _, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};

use super::{Port, Read, at_least_a_moment, timed_out};

struct Tcp(TcpStream);

/// When a silent instrument is asked whether it is there.
const KEEP_ALIVE: Duration = Duration::from_secs(30);

pub(super) fn open(address: &str, limit: Duration) -> io::Result<Box<dyn Port>> {
    let mut last = None;
    for address in address.to_socket_addrs()? {
        match TcpStream::connect_timeout(&address, at_least_a_moment(limit)) {
            Ok(stream) => {
                stream.set_nodelay(true)?;
                let keep_alive = TcpKeepalive::new()
                    .with_time(KEEP_ALIVE)
                    .with_interval(KEEP_ALIVE);
                SockRef::from(&stream).set_tcp_keepalive(&keep_alive)?;
                return Ok(Box::new(Tcp(stream)));
            }
            Err(error) => last = Some(error),
        }
    }
    Err(last.unwrap_or_else(|| io::Error::new(io::ErrorKind::NotFound, "the host has no address")))
}

fn closed() -> io::Error {
    io::Error::new(
        io::ErrorKind::UnexpectedEof,
        "the instrument closed the connection",
    )
}

fn is_silence(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut)
}

impl Port for Tcp {
    fn write(&mut self, bytes: &[u8], limit: Duration) -> io::Result<()> {
        self.0.set_write_timeout(Some(at_least_a_moment(limit)))?;
        self.0.write_all(bytes)
    }

    fn read(&mut self, buffer: &mut [u8], limit: Duration) -> io::Result<Read> {
        self.0.set_read_timeout(Some(at_least_a_moment(limit)))?;
        match self.0.read(buffer) {
            Ok(0) => Err(closed()),
            Ok(length) => Ok(Read {
                length,
                is_message: false,
            }),
            Err(error) if is_silence(&error) => Err(timed_out()),
            Err(error) => Err(error),
        }
    }

    fn discard(&mut self) -> io::Result<usize> {
        // An instrument that sends without end is not waited for.
        const MOST: usize = 1 << 20;
        let mut scratch = [0; 4096];
        let mut discarded = 0;
        self.0.set_nonblocking(true)?;
        let outcome = loop {
            match self.0.read(&mut scratch) {
                Ok(0) => break Err(closed()),
                Ok(length) => discarded += length,
                Err(error) if is_silence(&error) => break Ok(discarded),
                Err(error) => break Err(error),
            }
            if discarded > MOST {
                break Err(io::Error::new(
                    io::ErrorKind::InvalidData,
                    "it sends without being asked",
                ));
            }
        };
        self.0.set_nonblocking(false)?;
        outcome
    }

    fn forgets(&self) -> bool {
        true
    }

    fn drops_unread(&self) -> bool {
        false
    }
}
