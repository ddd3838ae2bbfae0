//! The registry: clients, services, links, locks and requests in flight.
//!
//! Every method is synchronous and makes all of its change or none of it. Callers hold the one lock
//! around the registry meanwhile. A peer leaves in one step ([`Registry::leave`]): its links, locks
//! and requests are removed together. A service's name stays reserved until the clients concerned
//! are notified.

mod abandoned;
mod allowed;
mod approvals;
mod asking;
mod away;
mod caller;
mod cancelling;
#[cfg(any(test, feature = "fuzzing"))]
mod consistency;
mod deadlines;
mod describe;
mod event;
mod expiring;
mod identify;
mod in_flight;
mod lease_records;
mod leaving;
mod likeness;
mod links;
mod lock_ends;
mod lock_queue;
mod locking;
mod locks;
mod logins;
mod manager;
mod membership;
mod moment;
mod noted_calls;
mod owed;
mod peers;
mod permissions;
mod requests;
mod reservations;
mod revoking;
mod roster;
mod settling;
mod state;
mod status;
mod stopping;
mod terms;
mod terms_of_request;
#[cfg(test)]
mod tests;
mod tracked;
mod traffic;
mod uid;
mod uids;
mod view;

pub(crate) use approvals::{Approval, ApprovalOutcome, ApprovalsPage, ToApprove};
pub(crate) use asking::{Asking, Awaited};
pub(crate) use away::WentAway;
pub(crate) use cancelling::Cancelled;
pub(crate) use event::{
    EndedLink, Event, LinkChange, LinkRevoked, LockEnded, Presence, ReservationEnded, WaitRefused,
};
pub(crate) use leaving::Leaving;
pub(crate) use lock_ends::Broken;
pub(crate) use lock_queue::Ticket;
pub(crate) use locking::Acquired;
pub(crate) use manager::{Listing, ManagerIdentity};
pub(crate) use moment::Moment;
pub(crate) use noted_calls::Forwarded;
pub(crate) use peers::PeerId;
pub(crate) use permissions::Sight;
pub(crate) use revoking::Checked;
pub(crate) use settling::{Grant, Settled};
pub(crate) use state::{Client, Reader, Registry};
pub(crate) use status::{Kind as PageKind, Page};
pub(crate) use stopping::{EndedEarly, LeftBehind, Stop};
pub(crate) use terms::Terms;
pub(crate) use terms_of_request::RequestTerms;
pub(crate) use traffic::Answered;
pub(crate) use view::{Eyes, Subject};
