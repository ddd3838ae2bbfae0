//! The client against a real manager, in this process, with services that speak the wire by themselves, and with the
//! real Python package.

mod blocking;
mod calls;
#[path = "../support/lab.rs"]
mod lab;
mod links;
mod peers;
mod python;
mod reconnect;
mod typed;
