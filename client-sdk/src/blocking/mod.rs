//! The client without async: every call blocks until its result.
//!
//! ```
//! # mod support { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/lab.rs")); }
//! # support::blocking_lab(|options| {
//! use labwire_client::args;
//! use labwire_client::blocking::Client;
//!
//! // `options` are ConnectOptions::new() with the port of this example's manager.
//! let client = Client::connect("Ada", options)?;
//! let thermometer = client.link("Thermometer")?;
//! let celsius: f64 = thermometer.call("read", args![3])?;
//! println!("{celsius} °C");
//! # assert_eq!(celsius, 21.5);
//! # Ok(())
//! # });
//! ```
//!
//! Calls overlap when they are [started](Link::start) first and waited for later:
//!
//! ```
//! # mod support { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/lab.rs")); }
//! # support::blocking_lab(|options| {
//! # use labwire_client::{args, blocking::Client};
//! # let client = Client::connect("Ada", options)?;
//! let math = client.link("BasicMath")?;
//! let sum = math.start::<f64>("add", args![1, 2])?;
//! let product = math.start::<f64>("multiply", args![3, 4])?;
//! assert_eq!((sum.wait()?, product.wait()?), (3.0, 12.0));
//! # Ok(())
//! # });
//! ```
//!
//! A client and everything made from it, [spawned](Client::spawn) clients included, share one
//! background thread. They can be used from any thread, and from blocking tasks of a runtime. In
//! async code they panic, because they would block the runtime: use
//! [`labwire_client::Client`](crate::Client) there.

mod background;
mod client;
mod following;
mod link;
mod linked_client;
mod lock;
mod notifications;
mod pending;
mod session;
mod subscription;

pub use client::Client;
pub use following::{Following, Items};
pub use link::Link;
pub use linked_client::LinkedClient;
pub use lock::LockGuard;
pub use notifications::Notifications;
pub use pending::Pending;
pub use subscription::Subscription;
