//! Invariants of an engine, at any time and at the end.

use std::collections::HashSet;
use std::task::{Context, Poll, Waker};

use labwire_wire::Executed;
use tokio::sync::oneshot;
use tokio::sync::oneshot::error::TryRecvError;

use super::super::machine::Wish;
use super::manager::{Manager, SERVICES, Said};
use super::world::{GuardSeen, HolderSeen, ROOM, World};
use crate::command::{Command, Outcome};
use crate::error::CallError;
use crate::status::LinkState;

impl<M: Manager> World<M> {
    /// Checks the invariants, and evaluates everything that has ended.
    pub(super) fn look(&mut self) {
        assert!(self.engine.requests.kept() <= self.engine.config.buffer);
        let mut ended = Vec::new();
        for (&uid, call) in &mut self.calls {
            let Some(receiver) = &mut call.receiver else {
                continue;
            };
            match receiver.try_recv() {
                Ok(outcome) => {
                    call.receiver = None;
                    call.is_over = true;
                    ended.push((uid, outcome));
                }
                Err(TryRecvError::Empty) => {
                    assert!(
                        call.deadline.is_none_or(|deadline| deadline > self.now),
                        "{uid} is overdue"
                    );
                }
                Err(TryRecvError::Closed) => panic!("nobody will answer {uid}"),
            }
        }
        for (uid, outcome) in ended {
            self.judge(uid, outcome);
        }
        self.look_at_links();
        for reader in &mut self.readers {
            let context = Context::from_waker(Waker::noop());
            while let Poll::Ready(Some(notification)) = reader.receiver.poll_next(&context) {
                let (count,): (u64,) = notification.decode().unwrap();
                assert!(count > reader.last, "{count} comes after {}", reader.last);
                reader.last = count;
            }
        }
    }

    /// Checks that the end of a call is consistent with what was written and answered.
    pub(super) fn judge(&mut self, uid: u64, outcome: Outcome) {
        let was_written = self.written.contains(&uid);
        let expected = if was_written {
            Executed::Maybe
        } else {
            Executed::No
        };
        let said = self.model.said(uid);
        let end = match outcome {
            Ok(result) => {
                assert_eq!(result.as_text(), format!("\"r{uid}\""));
                "result"
            }
            Err(CallError::Manager {
                message, executed, ..
            }) if message.ends_with("to the Manager") => {
                assert!(was_written && executed == Executed::Maybe, "{uid}");
                "guessed"
            }
            Err(CallError::Manager { executed, .. }) => {
                assert_eq!(said, Some(Said::ManagerError(executed)));
                "refused"
            }
            Err(CallError::Service { .. }) => {
                assert_eq!(said, Some(Said::ServiceError));
                "failed"
            }
            Err(CallError::Disconnected { executed, .. }) => {
                assert_eq!(executed, expected, "{uid}");
                if was_written { "cut" } else { "not sent" }
            }
            Err(CallError::TimedOut { executed, .. }) => {
                assert_eq!(executed, expected, "{uid}");
                if was_written { "late" } else { "timed out unsent" }
            }
            Err(CallError::LockEnded { .. }) => {
                assert!(!was_written, "{uid}");
                "lock ended"
            }
            Err(CallError::Unlinked { .. }) => {
                assert!(!was_written, "{uid}");
                "unlinked"
            }
            Err(error) => panic!("{error:?}"),
        };
        *self.ends.entry(end).or_default() += 1;
    }

