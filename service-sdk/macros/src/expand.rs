//! Generates the implementation of the service.

use proc_macro2::TokenStream;
use quote::quote;
use syn::ext::IdentExt;
use syn::{Attribute, Error, Ident, ImplItem, ItemImpl, LitStr, Type, Visibility};

use crate::call::execution;
use crate::method::{Method, Way, conditions, description, take_mark};
use crate::options::Options;
use crate::parameter::Parameter;
use crate::words::return_word;

/// A constant that clients can request.
struct Constant {
    ident: Ident,
    description: String,
    conditions: Vec<Attribute>,
    is_hidden: bool,
}

/// How the state of the service is shared among its methods.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Sharing {
    /// All methods take `&self`.
    Free,
    /// Some take `&self`, some `&mut self`.
    Mixed,
    /// All take `&mut self`.
    Exclusive,
}

pub(crate) fn service(options: TokenStream, block: TokenStream) -> syn::Result<TokenStream> {
    let options = Options::parse(options)?;
    let mut block: ItemImpl = syn::parse2(block).map_err(|error| {
        let text =
            "`#[service]` stands on an `impl` block, whose public methods become the service's attributes";
        Error::new(error.span(), text)
    })?;
    if let Some((path, _)) = &block.trait_ {
        let text = "`#[service]` stands on the `impl` block of the type itself, not of a trait";
        return Err(Error::new_spanned(path, text));
    }
    let (mut methods, mut constants) = (Vec::new(), Vec::new());
    for item in &mut block.items {
        match item {
            ImplItem::Fn(function) => methods.extend(Method::read(function)?),
            ImplItem::Const(constant) => {
                let is_hidden = take_mark(&mut constant.attrs, "hidden")?;
                if matches!(constant.vis, Visibility::Public(_)) {
                    constants.push(Constant {
                        ident: constant.ident.clone(),
                        description: description(&constant.attrs),
                        conditions: conditions(&constant.attrs),
                        is_hidden,
                    });
                }
            }
            _ => {}
        }
    }
    if options.record_arguments {
        for method in methods.iter_mut().filter(|method| method.way != Way::Property) {
            method.record.get_or_insert_default();
        }
    }
    for name in &options.hidden {
        let method = methods.iter_mut().find(|method| method.ident == *name);
        let constant = constants.iter_mut().find(|constant| constant.ident == *name);
        match (method, constant) {
            (Some(method), _) => method.is_hidden = true,
            (None, Some(constant)) => constant.is_hidden = true,
            (None, None) => {
                let text =
                    format!("the block has no public method or constant `{name}` that could be hidden");
                return Err(Error::new(name.span(), text));
            }
        }
    }
    let expansion = Expansion::new(&block, &options, &methods, &constants)?;
    let implementation = expansion.implementation();
    Ok(quote! {
        #[allow(
            // `pub` marks what clients can reach, even in a program whose types nobody else can
            // use.
            unreachable_pub,
            // `self` marks a method of the service, and its arguments come from the network.
            clippy::unused_self,
            clippy::needless_pass_by_value,
            // Even an `async` method without an await is better off on the runtime than on a
            // thread.
            clippy::unused_async,
        )]
        #block

        #[allow(unused_imports)]
        use ::labwire_service::ServiceExt as _;

        #implementation
    })
}

struct Expansion<'a> {
    block: &'a ItemImpl,
    methods: &'a [Method],
    constants: &'a [Constant],
    name: String,
    max_clients: TokenStream,
    sharing: Sharing,
}

impl<'a> Expansion<'a> {
    fn new(
        block: &'a ItemImpl,
        options: &Options,
        methods: &'a [Method],
        constants: &'a [Constant],
    ) -> syn::Result<Self> {
        let type_name = match &*block.self_ty {
            Type::Path(path) => path
                .path
                .segments
                .last()
                .map(|segment| segment.ident.unraw().to_string()),
            _ => None,
        };
        let type_name = type_name
            .ok_or_else(|| Error::new_spanned(&block.self_ty, "a service is a type that has a name"))?;
        let name = options.name.as_ref().map_or(type_name, LitStr::value);
        let max_clients = options
            .max_clients
            .as_ref()
            .map_or_else(|| quote!(0), |limit| quote!(#limit));
        let sharing = if methods.iter().all(|method| !method.is_exclusive) {
            Sharing::Free
        } else if methods.iter().all(|method| method.is_exclusive) {
            Sharing::Exclusive
        } else {
            Sharing::Mixed
        };
        Ok(Self {
            block,
            methods,
            constants,
            name,
            max_clients,
            sharing,
        })
    }

    fn implementation(&self) -> TokenStream {
        let kind = &self.block.self_ty;
        let (generics, _, condition) = self.block.generics.split_for_impl();
        let (name, max_clients) = (&self.name, &self.max_clients);
        let attributes = self.attributes();
        let arms = self.arms();
        let dispatch = quote! {
            match ::labwire_service::Request::attribute(&__request) {
                #(#arms)*
                _ => ::std::boxed::Box::pin(::std::future::ready(::std::result::Result::Err(
                    ::labwire_service::Request::unknown_attribute(&__request),
                ))),
            }
        };
        if self.sharing == Sharing::Free {
            return quote! {
                #[automatically_derived]
                impl #generics ::labwire_service::Service for #kind #condition {
                    fn name(&self) -> ::std::string::String {
                        ::std::string::String::from(#name)
                    }

                    fn max_clients(&self) -> u32 {
                        #max_clients
                    }

                    fn attributes(&self) -> ::labwire_service::Attributes {
                        let __state = self;
                        #attributes
                    }

                    #[allow(refining_impl_trait)]
                    fn call(
                        self: ::std::sync::Arc<Self>,
                        __request: ::labwire_service::Request,
                    ) -> ::labwire_service::__private::ReplyFuture {
                        let __state = self;
                        #dispatch
                    }
                }
            };
        }
        let lock = if self.sharing == Sharing::Exclusive {
            quote!(::labwire_service::__private::Mutex<Self>)
        } else {
            quote!(::labwire_service::__private::RwLock<Self>)
        };
        quote! {
            #[automatically_derived]
            impl #generics ::labwire_service::__private::Stateful for #kind #condition {
                type Lock = #lock;

                const NAME: &'static str = #name;
                const MAX_CLIENTS: u32 = #max_clients;

                fn attributes(&mut self) -> ::labwire_service::Attributes {
                    let __state = self;
                    #attributes
                }

                fn call(
                    __state: &::std::sync::Arc<Self::Lock>,
                    __request: ::labwire_service::Request,
                ) -> ::labwire_service::__private::ReplyFuture {
                    #dispatch
                }
            }

            #[automatically_derived]
            impl #generics ::labwire_service::IntoService for #kind #condition {
                type Service = ::labwire_service::Locked<Self>;

                fn into_service(self) -> ::labwire_service::Locked<Self> {
                    ::labwire_service::Locked::new(self)
                }
            }
        }
    }

