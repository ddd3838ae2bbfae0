//! Hostile and broken peers: what stops, starves or forges on the Python package's manager must harm nobody
//! here. Where it is cheap the same is done to that manager, to show that the check can fail.

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
