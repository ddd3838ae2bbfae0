//! The attribute macro of `labwire-service`, which documents it and gives it out.
//!
//! ```
//! use labwire_service::{IntoService, Service, service};
//!
//! struct Thermometer;
//!
//! #[service]
//! impl Thermometer {
//!     pub fn read(&self, channel: u8) -> f64 {
//!         20.0 + f64::from(channel)
//!     }
//! }
//!
//! let attributes = Thermometer.into_service().attributes();
//! assert_eq!(attributes.to_json(), r#"{"read":"(channel: int) -> float"}"#);
//! ```

mod call;
mod expand;
mod method;
mod options;
mod parameter;
#[cfg(test)]
mod tests;
mod words;

use proc_macro::TokenStream;

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
/// [`Positional`]: ../labwire_service/struct.Positional.html
/// [`Keywords`]: ../labwire_service/struct.Keywords.html
/// [`Request`]: ../labwire_service/struct.Request.html
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
#[proc_macro_attribute]
pub fn service(options: TokenStream, block: TokenStream) -> TokenStream {
    expand::service(options.into(), block.into())
        .unwrap_or_else(syn::Error::into_compile_error)
        .into()
}
