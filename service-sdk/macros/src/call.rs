//! Generates the code that executes one method.

use proc_macro2::{Span, TokenStream};
use quote::{format_ident, quote, quote_spanned};
use syn::spanned::Spanned;
use syn::{Expr, ExprLit, Ident, Lit, ReturnType, Type};

use crate::method::{Method, Way};
use crate::parameter::{Argument, Form, Parameter};
use crate::words::last_name;

/// Returns the function that executes the method, and the closure to pass to it, with the state in
/// `__state` and the request in `__request`.
pub(crate) fn execution(method: &Method) -> (TokenStream, TokenStream) {
    let (bind, call) = (bind(method), call(method));
    let require = method
        .role
        .as_ref()
        .map(|role| quote!(::labwire_service::__private::require(&__request, #role)?;));
    let mutable = method.is_exclusive.then(|| quote!(mut));
    // With the method's own spans, an error points at the future, argument or result that does not
    // fit.
    let span = method.ident.span();
    let (way, body) = if method.way == Way::Async {
        let way = quote_spanned!(span=> ::labwire_service::__private::asynchronous);
        (way, quote!(async move { #require #bind #call }))
    } else {
        let way = quote_spanned!(span=> ::labwire_service::__private::blocking);
        (way, quote!({ #require #bind #call }))
    };
    let closure = quote!(move |#mutable __state, __request: ::labwire_service::Request| #body);
    (way, closure)
}

/// Generates the call of the method with the bound arguments, up to the reply.
fn call(method: &Method) -> TokenStream {
    let ident = &method.ident;
    let state = if method.is_exclusive {
        quote!(&mut *__state)
    } else {
        quote!(&*__state)
    };
    let arguments = method.parameters.iter().enumerate().map(|(index, parameter)| {
        let name = variable(index);
        match (&parameter.form, parameter.by_reference) {
            (Form::Request, true) => quote!(&__request),
            (Form::Request, false) => quote!(::std::clone::Clone::clone(&__request)),
            (Form::Progress, true) => quote!(&::labwire_service::Request::progress(&__request)),
            (Form::Progress, false) => quote!(::labwire_service::Request::progress(&__request)),
            (Form::Cancellation, true) => quote!(&::labwire_service::Request::cancellation(&__request)),
            (Form::Cancellation, false) => quote!(::labwire_service::Request::cancellation(&__request)),
            (Form::Caller, true) => quote!(&::labwire_service::__private::caller(&__request)?),
            (Form::Caller, false) => quote!(::labwire_service::__private::caller(&__request)?),
            (_, true) => quote!(&#name),
            (_, false) => quote!(#name),
        }
    });
    let wait = (method.way == Way::Async).then(|| quote!(.await));
    let fail = method
        .can_fail()
        .then(|| quote!(.map_err(::labwire_service::ServiceError::from)?));
    let span = match &method.output {
        ReturnType::Type(_, kind) => kind.span(),
        ReturnType::Default => Span::call_site(),
    };
    let reply = quote_spanned!(span=> ::labwire_service::Reply::value(&__result));
    quote! {
        #[allow(clippy::let_unit_value)]
        let __result = Self::#ident(#state #(, #arguments)*)#wait #fail;
        #reply
    }
}

fn variable(index: usize) -> Ident {
    format_ident!("__argument_{index}")
}

/// Generates the code that binds the arguments of the request to variables. A property accepts any
/// arguments: to Python clients it looks like a method.
fn bind(method: &Method) -> TokenStream {
    if method.way == Way::Property {
        return TokenStream::new();
    }
    let given = || {
        let parameters = method.parameters.iter().enumerate();
        parameters.filter(|(_, parameter)| !parameter.form.is_hidden())
    };
    if given().next().is_none() {
        return quote!(::labwire_service::Request::bind(&__request, &[])?;);
    }
    let parameters = given().map(|(_, parameter)| table_entry(parameter));
    let names = given().map(|(index, _)| variable(index));
    let values = given().map(|(_, parameter)| value(parameter));
    // The block ends the borrow of the request, which an async method may not hold while it waits.
    quote! {
        let (#(#names,)*) = {
            const PARAMETERS: &[::labwire_service::Parameter] = &[#(#parameters),*];
            let mut __bound = ::labwire_service::Request::bind(&__request, PARAMETERS)?;
            (#(#values,)*)
        };
    }
}

/// Generates the description of a parameter for the binding.
fn table_entry(parameter: &Parameter) -> TokenStream {
    let name = parameter.name();
    let argument = match &parameter.form {
        Form::Rest => return quote!(::labwire_service::Parameter::rest(#name)),
        Form::Keywords | Form::Request | Form::Progress | Form::Cancellation | Form::Caller => {
            return quote!(::labwire_service::Parameter::keywords(#name));
        }
        Form::Argument(argument) => argument,
    };
    let keyword_only = argument.keyword_only.then(|| quote!(.keyword_only()));
    if argument.default.is_some() {
        quote!(::labwire_service::Parameter::optional(#name)#keyword_only)
    } else {
        quote!(::labwire_service::Parameter::required(#name)#keyword_only)
    }
}

/// Generates the value of a parameter from the bound arguments.
fn value(parameter: &Parameter) -> TokenStream {
    let Argument { kind, default, .. } = match &parameter.form {
        Form::Rest => return quote!(__bound.rest()),
        Form::Keywords | Form::Request | Form::Progress | Form::Cancellation | Form::Caller => {
            return quote!(__bound.keywords());
        }
        Form::Argument(argument) => &**argument,
    };
    let Some(default) = default else {
        return quote_spanned!(kind.span()=> __bound.required::<#kind>()?);
    };
    let default = default_value(kind, default);
    quote_spanned!(kind.span()=> __bound.optional::<#kind>(|| #default)?)
}

/// Returns the default as an expression of the argument's type. A string literal can stand for a
/// `String`.
fn default_value(kind: &Type, default: &Expr) -> TokenStream {
    let is_text = matches!(default, Expr::Lit(ExprLit { lit: Lit::Str(_), .. }));
    if is_text && last_name(kind).is_some_and(|name| name == "String") {
        return quote!(::std::string::String::from(#default));
    }
    quote!(#default)
}
