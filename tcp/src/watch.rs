//! Watches connections whose peers owe an acknowledgement.

use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::task::yield_now;
use tokio::time::{Instant, sleep_until};

use crate::KeepAlive;
use crate::judge::{Judge, Verdict};
use crate::keep_alive::set_user_timeout;
use crate::socket::Shared;

/// The number of checks before the task yields: each takes about a microsecond.
const TURN: usize = 64;

/// Watches any number of connections, with one task that exists only while there is something to
/// check.
///
/// The operating system itself notices vanished peers of idle and of busy connections, with two
/// exceptions. Bytes written late to a peer that vanished long ago would give it the whole time
/// again, and a peer that is alive but does not read would count as vanished. So each connection is
/// checked from time to time until everything that was written to it is acknowledged.
///
/// See the example of the crate.
#[derive(Clone)]
pub struct Watch {
    inner: Arc<Inner>,
}

struct Inner {
    keep_alive: KeepAlive,
    runtime: Handle,
    list: Mutex<List>,
}

#[derive(Default)]
struct List {
    entries: BinaryHeap<Reverse<Entry>>,
    is_looked_at: bool,
}

/// A connection, and the time of its next check.
struct Entry {
    at: Instant,
    socket: Weak<Shared>,
    judge: Judge,
}

impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        self.at == other.at
    }
}

impl Eq for Entry {}

impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Entry {
    fn cmp(&self, other: &Self) -> Ordering {
        self.at.cmp(&other.at)
    }
}

impl fmt::Debug for Watch {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let keep_alive = self.inner.keep_alive;
        formatter
            .debug_struct("Watch")
            .field("keep_alive", &keep_alive)
            .finish_non_exhaustive()
    }
}

impl Watch {
    /// Creates a watch on the current runtime.
    ///
    /// # Panics
    /// Outside of a runtime.
    pub fn new(keep_alive: KeepAlive) -> Self {
        let inner = Inner {
            keep_alive,
            runtime: Handle::current(),
            list: Mutex::default(),
        };
        Self {
            inner: Arc::new(inner),
        }
    }

    pub(crate) fn keep_alive(&self) -> KeepAlive {
        self.inner.keep_alive
    }

    fn list(&self) -> MutexGuard<'_, List> {
        // Nothing that can panic runs under this lock.
        self.inner.list.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Starts to check a connection on which something was written.
    pub(crate) fn add(&self, socket: Weak<Shared>) {
        let now = Instant::now();
        let judge = Judge::new(self.inner.keep_alive.limit(), now);
        let at = now + judge.shortest();
        let mut list = self.list();
        list.entries.push(Reverse(Entry { at, socket, judge }));
        if !std::mem::replace(&mut list.is_looked_at, true) {
            drop(list);
            self.inner.runtime.spawn(self.clone().look());
        }
    }

    /// Checks connections until the list is empty.
    async fn look(self) {
        let mut looks = 0;
        // A connection added meanwhile is never due before the first one in the list, since its
        // first check comes after the shortest interval.
        while let Some(at) = self.next_time() {
            sleep_until(at).await;
            while let Some(entry) = self.take_due() {
                if let Some(entry) = entry.look() {
                    self.list().entries.push(Reverse(entry));
                }
                looks += 1;
                if looks % TURN == 0 {
                    yield_now().await;
                }
            }
        }
    }

    /// Returns the time of the next check. `None` ends the task.
    fn next_time(&self) -> Option<Instant> {
        let mut list = self.list();
        let next = list.entries.peek().map(|Reverse(entry)| entry.at);
        list.is_looked_at = next.is_some();
        next
    }

    fn take_due(&self) -> Option<Entry> {
        let mut list = self.list();
        let Reverse(first) = list.entries.peek()?;
        if first.at > Instant::now() {
            return None;
        }
        list.entries.pop().map(|Reverse(entry)| entry)
    }
}

impl Entry {
    /// Checks the connection once. Returns it if it needs another check.
    fn look(mut self) -> Option<Self> {
        let shared = self.socket.upgrade()?;
        let was_written = shared.begin_look();
        // Where the platform is not supported, there are no further checks.
        let signs = shared.signs().ok()?;
        let now = Instant::now();
        let set = |time: Duration| {
            // Fails only if the connection has ended.
            let _ = set_user_timeout(&shared.socket(), time);
        };
        let look_in = match self.judge.judge(&signs, now) {
            Verdict::Quiet => {
                if self.judge.moves_back() {
                    set(shared.watch().keep_alive().limit());
                }
                if was_written {
                    self.judge.longest()
                } else if shared.leave_list() {
                    return None;
                } else {
                    self.judge.shortest()
                }
            }
            Verdict::Owes {
                look_in,
                user_timeout,
            } => {
                if let Some(time) = user_timeout {
                    set(time);
                }
                look_in
            }
            Verdict::Vanished => {
                shared.vanish();
                return None;
            }
        };
        self.at = now + look_in;
        Some(self)
    }
}
