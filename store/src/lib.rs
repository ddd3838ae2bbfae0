//! The database of users, trusted hostnames and connections.
//!
//! It is one SQLite file, that of MSL-Network 1.0, whose tools may read and write it at the same
//! time. There are two ways to use it:
//!
//! - A [`Database`] is the open file. Its methods block. Short-lived programs use it, such as a
//!   command that adds a user.
//! - A [`Store`] is a handle for a server. Its methods send a job to the thread that owns the file
//!   and await the answer, so that tasks which route requests never wait for the disk. Handles are
//!   cheap to clone.
//!
//! The file contains three tables of MSL-Network. *Users* log in with a [`HashedPassword`]; checking one is slow
//! by design, and at most half of the processors do so at a time. *Hostnames* are the trusted
//! computers, for managers that admit only those. *Connections* are the audit: [`Store::record`]
//! only queues a [`ConnectionEvent`] and never waits; the thread writes many at once, and removes
//! the oldest according to [`StoreOptions`].
//!
//! Labwire's own tables have names that begin with `labwire_`, and a version. The *leases* are the
//! locks of clients that can prove after a restart that they held them: [`Store::note_lease`] only
//! queues a [`LeaseChange`], as for the audit, and [`Store::leases`] returns them. *Groups*, *roles*,
//! *sets* and *grants* are the rows of a [`Policy`](labwire_access::Policy), which
//! [`Store::policy`] returns; an [`AccessChange`] changes them. *Tokens* are secrets of users, with which
//! programs log in, and which allow less than a password: [`Store::add_token`]. *Accounts* are what else is known of
//! users: [`Store::change_account`]. A user may have a *second factor*, codes behind the password:
//! [`Store::enable_totp`].
//!
//! Errors are of the type [`StoreError`]; [`StoreError::peer_text`] is their text for peers.
//! [`inspect_database`] examines a file without changing it.
//!
//! ```
//! use labwire_store::{
//!     ConnectionEvent, DEFAULT_ROUNDS, Database, HashedPassword, LoginFailure, Store, StoreOptions,
//! };
//!
//! # let scratch = tempfile::tempdir()?;
//! # let home = scratch.path();
//! let path = home.join("manager.sqlite3");
//! // A command adds a user, and ends.
//! let mut database = Database::open(&path)?;
//! let password = HashedPassword::new("ada", "a good password", DEFAULT_ROUNDS)?;
//! database.insert_user("ada", &password, true)?;
//! drop(database);
//!
//! # let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
//! # runtime.block_on(async {
//! // A manager checks the password, and writes down who came.
//! let store = Store::open(&path, &StoreOptions::default())?;
//! let outcome = store.verify_login("ada", "a good password").await?;
//! assert!(outcome.is_ok_and(|outcome| outcome.is_admin));
//! let outcome = store.verify_login("ada", "a guess").await?;
//! assert_eq!(outcome, Err(LoginFailure::WrongPassword));
//! store.record(ConnectionEvent {
//!     ip: "192.0.2.1".to_owned(),
//!     domain: "bench".to_owned(),
//!     port: 50_000,
//!     message: "connected as a client".to_owned(),
//! });
//! let rows = store.connections(None, None).await?;
//! assert_eq!(rows.len(), 1);
//! store.close().await;
//! # Ok::<(), labwire_store::StoreError>(())
//! # })?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod access;
mod accounts;
mod audit;
mod copying;
mod database;
mod error;
mod hostnames;
mod inspect;
mod leases;
mod login_failure;
mod noted_record;
mod passwords;
mod pruning;
mod schema;
mod standing;
mod store;
mod successors;
mod tokens;
mod totp;
mod users;
mod worker;

pub use access::{
    AccessChange, AccessError, Explanation, MOST_GRANTS, MOST_LABELS, MOST_PERMISSIONS, MOST_SET_PATTERNS,
    Named, describe_grant, explain, explain_permission,
};
pub use accounts::{Account, AccountChange, Disabled, MOST_ACCOUNT_TEXT};
pub use audit::{CONNECTIONS_LIMIT, ConnectionEvent, ConnectionRow};
pub use database::{ColumnInfo, Database};
pub use error::StoreError;
pub use inspect::{
    DatabaseContents, RecentComputer, inspect as inspect_database, may_be_database, recent_computers,
};
pub use leases::{Lease, LeaseChange, LeaseKey};
pub use login_failure::LoginFailure;
pub use noted_record::NotedRecord;
pub use passwords::{COMPATIBLE_ROUNDS, DEFAULT_ROUNDS, HashedPassword, MAXIMUM_ROUNDS, MINIMUM_ROUNDS};
pub use standing::{LoginUser, UserStandings};
pub use store::{LoadedPolicy, LoginOutcome, Store, StoreList, StoreOptions, ValidLogins};
pub use tokens::{
    IssuedToken, LoginToken, MOST_TOKEN_NOTE, MOST_TOKEN_PERMISSIONS, NewToken, TOKEN_PREFIX, Token,
    TokenNumbers, is_token_secret, token_to_serve,
};
pub use totp::{IssuedTotp, RECOVERY_CODES, SecondFactor, TotpError, TotpState, totp_key_file};
pub use users::check_username;
