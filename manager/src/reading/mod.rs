//! Reads what peers send. Each function has its case:
//!
//! - Short lines, while nothing waits: read into the thread's scratch buffer and routed there. Only
//!   the rest is copied ([`with_scratch`]).
//! - The rest of a short line, and lines during the handshake: read into the scratch buffer, then
//!   copied into the peer's [`LineSplitter`](labwire_wire::LineSplitter) ([`read_short`],
//!   [`read_some`], [`read_line_unless`]).
//! - A line of more than [`LONG_LINE_BYTES`], or one that follows such a line: read into memory of
//!   its own, where it stays until it is written ([`read_long`]).
//! - Any of these under TLS: encrypted records are read in larger pieces than the TLS session asks
//!   for, and wait in [`ReadAhead`].
//!
//! [`Inbox`](crate::peer) chooses between them for a peer that is served.

mod lines;
mod tls;

pub(crate) use lines::{
    LARGE_READ_BYTES, LONG_LINE_BYTES, ReadError, has_own_memory, read_line_unless, read_long, read_short,
    read_some, with_scratch,
};
pub(crate) use tls::ReadAhead;
