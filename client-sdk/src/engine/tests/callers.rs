//! The random actions of callers.

use std::sync::Arc;
use std::time::Duration;

use labwire_wire::{MANAGER_NAME, TopicPattern};
use tokio::sync::oneshot;

use super::manager::{Manager, SERVICES};
use super::world::{CallSeen, GuardSeen, HolderSeen, ReaderSeen, World};
use crate::command::{CallCommand, Command, Limit, Room, Target};
use crate::frames::request_frame;
use crate::lock_options::{Lock, LockOptions};
use crate::notification_queue::notification_queue;

impl<M: Manager> World<M> {
    pub(super) fn call(&mut self) {
        let Ok(permit) = Arc::clone(&self.room).try_acquire_owned() else {
            return;
        };
        let uid = self.uids.next();
        let through = if self.rng.u8(0..5) > 0 {
            self.some_holder()
        } else {
            None
        };
        let target = match through {
            Some(holder) => Target::new(self.holders[&holder].service, "read"),
            None => Target::new(MANAGER_NAME, "identity"),
        };
        let timeout = Duration::from_millis(self.rng.u64(0..60));
        let limit = self.rng.bool().then(|| Limit {
            timeout,
            deadline: self.now + timeout,
        });
        let (reply, receiver) = oneshot::channel();
        let seen = CallSeen {
            through,
            deadline: limit.map(|limit| limit.deadline),
            receiver: Some(receiver),
            is_over: false,
        };
        self.calls.insert(uid, seen);
        self.command(Command::Call(CallCommand {
            follower: None,
            uid,
            frame: request_frame(&target.service, &target.attribute, "[]", "{}", uid),
            target,
            through,
            limit,
            room: Some(Room::new(permit)),
            reply,
        }));
    }

    pub(super) fn drop_call(&mut self) {
        let waiting: Vec<u64> = self
            .calls
            .iter()
            .filter(|(_, call)| call.receiver.is_some())
            .map(|(&uid, _)| uid)
            .collect();
        if let Some(uid) = self.rng.choice(waiting) {
            let call = self.calls.get_mut(&uid).unwrap();
            call.receiver = None;
            call.is_over = true;
            self.forgotten.push_back(uid);
        }
        // The driver may write frames before the caller's `Forget` arrives.
        if self.rng.bool() {
            self.forget_calls();
        }
    }

    /// Sends `Forget` for the requests whose callers no longer wait.
    pub(super) fn forget_calls(&mut self) {
        while let Some(uid) = self.forgotten.pop_front() {
            self.command(Command::Forget { uid });
        }
    }

    pub(super) fn link(&mut self) {
        let uid = self.uids.next();
        let service = *self.rng.choice(&SERVICES).unwrap();
        let (reply, receiver) = oneshot::channel();
        let holder = HolderSeen {
            service,
            asking: Some(receiver),
            status: None,
            is_dropped: false,
        };
        self.holders.insert(uid, holder);
        self.command(Command::Link {
            uid,
            service: service.into(),
            room: None,
            reply,
        });
    }

    pub(super) fn drop_link(&mut self) {
        let all: Vec<u64> = self.holders.keys().copied().collect();
        if let Some(number) = self.rng.choice(all) {
            let holder = self.holders.get_mut(&number).unwrap();
            // Also if its request is still in flight.
            if holder.asking.take().is_some() {
                self.forgotten.push_back(number);
            }
            holder.is_dropped = true;
        }
    }

    pub(super) fn unlink(&mut self) {
        if let Some(holder) = self.some_holder() {
            let uid = self.uids.next();
            let (reply, receiver) = oneshot::channel();
            if self.rng.bool() {
                self.endings.push(receiver);
            } else {
                self.forgotten.push_back(uid);
            }
            self.command(Command::Unlink { uid, holder, reply });
        }
    }

