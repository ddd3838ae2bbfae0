//! The client against a real manager, in this process, with services that speak the wire by themselves, and with the
//! real Python package.

#![allow(
    clippy::unwrap_used,
    reason = "the functions that tests share may fail the test"
)]
#![allow(clippy::float_cmp, reason = "the wire changes no number")]

mod blocking;
mod calls;
mod hostile;
#[path = "../support/lab.rs"]
#[allow(dead_code, reason = "the documentation's examples use more of it")]
mod lab;
mod links;
mod peers;
mod python;
mod reconnect;
mod typed;
mod waiting;
