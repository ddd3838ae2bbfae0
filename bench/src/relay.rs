//! A minimal relay between a client and a service: copies bytes without parsing them.
//!
//! It is a baseline to compare brokers with, not a product.

use std::io::{self, Read, Write};
use std::net::SocketAddr;

use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token};

const CLIENTS: Token = Token(0);
const SERVICES: Token = Token(1);
/// First token of the streams: a client has an even one, its service the next.
const FIRST: usize = 2;

/// Size of a copy, in bytes.
const COPIED: usize = 256 * 1_024;

/// One direction of a pair, with the bytes that are still to be copied.
#[derive(Default)]
struct Side {
    stream: Option<TcpStream>,
    /// Bytes from this side that did not fit into the other side's socket.
    held: Vec<u8>,
    readable: bool,
}

/// Serves until it is killed. Prints its addresses, for clients and for services, on standard
/// output.
pub(crate) fn run(clients: SocketAddr, services: SocketAddr) -> anyhow::Result<()> {
    let (clients, services) = (TcpListener::bind(clients)?, TcpListener::bind(services)?);
    println!(
        "listening on {} and {}",
        clients.local_addr()?,
        services.local_addr()?
    );
    serve(clients, services)
}

/// Serves all connections of the listeners, without end.
pub(crate) fn serve(mut clients: TcpListener, mut services: TcpListener) -> anyhow::Result<()> {
    let mut poll = Poll::new()?;
    let registry = poll.registry();
    registry.register(&mut clients, CLIENTS, Interest::READABLE)?;
    registry.register(&mut services, SERVICES, Interest::READABLE)?;
    let mut sides: Vec<Side> = Vec::new();
    let mut counts = [0, 0];
    let mut scratch = vec![0; COPIED];
    let mut events = Events::with_capacity(1_024);
    loop {
        match poll.poll(&mut events, None) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            polled => polled?,
        }
        for event in &events {
            let token = event.token();
            if token == CLIENTS || token == SERVICES {
                let listener = if token == CLIENTS { &clients } else { &services };
                while let Ok((mut stream, _)) = listener.accept() {
                    stream.set_nodelay(true)?;
                    let number = 2 * counts[token.0] + token.0;
                    counts[token.0] += 1;
                    let interest = Interest::READABLE | Interest::WRITABLE;
                    poll.registry()
                        .register(&mut stream, Token(FIRST + number), interest)?;
                    if sides.len() <= number | 1 {
                        sides.resize_with((number | 1) + 1, Side::default);
                    }
                    sides[number].stream = Some(stream);
                    sides[number].readable = true;
                    copy(&mut sides, number ^ 1, &mut scratch);
                }
                continue;
            }
            let number = token.0 - FIRST;
            if event.is_writable() {
                copy(&mut sides, number ^ 1, &mut scratch);
            }
            if event.is_readable() {
                sides[number].readable = true;
                copy(&mut sides, number, &mut scratch);
            }
        }
    }
}

/// Copies bytes from one side to the other, as far as the other accepts them. An error ends the
/// pair.
fn copy(sides: &mut [Side], from: usize, scratch: &mut [u8]) {
    if let Err(error) = try_copy(sides, from, scratch)
        && error.kind() != io::ErrorKind::WouldBlock
    {
        sides[from] = Side::default();
        sides[from ^ 1] = Side::default();
    }
}

fn try_copy(sides: &mut [Side], from: usize, scratch: &mut [u8]) -> io::Result<()> {
    let Ok([source, target]) = sides.get_disjoint_mut([from, from ^ 1]) else {
        return Ok(());
    };
    let (Some(reader), Some(writer)) = (&mut source.stream, &mut target.stream) else {
        return Ok(());
    };
    loop {
        while !source.held.is_empty() {
            let count = writer.write(&source.held)?;
            source.held.drain(..count);
        }
        if !source.readable {
            return Ok(());
        }
        let count = match reader.read(scratch) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(count) => count,
            Err(error) => {
                source.readable = error.kind() != io::ErrorKind::WouldBlock;
                return Err(error);
            }
        };
        source.readable = count == scratch.len();
        let mut rest = &scratch[..count];
        while !rest.is_empty() {
            match writer.write(rest) {
                Ok(count) => rest = &rest[count..],
                Err(error) => {
                    source.held.extend_from_slice(rest);
                    return Err(error);
                }
            }
        }
    }
}
