//! A method of the trait.

use proc_macro2::{Span, TokenStream};
use quote::quote;
use syn::ext::IdentExt;
use syn::spanned::Spanned;
use syn::{
    Attribute, Error, Expr, ExprLit, FnArg, Ident, Lit, LitStr, Meta, Pat, Path, PathArguments, Receiver,
    Result, ReturnType, Signature, TraitItemFn, Type,
};

/// The methods that the clients have themselves.
const TAKEN: [&str; 4] = ["link", "new", "as_link", "into_link"];

/// A method of the trait.
pub(crate) struct Method {
    pub(crate) name: Ident,
    pub(crate) wire_name: LitStr,
    pub(crate) parameters: Vec<Parameter>,
    pub(crate) result: Type,
    /// Attributes that stay, such as doc comments and `cfg`s.
    pub(crate) attributes: Vec<Attribute>,
}

/// A parameter of a method.
pub(crate) struct Parameter {
    name: Ident,
    kind: Type,
    /// The name by which it is sent; without one it is sent by position.
    keyword: Option<LitStr>,
}

impl Method {
    pub(crate) fn read(method: TraitItemFn) -> Result<Self> {
        let TraitItemFn {
            attrs, sig, default, ..
        } = method;
        if let Some(body) = default {
            let text = "a method has no body here: the service has it; end the method with a semicolon";
            return Err(Error::new(body.span(), text));
        }
        check_signature(&sig)?;
        let mut inputs = sig.inputs.into_iter();
        check_receiver(inputs.next().as_ref(), &sig.ident)?;
        let parameters = inputs.map(Parameter::read).collect::<Result<Vec<_>>>()?;
        check_order(&parameters)?;
        let (renamed, attributes): (Vec<_>, Vec<_>) = attrs
            .into_iter()
            .partition(|attribute| attribute.path().is_ident("attribute"));
        let wire_name = match renamed.as_slice() {
            [] => LitStr::new(&sig.ident.unraw().to_string(), sig.ident.span()),
            [attribute] => required_text(attribute, "#[attribute = \"the name that the service knows\"]")?,
            [_, second, ..] => return Err(Error::new(second.span(), "a method has one name on the wire")),
        };
        if TAKEN.iter().any(|taken| sig.ident == taken) {
            let text = format!(
                "the client has a method `{0}` itself; give this one another name and write #[attribute = \"{0}\"] \
                 above it",
                sig.ident
            );
            return Err(Error::new(sig.ident.span(), text));
        }
        Ok(Self {
            name: sig.ident,
            wire_name,
            parameters,
            result: read_result(sig.output)?,
            attributes,
        })
    }

