//! The handle of the database, which sends jobs to the thread that owns it.

mod codes;
mod logins;
#[cfg(test)]
mod tests;

use std::path::Path;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, LazyLock, Mutex};
use std::time::Instant;

use bytes::Bytes;
use jiff::Timestamp;
use labwire_access::{Load, Policy, Rows};
use labwire_home::present;
use serde::Serialize;
use tokio::sync::{Semaphore, mpsc, oneshot};

use crate::access::{AccessChange, describe_grant};
use crate::accounts::Account;
use crate::audit::{ConnectionEvent, ConnectionRow, TimedEvent};
use crate::database::{ColumnInfo, Database, PATIENCE};
use crate::error::StoreError;
use crate::leases::{Lease, LeaseChange, LeaseQueue};
use crate::passwords::HashedPassword;
use crate::pruning::AuditLimits;
use crate::tokens::Token;
use crate::totp::{Guesses, TotpState};
use crate::users::check_username;
use crate::worker::{AUDIT_QUEUE, Command, Job, Worker};

use logins::Opened;
pub use logins::{LoginOutcome, ValidLogins};

/// The capacity of the queue of jobs. Further callers wait for capacity.
const COMMAND_QUEUE: usize = 64;

/// The options of a store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreOptions {
    /// The most rows of the audit to keep, the newest ones. 0 means no limit. The default is
    /// 1,000,000, about 100 MB of disk.
    pub audit_max_rows: u64,
    /// The age in days up to which rows of the audit are kept. 0 means no limit. The default is
    /// 400, so that a month can be compared with the same month of the previous year.
    ///
    /// A clock that jumps by years removes nothing at once: ages are measured from a date that
    /// starts at the newest row and follows the clock by one day per hour of the manager's running
    /// time.
    pub audit_max_age_days: u64,
    /// Whether a password with fewer than [`DEFAULT_ROUNDS`](crate::DEFAULT_ROUNDS) rounds is hashed
    /// again at the next successful login. The default is no, since MSL-Network's own manager could not check the
    /// password afterwards.
    pub upgrade_passwords: bool,
}

impl Default for StoreOptions {
    fn default() -> Self {
        Self {
            audit_max_rows: 1_000_000,
            audit_max_age_days: 400,
            upgrade_passwords: false,
        }
    }
}

/// A list in the database.
#[derive(Debug)]
pub enum StoreList {
    /// As [`Store::usernames`].
    Usernames,
    /// As [`Store::users`].
    Users,
    /// As [`Store::hostnames`].
    Hostnames,
    /// The users and what is known of them: a list of objects, see [`Account::describe`].
    Accounts,
    /// The tokens: a list of objects, see [`Token::describe`].
    Tokens,
    /// The second factors: a list of objects, see [`TotpState::describe`].
    Totp,
    /// The groups and their members: an object of lists.
    Groups,
    /// The roles and their permissions, those that are built in included: an object of lists.
    Roles,
    /// The sets and their patterns: an object of lists.
    Sets,
    /// The labels of services, by the names or patterns of services.
    Labels,
    /// The grants: a list of objects, see [`describe_grant`].
    Grants,
    /// As [`Store::connections`].
    Connections {
        /// The first time to list; `None` for the oldest row.
        start: Option<String>,
        /// The last time to list; `None` for the newest row.
        end: Option<String>,
    },
}

/// The rules about who may do what, as of one time.
#[derive(Debug)]
pub struct LoadedPolicy {
    /// The rules.
    pub policy: Policy,
    /// The number of the rules, counted from 1: those with a greater number are newer.
    pub number: u64,
    /// A number that is another one when another program has changed the file. Changes by the same
    /// store do not count.
    pub file: i64,
    /// The user with the most rules of one kind.
    pub heaviest: Option<Load>,
}

/// Counters since the store was opened.
#[derive(Debug, Default)]
pub(crate) struct StoreCounts {
    /// Rows of the audit that were lost, including those that did not fit into the queue.
    pub(crate) dropped: AtomicU64,
    /// Failed attempts to write or prune the audit.
    pub(crate) audit_failures: AtomicU64,
    /// Queries and changes on which the database failed.
    pub(crate) failures: AtomicU64,
    /// Rules that were read.
    pub(crate) policies: AtomicU64,
    /// Users that were read, for logins and for [`ValidLogins`].
    pub(crate) readings: AtomicU64,
    /// Changes by this store of users, tokens and accounts.
    pub(crate) logins_changed: AtomicI64,
    /// The latest time at which a token was looked for, in seconds since 1970.
    pub(crate) latest: AtomicI64,
}