    pub(super) fn look_at_links(&mut self) {
        for holder in self.holders.values_mut() {
            match holder.asking.as_mut().map(oneshot::Receiver::try_recv) {
                Some(Ok(Ok(status))) => {
                    holder.status = Some(status);
                    holder.asking = None;
                }
                Some(Ok(Err(_))) => {
                    holder.asking = None;
                    holder.is_dropped = true;
                }
                Some(Err(TryRecvError::Closed)) => panic!("nobody will answer {holder:?}"),
                Some(Err(TryRecvError::Empty)) | None => {}
            }
        }
        let mut refused_topics = Vec::new();
        self.topics.retain(|number, answer| {
            match answer.as_mut().map(oneshot::Receiver::try_recv) {
                Some(Ok(Ok(_))) => *answer = None,
                Some(Ok(Err(_))) => {
                    refused_topics.push(*number);
                    return false;
                }
                Some(Err(TryRecvError::Closed)) => panic!("nobody will answer {number}"),
                Some(Err(TryRecvError::Empty)) | None => {}
            }
            true
        });
        for number in refused_topics {
            self.command(Command::LeaveTopic { number });
        }
        let mut locked = Vec::new();
        for (&number, (service, receiver)) in &mut self.locking {
            match receiver.try_recv() {
                Ok(outcome) => locked.push((number, *service, outcome)),
                Err(TryRecvError::Closed) => panic!("nobody will answer {number}"),
                Err(TryRecvError::Empty) => {}
            }
        }
        for (number, service, outcome) in locked {
            self.locking.remove(&number);
            let Ok((status, _)) = outcome else {
                self.command(Command::LeaveLink { holder: number });
                continue;
            };
            let holder = HolderSeen {
                service,
                asking: None,
                status: Some(status),
                is_dropped: self.rng.bool(),
            };
            self.holders.insert(number, holder);
            let guard = GuardSeen {
                holder: number,
                asking: None,
            };
            self.guards.insert(number, guard);
        }
        let mut refused = Vec::new();
        for (&number, guard) in &mut self.guards {
            match guard.asking.as_mut().map(oneshot::Receiver::try_recv) {
                Some(Ok(Ok(_))) => guard.asking = None,
                Some(Ok(Err(_))) => refused.push(number),
                Some(Err(TryRecvError::Closed)) => panic!("nobody will answer {guard:?}"),
                Some(Err(TryRecvError::Empty)) | None => {}
            }
        }
        for number in refused {
            self.guards.remove(&number);
        }
        self.endings.retain_mut(|ending| match ending.try_recv() {
            Ok(_) => false,
            Err(TryRecvError::Closed) => panic!("nobody will answer"),
            Err(TryRecvError::Empty) => true,
        });
        self.leave_links();
    }

    /// Leaves the links whose handles are dropped and that nothing uses any more.
    pub(super) fn leave_links(&mut self) {
        let in_use: HashSet<u64> = (self.calls.values())
            .filter(|call| call.receiver.is_some())
            .filter_map(|call| call.through)
            .chain(self.guards.values().map(|guard| guard.holder))
            .chain(self.readers.iter().map(|reader| reader.holder))
            .collect();
        let left: Vec<u64> = self
            .holders
            .iter()
            .filter(|(number, holder)| holder.is_dropped && !in_use.contains(number))
            .map(|(&number, _)| number)
            .collect();
        for holder in left {
            self.holders.remove(&holder);
            self.command(Command::LeaveLink { holder });
        }
    }

    /// Checks that client and manager agree about links and locks, and that readers receive
    /// notifications.
    pub(super) fn compare(&mut self) {
        let waiting = self.calls.iter().find(|(_, call)| call.receiver.is_some());
        assert!(waiting.is_none(), "{waiting:?} has not ended");
        if self.engine.wish() != Wish::Serve {
            return;
        }
        let subscriptions = self.engine.topics.patterns();
        assert_eq!(
            subscriptions,
            self.model.subscriptions(),
            "subscriptions to topics"
        );
        for service in SERVICES {
            let link = self.engine.links.with(service).map(|(_, link)| link.subscribe());
            let status = link.as_ref().map(|status| status.borrow().clone());
            let is_linked = status
                .as_ref()
                .is_some_and(|status| status.state == LinkState::Linked);
            assert_eq!(
                is_linked,
                self.model.is_linked(service),
                "the link with {service}"
            );
            let has_lock = status.is_some_and(|status| !status.locks.is_empty());
            assert_eq!(has_lock, self.model.has_lock(service), "the lock of {service}");
            if is_linked {
                self.notified += 1;
                self.model.notify(service, self.notified);
                self.read();
                self.look();
                let current = self.engine.links.with(service).map(|(key, _)| key);
                let go_on = self.engine.config.backoff.is_some();
                for reader in self.readers.iter().filter(|_| go_on) {
                    let (key, _) = self.engine.links.of_holder(reader.holder).unwrap();
                    assert!(
                        Some(key) != current || reader.last == self.notified,
                        "{reader:?} is deaf"
                    );
                }
            }
        }
    }

    /// Checks that nothing is left in the engine, and that all permits are returned.
    pub(super) fn assert_empty(&self) {
        assert!(self.engine.is_empty(), "{:?}", self.engine);
        assert!(self.holders.is_empty() && self.endings.is_empty());
        assert_eq!(self.room.available_permits(), ROOM);
    }
}
