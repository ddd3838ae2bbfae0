//! The locks of clients that can prove, after a restart of the manager, that they held them.
//!
//! Changes are collected in memory by the service and the client that they are about, so that a lock
//! that is renewed ten times before the next write costs one row. The thread of the
//! [`Store`](crate::Store) writes all of them in one transaction.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use rusqlite::{Row, params};
use tokio::sync::Notify;

use crate::database::{Database, bytes, integer, text};
use crate::error::StoreError;

/// The table. A time is in milliseconds since 1970, `ttl` in milliseconds, `grace` in seconds.
/// Several managers may share a file, each with its own port.
pub(crate) const TABLE: &str = "CREATE TABLE IF NOT EXISTS labwire_leases (
    port INTEGER NOT NULL,
    service TEXT NOT NULL,
    secret_hash BLOB NOT NULL,
    holder TEXT NOT NULL,
    name TEXT NOT NULL,
    user TEXT,
    ip TEXT NOT NULL,
    shared INTEGER NOT NULL,
    reason TEXT,
    ttl INTEGER,
    until INTEGER,
    since INTEGER NOT NULL,
    grace INTEGER NOT NULL,
    PRIMARY KEY (port, service, secret_hash)
)";

/// The change of the table that adds `doubted`: since when the manager on that port may be gone, in
/// milliseconds since 1970.
pub(crate) const DOUBTED: &str = "ALTER TABLE labwire_leases ADD COLUMN doubted INTEGER";

/// How long the leases of a manager stay that may be gone, in seconds, or for the grace period of the
/// holder if that is longer.
const KEPT_IN_DOUBT: i64 = 60 * 60;

/// The most changes that wait for the database, at about 500 bytes each. A change of the same lock
/// replaces the one before.
const MOST_PENDING: usize = 20_000;

/// The most leases that are read at the start.
const MOST_READ: u32 = 20_000;

/// Identifies a lease: the service, and its holder by the hash of the secret of its session.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct LeaseKey {
    /// The name of the service.
    pub service: Arc<str>,
    /// The hash of the secret.
    pub secret_hash: [u8; 32],
}

/// A lock that a client holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lease {
    /// The service and the holder.
    pub key: LeaseKey,
    /// The name of the holder on the network, `NAME[HOST:PORT]`.
    pub holder: Arc<str>,
    /// The name that the holder gave itself.
    pub name: Arc<str>,
    /// The user that it has logged in as in its handshake.
    pub user: Option<Arc<str>>,
    /// Its IP address.
    pub ip: Arc<str>,
    /// Whether the lock is shared.
    pub shared: bool,
    /// The reason that the holder gave.
    pub reason: Option<Arc<str>>,
    /// The time to live.
    pub ttl: Option<Duration>,
    /// When it expires unless it is renewed.
    pub until: Option<Timestamp>,
    /// Since when it is held.
    pub since: Timestamp,
    /// How long the place of the holder is kept after a broken connection.
    pub grace: Duration,
}

/// A change of the leases.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LeaseChange {
    /// A lock is held on these terms.
    Held(Box<Lease>),
    /// A lock is not held any more.
    Ended(LeaseKey),
}

impl LeaseChange {
    fn split(self) -> (LeaseKey, Option<Box<Lease>>) {
        match self {
            Self::Held(lease) => (lease.key.clone(), Some(lease)),
            Self::Ended(key) => (key, None),
        }
    }
}

/// The changes that are not written yet: the lease, or `None` if it has ended.
pub(crate) type Changes = HashMap<LeaseKey, Option<Box<Lease>>>;

/// The changes on their way to the database.
#[derive(Debug, Default)]
pub(crate) struct LeaseQueue {
    state: Mutex<State>,
    /// Notified when there is a first change to write.
    pub(crate) filled: Notify,
    /// Changes that were lost.
    pub(crate) lost: AtomicU64,
    /// Failed attempts to write.
    pub(crate) failures: AtomicU64,
}

#[derive(Debug, Default)]
struct State {
    /// The port of the manager; `None` while nothing is recorded.
    port: Option<u16>,
    changes: Changes,
}

impl LeaseQueue {
    fn state(&self) -> MutexGuard<'_, State> {
        // No code that can panic runs under this lock, and none that waits.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Records changes from here on, for the manager on this port.
    pub(crate) fn begin(&self, port: u16) {
        self.state().port = Some(port);
    }

    /// Records no changes any more. Those that were recorded are still written.
    pub(crate) fn stop(&self) {
        self.state().port = None;
    }

