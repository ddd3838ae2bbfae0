//! The state machine of a client, without I/O: calls in flight, links, locks, readers of
//! notifications, the reconnect buffer and time limits.
//!
//! The inputs of the [`Engine`] are commands, lines, "connected", "disconnected" and the time. It
//! completes the replies to callers, and gives the driver frames to write, the next deadline and a
//! [`Wish`] for the connection. It reads no clock and has no lock.

mod cancelling;
mod commands;
mod connection;
mod incoming;
mod lines;
mod link;
mod links;
mod machine;
mod outgoing;
mod questions;
mod request;
mod requests;
mod retaking;
mod session;
#[cfg(test)]
mod tests;
mod topics;

pub(crate) use machine::{Config, Engine, Wish};
pub(crate) use questions::Answer;
pub(crate) use session::Arrival;
