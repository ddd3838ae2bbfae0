//! The macro of `labwire-client`. Its documentation stands there.

mod generate;
mod method;
mod options;
#[cfg(test)]
mod tests;

use proc_macro::TokenStream;

/// Turns a trait into typed clients of a service. See the documentation of `labwire_client::client`.
#[proc_macro_attribute]
pub fn client(options: TokenStream, item: TokenStream) -> TokenStream {
    generate::client(options.into(), item.into())
        .unwrap_or_else(syn::Error::into_compile_error)
        .into()
}