    /// Adds a change, unless the queue is full.
    pub(crate) fn push(&self, change: LeaseChange) {
        let mut state = self.state();
        if state.port.is_none() {
            return;
        }
        let was_empty = state.changes.is_empty();
        let is_full = state.changes.len() >= MOST_PENDING;
        let (key, lease) = change.split();
        match state.changes.entry(key) {
            Entry::Occupied(mut place) => {
                place.insert(lease);
            }
            Entry::Vacant(place) if !is_full => {
                place.insert(lease);
            }
            Entry::Vacant(_) => {
                self.lost.fetch_add(1, Ordering::Relaxed);
            }
        }
        drop(state);
        if was_empty {
            self.filled.notify_one();
        }
    }

    /// Takes all changes.
    pub(crate) fn take(&self) -> Changes {
        std::mem::take(&mut self.state().changes)
    }

    /// Gives changes back that could not be written. Newer ones stay.
    pub(crate) fn give_back(&self, changes: Changes) {
        let mut state = self.state();
        let newer = std::mem::replace(&mut state.changes, changes);
        state.changes.extend(newer);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.state().changes.is_empty()
    }
}

fn milliseconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

impl Database {
    /// Writes changes of the leases of the manager on that port.
    pub(crate) fn write_leases(&mut self, port: u16, changes: &Changes) -> rusqlite::Result<()> {
        let change = self.change()?;
        {
            let mut insert = change.prepare_cached(
                "INSERT OR REPLACE INTO labwire_leases
                    (port, service, secret_hash, holder, name, user, ip, shared, reason, ttl, until, since, grace)
                    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)",
            )?;
            let mut delete = change.prepare_cached(
                "DELETE FROM labwire_leases WHERE port = ?1 AND service = ?2 AND secret_hash = ?3",
            )?;
            for (key, lease) in changes {
                let (service, hash) = (&*key.service, &key.secret_hash[..]);
                let Some(lease) = lease else {
                    delete.execute(params![port, service, hash])?;
                    continue;
                };
                insert.execute(params![
                    port,
                    service,
                    hash,
                    &*lease.holder,
                    &*lease.name,
                    lease.user.as_deref(),
                    &*lease.ip,
                    lease.shared,
                    lease.reason.as_deref(),
                    lease.ttl.map(milliseconds),
                    lease.until.map(Timestamp::as_millisecond),
                    lease.since.as_millisecond(),
                    i64::try_from(lease.grace.as_secs()).unwrap_or(i64::MAX),
                ])?;
            }
        }
        change.commit()
    }

    /// Notes at the start of the manager on `port` that those on other ports may be gone. One that runs
    /// contradicts with [`prune_leases`](Self::prune_leases).
    pub(crate) fn doubt_leases(&mut self, port: u16, now: Timestamp) -> rusqlite::Result<()> {
        // A time that is still to come was noted while the clock was wrong.
        const DOUBTFUL: &str = "FROM labwire_leases WHERE port <> ?1 AND (doubted IS NULL OR doubted > ?2)";
        let parameters = params![port, now.as_millisecond()];
        if self.has_rows(DOUBTFUL, parameters)? {
            let change =
                format!("UPDATE labwire_leases SET doubted = ?2 WHERE rowid IN (SELECT rowid {DOUBTFUL})");
            self.connection.execute(&change, parameters)?;
        }
        Ok(())
    }

    /// Notes that the manager on `port` runs, and removes the leases of those on other ports that have
    /// been in doubt for long enough. Returns the number of rows removed.
    pub(crate) fn prune_leases(&mut self, port: u16, now: Timestamp) -> rusqlite::Result<usize> {
        const IN_DOUBT: &str = "FROM labwire_leases WHERE port = ?1 AND doubted IS NOT NULL";
        const GONE: &str = "FROM labwire_leases WHERE port <> ?1 AND doubted + 1000 * max(grace, ?3) <= ?2";
        if self.has_rows(IN_DOUBT, params![port])? {
            let change = "UPDATE labwire_leases SET doubted = NULL WHERE port = ?1";
            self.connection.execute(change, params![port])?;
        }
        let parameters = params![port, now.as_millisecond(), KEPT_IN_DOUBT];
        if !self.has_rows(GONE, parameters)? {
            return Ok(0);
        }
        self.connection.execute(&format!("DELETE {GONE}"), parameters)
    }

    /// Returns whether there are such rows. Unlike a change, that takes no write lock.
    fn has_rows(&self, rows: &str, parameters: &[&dyn rusqlite::ToSql]) -> rusqlite::Result<bool> {
        let sql = format!("SELECT EXISTS (SELECT 1 {rows})");
        self.connection.query_row(&sql, parameters, |row| row.get(0))
    }

    /// Returns the leases of the manager on that port, the oldest first.
    pub(crate) fn leases(&self, port: u16) -> Result<Vec<Lease>, StoreError> {
        let mut statement = self.connection.prepare(
            "SELECT service, secret_hash, holder, name, user, ip, shared, reason, ttl, until, since, grace
                FROM labwire_leases WHERE port = ?1 ORDER BY since LIMIT ?2",
        )?;
        let rows = statement.query_map(params![port, MOST_READ], |row| Ok(lease(row)))?;
        Ok(rows
            .collect::<rusqlite::Result<Vec<_>>>()?
            .into_iter()
            .flatten()
            .collect())
    }
}

