//! Write a service of Labwire.
//!
//! A service is an instrument, or anything else, that clients on the network can call by its name. It connects to a
//! manager, says what it offers, and answers requests. Clients can be written in Rust, Python, `LabVIEW` or any other
//! language, and a person with netcat is a client too.
//!
//! # The first service
//!
//! [`macro@service`] turns the public methods of an `impl` block into what clients can call:
//!
//! ```
//! # mod support { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/lab.rs")); }
//! use labwire_service::service;
//!
//! struct Thermometer;
//!
//! #[service]
//! impl Thermometer {
//!     /// Reads a channel, in degrees Celsius.
//!     pub fn read(&self, channel: u8) -> f64 {
//!         20.0 + f64::from(channel)
//!     }
//! }
//!
//! fn main() -> Result<(), labwire_service::RunError> {
//! #     let look = async |client: labwire_client::LinkedClient| {
//! #         assert_eq!(client.call::<f64>("read", (3,)).await?, 23.0);
//! #         Ok(())
//! #     };
//! #     if support::ran_as_a_program("Thermometer", look) { return Ok(()) }
//!     Thermometer.start()
//! }
//! ```
//!
//! It is called `Thermometer` on the network. A Python client calls it with
//! `cxn.link('Thermometer').read(3)`, and a person at a terminal types `Thermometer read 3`. Ctrl-C ends it: what it
//! is doing is finished, and the manager is told that it leaves.
//!
//! What the macro makes of a block is told in full [with it](macro@service).
//!
//! # Arguments
//!
//! Clients give arguments by place or by name, and bind them as Python does. What does not fit is answered with a
//! `TypeError` that names the method and the argument; the method is not called.
//!
//! ```
//! # mod support { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/lab.rs")); }
//! # fn main() {
//! use std::collections::HashMap;
//! use labwire_service::{Keywords, Positional, service};
//!
//! struct Supply;
//!
//! #[service]
//! impl Supply {
//!     /// For clients: `(voltage: float, channel: int = 1, label: str | None = None) -> None`.
//!     pub fn set(&self, voltage: f64, #[default(1)] channel: u8, #[default(None)] label: Option<String>) {}
//!
//!     /// For clients: `(points: list[float], unit: str = 'V') -> dict[str, float]`.
//!     pub fn ramp(&self, points: &[f64], #[default("V")] unit: &str) -> HashMap<String, f64> {
//!         HashMap::from([(unit.to_owned(), points.iter().sum())])
//!     }
//!
//!     /// For clients: `(*args, **kwargs) -> int`.
//!     pub fn count(&self, args: Positional, kwargs: Keywords) -> usize {
//!         args.len() + kwargs.len()
//!     }
//! }
//!
//! # use labwire_service::args;
//! # support::serve(Supply, async |supply| {
//! // A client of it:
//! supply.call::<()>("set", args![1.5, label = "heater"]).await?;
//! let sums: HashMap<String, f64> = supply.call("ramp", args![[1, 2], unit = "mV"]).await?;
//! assert_eq!(sums["mV"], 3.0);
//! assert_eq!(supply.call::<usize>("count", args![1, "two", three = 3]).await?, 3);
//! let error = supply.call::<()>("set", args![]).await.unwrap_err();
//! assert!(error.to_string().contains("set() missing 1 required argument: 'voltage'"));
//! # Ok(())
//! # });
//! # }
//! ```
//!
//! An argument can be of any type that serde can deserialise, and a result of any that it can serialise. `NaN` and
//! infinities are read and written as Python does.
//!
//! # Errors
//!
//! A method that returns a `Result` answers with its error: the kind, the text and the causes, see [`ServiceError`].
//! A panic is an error for the client who asked, and for nobody else.
//!
//! ```
//! # mod support { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/lab.rs")); }
//! # fn main() {
//! use labwire_service::{ServiceError, service};
//!
//! struct Oven;
//!
//! #[service]
//! impl Oven {
//!     pub fn heat(&self, celsius: f64) -> Result<(), ServiceError> {
//!         if celsius > 300.0 {
//!             return Err(ServiceError::new("ValueError", "the oven takes 300 °C at most"));
//!         }
//!         std::fs::write("/dev/oven/heater", celsius.to_string())?;
//!         Ok(())
//!     }
//! }
//!
//! # support::serve(Oven, async |oven| {
//! // What a client gets:
//! let error = oven.call::<()>("heat", (400,)).await.unwrap_err();
//! assert!(error.to_string().contains("ValueError: the oven takes 300 °C at most"));
//! let error = oven.call::<()>("heat", (200,)).await.unwrap_err();
//! assert!(error.to_string().contains("FileNotFoundError: No such file or directory"));
//! # Ok(())
//! # });
//! # }
//! ```
//!
//! # State, and requests that overlap
//!
//! Requests are executed side by side: a method that is not `async` on a thread that may block, an `async` one on
//! the runtime. A service whose methods take `&self` shares its state without any lock. As soon as a method takes
//! `&mut self`, the SDK keeps the state in a lock: that method is executed alone, and in the order in which clients
//! asked; methods with `&self` still go side by side.
//!
//! ```
//! # mod support { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/lab.rs")); }
//! # fn main() {
//! use std::time::Duration;
//! use labwire_service::service;
//!
//! struct Stage {
//!     position: f64,
//! }
//!
//! #[service]
//! impl Stage {
//!     pub async fn move_by(&mut self, distance: f64) -> f64 {
//!         tokio::time::sleep(Duration::from_secs_f64(distance.abs())).await;
//!         self.position += distance;
//!         self.position
//!     }
//!
//!     #[property]
//!     pub fn position(&self) -> f64 {
//!         self.position
//!     }
//! }
//!
//! # support::serve(Stage { position: 1.0 }, async |stage| {
//! // Two calls of a client that come at once; the second one waits for the first.
//! let first = stage.call::<f64>("move_by", (0.02,)).send().await?;
//! let second = stage.call::<f64>("move_by", (-0.01,)).send().await?;
//! assert_eq!((first.await?, second.await?), (1.02, 1.01));
//! assert_eq!(stage.get::<f64>("position").await?, 1.01);
//! # Ok(())
//! # });
//! # }
//! ```
//!
//! The rest of the program reaches the state through an [`Arc`](std::sync::Arc) of a service without a lock, and
//! through a clone of a [`Locked`] one.
//!
//! # The request, and notifications
//!
//! A method with a parameter of type [`Request`] knows who asks. A [`Notifier`] tells something to all clients that
//! are linked with the service, from a method, a task or a thread:
//!
//! ```
//! # mod support { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/lab.rs")); }
//! use std::time::Duration;
//! use labwire_service::{Request, ServiceExt, args, service};
//!
//! struct Shutter;
//!
//! #[service]
//! impl Shutter {
//!     pub fn open(&self, request: &Request) {
//!         // An error means that nobody hears it.
//!         let _ = request.notifier().notify(args!["opened", by = request.requester()]);
//!     }
//! }
//!
//! fn main() -> Result<(), labwire_service::RunError> {
//! #     let look = async |client: labwire_client::LinkedClient| {
//! #         let mut notifications = client.notifications();
//! #         client.call::<()>("open", ()).await?;
//! #         let mut heard = std::collections::BTreeSet::new();
//! #         while heard.len() < 2 {
//! #             let next = notifications.next().await.expect("the service is there");
//! #             heard.insert(next.decode::<(String,)>()?.0);
//! #         }
//! #         assert_eq!(heard, ["alive".to_owned(), "opened".to_owned()].into());
//! #         Ok(())
//! #     };
//! #     if support::ran_as_a_program("Shutter", look) { return Ok(()) }
//!     Shutter
//!         .runner()
//!         .background(|service| async move {
//!             loop {
//!                 tokio::time::sleep(Duration::from_millis(200)).await;
//!                 let _ = service.notifier().notify(args!["alive"]);
//!             }
//!         })
//!         .start()
//! }
//! ```
//!
//! # What clients see
//!
//! The identity of the service has a signature for each method, in the words of Python, and the values. More is told
//! by `describe()`, which every service answers by itself: the doc comments, the parameters, their types and
//! defaults. A service that has a method of that name answers with it instead.
//!
//! # Options
//!
//! A [`Runner`] takes them: the name, how many clients may be linked, how many methods execute at once, what
//! happens at the end, tasks beside the service. [`ConnectOptions`] say how the manager is reached; without them
//! the environment does, see [`ConnectOptions::from_environment`].
//!
//! ```
//! # use labwire_service::service;
//! # struct Thermometer;
//! # #[service]
//! # impl Thermometer {
//! #     pub fn read(&self) -> f64 { 20.0 }
//! # }
//! # use std::sync::{Arc, atomic::{AtomicBool, Ordering}};
//! use labwire_service::{Backoff, ConnectOptions};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let manager = labwire_testing::TestManager::start().await;
//! # let is_off = Arc::new(AtomicBool::new(false));
//! # let heater = Arc::clone(&is_off);
//! # let turn_off = move || heater.store(true, Ordering::SeqCst);
//! let options = ConnectOptions::new().reconnect(Backoff::new());
//! # let options = options.port(manager.port()).without_tls();
//! let running = Thermometer
//!     .runner()
//!     .name("Hall 7")
//!     .max_clients(1)
//!     .options(options)
//!     .buffer(100)
//!     .on_shutdown(turn_off)
//!     .connect()
//!     .await?;
//! assert!(running.network_name().starts_with("Hall 7["));
//! running.shut_down().await?;
//! # assert!(is_off.load(Ordering::SeqCst));
//! # Ok(())
//! # }
//! ```
//!
//! # How a service ends
//!
//! - It has a method `shutdown_service`, and a client calls it: once it is answered the service takes no more
//!   requests, finishes those that are executing, answers them and leaves the network. When the method fails the
//!   service goes on.
//! - [`ServiceHandle::shut_down`], or a signal while [`Runner::start`] runs, do the same.
//! - The connection is lost, or the manager closes it. That is an error, unless the service comes back by itself:
//!   with [`ConnectOptions::reconnect`] it connects again, for as long as it takes, and registers again. Requests
//!   that were under way are finished, but their replies are dropped: the manager has told the clients already.
//!   Those that had not begun are not executed.
//!
//! In the end the handlers of [`Runner::on_shutdown`] are called, whatever the reason was.
//!
//! # Without the macro
//!
//! [`Service`] can be implemented by hand, for services whose attributes are not known when they are compiled.

