//! Write a client of Labwire.

pub mod blocking;
mod call;
mod client;
mod core;
mod describe;
mod driver;
mod error;
mod identities;
mod incoming;
mod link;
mod link_core;
mod linked_client;
mod lock;
mod notifications;
mod options;
mod shared;
#[cfg(feature = "ssh")]
pub mod ssh;
mod value;

pub use call::{Call, CallFuture, Pending};
pub use client::Client;
pub use describe::{AttributeDescription, ParameterDescription, ServiceDescription};
pub use error::{CallError, Error};
pub use identities::{ClientIdentity, Identities, ServiceIdentity};
pub use labwire_device::payload::{Arguments, DecodeError, EncodeError, IntoArguments, from_json, to_json};
pub use labwire_device::{
    Backoff, ConnectError, ConnectOptions, DEFAULT_PORT, FirstUse, Home, NoAnswer, Question, TrustError,
    UnknownCertificate, args,
};
pub use labwire_wire::Executed;
pub use link::Link;
pub use linked_client::LinkedClient;
pub use lock::{Lock, LockGuard};
pub use notifications::{Notification, Notifications};
pub use options::ClientOptions;
pub use value::Value;
