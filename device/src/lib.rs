//! The common part of Labwire's services and clients.
//!
//! A device (a service or a client) [`connect`](connect())s to a manager with [`ConnectOptions`]:
//! it dials, decides whether the manager can be trusted, answers its questions and introduces
//! itself. The result is a [`Connection`]: lines come in, frames go out. When it is lost, a
//! [`Reconnector`] makes it again, with the waits of a [`Backoff`]. [`payload`] encodes values for
//! the wire and decodes them.
//!
//! The crates `labwire-service` and `labwire-client` are built on this one and re-export what their
//! users need.
//!
//! ```
//! use labwire_device::{ConnectOptions, Introduction, connect, payload::from_json};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let manager = labwire_testing::TestManager::start().await;
//! # let options = ConnectOptions::new().port(manager.port()).without_tls();
//! let mut connection = connect(&options, &Introduction::client("Ada")).await?;
//! let request = r#"{"service":"Manager","attribute":"identity","args":[],"kwargs":{},"uid":"1"}"#;
//! connection.writer.write(&[format!("{request}\r\n").into()]).await?;
//!
//! #[derive(serde::Deserialize)]
//! struct Reply {
//!     uid: String,
//!     error: bool,
//! }
//! let line = connection.reader.next_line().await?.expect("the manager is still there");
//! let reply: Reply = from_json(std::str::from_utf8(line.content())?)?;
//! assert!(reply.uid == "1" && !reply.error);
//! # Ok(())
//! # }
//! ```

mod backoff;
mod client_certificate;
mod confirmations;
mod connect;
mod connection;
mod dial;
mod environment;
mod error;
#[cfg(any(test, feature = "fuzzing"))]
pub mod fuzzing;
mod introduction;
mod options;
mod password;
pub mod payload;
mod presented;
mod program;
mod questions;
mod raw;
mod reconnector;
mod session;
mod stop_signals;
mod terminal;
mod trust;
mod verifier;

pub use backoff::{Backoff, Waits};
pub use client_certificate::ClientCertificateError;
pub use confirmations::Confirmations;
pub use connect::{answer_question, connect};
pub use connection::{Connection, ConnectionReader, ConnectionWriter};
pub use environment::{EnvironmentError, parse_flag};
pub use error::{ConnectError, ReadError};
pub use introduction::Introduction;
pub use labwire_home::Home;
pub use labwire_wire::DEFAULT_PORT;
pub use options::{ConnectOptions, FirstUse};
pub use password::{read_password, restore_terminal};
#[doc(hidden)]
pub use payload::payload_name;
pub use presented::PresentedCertificates;
pub use program::{KeywordArgumentsError, PeerArguments, keyword_arguments, keyword_arguments_from};
pub use questions::{NoAnswer, Question, ask_at_terminal};
pub use reconnector::Reconnector;
pub use session::{Remains, Resumed, Session};
#[cfg(windows)]
pub use stop_signals::request_stop;
pub use stop_signals::{StopSignal, StopSignals};
pub use terminal::{ask_to_trust, confirm_trust};
pub use trust::{TrustError, UnknownCertificate};
