//! A minimal fan-out: copies the bytes of its first connection to all others, without parsing them.
//!
//! It is a baseline for notifications with arrays: what this computer can do at most.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener};

/// Size of a copy, in bytes.
const COPIED: usize = 256 * 1_024;

/// Copies from the first connection to `receivers` further ones until one of them ends. Prints its
/// address on standard output.
pub(crate) fn run(listen: SocketAddr, receivers: usize) -> anyhow::Result<()> {
    let listener = TcpListener::bind(listen)?;
    println!("listening on {}", listener.local_addr()?);
    loop {
        let (mut source, _) = listener.accept()?;
        let mut targets = Vec::new();
        for _ in 0..receivers {
            let (target, _) = listener.accept()?;
            target.set_nodelay(true)?;
            targets.push(target);
        }
        let mut scratch = vec![0; COPIED];
        // A receiver that ends ends all, as a measurement does.
        while let Ok(count @ 1..) = source.read(&mut scratch)
            && targets
                .iter_mut()
                .all(|target| target.write_all(&scratch[..count]).is_ok())
        {}
    }
}
