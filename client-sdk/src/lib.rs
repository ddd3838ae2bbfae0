//! Client SDK of Labwire: finds services by name and calls them.
//!
//! A *manager* is the broker to which all peers connect. *Services* (instruments, wrapped in any
//! language) register a name with it. A *client* connects to the manager, links with services by
//! name and calls them. The language of a service does not matter: each call is one line of JSON on
//! the network.
//!
//! # Quick start
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
//! The [`blocking`] module has the same API without async. In the examples below, `options` are
//! [`ConnectOptions`] for the manager of the example.
//!
//! # Connecting
//!
//! [`ConnectOptions`] hold the manager's address and the credentials: host and port, username and
//! password, the manager's password, TLS or not, and the timeout. The default is the manager on
//! this computer, over TLS. [`ConnectOptions::from_environment`] reads them from variables such as
//! `LABWIRE_MANAGER=lab-pc:1875`.
//!
//! The certificate of an unknown manager is shown at the terminal and saved after confirmation, or
//! handled as [`FirstUse`] specifies. A certificate that has changed since is
//! [refused](TrustError::Changed).
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
//! [`Client`] and [`Link`] are handles: cheap to clone, and usable from any task. The connection
//! ends with [`disconnect`](Client::disconnect), or when the last handle is dropped.
//!
//! # Calling
//!
//! [`Client::link`] returns a [`Link`] with a service, or the reason why the manager refuses it.
//! [`Link::call`] calls a method, [`Link::get`] reads a value. Arguments are written with
//! [`args!`]: positional arguments first, then keyword arguments. The result is of any type that
//! serde can deserialize from the service's reply.
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
//! A [`Call`] has no time limit unless you set [one](Call::timeout). Calls can overlap: send them
//! with [`Call::send`] and await them later. Six overlapping calls take as long as the longest of
//! them.
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
//! For typed methods, the [`client`](macro@client) macro generates a client from a trait.
//!
//! # When a call fails
//!
//! The variants of [`CallError`] distinguish the failures: the manager refused, the service failed
//! (with its message and traceback), the connection was lost, or the timeout expired.
//! [`CallError::executed`] returns whether the service may have executed the call: after
//! [`Executed::No`] it is safe to call again. The client itself never sends a call twice.
//!
//! A timeout ends the wait, not the work: the service is not told, and executes the call to its end.
//! See [what a timed-out call leaves running](Call::timeout). A [deadline](Call::deadline) and
//! [`Call::cancel_on_drop`] ask the service to stop, and [`Call::follow`] receives progress and parts
//! of the result before the end.
//!
//! A manager may let a call wait until somebody approves it: [`Pending::approval`] tells. When the
//! timeout of such a call passes, it is cancelled, and the error says whether it was executed.
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
//! [`Error`] covers all operations, for programs that propagate every error with `?`.
//!
//! # Arrays
//!
//! An [`Array`] in arguments and results holds numbers of one type, or bytes. They are sent as they are,
//! not as text. With the feature `ndarray`, it is made from an array of that crate (version 0.17), and
//! read as one, without a copy where that is possible:
//!
//! ```
//! # mod support { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/lab.rs")); }
//! # struct Camera;
//! # #[labwire_service::service]
//! # impl Camera {
//! #     pub fn keep(&self, image: labwire_service::Array) -> labwire_service::Array { image }
//! # }
//! # #[cfg(not(feature = "ndarray"))]
//! # fn main() {}
//! # #[cfg(feature = "ndarray")]
//! # fn main() { support::lab(|options| async move {
//! use labwire_client::{Array, Client, args};
//! use ndarray::{Ix2, array};
//!
//! # let _camera = labwire_service::Runner::new(Camera).options(options.clone()).connect().await?;
//! let client = Client::connect("Ada", options).await?;
//! let camera = client.link("Camera").await?;
//! let image = Array::from(array![[1.5, f64::NAN], [3.0, 4.0]]);
//! let kept: Array = camera.call("keep", args![image]).await?;
//! let kept = kept.as_ndarray::<f64, Ix2>()?;
//! assert_eq!(kept.column(0), array![1.5, 3.0]);
//! # Ok(())
//! # }); }
//! ```
//!
//! # Notifications, locks and identities
//!
//! [`Link::notifications`] is a stream of the messages that a service sends without a request.
//! [`Link::lock`] keeps clients out that are not linked, until its guard is dropped: all others with
//! an exclusive lock, which one client alone can acquire. [`Client::lock`] also waits for a lock, and
//! links; [`LockOptions`] say for how long it is held and why. [`Client::identities`] lists
//! the connected peers, and has a readable text form. [`Link::describe`] returns the documentation
//! of a service's methods. [`Client::admin_request`] sends the manager a request that is reserved
//! for administrators. [`Client::subscribe`] and [`Client::publish`] exchange values by topics, beside
//! services. A [`LinkedClient`] is a client and a link in one; connecting it waits until
//! its service is available.
//!
//! # Reconnecting
//!
//! By default a connection of a client that is lost together with its session is final. With [`reconnect`](ConnectOptions::reconnect),
//! or the variable `LABWIRE_RECONNECT=true`, the client reconnects by itself, with the pauses of a [`Backoff`]. It renews its links, and their
//! notifications continue. Unless its [session](#sessions) was kept, calls in flight fail, and locks
//! are lost, as [`LockGuard::is_held`] shows. Calls made while disconnected fail at once, the default, or are
//! kept up to the capacity of a [buffer](ClientOptions::buffer).
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
//! # Sessions
//!
//! When the connection breaks, the manager keeps the session of the client for a while: its name,
//! links, locks, subscriptions and calls in flight. Nobody else can take them. The client returns by
//! itself, also if it does not reconnect otherwise, and goes on where it was: replies and
//! notifications that came meanwhile arrive, a reply that was cut in half is completed, locks are
//! still held. No call is sent twice: one that the manager had not read yet fails, with
//! [`Executed::No`]. The manager keeps a bounded number of bytes for a client that is away; what it
//! had to drop is a gap, which the next notification [counts](Notification::lost), and calls whose
//! reply was dropped fail with [`Executed::Maybe`].
//!
//! The client tries to return until the grace period is over, also while connections are refused: a
//! manager that has ended cannot be told from a network that is interrupted. It ends earlier if the
//! manager says that there is no such session, as after a restart. Calls that are made meanwhile fail
//! at once, or wait in the [buffer](ClientOptions::buffer). A program that is killed leaves its
//! session behind: see [`Client`].
//!
//! Services have sessions, too. [`Link::is_service_away`] returns whether the connection of a linked
//! service is broken, and [`Link::service_away_changed`] waits for that, and for its return.
//!
//! [`ConnectOptions::session`] turns this off, [`ConnectOptions::session_grace`] sets for how long the
//! manager keeps the session, 30 s by default. Then calls in flight fail, and a client that
//! reconnects registers anew. [`Client::session`] shows what became of the session. A manager without
//! sessions, such as MSL-Network's, keeps nothing.
//!
//! ```
//! # mod support { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/lab.rs")); }
//! # support::lab(|options| async move {
//! use std::time::Duration;
//! use labwire_client::{Client, SessionState};
//!
//! let options = options.session_grace(Duration::from_secs(300));
//! let client = Client::connect("Ada", options).await?;
//! assert_eq!(client.session(), SessionState::New);
//! # Ok(())
//! # });
//! ```
//!
//! # Other computers
//!
//! With the feature `ssh`, the module `ssh` starts a manager and services on another computer.
//!
//! # Logs
//!
//! The SDK logs with [`tracing`](https://docs.rs/tracing): reconnects at the level INFO, failures at
//! WARN, details at DEBUG. A program sees them once it has a subscriber, for example that of the
//! crate `tracing-subscriber` (`cargo add tracing-subscriber`), which writes to standard output what
//! the variable `RUST_LOG` selects. Without the variable it is INFO and above:
//!
//! ```
//! # mod support { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/lab.rs")); }
//! use labwire_client::{Client, ConnectOptions};
//!
//! #[tokio::main]
//! async fn main() -> Result<(), labwire_client::Error> {
//! #     if support::ran_as_a_program() { return Ok(()) }
//!     tracing_subscriber::fmt::init();
//!     let client = Client::connect("Ada", ConnectOptions::from_environment()?).await?;
//! #     assert!(tracing_subscriber::fmt::try_init().is_err());
//!     client.disconnect().await;
//!     Ok(())
//! }
//! ```
//!
//! ```console
//! $ RUST_LOG=labwire_client=debug,labwire_device=debug cargo run
//! ```

