//! The macro of `labwire-client`. It is documented in that crate, with examples that are run.

mod generate;
mod method;
mod options;
#[cfg(test)]
mod tests;

use proc_macro::TokenStream;

/// Turns a trait into typed clients of a service; it is documented as `labwire_client::client`.
#[proc_macro_attribute]
pub fn client(options: TokenStream, item: TokenStream) -> TokenStream {
    generate::client(options.into(), item.into())
        .unwrap_or_else(syn::Error::into_compile_error)
        .into()
}
