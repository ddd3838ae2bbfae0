//! The registry and the router under random schedules, with a simple model beside them that predicts, for each
//! step, every byte that every peer must be told.
//!
//! There is no network and no task, and time passes only when a schedule says so, hours of it if it likes: a schedule is a list of choices, which come from a seed or from a
//! fuzzer's bytes, so that the same choices are the same schedule. Peers join, link, lock, call, answer (once,
//! twice, for another, with garbage), notify, read as much as they like, vanish and return; some of their lines go on
//! while they arrive, come to their end or do not; some clients log in as administrators, or fail to; the manager
//! drains and stops.
//! The model keeps plain sets and lists and asks them anew for everything; what it shares with the manager are
//! the texts of refusals alone.

mod administration;
mod arriving;
mod calls;
mod changes;
mod choices;
mod cut_through;
mod garble;
mod lists;
mod malformed;
mod model;
mod queue;
mod schedule;
mod speech;
mod state;
#[cfg(test)]
mod tests;
mod time;
mod waiting;
mod world;

pub(crate) use choices::Choices;
pub(crate) use schedule::run;