    /// Returns an expression for the attributes of the service.
    fn attributes(&self) -> TokenStream {
        let about = description(&self.block.attrs);
        let constants = self.constants.iter().map(|constant| {
            let (ident, conditions) = (&constant.ident, &constant.conditions);
            let name = ident.unraw().to_string();
            let read = quote!(::labwire_service::Attribute::value(#name, &Self::#ident));
            add(
                &read,
                &constant.description,
                constant.is_hidden,
                &[],
                None,
                conditions,
            )
        });
        let methods = self.methods.iter().map(|method| {
            let (ident, name) = (&method.ident, method.name());
            let read = if method.way == Way::Property {
                let failed = quote!(::labwire_service::ServiceError::from);
                let read = if method.can_fail() {
                    quote!(Self::#ident(__state).map_err(#failed))
                } else {
                    quote!(::std::result::Result::Ok(Self::#ident(__state)))
                };
                // A value may borrow from the state, so it is written before the state is used
                // again.
                quote! {
                    ::labwire_service::Attribute::property(
                        #name,
                        || #read.and_then(|value| ::labwire_service::Reply::value(&value))
                            .map(|reply| ::labwire_service::Json::new(reply.json())),
                    )
                }
            } else {
                let signature = signature(method);
                quote!(::labwire_service::Attribute::method(#name, #signature))
            };
            add(
                &read,
                &method.description,
                method.is_hidden,
                &method.parameters,
                method.record.as_deref(),
                &method.conditions,
            )
        });
        let callers = self
            .methods
            .iter()
            .any(Method::needs_caller)
            .then(|| quote!(attributes = attributes.with_callers();));
        quote! {
            #[allow(unused_mut)]
            let mut attributes = ::labwire_service::Attributes::new().description(#about);
            #(#constants)*
            #(#methods)*
            #callers
            attributes
        }
    }

    /// Returns the arms of the `match` over the requested attribute.
    fn arms(&self) -> Vec<TokenStream> {
        let constants = self.constants.iter().map(|constant| {
            let (ident, conditions) = (&constant.ident, &constant.conditions);
            let name = ident.unraw().to_string();
            quote! {
                #(#conditions)*
                #name => ::std::boxed::Box::pin(::std::future::ready(
                    ::labwire_service::Reply::value(&Self::#ident),
                )),
            }
        });
        let methods = self.methods.iter().map(|method| self.arm(method));
        constants.chain(methods).collect()
    }

    fn arm(&self, method: &Method) -> TokenStream {
        let (name, conditions) = (method.name(), &method.conditions);
        let state = match (self.sharing, method.is_exclusive) {
            (Sharing::Free, _) => quote!(::std::future::ready(__state)),
            (Sharing::Mixed, false) => quote!(::std::sync::Arc::clone(__state).read_owned()),
            (Sharing::Mixed, true) => quote!(::std::sync::Arc::clone(__state).write_owned()),
            (Sharing::Exclusive, _) => quote!(::std::sync::Arc::clone(__state).lock_owned()),
        };
        let (way, closure) = execution(method);
        quote! {
            #(#conditions)*
            #name => #way(#state, __request, #closure),
        }
    }
}

/// Generates a statement that adds an attribute.
fn add(
    attribute: &TokenStream,
    description: &str,
    is_hidden: bool,
    parameters: &[Parameter],
    record: Option<&[LitStr]>,
    conditions: &[Attribute],
) -> TokenStream {
    let described = parameters.iter().filter_map(|parameter| {
        let (name, kind, default) = parameter.words()?;
        let none = || quote!(::std::option::Option::None);
        let default = default.map_or_else(none, |text| quote!(::std::option::Option::Some(#text)));
        Some(quote!(.parameter(#name, #kind, #default)))
    });
    let hidden = is_hidden.then(|| quote!(.hidden()));
    let record = record.map(|secret| quote!(.record_arguments(&[#(#secret),*])));
    quote! {
        #(#conditions)*
        {
            attributes = attributes.with(#attribute.description(#description) #(#described)* #hidden #record);
        }
    }
}

/// Returns the signature that clients see.
fn signature(method: &Method) -> String {
    let parameters: Vec<String> = method
        .parameters
        .iter()
        .filter_map(Parameter::in_signature)
        .collect();
    format!("({}) -> {}", parameters.join(", "), return_word(&method.output))
}
