//! What services and clients of Labwire share.
//!
//! A device (a service or a client) [`connect`](connect())s to a manager as its [`ConnectOptions`] say: it dials, decides whether
//! the manager can be trusted, answers its questions and introduces itself. What it gets is a [`Connection`]: lines
//! come in, frames go out. When that is lost, a [`Backoff`] says how long to wait before the next attempt.
//! [`payload`] turns values into what stands on the wire, and back.
//!
//! The crates `labwire-service` and `labwire-client` are built on this one and give out again what their users need
//! of it.

mod backoff;
mod connect;
mod connection;
mod dial;
mod environment;
mod error;
mod introduction;
mod options;
pub mod payload;
mod program;
mod questions;
mod terminal;
mod trust;
mod verifier;

pub use backoff::{Backoff, Waits};
pub use connect::{answer_question, connect};
pub use connection::{Connection, ConnectionReader, ConnectionWriter};
pub use environment::EnvironmentError;
pub use error::{ConnectError, ReadError};
pub use introduction::Introduction;
pub use labwire_home::Home;
pub use options::{ConnectOptions, DEFAULT_PORT, FirstUse};
#[doc(hidden)]
pub use payload::payload_name;
pub use program::{KeywordArgumentsError, PeerArguments, keyword_arguments, keyword_arguments_from};
pub use questions::{NoAnswer, Question};
pub use trust::{TrustError, UnknownCertificate};
