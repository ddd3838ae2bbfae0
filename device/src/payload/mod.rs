//! Encoding and decoding of `args`, `kwargs` and `result`.
//!
//! The format is JSON with one extension of Python peers: the values `NaN`, `Infinity` and
//! `-Infinity`. Measurements often contain them, so they are decoded and encoded here too.
//!
//! ```
//! use labwire_device::args;
//! use labwire_device::payload::{from_json, to_json};
//!
//! let (args, kwargs) = args![[1.5, f64::NAN], unit = "V"].finish()?;
//! assert_eq!((args.as_str(), kwargs.as_str()), ("[[1.5,NaN]]", r#"{"unit":"V"}"#));
//!
//! let (readings,): (Vec<f64>,) = from_json(&args)?;
//! assert!(readings[0] == 1.5 && readings[1].is_nan());
//! assert_eq!(to_json(&readings)?, "[1.5,NaN]");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod arguments;
mod array;
mod decode;
mod encode;
mod json;
#[cfg(feature = "ndarray")]
mod matrix;
mod outgoing;
mod reader;
mod received;
mod scope;
mod split;

pub use arguments::{Arguments, IntoArguments, payload_name};
pub use array::{Array, ArrayError, Item};
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) use decode::read_leniently;
pub use decode::{DecodeError, from_json};
pub use encode::{EncodeError, to_json};
pub use json::Json;
pub use outgoing::Attached;
pub use received::Received;
pub use split::{SplitArguments, split_arguments};
