//! The deadlines of clients that send no more.

use std::sync::Arc;
use std::time::Instant;

use tokio::sync::Notify;

use super::event::Event;
use super::peers::PeerId;
use super::state::Registry;

impl Registry {
    /// Ends all links and locks of a client that sends no more. Its requests stay in flight until
    /// they are answered, or until `until`. Returns a notification of that time, and whether
    /// `until` is the earliest deadline now; `None` if no request is in flight.
    pub(crate) fn finish(&mut self, id: PeerId, until: Instant) -> Option<(Arc<Notify>, bool)> {
        self.end_links(id);
        let client = self.clients.get_mut(id)?;
        let told = client.in_flight.await_last()?;
        self.deadlines.remove(client.deadline, id);
        client.deadline = Some(until);
        let is_first = self.deadlines.insert(until, id);
        Some((told, is_first))
    }

    /// Returns the time when [`expire`](Self::expire) is due next.
    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        self.deadlines.first().map(|(deadline, _)| deadline)
    }

    /// Handles the earliest deadline, if it is `now` or earlier. Returns `None` if none is due.
    pub(crate) fn expire(&mut self, now: Instant) -> Option<Event<'static>> {
        loop {
            let (deadline, id) = self.deadlines.first()?;
            if deadline > now {
                return None;
            }
            self.deadlines.remove(Some(deadline), id);
            let Some(client) = self.clients.get_mut(id) else {
                continue;
            };
            client.deadline = None;
            // The last reply may have come already.
            if client.in_flight.give_up() {
                return Some(Event::WaitedInVain {
                    name: Arc::clone(&client.name),
                    requests: client.in_flight.count(),
                });
            }
        }
    }
}
