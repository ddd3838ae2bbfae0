//! The network manager that laboratories run their instruments through.
//!
//! Services (instruments, wrapped in any language) register a name with a [`Manager`], clients link with
//! them and call them, and everything on the wire is one line of JSON. The manager routes, limits, locks,
//! authenticates, and tells everyone the truth about who is there. The `labwire` program, in a
//! package of its own, is this library with a command line around it.
//!
//! Inside, data flows one way:
//!
//! ```text
//! listener -> (TLS) -> handshake -> attachment -> router -> outbox -> writer
//!                         |                         |
//!                     admission                 registry (clients, services, links, locks, in flight)
//!                         |                         |
//!                       store                    events -> frames, log, records
//! ```
//!
//! All of it from the attachment on is done by one thread, which the manager starts for itself. TLS
//! handshakes, passwords, lookups of names and the database have other threads, and nothing that is routed
//! waits for them. The package's README has the glossary, and follows one request through the files.
//!
//! The database is the crate `labwire-store`. TLS is spoken as the [`Settings`] say, whose configuration
//! the crate `labwire-pki` can make.

mod admin;
mod attached;
mod attachment;
#[cfg(feature = "benchmarks")]
pub mod benchmarks;
mod binding;
mod budget;
mod buffers;
mod clock;
mod config;
mod counters;
mod events;
#[cfg(any(test, feature = "fuzzing"))]
pub mod fuzzing;
mod handshake;
mod hub;
mod limits;
mod listener;
mod log_limit;
mod logging;
mod login;
mod names;
mod outbox;
mod pace;
mod peer;
mod principal;
mod reading;
mod refusal;
mod registry;
mod router;
mod routing_thread;
mod server;
#[cfg(any(test, feature = "fuzzing"))]
mod simulation;
mod slow_readers;
mod unidentified;

pub use attached::AttachedStream;
pub use budget::{Budgets, Memory, MemorySource};
pub use config::{Authentication, Limits};
pub use labwire_store::Store;
pub use limits::{BindError, Limit, LimitError};
pub use logging::{
    Level, LogControl, LogFormat, LogGuard, LogRotation, TERMINAL_TARGET, may_be_log, start as start_logging,
};
pub use server::{Manager, ManagerHandle, Settings, try_listening};
