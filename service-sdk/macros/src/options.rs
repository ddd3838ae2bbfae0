//! The options in the parentheses of `#[service(…)]`.

use proc_macro2::TokenStream;
use syn::parse::Parser;
use syn::punctuated::Punctuated;
use syn::{Error, Ident, LitInt, LitStr, Token};

#[derive(Default)]
pub(crate) struct Options {
    pub(crate) name: Option<LitStr>,
    pub(crate) max_clients: Option<LitInt>,
    pub(crate) hidden: Vec<Ident>,
    /// Whether the arguments of all methods are recorded.
    pub(crate) record_arguments: bool,
}

impl Options {
    pub(crate) fn parse(tokens: TokenStream) -> syn::Result<Self> {
        let mut options = Self::default();
        let parser = syn::meta::parser(|meta| {
            if meta.path.is_ident("name") {
                options.name = Some(meta.value()?.parse()?);
            } else if meta.path.is_ident("max_clients") {
                let limit: LitInt = meta.value()?.parse()?;
                limit
                    .base10_parse::<u32>()
                    .map_err(|_| Error::new(limit.span(), "max_clients is a number from 0, for no limit"))?;
                options.max_clients = Some(limit);
            } else if meta.path.is_ident("hidden") {
                let content;
                syn::parenthesized!(content in meta.input);
                let names = Punctuated::<Ident, Token![,]>::parse_terminated(&content)?;
                options.hidden.extend(names);
            } else if meta.path.is_ident("record_arguments") {
                options.record_arguments = true;
            } else {
                return Err(meta.error(
                    "unknown option; there are `name = \"…\"`, `max_clients = …`, `hidden(method, …)` and \
                     `record_arguments`",
                ));
            }
            Ok(())
        });
        parser.parse2(tokens)?;
        Ok(options)
    }
}