mod approval;
pub mod blocking;
mod call;
mod cancel;
mod client;
mod command;
mod describe;
mod driver;
mod engine;
mod error;
mod follower;
mod following;
mod frames;
mod handle;
mod holder;
mod identities;
mod item_queue;
mod link;
mod linked_client;
mod lock;
mod lock_options;
mod lock_state;
mod notification;
mod notification_queue;
mod notifications;
mod options;
mod presence;
mod progress_value;
mod readable;
mod session_state;
#[cfg(feature = "ssh")]
pub mod ssh;
mod status;
mod subscription;
mod ticket;
mod topic_value;
mod uids;
mod value;

pub use approval::{Approval, LatestApproval};
pub use call::{Call, CallFuture, Pending};
pub use cancel::{CancelOutcome, Canceller};
pub use client::Client;
pub use describe::{AttributeDescription, ParameterDescription, ServiceDescription};
pub use error::{CallError, Error};
pub use following::{Following, Items, LatestProgress};
pub use identities::{ClientIdentity, Identities, ServiceIdentity};
/// Generates typed clients of a service from a trait.
///
/// A trait `BasicMath` becomes two structs: `BasicMathClient` wraps a [`Link`], and its methods
/// return a [`Call`] to await. `BasicMathBlockingClient` wraps a [`blocking::Link`], and its
/// methods block. The trait itself is removed.
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
/// - A method takes `&self` and the arguments, of any types that implement `Serialize`, references
///   included. Its return type is the type of the result, which must implement `DeserializeOwned`;
///   without a return type the result must be null. A method without parameters reads a value of
///   the service.
/// - `#[keyword]` sends a parameter as a keyword argument of the same name, `#[keyword = "name"]`
///   under another name. A keyword parameter of type `Option<T>` is omitted when it is `None`.
/// - `#[attribute = "name"]` on a method sets the service's name for it, where that is no valid
///   Rust identifier.
/// - `#[labwire_client::client(service = "Basic Math")]` sets the service's name, where it differs
///   from the trait's.
/// - Doc comments are kept.
///
/// The structs have `link(&client)`, which links with the service; `new(link)`, `as_link()` and
/// `into_link()`, which convert from and to an existing link and give access to its notifications
/// and locks; and the constant `SERVICE` with the service's name.
pub use labwire_client_macros::client;
pub use labwire_device::payload::{
    Arguments, Array, ArrayError, DecodeError, EncodeError, IntoArguments, Item, Json, from_json, to_json,
};
pub use labwire_device::{
    Backoff, ClientCertificateError, ConnectError, ConnectOptions, DEFAULT_PORT, EnvironmentError, FirstUse,
    Home, NoAnswer, PresentedCertificates, Question, TrustError, UnknownCertificate, args, ask_at_terminal,
    ask_to_trust, confirm_trust, parse_flag, read_password, restore_terminal,
};
pub use labwire_wire::Executed;
pub use labwire_wire::buffers::{ByteOrder, Dtype, ItemKind, UnknownDtype};
pub use link::Link;
pub use linked_client::LinkedClient;
pub use lock::LockGuard;
pub use lock_options::{Lock, LockOptions};
pub use lock_state::LockState;
pub use notification::Notification;
pub use notifications::Notifications;
pub use options::ClientOptions;
pub use progress_value::ProgressValue;
pub use session_state::SessionState;
pub use subscription::Subscription;
pub use topic_value::TopicValue;
pub use value::Value;
