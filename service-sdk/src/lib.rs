//! Service SDK of Labwire.
//!
//! A service is an instrument, or anything else, that clients on the network call by its name. It
//! connects to a manager, registers its attributes and answers requests. Clients can be written in
//! Rust, Python, `LabVIEW` or any other language, and a person with netcat is a client too.
//!
//! # The first service
//!
//! [`macro@service`] turns the public methods of an `impl` block into attributes that clients can
//! call:
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
//! Its name on the network is `Thermometer`. A Python client calls it with
//! `cxn.link('Thermometer').read(3)`, and a person at a terminal types `Thermometer read 3`. Ctrl-C
//! ends it: the service finishes the requests in flight and disconnects from the manager.
//!
//! See [the macro](macro@service) for everything that it generates.
//!
//! # Arguments
//!
//! Clients pass positional or keyword arguments, which are bound as in Python. Arguments that do
//! not match the parameters are answered with a `TypeError` that names the method and the argument;
//! the method is not called.
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
//! An argument is of any type that serde can deserialize, a result of any type that it can
//! serialise. `NaN` and infinities are read and written as in Python.
//!
//! # Errors
//!
//! If a method returns a `Result`, its error is the reply: the kind, the text and the causes, see
//! [`ServiceError`]. A panic is an error reply to the client that made the request, and affects no
//! other request.
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
//! # State and concurrent requests
//!
//! Requests are executed concurrently: a method that is not `async` on a thread that may block, an
//! `async` one on the runtime. A service whose methods all take `&self` shares its state without a
//! lock. If any method takes `&mut self`, the SDK keeps the state in a lock: such a method is
//! executed alone, in the order of the requests; methods with `&self` still run concurrently.
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
//! The rest of the program accesses the state through an [`Arc`](std::sync::Arc) of a service
//! without a lock, and through a clone of a [`Locked`] one.
//!
//! # Requests and notifications
//!
//! A parameter of type [`Request`] contains the client's network name. A [`Notifier`] sends a
//! notification to all clients that are linked with the service, from a method, a task or a thread:
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
//! # Arrays
//!
//! A method takes and returns arrays of numbers, and bytes, as [`Array`], alone or within other types. They
//! are sent as they are, not as text. With the feature `ndarray`, it is made from an array of that crate
//! (version 0.17), and read as one, without a copy where that is possible:
//!
//! ```
//! # mod support { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/lab.rs")); }
//! # #[cfg(not(feature = "ndarray"))]
//! # fn main() {}
//! # #[cfg(feature = "ndarray")]
//! # fn main() {
//! use labwire_service::{Array, ArrayError, service};
//! use ndarray::{Axis, Ix2};
//!
//! struct Spectrometer;
//!
//! #[service]
//! impl Spectrometer {
//!     /// Returns the mean of each column.
//!     pub fn mean(&self, image: Array) -> Result<Array, ArrayError> {
//!         let image = image.as_ndarray::<f64, Ix2>()?;
//!         Ok(image.mean_axis(Axis(0)).unwrap_or_default().into())
//!     }
//! }
//! # use labwire_service::args;
//! # support::serve(Spectrometer, async |spectrometer| {
//! #     let image = Array::from(ndarray::array![[1.0, 2.0], [3.0, 5.0]]);
//! #     let mean: Array = spectrometer.call("mean", args![&image]).await?;
//! #     assert_eq!(mean.to_vec::<f64>()?, [2.0, 3.5]);
//! #     let text: Array = Array::from(&b"text"[..]);
//! #     let error = spectrometer.call::<Array>("mean", args![text]).await.unwrap_err();
//! #     assert!(error.to_string().contains("the items of the array are of the type |u1, not <f8"), "{error}");
//! #     Ok(())
//! # });
//! # }
//! ```
//!
//! # What clients see
//!
//! The identity of the service contains a signature in Python's notation for each method, and the
//! values. `describe()` returns more: the doc comments, the parameters, their types and defaults.
//! The SDK answers it, unless the service has a method of that name.
//!
//! # Options
//!
//! A [`Runner`] sets them: the name, the maximum number of linked clients, how many methods execute
//! at once, handlers for the end, and background tasks. [`ConnectOptions`] specify the manager. The
//! default is read from the environment, see [`ConnectOptions::from_environment`].
//!
//! ```
//! # use labwire_service::service;
//! # struct Thermometer;
//! # #[service]
//! # impl Thermometer {
//! #     pub fn read(&self) -> f64 { 20.0 }
//! # }
//! # use std::sync::{Arc, atomic::{AtomicBool, Ordering}};
//! use labwire_service::ConnectOptions;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let manager = labwire_testing::TestManager::start().await;
//! # let is_off = Arc::new(AtomicBool::new(false));
//! # let heater = Arc::clone(&is_off);
//! # let turn_off = move || heater.store(true, Ordering::SeqCst);
//! let options = ConnectOptions::new();
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
//! # Reconnecting
//!
//! A service can be started before its manager, and returns by itself after a lost connection, for
//! example when the manager is restarted. It tries for ever, with the waits of a [`Backoff`].
//!
//! When the connection breaks, the manager keeps the session of the service for a while, 30 s by
//! default: see [`ConnectOptions::session_grace`]. Nobody else can take its name, and its links stay.
//! Replies that the manager had not read are sent again after the return; up to 16 MiB of them are
//! kept, of older ones the callers get an error. With [`ConnectOptions::keep_callers`], or the
//! variable `LABWIRE_KEEP_CALLERS=true`, clients wait meanwhile; otherwise their requests end at once
//! with an error, and those that had not begun are not executed.
//!
//! After that time, after a restart of the manager, or with [`ConnectOptions::session`] set to
//! `false`, the service registers again under its name. Requests that are executing are finished, but
//! their replies are dropped: the manager has already answered the clients. Requests that had not
//! begun are not executed. [`Runner::start`] and [`Runner::run`] write a [line](Runner::status_lines) to standard
//! error when the service is registered, when its connection is lost, and when it is back.
//!
//! [`ConnectOptions::without_reconnect`], or the variable `LABWIRE_RECONNECT=false`, makes a lost
//! connection final, for programs that a supervisor restarts.
//!
//! Some refusals do not change by waiting, and end the service with an error: a wrong password, a
//! certificate that is not trusted, TLS on one side only, a name that is malformed or looks like
//! that of another service. When a service is started while another one of its name is connected,
//! that is such an error, too: most likely somebody has started it twice. The name of a program that
//! has died is kept for its session; one that is started instead waits until it is free. Without a
//! session it is free at once, and that of a dead computer within 2 s for a service at the same
//! address. A service that was registered before waits until its name is free: the connection that
//! has the name may be its own lost one, which the manager notices after 90 s at the latest.
//!
//! # How a service ends
//!
//! - A client, any that may call the service, calls the method `shutdown_service`, if the service
//!   has one. After the reply the service takes no more requests, finishes and answers those in
//!   flight and disconnects. If the method fails, the service continues.
//! - [`ServiceHandle::shut_down`], or a signal during [`Runner::start`], has the same effect.
//! - The manager refuses the service for a reason that waiting does not change, or the connection is
//!   lost and the service does not reconnect. This is an error.
//!
//! At the end the handlers of [`Runner::on_shutdown`] are called in each of these cases. They are
//! not called if the service was never connected: its first connection failed, or a signal came
//! before it.
//!
//! # Without the macro
//!
//! Implement [`Service`] by hand for services whose attributes are not known at compile time.
//!
//! # Logs
//!
//! The SDK logs with [`tracing`](https://docs.rs/tracing): connects, disconnects and requests at the
//! level INFO, failures at WARN, details at DEBUG. A program sees them once it has a subscriber, for
//! example that of the crate `tracing-subscriber` (`cargo add tracing-subscriber`), which writes to
//! standard output what the variable `RUST_LOG` selects. Without the variable it is INFO and above:
//!
//! ```
//! # mod support { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/lab.rs")); }
//! # use labwire_service::{ServiceExt, service};
//! # struct Thermometer;
//! # #[service]
//! # impl Thermometer {
//! #     pub fn read(&self) -> f64 { 20.0 }
//! # }
//! fn main() -> Result<(), labwire_service::RunError> {
//! #     let look = async |client: labwire_client::LinkedClient| {
//! #         assert_eq!(client.call::<f64>("read", ()).await?, 20.0);
//! #         Ok(())
//! #     };
//! #     if support::ran_as_a_program("Thermometer", look) { return Ok(()) }
//!     tracing_subscriber::fmt::init();
//!     Thermometer.start()
//! }
//! ```
//!
//! ```console
//! $ RUST_LOG=labwire_service=debug,labwire_device=debug cargo run
//! ```

