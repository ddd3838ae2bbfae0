//! Write a service of Labwire.

mod attributes;
mod bind;
mod conversation;
mod error;
mod locked;
mod notifier;
mod outbox;
mod reply;
mod request;
mod rest;
mod runner;
mod running;
mod service;
mod session;
mod turn;

pub use attributes::{Attribute, Attributes};
pub use bind::{Bound, Parameter};
pub use error::{RunError, ServiceError};
pub use labwire_device::payload::{
    Arguments, DecodeError, EncodeError, IntoArguments, Json, from_json, to_json,
};
pub use labwire_device::{
    Backoff, ConnectError, ConnectOptions, FirstUse, Home, Question, ReadError, TrustError,
    UnknownCertificate, args,
};
pub use labwire_service_macros::service;
pub use locked::Locked;
pub use notifier::{Notifier, NotifyError};
pub use reply::Reply;
pub use request::Request;
pub use rest::{Keywords, Positional};
pub use runner::Runner;
pub use running::{RunningService, ServiceHandle, ServiceState};
pub use service::{IntoService, Service, ServiceExt};

/// What the macro writes; not for anybody else.
#[doc(hidden)]
pub mod __private {
    pub use crate::locked::{Locked, StateLock, Stateful};
    pub use crate::turn::{ReplyFuture, asynchronous, blocking};
    pub use tokio::sync::{Mutex, RwLock};
}