impl StoreCounts {
    /// Returns the number of a reading of users, on the thread of the database.
    fn next_reading(&self) -> u64 {
        self.readings.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// Returns the time by which a token has ended or not, in seconds since 1970: `now`, unless the clock has shown
    /// a later one. A token that has ended stays so if the clock is set back.
    fn time_for_tokens(&self, now: i64) -> i64 {
        self.latest.fetch_max(now, Ordering::Relaxed).max(now)
    }
}

/// Limits how many passwords are hashed at the same time.
struct Hashing {
    capacity: usize,
    permits: Arc<Semaphore>,
}

impl Hashing {
    /// At most half of the processors hash passwords; the others remain for routing.
    fn new() -> Self {
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        let capacity = (processors / 2).max(1);
        Self {
            capacity,
            permits: Arc::new(Semaphore::new(capacity)),
        }
    }
}

fn json_text(rows: &impl Serialize) -> Bytes {
    let text = serde_json::to_vec(rows);
    text.expect("texts, numbers and truth values can be written as JSON")
        .into()
}

/// A handle of the database. Clones share one thread, which ends when the last of them is dropped.
///
/// All async methods are cancel safe: a cancelled job is done entirely or not at all. When a method
/// that changes something has returned, the change is on disk.
///
/// While another program has the database locked, all pending jobs fail after about 5 seconds,
/// however many there are.
#[derive(Clone)]
pub struct Store {
    commands: mpsc::Sender<Command>,
    events: mpsc::Sender<TimedEvent>,
    leases: Arc<LeaseQueue>,
    counts: Arc<StoreCounts>,
    /// Created for the first password, since counting the processors requires reading some files.
    hashing: Arc<LazyLock<Hashing>>,
    /// Never held across an await.
    guesses: Arc<Mutex<Guesses>>,
    upgrade_passwords: bool,
    audit_max_rows: u64,
    opened: Opened,
}

impl Store {
    /// Opens the database and starts its thread. Creates the missing parts: the folder (mode 0700),
    /// the file (mode 0600), the tables, and this computer's names as trusted hostnames if there
    /// are none.
    ///
    /// Blocks for some milliseconds, or up to 5 seconds while another program has the database
    /// locked.
    ///
    /// # Errors
    /// Those of [`Database::open`], and [`StoreError::Thread`] if the thread cannot be started.
    pub fn open(path: &Path, options: &StoreOptions) -> Result<Self, StoreError> {
        let database = Database::open(path)?;
        let (commands, command_queue) = mpsc::channel(COMMAND_QUEUE);
        let (events, event_queue) = mpsc::channel(AUDIT_QUEUE);
        let counts = Arc::new(StoreCounts::default());
        let leases = Arc::<LeaseQueue>::default();
        let worker = Worker {
            // If it cannot be read, the clock is used.
            newest: database.newest_time().unwrap_or_default(),
            commands: command_queue,
            events: event_queue,
            limits: AuditLimits {
                rows: options.audit_max_rows,
                days: options.audit_max_age_days,
            },
            counts: Arc::clone(&counts),
            leases: Arc::clone(&leases),
            port: 0,
            database,
        };
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .map_err(StoreError::Thread)?;
        std::thread::Builder::new()
            .name("store".to_owned())
            .spawn(move || runtime.block_on(worker.run()))
            .map_err(StoreError::Thread)?;
        Ok(Self {
            commands,
            events,
            leases,
            counts,
            hashing: Arc::new(LazyLock::new(Hashing::new)),
            guesses: Arc::default(),
            upgrade_passwords: options.upgrade_passwords,
            audit_max_rows: options.audit_max_rows,
            opened: Opened::now(),
        })
    }

    /// Writes the queued rows of the audit and closes the database. This closes all handles: later
    /// calls fail with [`StoreError::Closed`].
    ///
    /// Takes up to 2 seconds longer while another program has the database locked.
    pub async fn close(&self) {
        let (answer, closed) = oneshot::channel();
        // An error means that the thread has ended and closed the database already.
        if self.commands.send(Command::Close(answer)).await.is_ok() {
            let _ = closed.await;
        }
    }

