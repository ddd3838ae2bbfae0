//! The macro of `labwire-client`. Its documentation stands there.
//!
//! ```
//! use labwire_client::client;
//!
//! #[client(service = "Basic Math")]
//! trait BasicMath {
//!     /// The sum of two numbers.
//!     fn add(&self, x: f64, y: f64) -> f64;
//! }
//!
//! assert_eq!(BasicMathClient::SERVICE, "Basic Math");
//! assert_eq!(BasicMathBlockingClient::SERVICE, "Basic Math");
//! ```

mod generate;
mod method;
mod options;
#[cfg(test)]
mod tests;

use proc_macro::TokenStream;

/// Turns a trait into typed clients of a service; it is documented as `labwire_client::client`. See the example of
/// [the crate](crate).
#[proc_macro_attribute]
pub fn client(options: TokenStream, item: TokenStream) -> TokenStream {
    generate::client(options.into(), item.into())
        .unwrap_or_else(syn::Error::into_compile_error)
        .into()
}
