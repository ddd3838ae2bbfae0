//! What peers say to each other inside `args`, `kwargs` and `result`.
//!
//! It is JSON with one liberty that Python peers take: the values `NaN`, `Infinity` and `-Infinity`.
//! Measurements are full of them, so that they are read and written here too.

mod arguments;
mod decode;
mod encode;
mod json;
mod split;

pub use arguments::{Arguments, IntoArguments, payload_name};
pub use decode::{DecodeError, from_json};
pub use encode::{EncodeError, to_json};
pub use json::Json;
pub use split::{SplitArguments, split_arguments};
