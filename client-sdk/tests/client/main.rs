//! The client against a real manager, in this process, with services that speak the wire by themselves.

mod blocking;
mod calls;
#[path = "../support/lab.rs"]
mod lab;
mod links;
mod typed;
