//! Hostile and broken peers: attacks that stop or starve the Python package's manager, or forge
//! messages there, must harm no other peer here. Where it is cheap, the same attack is run against
//! that manager, to show that the check can fail.

mod admin;
mod audit;
mod budgets;
mod costs;
mod forging;
mod frames;
mod guesses;
mod handshake;
mod identities;
mod limits;
mod links;
mod login;
mod names;
pub(crate) mod network;
mod once_broken;
mod queues;
mod reference;
mod replies;
mod strangers;
pub(crate) mod support;
mod tls;
mod trouble;
