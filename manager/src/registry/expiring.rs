//! Handling what ends by itself.

use std::sync::Arc;
use std::time::Instant;

use tokio::sync::Notify;

use super::deadlines::Expiring;
use super::event::Event;
use super::peers::PeerId;
use super::state::Registry;

impl Registry {
    /// Ends all links, locks and waits for locks of a client that sends no more. Its requests stay in flight until
    /// they are answered, or until `until`.
    ///
    /// Returns the notification that no request is in flight any more, or that `until` has come;
    /// `None` if no request is in flight.
    pub(crate) fn finish(
        &mut self,
        id: PeerId,
        until: Instant,
    ) -> (Option<Event<'static>>, Option<Arc<Notify>>) {
        let Some(client) = self.clients.get_mut(id) else {
            return (None, None);
        };
        let (name, links) = (Arc::clone(&client.name), std::mem::take(&mut client.links));
        let principal = Arc::clone(&client.principal);
        let last_reply = client.in_flight.await_last();
        if last_reply.is_some() {
            self.deadlines
                .remove(client.deadline.replace(until), Expiring::LastReplies(id));
            self.deadlines.insert(until, Expiring::LastReplies(id));
        }
        let services = self.end_links(id, &name, &links);
        self.release_reservations(id);
        self.end_waits(id);
        self.end_approvals_of(id);
        let event = (!services.is_empty()).then_some(Event::LinksEnded {
            client: name,
            principal,
            services,
        });
        (event, last_reply)
    }

    /// Returns the time of the next [`expire`](Self::expire) with something to do.
    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        self.deadlines.first().map(|(deadline, _)| deadline)
    }

    /// Returns the notification of a deadline that is earlier than all others.
    pub(crate) fn earlier_deadline(&self) -> Arc<Notify> {
        self.deadlines.earlier()
    }

    /// Handles the earliest deadline, if it is `now` or earlier. Returns `None` if none is due.
    pub(crate) fn expire(&mut self, now: Instant) -> Option<Event<'static>> {
        loop {
            let (deadline, expiring) = self.deadlines.first()?;
            if deadline > now {
                return None;
            }
            self.deadlines.remove(Some(deadline), expiring);
            let event = match expiring {
                Expiring::LastReplies(id) => self.give_up_last_replies(id),
                Expiring::Lease(service, client) => self.expire_lease(service, client),
                Expiring::LockWait(service, ticket) => self.expire_wait(service, ticket),
                Expiring::Request(request) => self.expire_request(request),
                Expiring::Away(id) => self.expire_away(id),
                Expiring::Reservation(id) => self.expire_reservation(id),
                Expiring::Approval(number) => self.expire_approval(number),
            };
            if event.is_some() {
                return event;
            }
        }
    }

    fn give_up_last_replies(&mut self, id: PeerId) -> Option<Event<'static>> {
        let client = self.clients.get_mut(id)?;
        client.deadline = None;
        // The last reply may have come before.
        client.in_flight.give_up().then(|| Event::WaitedInVain {
            name: Arc::clone(&client.name),
            requests: client.in_flight.count(),
        })
    }
}
