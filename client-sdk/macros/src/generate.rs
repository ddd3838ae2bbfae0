//! Generates the clients from the trait.

use proc_macro2::TokenStream;
use quote::{format_ident, quote};
use syn::ext::IdentExt;
use syn::spanned::Spanned;
use syn::{Attribute, Error, Item, ItemTrait, LitStr, Result, TraitItem, Visibility};

use crate::method::Method;
use crate::options::Options;

/// Generates the structs for a trait.
pub(crate) fn client(options: TokenStream, item: TokenStream) -> Result<TokenStream> {
    let options = Options::parse(options)?;
    let item = match syn::parse2(item)? {
        Item::Trait(item) => item,
        other => {
            let text = "this goes onto a trait that names the methods of a service";
            return Err(Error::new(other.span(), text));
        }
    };
    let template = Template::read(options, item)?;
    let asynchronous = template.asynchronous();
    let blocking = template.blocking();
    Ok(quote!(#asynchronous #blocking))
}

struct Template {
    name: syn::Ident,
    service: LitStr,
    visibility: Visibility,
    attributes: Vec<Attribute>,
    methods: Vec<Method>,
}

impl Template {
    fn read(options: Options, item: ItemTrait) -> Result<Self> {
        check_trait(&item)?;
        let mut methods = Vec::new();
        let mut errors: Option<Error> = None;
        for item in item.items {
            let method = match item {
                TraitItem::Fn(method) => Method::read(method),
                other => Err(Error::new(
                    other.span(),
                    "a service has methods, and values that are read like them",
                )),
            };
            match (method, &mut errors) {
                (Ok(method), _) => methods.push(method),
                // All mistakes are reported at once.
                (Err(error), Some(errors)) => errors.combine(error),
                (Err(error), None) => errors = Some(error),
            }
        }
        if let Some(errors) = errors {
            return Err(errors);
        }
        let default = LitStr::new(&item.ident.unraw().to_string(), item.ident.span());
        Ok(Self {
            name: item.ident,
            service: options.service.unwrap_or(default),
            visibility: item.vis,
            attributes: item.attrs,
            methods,
        })
    }

    fn asynchronous(&self) -> TokenStream {
        let Self {
            service, visibility, ..
        } = self;
        let methods = self.methods.iter().map(|method| {
            let Method {
                name,
                wire_name,
                result,
                ..
            } = method;
            let (attributes, declarations, arguments) =
                (documented(method), method.declarations(), method.arguments());
            quote! {
                #(#attributes)*
                #visibility fn #name(&self, #declarations) -> ::labwire_client::Call<#result> {
                    self.link.call(#wire_name, #arguments)
                }
            }
        });
        let link = quote! {
            /// Links with the service.
            #visibility async fn link(
                client: &::labwire_client::Client,
            ) -> ::core::result::Result<Self, ::labwire_client::CallError> {
                ::core::result::Result::Ok(Self::new(client.link(#service).await?))
            }
        };
        self.structure(
            "Client",
            &quote!(::labwire_client::Link),
            &link,
            &quote!(#(#methods)*),
        )
    }

    fn blocking(&self) -> TokenStream {
        let Self {
            service, visibility, ..
        } = self;
        let methods = self.methods.iter().map(|method| {
            let Method {
                name,
                wire_name,
                result,
                ..
            } = method;
            let (attributes, declarations, arguments) =
                (documented(method), method.declarations(), method.arguments());
            quote! {
                #(#attributes)*
                #visibility fn #name(
                    &self, #declarations
                ) -> ::core::result::Result<#result, ::labwire_client::CallError> {
                    self.link.call(#wire_name, #arguments)
                }
            }
        });
        let link = quote! {
            /// Links with the service.
            #visibility fn link(
                client: &::labwire_client::blocking::Client,
            ) -> ::core::result::Result<Self, ::labwire_client::CallError> {
                ::core::result::Result::Ok(Self::new(client.link(#service)?))
            }
        };
        let kind = quote!(::labwire_client::blocking::Link);
        self.structure("BlockingClient", &kind, &link, &quote!(#(#methods)*))
    }

    /// Generates a struct around a link, with the items that both kinds of clients have.
    fn structure(
        &self,
        suffix: &str,
        kind: &TokenStream,
        link: &TokenStream,
        methods: &TokenStream,
    ) -> TokenStream {
        let Self {
            service,
            visibility,
            attributes,
            ..
        } = self;
        let name = format_ident!("{}{suffix}", self.name);
        let attributes = if attributes.iter().any(is_documentation) {
            quote!(#(#attributes)*)
        } else {
            let text = format!("A client of the service `{}`.", service.value());
            quote!(#[doc = #text] #(#attributes)*)
        };
        quote! {
            #attributes
            #[derive(Clone, Debug)]
            #visibility struct #name {
                link: #kind,
            }

            #[allow(dead_code, reason = "a program need not use all that a service offers")]
            impl #name {
                /// The service's name.
                #visibility const SERVICE: &'static str = #service;

                #link

                /// Creates a client that uses this link.
                #visibility fn new(link: #kind) -> Self {
                    Self { link }
                }

                /// Returns the link that the client uses.
                #visibility fn as_link(&self) -> &#kind {
                    &self.link
                }

                /// Converts the client into its link.
                #visibility fn into_link(self) -> #kind {
                    self.link
                }

                #methods
            }

            impl ::core::convert::From<#kind> for #name {
                fn from(link: #kind) -> Self {
                    Self::new(link)
                }
            }
        }
    }
}

fn is_documentation(attribute: &Attribute) -> bool {
    attribute.path().is_ident("doc")
}

/// Returns the attributes of a method, with a doc comment if it has none.
fn documented(method: &Method) -> Vec<TokenStream> {
    let attributes = &method.attributes;
    let mut all: Vec<_> = attributes.iter().map(|attribute| quote!(#attribute)).collect();
    if !attributes.iter().any(is_documentation) {
        let text = format!("Calls `{}`.", method.wire_name.value());
        all.push(quote!(#[doc = #text]));
    }
    all
}

fn check_trait(item: &ItemTrait) -> Result<()> {
    if !item.generics.params.is_empty() {
        return Err(Error::new(
            item.generics.span(),
            "the trait has no generic parameters: a service has one form",
        ));
    }
    if let Some(word) = &item.unsafety {
        return Err(Error::new(word.span(), "a client is not unsafe"));
    }
    if !item.supertraits.is_empty() {
        return Err(Error::new(
            item.supertraits.span(),
            "the trait stands for a service and has no supertraits",
        ));
    }
    Ok(())
}
