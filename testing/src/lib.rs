//! A manager inside a test's process, for the tests and the documentation of services and clients.
//!
//! It is the real manager, on a port of this computer that the system chooses, with its files in a
//! temporary folder. It runs on its own thread, so that a test may block, stop its clock, or have
//! no runtime.
//!
//! ```
//! # tokio::runtime::Runtime::new()?.block_on(async {
//! use labwire_testing::TestManager;
//! use tokio::net::TcpStream;
//!
//! let manager = TestManager::start().await;
//! let peer = TcpStream::connect((TestManager::HOST, manager.port())).await?;
//! assert_eq!(peer.peer_addr()?.port(), manager.port());
//! // …
//! manager.stop().await;
//! # Ok::<(), std::io::Error>(())
//! # })?;
//! # Ok::<(), std::io::Error>(())
//! ```
//!
//! Any failure is a panic, so that the test fails. Dropping a manager ends it, with its connections
//! and its files.

mod builder;
mod files;
mod manager;
mod options;
mod running;
#[cfg(test)]
mod tests;

pub use builder::TestManagerBuilder;
pub use labwire_home::Home;
pub use labwire_manager::{AttachedStream, Limits};
pub use manager::{StoppedManager, TestManager};
