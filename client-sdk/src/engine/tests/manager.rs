//! The other side of an engine: a manager and its services.

use bytes::Bytes;
use fastrand::Rng;
use labwire_wire::Executed;

/// The services, which connect and disconnect.
pub(super) const SERVICES: [&str; 3] = ["Echo", "Oven", "Stage"];

/// The first reply to a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Said {
    Result,
    ServiceError,
    ManagerError(Executed),
}

/// A manager with services and one client.
pub(super) trait Manager: Default {
    /// Starts a new connection of the client; the state of the old one is lost.
    fn connect(&mut self);
    fn come(&mut self, service: &'static str);
    /// Disconnects a service. Requests that wait for its replies are answered with an error.
    fn leave(&mut self, service: &'static str);
    /// Ends the client's lock on a service, if it has one, and with it the link: as when the lock
    /// expires.
    fn end_lock(&mut self, service: &'static str);
    /// Asks the client for a username, if this manager has a reason to.
    fn ask(&mut self);
    /// Lets a service notify its clients.
    fn notify(&mut self, service: &'static str, count: u64);
    /// Answers one of the requests in flight at services.
    fn answer_held(&mut self, rng: &mut Rng);
    /// Returns the uids of the client's requests in flight at services.
    fn held(&self) -> Vec<u64>;
    fn answer_all(&mut self, rng: &mut Rng);
    /// Sends something that no request waits for.
    fn babble(&mut self, rng: &mut Rng);
    /// Handles a frame of the client.
    fn take(&mut self, frame: &Bytes, rng: &mut Rng);
    /// Takes the next line on its way to the client.
    fn next_line(&mut self) -> Option<String>;
    /// Returns the first reply to a request.
    fn said(&self, uid: u64) -> Option<Said>;
    /// Returns the number of patterns that the client has subscribed to.
    fn subscriptions(&self) -> usize;
    fn is_linked(&self, service: &'static str) -> bool;
    fn has_lock(&self, service: &'static str) -> bool;
    /// Returns whether the client has sent `__disconnect__`.
    fn is_closing(&self) -> bool;
    /// Makes the manager one that sends errors without a uid, as older managers do.
    fn set_old(&mut self, is_old: bool);
    /// Answers all requests at once from now on, and refuses no link.
    fn calm_down(&mut self);
}
