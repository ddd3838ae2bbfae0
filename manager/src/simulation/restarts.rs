//! Restarts of the manager. What it has noted of locks is kept in memory, as it is in the database.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use jiff::Timestamp;
use labwire_store::{Lease, LeaseChange, LeaseKey};
use labwire_wire::{Identity, ResumeRequest};

use super::reservations::sort;
use super::state::ModelPhase;
use super::world::{Failure, World};
use crate::attachment::Attachment;
use crate::hub::Routing;
use crate::principal::{Introduced, Principal, Proof};
use crate::refusal::SessionRefusal;
use crate::sessions::SecretHash;

/// How a manager ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// Without any warning.
    Killed,
    /// After a drain.
    Stopped,
}

/// The secret that a peer presents when it joins.
#[derive(Clone, Copy, Debug)]
pub(super) struct Presented<'a> {
    pub(super) secret: &'a str,
    /// Whether it is the peer's own last one.
    pub(super) is_own: bool,
}

/// Stands for the table of leases in the database.
#[derive(Debug, Default)]
pub(super) struct LeaseTable {
    rows: HashMap<LeaseKey, Box<Lease>>,
    /// The changes that are not written yet. `None` while nothing is recorded.
    changes: Option<Receiver<LeaseChange>>,
}

impl LeaseTable {
    /// Returns the rows in the order in which the database returns them, and records the changes of this
    /// manager from here on.
    pub(super) fn start(&mut self, routing: &mut Routing) -> Vec<Lease> {
        let (sender, receiver) = channel();
        routing.events.lease_changes = Some(sender);
        self.changes = Some(receiver);
        self.leases()
    }

    fn leases(&self) -> Vec<Lease> {
        let mut leases: Vec<Lease> = self.rows.values().map(|lease| (**lease).clone()).collect();
        sort(&mut leases);
        leases
    }

    /// Writes what has changed since the last call.
    fn write(&mut self) {
        for change in self.changes.iter().flat_map(Receiver::try_iter) {
            match change {
                LeaseChange::Held(lease) => {
                    self.rows.insert(lease.key.clone(), lease);
                }
                LeaseChange::Ended(key) => {
                    self.rows.remove(&key);
                }
            }
        }
    }

    /// Records no changes any more, and loses those that are not written.
    fn stop(&mut self) {
        self.changes = None;
    }
}

impl World {
    /// Writes which locks are held now.
    pub(super) fn write_leases(&mut self) -> Result<(), Failure> {
        if self.leases.changes.is_none() {
            return Ok(());
        }
        self.leases.write();
        let (written, predicted) = (self.leases.leases(), self.model.leases());
        if written != predicted {
            return Err(format!(
                "the locks {written:#?} are written instead of {predicted:#?}"
            ));
        }
        self.model.written = predicted;
        Ok(())
    }

    /// Ends the recording of locks, since all connections are about to end.
    pub(super) fn keep_leases(&mut self) -> Result<(), Failure> {
        self.write_leases()?;
        self.leases.stop();
        Ok(())
    }

    /// Ends the manager, and starts another one after a while.
    pub(super) fn restart(&mut self, end: End, after: Duration) -> Result<(), Failure> {
        match end {
            End::Killed => {
                self.leases.stop();
                self.model.restarts.killed += 1;
            }
            End::Stopped => {
                self.stop_in_order()?;
                self.model.restarts.stopped += 1;
            }
        }
        self.peers.clear();
        self.absent.clear();
        self.earlier_returns = self.returns();
        self.earlier.push(self.model.sums);
        self.model.time += after;
        let seconds = i64::try_from(self.model.time.as_secs()).unwrap_or(i64::MAX);
        self.seconds.store(seconds, Ordering::Relaxed);
        let mut routing = Self::start(self.limits, &self.seconds);
        let leases = self.leases.start(&mut routing);
        if leases != self.model.written {
            return Err(format!(
                "{leases:#?} are left instead of {:#?}",
                self.model.written
            ));
        }
        self.began = routing.started.into_std();
        self.routing = Arc::new(routing);
        self.routing.reserve(leases.clone());
        self.model.restart(leases);
        self.check()?;
        self.check_registry()
    }

    /// Lets the manager drain and stop, and all connections end.
    fn stop_in_order(&mut self) -> Result<(), Failure> {
        if self.model.phase < ModelPhase::Draining {
            self.drain();
            self.check()?;
        }
        if self.model.phase < ModelPhase::Stopping {
            self.stop()?;
            self.check()?;
        }
        let keys: Vec<_> = self.peers.keys().copied().collect();
        for key in keys {
            self.leave(key)?;
            self.check()?;
        }
        Ok(())
    }

    /// Checks what a peer finds that presents the secret of a session. Returns its identity if locks are
    /// kept for it: then it joins with the secret, and otherwise without.
    pub(super) fn present(
        &self,
        identity: &Identity,
        Presented { secret, is_own }: Presented<'_>,
    ) -> Result<Option<Identity>, Failure> {
        let introduced = |principal| Introduced {
            identity: identity.clone(),
            principal,
            came: Timestamp::UNIX_EPOCH,
        };
        let proof = Proof::Login {
            user: "ada".into(),
            row: labwire_store::LoginUser::default(),
            is_admin: false,
            token: None,
            second_factor: None,
            certificate: None,
        };
        let other_user = Principal {
            proof,
            from: Arc::clone(&Principal::sample().from),
        };
        if Attachment::held_before(&self.routing, &introduced(Arc::new(other_user)), secret) {
            return Err("a lock is kept for the client of another user".to_owned());
        }
        let introduced = introduced(Principal::sample());
        let is_kept = Attachment::held_before(&self.routing, &introduced, secret);
        let predicted = self.model.held_before(identity, SecretHash::of(secret));
        if is_kept != predicted {
            return Err(format!("locks are kept for {}: {is_kept}", identity.name));
        }
        if is_kept {
            let mut identity = identity.clone();
            if let Some(session) = &mut identity.session {
                session.resume = Some(ResumeRequest {
                    secret: secret.to_owned(),
                    received: 0,
                });
            }
            return Ok(Some(identity));
        }
        if is_own {
            match Attachment::resume(&self.routing, &introduced, secret, 0, None) {
                Err(refusal) if refusal == SessionRefusal::Unknown.into() => {}
                Err(refusal) => return Err(format!("{refusal} instead of an unknown session")),
                Ok(_) => return Err("a session goes on that has ended".to_owned()),
            }
        }
        Ok(None)
    }
}
