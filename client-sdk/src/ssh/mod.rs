//! Starts a manager and its services on another computer over SSH.
//!
//! The other computer needs an SSH server and a POSIX shell, as on Linux, macOS and the BSDs.
//! [`start_manager`] logs in, starts a program that keeps running after the connection ends, and
//! waits until the program's log reports that the manager is running. [`Ssh`] runs single commands.
//!
//! ```
//! # mod support { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/ssh.rs")); }
//! # support::lab(async |computer| {
//! use labwire_client::ssh::{SshOptions, StartOptions, start_manager};
//!
//! let options = SshOptions::new("pi@localhost").password("raspberry");
//! # let options = computer.at(options);
//! let start = StartOptions::new().keyword("port", &1876).keyword("disable_tls", &true);
//! let started = start_manager(&options, "~/bin/mypackage", start).await?;
//! // What the manager there says:
//! assert_eq!(started.address, "raspberrypi:1876");
//! # Ok(())
//! # });
//! ```
//!
//! The server's host key is looked up in `~/.ssh/known_hosts`. [`HostKeys`] specifies what to do
//! with an unknown server. A key that has changed is always refused.
//!
//! The module [`blocking`] has the same functions without async.

mod agent;
mod ask;
mod authenticate;
pub mod blocking;
mod budget;
mod connect;
mod error;
mod exit_status;
mod host_key;
mod keys;
mod known_hosts;
mod options;
mod questions;
mod run;
mod start;
mod starting;
mod terminal;

pub use connect::Ssh;
pub use error::{RunError, SshError, StartError};
pub use exit_status::Status;
pub use known_hosts::UnknownHost;
pub use options::{HostKeys, SshOptions};
pub use questions::SshQuestion;
pub use run::{Output, quote};
pub use start::{StartOptions, Started, start_manager};
