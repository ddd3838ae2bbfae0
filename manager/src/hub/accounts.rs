//! Ends the connections of peers whose logins are not valid any more.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use labwire_store::{Store, ValidLogins};
use tokio::time::sleep;
use tracing::warn;

use super::Routing;

/// How often the file is checked for changes by other programs, and the time for tokens that have
/// ended. Nothing is checked while nobody has logged in.
const INTERVAL: Duration = Duration::from_secs(1);

/// Who may stay logged in, by a manager's database.
pub(crate) struct AccountsSource {
    store: Store,
    routing: Arc<Routing>,
    /// As they were read the last time.
    known: Mutex<Option<ValidLogins>>,
    /// Whether they could not be read the last time.
    is_failing: AtomicBool,
    /// Whether they are to be read again: this manager may have changed them.
    is_due: AtomicBool,
}

impl AccountsSource {
    pub(crate) fn new(store: Store, routing: Arc<Routing>) -> Self {
        Self {
            store,
            routing,
            known: Mutex::default(),
            is_failing: AtomicBool::default(),
            is_due: AtomicBool::default(),
        }
    }

    /// Lets the database be read within a second, as [`RulesSource::read_soon`](super::RulesSource::read_soon).
    pub(crate) fn read_soon(&self) {
        self.is_due.store(true, Ordering::Relaxed);
    }

    /// Reads the database again, and ends the connections of those whose login is not valid any more. If
    /// it cannot be read, it is read again a second later.
    pub(crate) async fn reload(&self) {
        self.reload_unless(None).await;
        self.end_logins();
    }

    /// Follows changes by other programs, and the time. Runs until it is dropped.
    pub(crate) async fn follow(self: Arc<Self>) {
        loop {
            sleep(INTERVAL).await;
            if !self.routing.registry().has_logins() {
                continue;
            }
            let file = self.known().as_ref().map(|known| known.file);
            let is_due = self.is_due.swap(false, Ordering::Relaxed);
            let is_failing = self.is_failing.load(Ordering::Relaxed);
            self.reload_unless(file.filter(|_| !is_failing && !is_due)).await;
            // Each time: a peer may have logged in with what was revoked a moment later, and time has
            // passed.
            self.end_logins();
        }
    }

    fn known(&self) -> std::sync::MutexGuard<'_, Option<ValidLogins>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn reload_unless(&self, unless: Option<i64>) {
        match self.store.valid_logins(unless).await {
            Ok(loaded) => {
                self.is_failing.store(false, Ordering::Relaxed);
                if loaded.is_some() {
                    *self.known() = loaded;
                }
            }
            Err(error) => {
                if !self.is_failing.swap(true, Ordering::Relaxed) {
                    warn!("cannot read who may stay logged in, nobody is disconnected for a change: {error}");
                }
            }
        }
    }

    fn end_logins(&self) {
        if let Some(known) = &*self.known() {
            self.routing.end_logins(known);
        }
    }
}
