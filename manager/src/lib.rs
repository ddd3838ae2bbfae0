//! The network manager that laboratories run their instruments through.
//!
//! Services (instruments, wrapped in any language) register a name with a [`Manager`]. Clients link
//! with them and call them. Every message on the wire is one line of JSON. The manager routes,
//! limits, locks and authenticates, and reports which peers are connected. The `labwire` program,
//! in a package of its own, is a command line around this library.
//!
//! # How to begin
//!
//! [`Manager::bind`] takes the [`Settings`] (with the database opened by [`Store::open`]) and
//! returns a manager with bound sockets. [`Manager::run`] serves until its `shutdown` future
//! completes. A [`ManagerHandle`], from [`Manager::handle`], stops or reloads a running manager,
//! and connects programs of the same process without a socket ([`ManagerHandle::attach`], with an
//! example). [`start_logging`] is optional: a program that does its own logging passes
//! [`LogControl::none`].
//!
//! `bind` and `run` need a tokio runtime with I/O and time enabled. TLS handshakes run on the
//! runtime that calls `bind`; one with several threads runs several at a time.
//!
//! # Inside
//!
//! A frame passes through these modules:
//!
//! ```text
//! listener -> (TLS) -> handshake -> attachment -> router -> outbox -> writer
//!                         |                         |
//!                     admission                 registry (clients, services, links, locks, in flight)
//!                         |                         |
//!                       store                    events -> frames, log, records, record
//! ```
//!
//! Everything from the attachment on runs on one thread, which the manager starts itself. TLS
//! handshakes, passwords, name lookups and the database use other threads, and routing never waits
//! for them. The package's README has the glossary and follows one request through the files.
//!
//! The database is the crate `labwire-store`. The [`Settings`] carry the TLS configuration; the
//! crate `labwire-pki` can make one.

mod admin;
mod answer;
mod attached;
mod attachment;
#[cfg(feature = "benchmarks")]
pub mod benchmarks;
mod binding;
mod bounds;
mod budget;
mod buffers;
mod certificates;
mod clock;
mod config;
mod connection;
mod conversions;
mod counters;
mod event_rate;
mod events;
#[cfg(any(test, feature = "fuzzing"))]
pub mod fuzzing;
mod handshake;
mod history;
mod hub;
#[cfg(feature = "lab")]
mod lab;
mod limits;
mod listener;
mod log_limit;
mod logging;
mod login;
mod login_end;
mod names;
mod outbox;
mod pace;
mod peer;
mod principal;
mod progress;
mod reading;
mod record;
mod refusal;
mod registry;
mod router;
mod routing_thread;
mod server;
mod sessions;
#[cfg(any(test, feature = "fuzzing"))]
mod simulation;
mod slow_readers;
mod topics;
mod unidentified;
mod work;

pub use attached::AttachedStream;
pub use budget::{Budgets, Memory, MemorySource};
pub use certificates::{CertificateHolder, PeerCertificates};
pub use config::{Authentication, Limits};
#[cfg(feature = "lab")]
pub use lab::{Lab, LabPeer};
pub use labwire_record::Recorder;
pub use labwire_store::Store;
pub use limits::{BindError, Limit, LimitError};
pub use logging::{
    Level, LogControl, LogFormat, LogGuard, LogRotation, TERMINAL_TARGET, may_be_log, start as start_logging,
};
pub use record::Recording;
pub use server::{Manager, ManagerHandle, Settings, try_listening};
pub use sessions::SessionLimits;
