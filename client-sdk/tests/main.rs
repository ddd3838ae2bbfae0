//! The client against real managers and real SSH servers. One program: each that is linked costs as much as a crate.

#![allow(
    clippy::unwrap_used,
    reason = "a test that panics is a test that fails, which is what it is for"
)]

mod client;
#[path = "support/lab.rs"]
#[allow(dead_code, reason = "the documentation's examples use more of it")]
mod lab;
#[path = "support/peers.rs"]
mod peers;
mod ssh;
#[path = "support/waiting.rs"]
mod waiting;
