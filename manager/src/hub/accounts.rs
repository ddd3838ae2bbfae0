//! Ends the connections of peers whose logins are not valid any more.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use labwire_home::present;
use labwire_store::{Store, ValidLogins};
use tokio::task::spawn_blocking;
use tokio::time::sleep;
use tracing::warn;

use super::Routing;
use crate::certificates::{PeerCertificate, PeerCertificates};
use crate::principal::Principal;

/// How often the file is checked for changes by other programs, and the time for tokens that have
/// ended. Nothing is checked while nobody has logged in.
const INTERVAL: Duration = Duration::from_secs(1);

/// Who may stay logged in, by a manager's database.
pub(crate) struct AccountsSource {
    store: Store,
    routing: Arc<Routing>,
    /// As they were read the last time.
    known: Mutex<Option<Arc<ValidLogins>>>,
    /// Whether they could not be read the last time.
    is_failing: AtomicBool,
    /// Decides about the certificates of peers, if they are asked for any.
    pub(super) certificates: OnceLock<Arc<dyn PeerCertificates>>,
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
            certificates: OnceLock::new(),
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
        self.check_certificates().await;
        self.end_logins().await;
    }

    /// Follows changes by other programs, and the time. Runs until it is dropped.
    pub(crate) async fn follow(self: Arc<Self>) {
        loop {
            sleep(INTERVAL).await;
            // Also without roles: a peer may have logged in again with a token, which allows less.
            self.routing.revoke().await;
            if !self.routing.registry().has_logins() {
                continue;
            }
            let file = self.known().as_ref().map(|known| known.file);
            let is_due = self.is_due.swap(false, Ordering::Relaxed);
            let is_failing = self.is_failing.load(Ordering::Relaxed);
            self.reload_unless(file.filter(|_| !is_failing && !is_due)).await;
            // A peer may have connected while the authorities and lists were replaced.
            self.check_certificates().await;
            // Each time: a peer may have logged in with what was revoked a moment later, and time has
            // passed.
            self.end_logins().await;
        }
    }

    /// Reads what is needed to decide whether a peer that has connected at `came` may be admitted with its login, which
    /// was checked since: nobody is followed before. Cancel safe.
    pub(crate) async fn look_again(&self, principal: &Principal, came: Timestamp) {
        if principal.user().is_none() {
            return;
        }
        let certificate = principal.from.certificate.as_ref();
        if let (Some(certificate), Some(judge)) = (certificate, self.certificates.get())
            && certificate.is_stale(judge.version())
        {
            self.check_each(vec![Arc::clone(certificate)], judge).await;
        }
        // A connection of the last second is followed soon enough. The clock may have been set back.
        let age = present().duration_since(came);
        if age.is_negative() || age >= INTERVAL.try_into().unwrap_or(SignedDuration::MAX) {
            let file = self.known().as_ref().map(|known| known.file);
            if self.reload_unless(file).await {
                self.end_logins().await;
            }
        }
    }

    fn known(&self) -> std::sync::MutexGuard<'_, Option<Arc<ValidLogins>>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Checks the certificates of connected peers again, after a change of the authorities and lists.
    async fn check_certificates(&self) {
        let Some(judge) = self.certificates.get() else {
            return;
        };
        let stale = self.routing.registry().stale_certificates(judge.version());
        if !stale.is_empty() {
            self.check_each(stale, judge).await;
        }
    }

    async fn check_each(&self, stale: Vec<Arc<PeerCertificate>>, judge: &Arc<dyn PeerCertificates>) {
        let judge = Arc::clone(judge);
        let checking = spawn_blocking(move || {
            for certificate in stale {
                certificate.check(&*judge);
            }
        });
        if let Err(error) = checking.await {
            warn!("cannot check the certificates of connected peers: {error}");
        }
    }

    /// Reads the database unless it is as at that number. Returns whether something newer is known now.
    async fn reload_unless(&self, unless: Option<i64>) -> bool {
        match self.store.valid_logins(unless).await {
            Ok(loaded) => {
                self.is_failing.store(false, Ordering::Relaxed);
                let Some(loaded) = loaded else { return false };
                let mut known = self.known();
                // Two readings may end in the other order.
                let is_newer = known.as_ref().is_none_or(|known| loaded.is_newer_than(known));
                if is_newer {
                    *known = Some(Arc::new(loaded));
                }
                is_newer
            }
            Err(error) => {
                if !self.is_failing.swap(true, Ordering::Relaxed) {
                    warn!("cannot read who may stay logged in, nobody is disconnected for a change: {error}");
                }
                false
            }
        }
    }

    async fn end_logins(&self) {
        let known = self.known().clone();
        if let Some(known) = known {
            self.routing.end_logins(&known).await;
        }
    }
}