    /// Queues an event for the audit, with the current time. Never waits: if the queue is full, the
    /// event is dropped and counted.
    pub fn record(&self, event: ConnectionEvent) {
        self.record_at(present(), event);
    }

    /// Does the same as [`record`](Self::record), for an event at the given time.
    pub fn record_at(&self, at: Timestamp, event: ConnectionEvent) {
        if self.events.try_send(TimedEvent { at, event }).is_err() {
            self.counts.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Returns the leases that were held when the manager on this port stopped, the oldest first.
    /// From here on, [changes](Self::note_lease) are written.
    pub async fn leases(&self, port: u16) -> Result<Vec<Lease>, StoreError> {
        let (answer, leases) = oneshot::channel();
        let command = Command::Leases(port, answer);
        self.commands
            .send(command)
            .await
            .map_err(|_| StoreError::Closed)?;
        let leases = leases.await.map_err(|_| StoreError::Closed)?;
        self.leases.begin(port);
        leases
    }

    /// Queues a change of the leases. Never waits: if the queue is full, the change is dropped and
    /// counted. Changes are written within about a fifth of a second, unless the database is locked
    /// or cannot be written.
    pub fn note_lease(&self, change: LeaseChange) {
        self.leases.push(change);
    }

    /// Ignores later changes of the leases: all connections are about to end, since the manager
    /// stops. Those before are written.
    pub fn keep_leases(&self) {
        self.leases.stop();
    }

    /// Returns the number of changes of leases that were lost since the store was opened.
    pub fn leases_lost(&self) -> u64 {
        self.leases.lost.load(Ordering::Relaxed)
    }

    /// Returns the number of failed attempts to write leases since the store was opened.
    pub fn lease_failures(&self) -> u64 {
        self.leases.failures.load(Ordering::Relaxed)
    }

    /// Returns the most rows of the audit that are kept; 0 means no limit.
    pub fn audit_max_rows(&self) -> u64 {
        self.audit_max_rows
    }

    /// Returns the number of rows of the audit that were lost since the store was opened.
    pub fn audit_dropped(&self) -> u64 {
        self.counts.dropped.load(Ordering::Relaxed)
    }

    /// Returns the number of failed attempts to write or prune the audit since the store was
    /// opened.
    pub fn audit_failures(&self) -> u64 {
        self.counts.audit_failures.load(Ordering::Relaxed)
    }

    /// Returns the number of queries and changes on which the database failed since the store was
    /// opened: it was locked for too long, not writable, or damaged.
    pub fn failures(&self) -> u64 {
        self.counts.failures.load(Ordering::Relaxed)
    }

    /// Returns the newest [`CONNECTIONS_LIMIT`](crate::CONNECTIONS_LIMIT) rows of the audit between
    /// two times, oldest first. Includes everything recorded before the call, unless the database
    /// cannot be written at the moment.
    ///
    /// Both times are included. Each is `yyyy-mm-dd` or `yyyy-mm-ddTHH:MM:SS` in local time. If
    /// `end` is a day, all of that day is included.
    pub async fn connections(
        &self,
        start: Option<String>,
        end: Option<String>,
    ) -> Result<Vec<ConnectionRow>, StoreError> {
        let question = move |database: &mut Database| database.connections(start.as_deref(), end.as_deref());
        self.send(Command::RunAfterAudit, question).await
    }

    /// Returns a list as JSON text. The database thread formats it, since there can be 100,000 rows
    /// and the caller's thread may serve others.
    pub async fn list(&self, list: StoreList) -> Result<Bytes, StoreError> {
        let command = match list {
            StoreList::Connections { .. } => Command::RunAfterAudit,
            _ => Command::Run,
        };
        let question = move |database: &mut Database| match list {
            StoreList::Usernames => Ok(json_text(&database.usernames()?)),
            StoreList::Users => Ok(json_text(&database.users()?)),
            StoreList::Hostnames => Ok(json_text(&database.hostnames()?)),
            StoreList::Accounts => {
                let accounts = database.accounts()?;
                Ok(json_text(
                    &accounts.iter().map(Account::describe).collect::<Vec<_>>(),
                ))
            }
            StoreList::Tokens => {
                let tokens = database.tokens()?;
                Ok(json_text(&tokens.iter().map(Token::describe).collect::<Vec<_>>()))
            }
            StoreList::Totp => {
                let states = database.totp_states()?;
                Ok(json_text(
                    &states.iter().map(TotpState::describe).collect::<Vec<_>>(),
                ))
            }
            StoreList::Groups => Ok(json_text(&database.groups()?)),
            StoreList::Roles => Ok(json_text(&database.roles()?)),
            StoreList::Sets => Ok(json_text(&database.sets()?)),
            StoreList::Labels => Ok(json_text(&database.labels()?)),
            StoreList::Grants => {
                let grants = database.access()?.grants;
                Ok(json_text(&grants.iter().map(describe_grant).collect::<Vec<_>>()))
            }
            StoreList::Connections { start, end } => Ok(json_text(
                &database.connections(start.as_deref(), end.as_deref())?,
            )),
        };
        self.send(command, question).await
    }

    /// Returns the names of the tables, sorted: only those of MSL-Network.
    pub async fn tables(&self) -> Result<Vec<String>, StoreError> {
        self.ask(|database| database.tables()).await
    }

    /// Returns the columns of one of [`tables`](Self::tables).
    pub async fn table_info(&self, name: &str) -> Result<Vec<ColumnInfo>, StoreError> {
        let name = name.to_owned();
        self.ask(move |database| database.table_info(&name)).await
    }

    /// Returns the trusted hostnames, sorted.
    pub async fn hostnames(&self) -> Result<Vec<String>, StoreError> {
        self.ask(|database| database.hostnames()).await
    }

    /// Trusts a hostname. Trusting it twice is no error.
    pub async fn insert_hostname(&self, hostname: &str) -> Result<(), StoreError> {
        let hostname = hostname.to_owned();
        self.ask(move |database| database.insert_hostname(&hostname))
            .await
    }

    /// Stops trusting a hostname. Fails with [`StoreError::HostnameMissing`] if it is not in the
    /// table.
    pub async fn delete_hostname(&self, hostname: &str) -> Result<(), StoreError> {
        let hostname = hostname.to_owned();
        self.ask(move |database| database.delete_hostname(&hostname))
            .await
    }

    /// Returns the names of the users, in the order in which they were inserted.
    pub async fn usernames(&self) -> Result<Vec<String>, StoreError> {
        self.ask(|database| database.usernames()).await
    }

    /// Returns the names of the users and whether they are administrators, sorted.
    pub async fn users(&self) -> Result<Vec<(String, bool)>, StoreError> {
        self.ask(|database| database.users()).await
    }

    /// Returns whether there is a user of this name.
    pub async fn is_user_registered(&self, username: &str) -> Result<bool, StoreError> {
        let username = username.to_owned();
        self.ask(move |database| Ok(database.rights(&username)?.is_some()))
            .await
    }

    /// Returns whether there is an administrator of this name.
    pub async fn is_admin(&self, username: &str) -> Result<bool, StoreError> {
        let username = username.to_owned();
        self.ask(move |database| Ok(database.rights(&username)?.unwrap_or(false)))
            .await
    }

    /// Returns the rules about who may do what, unless no other program has changed the file since
    /// those with the number `unless` of [`LoadedPolicy::file`] were read. The database thread
    /// prepares the rules.
    pub async fn policy(&self, unless: Option<i64>) -> Result<Option<LoadedPolicy>, StoreError> {
        let counts = Arc::clone(&self.counts);
        self.ask(move |database| {
            let file = database.version_of_others()?;
            if unless == Some(file) {
                return Ok(None);
            }
            let policy = Policy::new(&database.access()?);
            let number = counts.policies.fetch_add(1, Ordering::Relaxed) + 1;
            Ok(Some(LoadedPolicy {
                heaviest: policy.heaviest(),
                policy,
                number,
                file,
            }))
        })
        .await
    }

    /// Calls a function with the rows about who may do what, on the thread of the database.
    pub async fn with_access<T: Send + 'static>(
        &self,
        question: impl FnOnce(&Rows) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.ask(move |database| question(&database.access()?)).await
    }

    /// Changes groups, roles, sets or grants: see [`Database::change_access`].
    pub async fn change_access(&self, change: AccessChange) -> Result<Option<i64>, StoreError> {
        self.ask(move |database| database.change_access(&change)).await
    }

    /// Adds a user. `rounds` is normally [`DEFAULT_ROUNDS`](crate::DEFAULT_ROUNDS), or
    /// [`COMPATIBLE_ROUNDS`](crate::COMPATIBLE_ROUNDS) for a password that MSL-Network's own
    /// manager must be able to check. The range is [`MINIMUM_ROUNDS`](crate::MINIMUM_ROUNDS) to
    /// [`MAXIMUM_ROUNDS`](crate::MAXIMUM_ROUNDS).
    ///
    /// # Errors
    /// Those of [`Database::insert_user`] and [`HashedPassword::new`].
    pub async fn insert_user(
        &self,
        username: &str,
        password: &str,
        is_admin: bool,
        rounds: u32,
    ) -> Result<(), StoreError> {
        check_username(username)?;
        let hashed = self.hash(username, password, rounds).await?;
        let username = username.to_owned();
        self.ask(move |database| database.insert_user(&username, &hashed, is_admin))
            .await
    }

    /// Replaces a user's password, rights, or both. `rounds` is as for
    /// [`insert_user`](Self::insert_user); without a password it is ignored, and may be 0.
    ///
    /// # Errors
    /// Those of [`Database::update_user`] and, with a password, of [`HashedPassword::new`].
    pub async fn update_user(
        &self,
        username: &str,
        password: Option<&str>,
        is_admin: Option<bool>,
        rounds: u32,
    ) -> Result<(), StoreError> {
        if !self.is_user_registered(username).await? {
            return Err(StoreError::UserMissing {
                action: "update",
                username: username.to_owned(),
            });
        }
        let hashed = match password {
            Some(password) => Some(self.hash(username, password, rounds).await?),
            None => None,
        };
        let username = username.to_owned();
        self.change_logins(move |database| database.update_user(&username, hashed.as_ref(), is_admin))
            .await
    }

    /// Removes a user. Fails with [`StoreError::UserMissing`] if the user is not in the table.
    pub async fn delete_user(&self, username: &str) -> Result<(), StoreError> {
        let username = username.to_owned();
        self.change_logins(move |database| database.delete_user(&username))
            .await
    }

    /// Returns how many passwords can be hashed at the same time.
    pub fn hashing_capacity(&self) -> usize {
        self.hashing.capacity
    }

    async fn hash(&self, username: &str, password: &str, rounds: u32) -> Result<HashedPassword, StoreError> {
        let (username, password) = (username.to_owned(), password.to_owned());
        self.hashing(move || HashedPassword::new(&username, &password, rounds))
            .await?
    }

    /// Runs slow work on a blocking thread. The permit moves along, so that work of a cancelled
    /// caller counts too.
    async fn hashing<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, StoreError> {
        let permit = Arc::clone(&self.hashing.permits)
            .acquire_owned()
            .await
            .map_err(|_| StoreError::Closed)?;
        let task = tokio::task::spawn_blocking(move || {
            let result = work();
            drop(permit);
            result
        });
        // Only a runtime that is shutting down cancels blocking work.
        task.await.map_err(|_| StoreError::Closed)
    }

    /// Runs a job on the database thread.
    async fn ask<T: Send + 'static>(
        &self,
        question: impl FnOnce(&mut Database) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.send(Command::Run, question).await
    }

    async fn send<T: Send + 'static>(
        &self,
        command: fn(Job) -> Command,
        question: impl FnOnce(&mut Database) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (sender, answer) = oneshot::channel();
        let asked = Instant::now();
        let job: Job = Box::new(move |database| {
            // The caller was cancelled and needs no answer.
            if sender.is_closed() {
                return;
            }
            // Jobs in the queue may wait for the same lock, together no longer than the first one.
            let waited = database.be_patient(PATIENCE.saturating_sub(asked.elapsed()));
            let _ = sender.send(waited.and_then(|()| question(database)));
        });
        self.commands
            .send(command(job))
            .await
            .map_err(|_| StoreError::Closed)?;
        let answer = answer.await.map_err(|_| StoreError::Closed)?;
        if answer.as_ref().is_err_and(|error| !error.is_callers_mistake()) {
            self.counts.failures.fetch_add(1, Ordering::Relaxed);
        }
        answer
    }
}
