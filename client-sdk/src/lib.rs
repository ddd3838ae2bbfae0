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
/// Turns a trait into typed clients of a service, so that calling the service is calling a method.
///
/// A trait `BasicMath` becomes two structs: `BasicMathClient` around a [`Link`], whose methods give a [`Call`] to
/// await, and `BasicMathBlockingClient` around a [`blocking::Link`], whose methods wait. The trait itself is gone.
///
/// ```
/// # mod support { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/lab.rs")); }
/// /// Calculates.
/// #[labwire_client::client]
/// trait BasicMath {
///     /// The sum of two numbers.
///     fn add(&self, x: f64, y: f64) -> f64;
///     /// The product of two numbers.
///     fn multiply(&self, x: f64, #[keyword] y: f64) -> f64;
///     /// The ratio of a circle's circumference to its diameter, nearly.
///     fn pi(&self) -> f64;
/// }
///
/// # fn main() { support::lab(|options| async move {
/// # use labwire_client::Client;
/// let client = Client::connect("Ada", options).await?;
/// let math = BasicMathClient::link(&client).await?;
/// assert_eq!(math.add(1.0, 2.0).await?, 3.0);
/// assert_eq!(math.multiply(3.0, 4.0).await?, 12.0);
/// assert_eq!(math.pi().await?, 3.14);
/// # Ok(())
/// # }); }
/// ```
///
/// - A method takes `&self` and what is sent: anything that serde can write, references included. It returns what the
///   service does, which serde must be able to read; without a return type nothing is expected. A value of the service
///   is read by a method without parameters.
/// - `#[keyword]` sends a parameter by its name, `#[keyword = "name"]` by another one. A keyword parameter of type
///   `Option<T>` is left out when it is `None`.
/// - `#[attribute = "name"]` on a method is the service's name for it, where that is none for Rust.
/// - `#[labwire_client::client(service = "Basic Math")]` names the service, where the trait cannot.
/// - Doc comments stay.
///
/// The structs have `link(&client)`, which links with the service; `new(link)`, `as_link()` and `into_link()` for who
/// has a link already, and wants its notifications and locks; and the service's name as `SERVICE`.
pub use labwire_client_macros::client;
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