/// Reads a row. Returns `None` if it cannot be of a lease: SQLite does not enforce column types.
fn lease(row: &Row<'_>) -> Option<Lease> {
    let optional = |column: usize| row.get::<_, Option<i64>>(column).ok();
    let shared = |column: usize| Arc::from(text(row, column));
    let some = |column: usize| {
        let value: Option<String> = row.get(column).ok()?;
        Some(value.map(Arc::from))
    };
    let ttl = optional(8)?.map(|ttl| Duration::from_millis(u64::try_from(ttl).unwrap_or(0)));
    let until = match optional(9)? {
        Some(until) => Some(Timestamp::from_millisecond(until).ok()?),
        None => None,
    };
    Some(Lease {
        key: LeaseKey {
            service: shared(0),
            secret_hash: bytes(row, 1).try_into().ok()?,
        },
        holder: shared(2),
        name: shared(3),
        user: some(4)?,
        ip: shared(5),
        shared: integer(row, 6) != 0,
        reason: some(7)?,
        ttl,
        until,
        since: Timestamp::from_millisecond(integer(row, 10)).ok()?,
        grace: Duration::from_secs(u64::try_from(integer(row, 11)).unwrap_or(0)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::database::tests::{empty_database, python_database};

    pub(crate) fn sample(service: &str, number: u8) -> Lease {
        Lease {
            key: LeaseKey {
                service: service.into(),
                secret_hash: [number; 32],
            },
            holder: "Ada[bench:5]".into(),
            name: "Ada".into(),
            user: Some("ada".into()),
            ip: "192.0.2.1".into(),
            shared: false,
            reason: Some("calibration".into()),
            ttl: Some(Duration::from_millis(1_500)),
            until: Some(Timestamp::from_millisecond(1_800_000_000_123).unwrap()),
            since: Timestamp::from_millisecond(1_700_000_000_000 + i64::from(number)).unwrap(),
            grace: Duration::from_secs(30),
        }
    }

    fn held(lease: &Lease) -> LeaseChange {
        LeaseChange::Held(Box::new(lease.clone()))
    }

    #[test]
    fn a_lease_is_read_as_it_was_written_and_only_by_the_manager_on_its_port() {
        let (_folder, path) = python_database();
        let mut database = Database::open(&path).unwrap();
        let bare = Lease {
            user: None,
            reason: None,
            ttl: None,
            until: None,
            shared: true,
            ..sample("Oven", 2)
        };
        let queue = LeaseQueue::default();
        queue.begin(1);
        for lease in [&bare, &sample("DMM", 1)] {
            queue.push(held(lease));
        }
        database.write_leases(1, &queue.take()).unwrap();
        assert_eq!(database.leases(1).unwrap(), [sample("DMM", 1), bare.clone()]);
        assert!(database.leases(2).unwrap().is_empty());
        queue.push(LeaseChange::Ended(bare.key));
        database.write_leases(1, &queue.take()).unwrap();
        assert_eq!(database.leases(1).unwrap(), [sample("DMM", 1)]);
    }

    #[test]
    fn changes_of_one_lease_are_one_and_the_newest_counts() {
        let queue = LeaseQueue::default();
        queue.push(held(&sample("DMM", 1)));
        assert!(queue.is_empty(), "nothing is recorded before the start");
        queue.begin(1);
        let lease = sample("DMM", 1);
        let later = Lease {
            until: None,
            ..lease.clone()
        };
        queue.push(held(&lease));
        queue.push(held(&later));
        let taken = queue.take();
        assert_eq!(taken.len(), 1);
        assert_eq!(taken[&lease.key].as_deref(), Some(&later));
        // A write has failed, and the lock was released meanwhile.
        queue.push(LeaseChange::Ended(lease.key.clone()));
        queue.give_back(taken);
        assert_eq!(queue.take()[&lease.key], None);
        queue.stop();
        queue.push(held(&lease));
        assert!(queue.is_empty());
    }

    #[test]
    fn a_full_queue_loses_new_leases_and_counts_them() {
        let queue = LeaseQueue::default();
        queue.begin(1);
        for number in 0..MOST_PENDING + 10 {
            let mut lease = sample("DMM", 1);
            lease.key.service = number.to_string().into();
            queue.push(held(&lease));
        }
        assert_eq!(queue.lost.load(Ordering::Relaxed), 10);
        let mut known = sample("DMM", 1);
        known.key.service = "0".into();
        queue.push(LeaseChange::Ended(known.key.clone()));
        let taken = queue.take();
        assert_eq!((taken.len(), &taken[&known.key]), (MOST_PENDING, &None));
    }

    #[test]
    fn leases_of_ports_without_a_manager_go_and_those_of_a_running_one_stay() {
        const SECOND: i64 = 1_000;
        const HOUR: i64 = 3_600 * SECOND;
        let (_folder, path) = empty_database();
        let mut database = Database::open(&path).unwrap();
        let begin = 1_800_000_000_000;
        let at = |after: i64| Timestamp::from_millisecond(begin + after).unwrap();
        let patient = Lease {
            grace: Duration::from_hours(5),
            ..sample("Oven", 2)
        };
        for (port, lease) in [
            (1, sample("DMM", 1)),
            (2, sample("DMM", 2)),
            (2, patient.clone()),
            (3, sample("DMM", 3)),
        ] {
            let changes = Changes::from([(lease.key.clone(), Some(Box::new(lease)))]);
            database.write_leases(port, &changes).unwrap();
        }
        let counts = |database: &Database| [1, 2, 3].map(|port| database.leases(port).unwrap().len());
        // However long a manager was not there, its first start removes nothing.
        database.doubt_leases(1, at(0)).unwrap();
        assert_eq!(database.prune_leases(1, at(0)).unwrap(), 0);
        // That on port 3 runs, and that on port 2 does not.
        assert_eq!(database.prune_leases(3, at(HOUR / 2)).unwrap(), 0);
        database.doubt_leases(1, at(HOUR - SECOND)).unwrap();
        assert_eq!(database.prune_leases(1, at(HOUR - SECOND)).unwrap(), 0);
        assert_eq!(counts(&database), [1, 2, 1]);
        assert_eq!(database.prune_leases(1, at(HOUR)).unwrap(), 1);
        assert_eq!(database.leases(2).unwrap(), [patient]);
        // One that is renewed is in doubt no more.
        let renewed = sample("DMM", 3);
        database.doubt_leases(1, at(HOUR)).unwrap();
        let changes = Changes::from([(renewed.key.clone(), Some(Box::new(renewed)))]);
        database.write_leases(3, &changes).unwrap();
        assert_eq!(database.prune_leases(1, at(5 * HOUR)).unwrap(), 1);
        assert_eq!(counts(&database), [1, 0, 1]);
        // The clock was wrong for a while.
        database.doubt_leases(1, at(50_000 * HOUR)).unwrap();
        database.doubt_leases(1, at(6 * HOUR)).unwrap();
        assert_eq!(database.prune_leases(1, at(7 * HOUR - SECOND)).unwrap(), 0);
        assert_eq!(database.prune_leases(1, at(7 * HOUR)).unwrap(), 1);
        assert_eq!(counts(&database), [1, 0, 0]);
    }

    #[test]
    fn rows_that_are_no_leases_are_left_out() {
        let (_folder, path) = empty_database();
        let mut database = Database::open(&path).unwrap();
        let queue = LeaseQueue::default();
        queue.begin(1);
        for number in 1..4 {
            queue.push(held(&sample("DMM", number)));
        }
        database.write_leases(1, &queue.take()).unwrap();
        let spoil = "UPDATE labwire_leases SET until = 'soon' WHERE since = ?1";
        database
            .connection
            .execute(spoil, [1_700_000_000_001_i64])
            .unwrap();
        let spoil = "UPDATE labwire_leases SET secret_hash = 'short' WHERE since = ?1";
        database
            .connection
            .execute(spoil, [1_700_000_000_002_i64])
            .unwrap();
        assert_eq!(database.leases(1).unwrap(), [sample("DMM", 3)]);
    }
}
