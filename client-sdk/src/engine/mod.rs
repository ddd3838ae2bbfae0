//! All that a client knows, without I/O: calls in flight, links, locks, readers of notifications, time limits.
//!
//! The [`Engine`] is told what handles ask for, what the manager sent, that a connection is made or lost, and what time
//! it is. It answers the callers itself, and tells the driver which frames to write, when to wake it at the latest, and
//! whether it wants a connection. It reads no clock, does no I/O and shares nothing: the same inputs give the same
//! outputs.

mod commands;
mod connection;
mod incoming;
mod lines;
mod links;
mod machine;
mod outgoing;
mod questions;
mod requests;
#[cfg(test)]
mod tests;

pub(crate) use machine::{Config, Engine, Wish};
pub(crate) use questions::Answer;