mod attributes;
mod bind;
mod conversation;
mod error;
mod locked;
mod notifier;
mod offer;
mod outbox;
mod reply;
mod request;
mod rest;
mod runner;
mod running;
mod service;
mod session;
mod signals;
mod turn;

pub use attributes::{Attribute, Attributes};
pub use bind::{Bound, Parameter};
pub use error::{RunError, ServiceError};
pub use labwire_device::payload::{
    Arguments, DecodeError, EncodeError, IntoArguments, Json, from_json, to_json,
};
pub use labwire_device::{
    Backoff, ConnectError, ConnectOptions, EnvironmentError, FirstUse, Home, Question, ReadError, TrustError,
    UnknownCertificate, args,
};
/// Turns the public methods of an `impl` block into the attributes of a service.
///
/// # What becomes an attribute
///
/// | In the block | For clients |
/// |---|---|
/// | `pub fn` with `&self` or `&mut self` | a method, executed on a thread that may block |
/// | `pub async fn` with `&self` or `&mut self` | a method, executed on the runtime |
/// | `#[property] pub fn`, without other parameters | a value, read when it is asked for |
/// | `pub const` | a value |
/// | all else: not `pub`, or without `self` | nothing; it cannot be reached |
///
/// `#[hidden]` on a method or constant leaves it out of what clients see; they can still ask for it.
///
/// # Parameters
///
/// An argument can be given by its place or by its name, as in Python. Its type is whatever serde can deserialise;
/// `&str` and `&[T]` can be used too. `#[default(value)]` makes it optional. A parameter of type
/// [`Positional`] takes the positional arguments that are left, and those after it must be named; one of type
/// [`Keywords`] takes the named ones that are left. A parameter of type [`Request`] or `&Request` is the request
/// itself, and not visible to clients.
///
/// # Results
///
/// What serde can serialise. A return type that is called `Result` is one: its error becomes the error that the
/// client gets.
///
/// # State
///
/// Methods with `&self` are executed side by side; the type must be `Send` and `Sync`. With any `&mut self` method
/// among them the state is put into a lock, in which `&self` methods are side by side and `&mut self` ones alone, in
/// the order of the requests. When all take `&mut self`, `Send` is enough.
///
/// # Options
///
/// `#[service(name = "Hall 7", max_clients = 1, hidden(calibrate))]`: the name, instead of the type's; how many
/// clients may be linked at once; what clients do not see.
///
/// ```
/// use std::num::ParseFloatError;
/// use labwire_service::{IntoService, Service, service};
///
/// struct Meter {
///     range: f64,
/// }
///
/// /// The multimeter beside the window.
/// #[service(name = "Meter 1", max_clients = 1)]
/// impl Meter {
///     /// The unit of all readings.
///     pub const UNIT: &str = "V";
///
///     /// Reads a channel, averaged over some samples.
///     pub fn read(&self, channel: u8, #[default(10)] samples: u32) -> f64 {
///         self.range * f64::from(channel) / f64::from(samples)
///     }
///
///     /// Sets the range from a text, as in `"1e-3"`.
///     pub fn set_range(&mut self, text: &str) -> Result<(), ParseFloatError> {
///         self.range = text.parse()?;
///         Ok(())
///     }
///
///     /// The range that is set.
///     #[property]
///     pub fn range(&self) -> f64 {
///         self.range
///     }
/// }
///
/// let meter = Meter { range: 1.0 }.into_service();
/// assert_eq!((meter.name().as_str(), meter.max_clients()), ("Meter 1", 1));
/// let attributes = meter.attributes();
/// assert_eq!(attributes.names().collect::<Vec<_>>(), ["UNIT", "read", "set_range", "range"]);
/// assert!(attributes.to_json().contains(r#""read":"(channel: int, samples: int = 10) -> float""#));
/// ```
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
