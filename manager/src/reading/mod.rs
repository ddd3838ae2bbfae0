//! Reads what peers send. Which function applies when:
//!
//! | what is read | how | function |
//! |---|---|---|
//! | short lines, while nothing waits | to the thread's scratch buffer, where they are routed; only what is left over is copied | [`with_scratch`] |
//! | the rest of a short line, and lines during the handshake | to the scratch buffer, then to the peer's [`LineSplitter`](labwire_wire::LineSplitter) | [`read_short`], [`read_some`], [`read_line_unless`] |
//! | a line of more than [`LONG_LINE_BYTES`], or one that follows such a line | to memory of its own, where it stays until it is written | [`read_long`] |
//! | any of these under TLS | encrypted records are read in larger pieces than the TLS session asks for, and wait in [`ReadAhead`] | all of them, through the session |
//!
//! [`Inbox`](crate::peer) chooses between them for a peer that is served.

mod lines;
mod tls;

pub(crate) use lines::{
    LARGE_READ_BYTES, LONG_LINE_BYTES, ReadError, has_own_memory, read_line_unless, read_long, read_short,
    read_some, with_scratch,
};
pub(crate) use tls::ReadAhead;
