//! Takes locks again that the manager has kept over its restart.

use std::sync::Arc;
use std::time::Instant;

use tracing::{debug, info, warn};

use super::incoming::Failure;
use super::links::LinkKey;
use super::machine::Engine;
use crate::status::LinkState;

impl Engine {
    /// Handles that a lock was taken again. Asks for its link next.
    pub(super) fn lock_taken_again(&mut self, key: LinkKey, service: &str, now: Instant) {
        let is_live = self.links.state(key) != LinkState::Ended;
        let link = self.links.get_mut(key).filter(|_| is_live);
        let (is_wanted, ttl) = link.map_or((false, None), |link| (link.retaken(), link.ttl()));
        if is_wanted {
            info!("the lock on '{service}' is held again");
            self.links.renew_later(key, ttl, now);
        } else {
            // Its guards were dropped meanwhile.
            self.give_back(service);
        }
        if is_live {
            self.ask_again(key);
        }
    }

    /// Handles that a lock was not taken again: for good if others are in the way, else not yet.
    pub(super) fn lock_not_taken_again(
        &mut self,
        key: LinkKey,
        service: &str,
        failure: &Failure,
        now: Instant,
    ) {
        if failure.lock.is_none() {
            // The service may not be back yet.
            debug!("a lock is not taken again yet: {}", failure.message);
            if self.is_connected() {
                self.links.ask_later(key, now);
            }
            return;
        }
        let reason = format!(
            "the lock on '{service}' was kept while the manager was restarted, and could not be taken again: {}",
            failure.message
        );
        warn!("{reason}");
        if let Some(link) = self.links.get_mut(key) {
            link.retake_refused(&Arc::from(reason));
        }
        self.ask_again(key);
    }
}