mod attributes;
mod bind;
mod caller;
mod cancellation;
mod conversation;
mod error;
mod held;
mod locked;
mod notifier;
mod offer;
mod outbox;
mod progress;
mod refusal_lines;
mod refused_publications;
mod registration;
mod reply;
mod request;
mod rest;
mod runner;
mod running;
mod sent;
mod service;
mod service_ext;
mod session;
mod signals;
mod status_lines;
mod turn;

pub use attributes::{Attribute, Attributes};
pub use bind::{Bound, Parameter};
pub use caller::Caller;
pub use cancellation::{CancelCause, Cancellation};
pub use error::{RunError, ServiceError};
pub use labwire_device::payload::{
    Arguments, Array, ArrayError, DecodeError, EncodeError, IntoArguments, Item, Json, from_json, to_json,
};
pub use labwire_device::{
    Backoff, ClientCertificateError, ConnectError, ConnectOptions, EnvironmentError, FirstUse, Home,
    Question, ReadError, TrustError, UnknownCertificate, args,
};
/// Turns the public methods of an `impl` block into the attributes of a service.
///
/// # What becomes an attribute
///
/// | In the block | For clients |
/// |---|---|
/// | `pub fn` with `&self` or `&mut self` | a method, executed on a thread that may block |
/// | `pub async fn` with `&self` or `&mut self` | a method, executed on the runtime |
/// | `#[property] pub fn`, without other parameters | a value, read when it is requested |
/// | `pub const` | a value |
/// | all else: not `pub`, or without `self` | nothing; it cannot be reached |
///
/// `#[hidden]` on a method or constant leaves it out of the identity. It is no protection: clients
/// that know its name can request it.
///
/// # Parameters
///
/// An argument can be positional or a keyword argument, as in Python. Its type is any that serde
/// can deserialize, or `&str` or `&[T]`. `#[default(value)]` makes it optional. A parameter of type
/// [`Positional`] takes the remaining positional arguments; parameters after it are keyword-only.
/// One of type [`Keywords`] takes the remaining keyword arguments. A parameter of type [`Request`]
/// or `&Request` is the request itself, and not visible to clients. So are [`Progress`], which reports
/// how far the method has come and sends parts of the result, [`Cancellation`], which tells it to
/// stop, and [`Caller`], who sends the request.
///
/// # Permissions
///
/// `#[requires("operator")]` on a method refuses requests of users who do not have that role for this
/// service. The manager knows the roles if it runs with `--roles`; it refuses what is not granted
/// before the service hears of it. This is for what depends on the service alone, such as a method
/// that only its owner may call whatever the manager's rules are.
///
/// # The record
///
/// `#[record(arguments)]` on a method asks the manager to record the arguments of its calls, if the manager
/// records calls (`labwire start --record calls`): the first 512 bytes of their JSON. The parameters that are
/// named with `secret` are left out, as in `#[record(arguments, secret = "code")]`, which may be repeated.
/// `#[service(record_arguments)]` does so for all methods. Without either, no argument is ever recorded.
///
/// ```
/// use labwire_service::{Attribute, Attributes, Service, service};
///
/// struct Door;
///
/// #[service]
/// impl Door {
///     #[record(arguments, secret = "code")]
///     pub fn unlock(&self, door: u8, code: &str) {}
/// }
///
/// // By hand:
/// let unlock = Attribute::method("unlock", "(door: int, code: str) -> None")
///     .parameter("door", "int", None)
///     .parameter("code", "str", None)
///     .record_arguments(&["code"]);
/// assert_eq!(Door.attributes(), Attributes::new().with(unlock));
/// ```
///
/// # Results
///
/// Any type that serde can serialise. A return type called `Result` is treated as one: its error
/// becomes the error reply.
///
/// # State
///
/// Methods with `&self` are executed concurrently; the type must be `Send` and `Sync`. If any
/// method takes `&mut self`, the state is kept in a lock: `&self` methods run concurrently, `&mut
/// self` methods alone, in the order of the requests. If all methods take `&mut self`, `Send` is
/// enough.
///
/// # Options
///
/// `#[service(name = "Hall 7", max_clients = 1, hidden(calibrate), record_arguments)]`: the name instead of
/// the type's, the maximum number of linked clients, attributes to hide from clients, and [the
/// record](#the-record) of arguments.
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
pub use labwire_wire::buffers::{ByteOrder, Dtype, ItemKind, UnknownDtype};
pub use locked::Locked;
pub use notifier::{Notifier, NotifyError};
pub use progress::Progress;
pub use reply::Reply;
pub use request::Request;
pub use rest::{Keywords, Positional};
pub use runner::Runner;
pub use running::{RunningService, ServiceHandle, ServiceState};
pub use service::{IntoService, Service};
pub use service_ext::ServiceExt;

/// For the code that the macro generates only.
#[doc(hidden)]
pub mod __private {
    pub use crate::caller::{caller, require};
    pub use crate::locked::{Locked, StateLock, Stateful};
    pub use crate::turn::{ReplyFuture, asynchronous, blocking};
    pub use tokio::sync::{Mutex, RwLock};
}
