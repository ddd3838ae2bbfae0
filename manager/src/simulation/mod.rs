//! Runs the registry and the router under random schedules. A simple model predicts, for each step,
//! every byte that each peer must receive.
//!
//! There is no network and there are no tasks. Time is virtual: each schedule decides how much of
//! it passes, up to days. A schedule is a list of choices, which come from a seed or from a
//! fuzzer's bytes; the same choices give the same schedule. Peers join, link, lock, call, reply
//! (once, twice, for another peer, malformed), notify, read any number of bytes, vanish and return.
//! Some of their lines are cut through, and some of these are never finished. Some clients log in
//! as administrators, or fail to. Connections of peers with sessions break; some of these peers return
//! in time. The manager drains and stops. It is killed and started again: locks of peers with sessions
//! are kept for them, and others try to take them in between.
//!
//! The model keeps plain sets and lists, and derives everything from them at each step. It shares
//! only the texts of refusals with the manager.

mod administration;
mod arriving;
mod calls;
mod changes;
mod choices;
mod cut_through;
mod garble;
mod lists;
mod locks;
mod malformed;
mod model;
mod queue;
mod reservations;
mod restarts;
mod schedule;
mod sessions;
mod slots;
mod speech;
mod state;
#[cfg(test)]
mod tests;
mod time;
mod topics;
mod waiting;
mod words;
mod world;

pub(crate) use choices::Choices;
#[cfg(test)]
use reservations::Restarts;
pub(crate) use schedule::run;
#[cfg(test)]
use state::Sums;
