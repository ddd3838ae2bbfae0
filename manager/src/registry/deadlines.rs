//! What ends by itself at a certain time.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Instant;

use tokio::sync::Notify;

use super::{Event, PeerId, Registry};

/// The deadlines of clients, the earliest first.
#[derive(Debug, Default)]
pub(super) struct Deadlines {
    by_time: BTreeSet<(Instant, PeerId)>,
}

impl Deadlines {
    /// Forgets the deadline of a client, if it has one.
    pub(super) fn remove(&mut self, deadline: Option<Instant>, client: PeerId) {
        if let Some(deadline) = deadline {
            self.by_time.remove(&(deadline, client));
        }
    }

    #[cfg(any(test, feature = "fuzzing"))]
    pub(super) fn clients(&self) -> impl Iterator<Item = PeerId> {
        self.by_time.iter().map(|(_, client)| *client)
    }
}

impl Registry {
    /// Ends all links and locks of a client that sends no more. Its requests go on until they are answered, or until
    /// `until`: returns what is told at that time, or `None` if no request of it is in flight.
    pub(crate) fn finish(&mut self, id: PeerId, until: Instant) -> Option<Arc<Notify>> {
        self.end_links(id);
        let client = self.clients.get_mut(id)?;
        let told = client.in_flight.await_last()?;
        self.deadlines.remove(client.deadline, id);
        client.deadline = Some(until);
        self.deadlines.by_time.insert((until, id));
        Some(told)
    }

    /// Returns the time of the next [`expire`](Self::expire) that has something to do.
    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        self.deadlines.by_time.first().map(|(deadline, _)| *deadline)
    }

    /// Ends what ends first of all that ends at `now` or earlier; `None` if there is nothing.
    pub(crate) fn expire(&mut self, now: Instant) -> Option<Event<'static>> {
        loop {
            let (deadline, id) = *self.deadlines.by_time.first()?;
            if deadline > now {
                return None;
            }
            self.deadlines.by_time.remove(&(deadline, id));
            let Some(client) = self.clients.get_mut(id) else {
                continue;
            };
            client.deadline = None;
            // The last reply may have come before.
            if client.in_flight.give_up() {
                return Some(Event::WaitedInVain {
                    name: Arc::clone(&client.name),
                    requests: client.in_flight.count(),
                });
            }
        }
    }
}
