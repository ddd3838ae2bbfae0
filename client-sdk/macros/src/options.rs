//! The options in the macro's parentheses.

use syn::meta::ParseNestedMeta;
use syn::parse::Parser;
use syn::{LitStr, Result};

/// The options in the macro's parentheses.
#[derive(Default)]
pub(crate) struct Options {
    /// The service's name, if it is not the trait's.
    pub(crate) service: Option<LitStr>,
}

impl Options {
    pub(crate) fn parse(tokens: proc_macro2::TokenStream) -> Result<Self> {
        let mut options = Self::default();
        syn::meta::parser(|meta| options.read(&meta)).parse2(tokens)?;
        Ok(options)
    }

    fn read(&mut self, meta: &ParseNestedMeta<'_>) -> Result<()> {
        if !meta.path.is_ident("service") {
            return Err(meta.error("there is one option: service = \"the service's name\""));
        }
        let name: LitStr = meta.value()?.parse()?;
        if name.value().trim().is_empty() {
            return Err(syn::Error::new(name.span(), "a service's name is not empty"));
        }
        self.service = Some(name);
        Ok(())
    }
}
