//! The attribute macro of `labwire-service`. It is documented in that crate, with examples that are
//! run. If this crate needed the service for its own tests, the service would be built twice, for
//! the compiler and for the tests.

mod call;
mod expand;
mod method;
mod options;
mod parameter;
#[cfg(test)]
mod tests;
mod words;

use proc_macro::TokenStream;

/// Turns the public methods of an `impl` block into the attributes of a service; it is documented
/// as `labwire_service::service`.
#[proc_macro_attribute]
pub fn service(options: TokenStream, block: TokenStream) -> TokenStream {
    expand::service(options.into(), block.into())
        .unwrap_or_else(syn::Error::into_compile_error)
        .into()
}
