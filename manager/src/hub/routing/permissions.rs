//! What becomes of connected peers when the rules, grants or logins change.

use std::sync::Arc;

use labwire_access::Policy;
use labwire_store::ValidLogins;
use tokio::runtime::Handle;
use tokio::task::{spawn_blocking, yield_now};
use tracing::info;

use super::{DEPARTURES_AT_ONCE, Routing};
use crate::counters::Counters;
use crate::registry::{Checked, Event};

/// The work of one step of ending what is not permitted any more: about a millisecond.
const REVOCATION_WORK: usize = 1_024;

impl Routing {
    /// Uses these rules from the next request of each peer on, unless newer ones are in use. What
    /// they no longer allow ends with [`revoke`](Self::revoke).
    pub(crate) fn set_policy(&self, policy: Policy, version: u64) {
        let present = self.present();
        let unused = self.registry().set_policy(policy, version, present);
        // On another thread, since there may be many rules.
        if Handle::try_current().is_ok() {
            drop(spawn_blocking(move || drop(unused)));
        }
    }

    /// Ends the connections of peers whose logins are not valid any more, and the sessions of those that
    /// are away. A peer whose user is no administrator any more stays, and is none.
    pub(crate) async fn end_logins(self: &Arc<Self>, valid: &Arc<ValidLogins>) {
        let (demoted, ended) = {
            let mut registry = self.registry();
            registry.set_valid_logins(valid);
            let demoted = registry.demote(valid);
            (demoted, registry.ended_logins(valid, self.present().seconds()))
        };
        for name in demoted {
            info!("{name} has logged in as a user who is no administrator any more");
        }
        for (_, dismissal, end) in &ended {
            dismissal.give(*end);
        }
        let mut left = 0;
        for (id, _, end) in ended {
            let Some(parked) = self.sessions.expire(id) else {
                continue;
            };
            Counters::count(&self.counters.logins_ended);
            info!("{} does not return to its session: {end}", parked.name);
            parked.leave(self);
            left += 1;
            if left % DEPARTURES_AT_ONCE == 0 {
                yield_now().await;
            }
        }
    }

    /// Ends what peers have and the rules do not allow any more, in several steps, between which
    /// other tasks run. If it is cancelled, another call goes on.
    pub(crate) async fn revoke(self: &Arc<Self>) {
        while self.revoke_some() {
            yield_now().await;
        }
    }

    /// Notices that grants have ended, for [`revoke`](Self::revoke).
    pub(crate) fn notice_ends(&self) {
        self.registry().notice_ends(self.present());
    }

    /// One step of [`revoke`](Self::revoke). Returns whether there may be more to do.
    fn revoke_some(self: &Arc<Self>) -> bool {
        let (now, present) = (self.moment(), self.present());
        let mut registry = self.registry();
        let (mut done, mut is_more) = (0, true);
        // Services that may be none any more. The connection of one that is there ends by itself.
        let mut services = Vec::new();
        while is_more && done < REVOCATION_WORK {
            let events = match registry.check_next(now, present) {
                None => {
                    is_more = false;
                    continue;
                }
                Some(Checked::Peer { id, view, events }) => {
                    let permits = |pattern: &str| view.permits_subscription(pattern, present.seconds());
                    done += 1 + self.events.revoke_subscriptions(&mut registry, id, permits);
                    let ends = |event: &Event<'_>| matches!(event, Event::ServiceRevoked { .. });
                    services.extend(events.iter().any(ends).then_some(id));
                    events
                }
                Some(Checked::Part { events, work }) => {
                    done += work;
                    events
                }
            };
            for event in events {
                done += self.events.publish(event, None);
            }
            done += self.events.settle(&mut registry, now);
        }
        drop(registry);
        for parked in services.into_iter().filter_map(|id| self.sessions.expire(id)) {
            info!(
                "{} does not return to its session: it may be no service any more",
                parked.name
            );
            parked.leave(self);
        }
        is_more
    }
}