    pub(super) fn lock(&mut self) {
        if let Some(holder) = self.some_holder() {
            let uid = self.uids.next();
            let (reply, receiver) = oneshot::channel();
            let asking = Some(receiver);
            self.guards.insert(uid, GuardSeen { holder, asking });
            let kind = if self.rng.bool() {
                Lock::Shared
            } else {
                Lock::Exclusive
            };
            let mut options = LockOptions::new(kind);
            if self.rng.bool() {
                options = options.ttl(Duration::from_secs(3));
            }
            self.command(Command::Lock {
                uid,
                holder,
                options,
                reply,
            });
        }
    }

    /// Subscribes to a topic, or leaves one.
    pub(super) fn subscribe_topic(&mut self) {
        let known: Vec<u64> = self.topics.keys().copied().collect();
        if let Some(number) = self.rng.choice(known).filter(|_| self.rng.bool()) {
            self.topics.remove(&number);
            return self.command(Command::LeaveTopic { number });
        }
        let number = self.uids.next();
        let (reply, answer) = oneshot::channel();
        // Nobody reads: a queue drops what it cannot hold.
        let (reader, _) = notification_queue(1);
        let pattern = self.rng.choice(["a", "a.*", ">"]).unwrap();
        self.topics.insert(number, Some(answer));
        self.command(Command::SubscribeTopic {
            number,
            pattern: TopicPattern::new(pattern).unwrap(),
            reader,
            room: None,
            reply,
        });
    }

    /// Requests a lock with a link.
    pub(super) fn lock_service(&mut self) {
        let uid = self.uids.next();
        let service = *self.rng.choice(&SERVICES).unwrap();
        let (reply, receiver) = oneshot::channel();
        self.locking.insert(uid, (service, receiver));
        let options = LockOptions::new(Lock::Exclusive).with_link();
        self.command(Command::LockService {
            uid,
            service: service.into(),
            options: options.ttl(Duration::from_secs(3)),
            room: None,
            reply,
        });
    }

    /// Drops a request for a lock with a link.
    pub(super) fn drop_locking(&mut self, guard: u64) {
        if self.locking.remove(&guard).is_some() {
            self.forgotten.push_back(guard);
            if self.rng.bool() {
                self.forget_calls();
            }
            let uid = self.uids.next();
            self.command(Command::Release {
                uid,
                holder: guard,
                guard,
                reply: None,
            });
            self.command(Command::LeaveLink { holder: guard });
        }
    }

    /// Releases or drops a guard, possibly one that still waits for its lock.
    pub(super) fn release(&mut self) {
        if let Some(&uid) = self.locking.keys().next().filter(|_| self.rng.u8(0..4) == 0) {
            return self.drop_locking(uid);
        }
        let all: Vec<u64> = self.guards.keys().copied().collect();
        if let Some(guard) = self.rng.choice(all) {
            self.release_guard(guard);
        }
    }

    pub(super) fn release_guard(&mut self, guard: u64) {
        let seen = self.guards.remove(&guard).unwrap();
        let uid = self.uids.next();
        let (reply, receiver) = oneshot::channel();
        let is_awaited = seen.asking.is_none() && self.rng.bool();
        if seen.asking.is_some() {
            drop(seen.asking);
            self.forgotten.push_back(guard);
            // The two commands may arrive in either order.
            if self.rng.bool() {
                self.forget_calls();
            }
        }
        if is_awaited {
            self.endings.push(receiver);
        }
        self.command(Command::Release {
            uid,
            holder: seen.holder,
            guard,
            reply: is_awaited.then_some(reply),
        });
    }

    pub(super) fn subscribe(&mut self) {
        let holder = if self.rng.bool() { self.some_holder() } else { None };
        if let Some(holder) = holder {
            let (reader, receiver) = notification_queue(1000);
            self.readers.push(ReaderSeen {
                holder,
                receiver,
                last: 0,
            });
            self.command(Command::Subscribe { holder, reader });
        } else if !self.readers.is_empty() {
            let index = self.rng.usize(0..self.readers.len());
            self.readers.swap_remove(index);
        }
    }
}
