//! The macro of labwire-service.
use proc_macro::TokenStream;
/// Not yet.
#[proc_macro_attribute]
pub fn service(_options: TokenStream, block: TokenStream) -> TokenStream {
    block
}
