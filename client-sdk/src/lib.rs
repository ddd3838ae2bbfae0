//! Write a client of Labwire: find services by name, and call them.
//!
//! A *manager* is where everybody meets. *Services* (instruments, wrapped in any language) register a name with it.
//! A *client* connects to the manager, links with services by their names and calls them. It does not matter in which
//! language a service is written; what goes over the network is one line of JSON per call.
//!
//! # Ten lines
//!
//! ```
//! # mod support { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/lab.rs")); }
//! use labwire_client::{Client, ConnectOptions, args};
//!
//! #[tokio::main]
//! async fn main() -> Result<(), labwire_client::Error> {
//! #     if support::ran_as_a_program() { return Ok(()) }
//!     let client = Client::connect("Ada", ConnectOptions::from_environment()?).await?;
//!     let thermometer = client.link("Thermometer").await?;
//!     let celsius: f64 = thermometer.call("read", args![3]).await?;
//!     println!("{celsius} °C");
//! #     assert_eq!(celsius, 21.5);
//!     client.disconnect().await;
//!     Ok(())
//! }
//! ```
//!
//! The same without async is as long: see [`blocking`]. In the examples below `options` are
//! [`ConnectOptions`] that lead to the manager of the example.
//!
//! # Connecting
//!
//! [`ConnectOptions`] say where the manager is and what to tell it: host and port, a user's name and password, the
//! manager's password, TLS or not, how long to wait. Without more it is the manager of this computer, over TLS.
//! [`ConnectOptions::from_environment`] reads them from variables such as `LABWIRE_MANAGER=lab-pc:1875`.
//!
//! The certificate of a manager that was never met before is shown at the terminal and saved when you say so, or as
//! [`FirstUse`] says; one that has changed since is [refused](TrustError::Changed).
//!
//! ```
//! # mod support { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/lab.rs")); }
//! # support::lab(|options| async move {
//! use std::time::Duration;
//! use labwire_client::{Client, ConnectError};
//!
//! let client = Client::connect("Ada", options.clone().timeout(Duration::from_secs(3))).await?;
//! println!("{} at {}", client.network_name(), client.manager());
//! match Client::connect("Ada", options.port(1)).await {
//!     Err(ConnectError::Unreachable { address, .. }) => assert_eq!(address, "localhost:1"),
//!     other => panic!("{other:?}"),
//! }
//! # Ok(())
//! # });
//! ```
//!
//! [`Client`] and [`Link`] are handles: cheap to clone, and usable from any task. The connection ends with
//! [`disconnect`](Client::disconnect), or with the last handle.
//!
//! # Calling
//!
//! [`Client::link`] gives a [`Link`] with a service, or says why there is none. [`Link::call`] calls a method,
//! [`Link::get`] reads a value. Arguments are written with [`args!`]: first those that go by their place, then those that
//! go by name. The result is whatever type you ask for, if serde can read it from what the service sent.
//!
//! ```
//! # mod support { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/lab.rs")); }
//! # support::lab(|options| async move {
//! use labwire_client::{Client, args};
//!
//! let client = Client::connect("Ada", options).await?;
//! let math = client.link("BasicMath").await?;
//! let sum: f64 = math.call("add", args![1, y = 2.5]).await?;
//! let pi: f64 = math.get("pi").await?;
//! assert_eq!((sum, pi), (3.5, 3.14));
//! # Ok(())
//! # });
//! ```
//!
//! A [`Call`] has no time limit unless you set [one](Call::timeout). Calls overlap: make them with [`Call::send`], await
//! them later. Six calls take as long as the longest of them.
//!
//! ```
//! # mod support { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/lab.rs")); }
//! # support::lab(|options| async move {
//! use labwire_client::{Client, args};
//!
//! let client = Client::connect("Ada", options).await?;
//! let echo = client.link("Echo").await?;
//! let begin = std::time::Instant::now();
//! let mut pending = Vec::new();
//! for _ in 0..6 {
//!     pending.push(echo.call::<()>("sleep", args![0.15]).send().await?);
//! }
//! for pending in pending {
//!     pending.await?;
//! }
//! assert!(begin.elapsed() < std::time::Duration::from_millis(900));
//! # Ok(())
//! # });
//! ```
//!
//! Whoever calls a service a lot gives its methods types: the [`client`](macro@client) macro makes a client of a trait.
//!
//! # When a call fails
//!
//! [`CallError`] says who failed: the manager refused, the service failed (with its message and traceback), the wire
//! broke, the time was up. [`CallError::executed`] says whether the service may have executed the call: after
//! [`Executed::No`] it is safe to call again. The client itself never sends a call twice.
//!
//! ```
//! # mod support { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/lab.rs")); }
//! # support::lab(|options| async move {
//! use std::time::Duration;
//! use labwire_client::{CallError, Client, Executed, args};
//!
//! let client = Client::connect("Ada", options).await?;
//! let math = client.link("BasicMath").await?;
//! match math.call::<f64>("divide", args![1, 0]).timeout(Duration::from_secs(5)).await {
//!     Ok(ratio) => panic!("{ratio}"),
//!     Err(error @ CallError::Service { .. }) => {
//!         assert!(error.report().contains("ZeroDivisionError: division by zero"));
//!     }
//!     Err(error) if error.executed() == Executed::No => println!("again? {error}"),
//!     Err(error) => return Err(error.into()),
//! }
//! # Ok(())
//! # });
//! ```
//!
//! [`Error`] is for programs that pass everything on with `?`.
//!
//! # Notifications, locks, and who is there
//!
//! [`Link::notifications`] is a stream of what a service tells without being asked. [`Link::lock`] keeps other clients
//! out until its guard is dropped. [`Client::identities`] says who is connected, and prints as a text for people.
//! [`Link::describe`] is what a service tells about its methods. [`Client::admin_request`] asks the manager for what only an
//! administrator may. A [`LinkedClient`] waits until its service is there.
//!
//! # When the manager goes away
//!
//! A lost connection is the end, unless the options say [`reconnect`](ConnectOptions::reconnect). Then the client comes
//! back by itself, waiting in between as [`Backoff`] says, links again with what it was linked with, and its notifications
//! go on. Calls that were under way have failed; locks are lost, and their guards [say so](LockGuard::is_held). Calls
//! that are made meanwhile fail at once, or are kept, as many as a [buffer](ClientOptions::buffer) takes.
//!
//! ```
//! # mod support { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/lab.rs")); }
//! # support::lab(|options| async move {
//! use labwire_client::{Backoff, Client, ClientOptions};
//!
//! let options = ClientOptions::from(options.reconnect(Backoff::new())).buffer(10);
//! let client = Client::connect("Ada", options).await?;
//! let link = client.link("Echo").await?;
//! // … days later: waits if the connection was just lost …
//! link.linked().await?;
//! assert!(link.is_linked());
//! # Ok(())
//! # });
//! ```
//!
//! # Other computers
//!
//! With the feature `ssh`, the module `ssh` starts a manager and services on another computer.

pub mod blocking;
mod call;
mod client;
mod command;
mod describe;
mod driver;
mod engine;
mod error;
mod frames;
mod handle;
mod holder;
mod identities;
mod link;
mod linked_client;
mod lock;
mod notification;
mod notification_queue;
mod notifications;
mod options;
#[cfg(feature = "ssh")]
pub mod ssh;
mod status;
mod ticket;
mod uids;
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
pub use labwire_device::payload::{
    Arguments, DecodeError, EncodeError, IntoArguments, Json, from_json, to_json,
};
pub use labwire_device::{
    Backoff, ConnectError, ConnectOptions, DEFAULT_PORT, EnvironmentError, FirstUse, Home, NoAnswer,
    Question, TrustError, UnknownCertificate, args,
};
pub use labwire_wire::Executed;
pub use link::Link;
pub use linked_client::LinkedClient;
pub use lock::{Lock, LockGuard};
pub use notification::Notification;
pub use notifications::Notifications;
pub use options::ClientOptions;
pub use value::Value;
