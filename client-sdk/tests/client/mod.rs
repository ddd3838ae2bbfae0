//! The client against a real manager, in this process, with services that speak the wire by themselves, and with the
//! real Python package.

#![allow(clippy::float_cmp, reason = "the wire changes no number")]

mod arrays;
mod blocking;
mod calls;
mod hostile;
mod leases;
mod links;
mod python;
mod reconnect;
mod restarts;
mod typed;