    /// Returns the declarations of the parameters.
    pub(crate) fn declarations(&self) -> TokenStream {
        let declared = self
            .parameters
            .iter()
            .map(|Parameter { name, kind, .. }| quote!(#name: #kind));
        quote!(#(#declared),*)
    }

    /// Returns an expression for the arguments of the call.
    pub(crate) fn arguments(&self) -> TokenStream {
        // A parameter may have the same name and is another variable.
        let arguments = Ident::new("arguments", Span::mixed_site());
        let steps = self
            .parameters
            .iter()
            .map(|parameter| parameter.append(&arguments));
        quote! {{
            let #arguments = ::labwire_client::Arguments::new();
            #(#steps)*
            #arguments
        }}
    }
}

impl Parameter {
    fn read(input: FnArg) -> Result<Self> {
        let FnArg::Typed(input) = input else {
            return Err(Error::new(input.span(), "a method has one `&self`"));
        };
        let Pat::Ident(pattern) = *input.pat else {
            return Err(Error::new(input.pat.span(), "a parameter is a plain name here"));
        };
        if matches!(*input.ty, Type::ImplTrait(_)) {
            return Err(Error::new(
                input.ty.span(),
                "a parameter has one type here: write which",
            ));
        }
        let mut keyword = None;
        for attribute in input.attrs {
            if !attribute.path().is_ident("keyword") {
                let text = "a parameter can be marked with #[keyword] or #[keyword = \"name\"]";
                return Err(Error::new(attribute.span(), text));
            }
            keyword = Some(match attribute.meta {
                Meta::Path(_) => LitStr::new(&pattern.ident.unraw().to_string(), pattern.ident.span()),
                _ => required_text(&attribute, "#[keyword] or #[keyword = \"name\"]")?,
            });
        }
        Ok(Self {
            name: pattern.ident,
            kind: *input.ty,
            keyword,
        })
    }

    /// Returns a statement that appends the argument to `arguments`.
    fn append(&self, arguments: &Ident) -> TokenStream {
        let Self { name, kind, keyword } = self;
        let value = Ident::new("value", Span::mixed_site());
        match keyword {
            None => quote!(let #arguments = #arguments.positional(&#name);),
            // The service has its own default for an argument that is left out.
            Some(keyword) if is_option(kind) => quote! {
                let #arguments = match &#name {
                    ::core::option::Option::Some(#value) => #arguments.keyword(#keyword, #value),
                    ::core::option::Option::None => #arguments,
                };
            },
            Some(keyword) => quote!(let #arguments = #arguments.keyword(#keyword, &#name);),
        }
    }
}

fn check_signature(signature: &Signature) -> Result<()> {
    if let Some(word) = &signature.asyncness {
        let text = "write `fn`: the methods of the client are awaited as they are";
        return Err(Error::new(word.span(), text));
    }
    if let Some(word) = &signature.unsafety {
        return Err(Error::new(word.span(), "a call is not unsafe"));
    }
    if let Some(abi) = &signature.abi {
        return Err(Error::new(abi.span(), "a call has no ABI"));
    }
    if !signature.generics.params.is_empty() {
        let text = "a method has no generic parameters here: the service has one signature";
        return Err(Error::new(signature.generics.span(), text));
    }
    if let Some(rest) = &signature.variadic {
        return Err(Error::new(
            rest.span(),
            "a method has a fixed number of parameters here",
        ));
    }
    Ok(())
}

fn check_receiver(input: Option<&FnArg>, method: &Ident) -> Result<()> {
    match input {
        Some(FnArg::Receiver(Receiver {
            reference: Some(_),
            mutability: None,
            colon_token: None,
            ..
        })) => Ok(()),
        Some(input) => Err(Error::new(input.span(), "the first parameter is `&self`")),
        None => Err(Error::new(method.span(), "the first parameter is `&self`")),
    }
}

fn check_order(parameters: &[Parameter]) -> Result<()> {
    let first_keyword = parameters
        .iter()
        .position(|parameter| parameter.keyword.is_some());
    let late = parameters.iter().skip(first_keyword.unwrap_or(parameters.len()));
    match late.clone().find(|parameter| parameter.keyword.is_none()) {
        Some(parameter) => {
            let text = "what is sent by its place stands before what is sent by name; mark this one with #[keyword] too";
            Err(Error::new(parameter.name.span(), text))
        }
        None => Ok(()),
    }
}

fn read_result(output: ReturnType) -> Result<Type> {
    let ReturnType::Type(_, result) = output else {
        return Ok(syn::parse_quote!(()));
    };
    match &*result {
        Type::Reference(reference) => {
            let text = "a result comes over the network and is owned: write String for &str, Vec<T> for &[T]";
            Err(Error::new(reference.span(), text))
        }
        Type::ImplTrait(kind) => Err(Error::new(kind.span(), "a result has one type here: write which")),
        Type::Path(path) if last_name_is(&path.path, "Result") => {
            let text = "write what the service returns when all is well: each method of the client gives a Result with \
                        it, or a CallError, by itself";
            Err(Error::new(path.span(), text))
        }
        _ => Ok(*result),
    }
}

/// Returns the text in an attribute like `#[name = "text"]`.
fn required_text(attribute: &Attribute, form: &str) -> Result<LitStr> {
    if let Meta::NameValue(pair) = &attribute.meta
        && let Expr::Lit(ExprLit {
            lit: Lit::Str(text), ..
        }) = &pair.value
        && !text.value().is_empty()
    {
        return Ok(text.clone());
    }
    Err(Error::new(attribute.span(), format!("write {form}")))
}

fn last_name_is(path: &Path, name: &str) -> bool {
    path.segments.last().is_some_and(|segment| segment.ident == name)
}

fn is_option(kind: &Type) -> bool {
    let Type::Path(path) = kind else { return false };
    let generic = |path: &Path| {
        path.segments
            .last()
            .is_some_and(|segment| matches!(segment.arguments, PathArguments::AngleBracketed(_)))
    };
    last_name_is(&path.path, "Option") && generic(&path.path)
}
