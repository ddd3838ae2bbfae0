//! Keeps the rules about who may do what in line with the database, for a manager with `--roles`.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::Duration;

use labwire_access::{EVERYONE, MOST_COMPARISONS};
use labwire_store::{LoadedPolicy, Store, StoreError};
use labwire_wire::quoted;
use tokio::time::sleep;
use tracing::{info, warn};

use super::Routing;

/// How often the file is checked for changes by other programs: it costs the reading of one number.
const INTERVAL: Duration = Duration::from_secs(1);

/// The rules of a manager that enforces them.
pub(crate) struct RulesSource {
    store: Store,
    routing: Arc<Routing>,
    /// The number of the file when the rules were read.
    file: AtomicI64,
    /// Whether they could not be read the last time.
    is_failing: AtomicBool,
    /// Whether they are to be read again: this manager may have changed them.
    is_due: AtomicBool,
}

impl RulesSource {
    /// Reads the rules, and enforces them from now on.
    ///
    /// # Errors
    /// The rules cannot be read.
    pub(crate) async fn begin(store: Store, routing: Arc<Routing>) -> Result<Self, StoreError> {
        let source = Self {
            store,
            routing,
            file: AtomicI64::default(),
            is_failing: AtomicBool::default(),
            is_due: AtomicBool::default(),
        };
        if let Some(loaded) = source.store.policy(None).await? {
            source.enforce(loaded);
            source.routing.revoke().await;
        }
        Ok(source)
    }

    /// Reads the rules again. If that fails, the old ones stay, and they are read again a second
    /// later.
    pub(crate) async fn reload(&self) {
        self.reload_unless(None).await;
    }

    /// Lets the rules be read within a second: the number of the file does not tell that this manager has
    /// changed it. The database makes changes in their order, so that the one that was begun is read.
    pub(crate) fn read_soon(&self) {
        self.is_due.store(true, Ordering::Relaxed);
    }

    /// Follows changes by other programs. Runs until it is dropped.
    pub(crate) async fn follow(self: Arc<Self>) {
        loop {
            sleep(INTERVAL).await;
            self.routing.notice_ends();
            self.routing.revoke().await;
            let is_due = self.is_due.swap(false, Ordering::Relaxed);
            let is_failing = self.is_failing.load(Ordering::Relaxed);
            let unless = (!is_failing && !is_due).then(|| self.file.load(Ordering::Relaxed));
            self.reload_unless(unless).await;
        }
    }

    async fn reload_unless(&self, unless: Option<i64>) {
        match self.store.policy(unless).await {
            Ok(loaded) => {
                self.is_failing.store(false, Ordering::Relaxed);
                if let Some(loaded) = loaded {
                    self.enforce(loaded);
                    self.routing.revoke().await;
                    info!("the rules about who may do what were read again");
                }
            }
            Err(error) => {
                if !self.is_failing.swap(true, Ordering::Relaxed) {
                    warn!("cannot read the rules about who may do what, the old ones stay: {error}");
                }
            }
        }
    }

    fn enforce(&self, loaded: LoadedPolicy) {
        let LoadedPolicy {
            policy,
            number,
            file,
            heaviest,
        } = loaded;
        if let Some(load) = heaviest.filter(|load| load.comparisons > MOST_COMPARISONS) {
            let user = load.user.as_deref().unwrap_or(EVERYONE);
            warn!(
                "{} has {} rules for the action {}, of which {MOST_COMPARISONS} are used: the rest allows nothing. Grant \
                 roles with fewer permissions",
                quoted(user),
                load.comparisons,
                load.action
            );
        }
        self.file.store(file, Ordering::Relaxed);
        self.routing.set_policy(policy, number);
    }
}
