//! Instruments without code: a file describes a SCPI or line-based instrument, and it becomes a service.
//!
//! [`Definition`] reads the file and reports its problems with their places. [`InstrumentService`] is the
//! service, written with the service SDK. [`Trial`] sends one command without a manager. The reference of
//! the file's keys is in `examples/instruments/README.md`.
//!
//! Requests wait in a bounded queue for the one thread that speaks with the instrument. How texts are
//! composed, where answers end and what they mean needs no I/O and is tested without.

mod answer;
mod bus;
mod command;
mod definition;
mod encoding;
mod framing;
#[cfg(any(test, feature = "fuzzing"))]
pub mod fuzzing;
mod number_format;
mod parameter;
mod pattern;
mod problem;
mod read;
mod scalar;
mod service;
mod session;
mod state;
mod transport;
mod trial;
mod value;
mod waiting;

pub use definition::Definition;
pub use problem::Problem;
pub use service::InstrumentService;
pub use session::Traced;
pub use trial::{Trial, TrialError, Tried};
pub use value::Value;
