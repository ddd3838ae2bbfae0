//! Reads a parameter of a method.

use syn::ext::IdentExt;
use syn::{Attribute, Error, Expr, Ident, Meta, Pat, PatType, Type};

use crate::words::{last_name, type_word, value_word};

/// A parameter besides `self`.
pub(crate) struct Parameter {
    pub(crate) ident: Ident,
    /// Whether the method takes a reference to the argument.
    pub(crate) by_reference: bool,
    pub(crate) form: Form,
}

pub(crate) enum Form {
    /// An argument from the client.
    Argument(Box<Argument>),
    /// Python's `*args`.
    Rest,
    /// Python's `**kwargs`.
    Keywords,
    /// The request itself.
    Request,
    /// What reports how far the request has come.
    Progress,
    /// What tells that the request is to be stopped.
    Cancellation,
    /// Who sends the request.
    Caller,
}

impl Form {
    /// Returns whether clients know nothing of the parameter.
    pub(crate) fn is_hidden(&self) -> bool {
        matches!(
            self,
            Self::Request | Self::Progress | Self::Cancellation | Self::Caller
        )
    }
}

pub(crate) struct Argument {
    /// The type to deserialise.
    pub(crate) kind: Type,
    pub(crate) default: Option<Expr>,
    pub(crate) keyword_only: bool,
}

impl Parameter {
    /// Reads a parameter, given those before it. Removes the attributes that only the macro
    /// understands.
    pub(crate) fn read(argument: &mut PatType, before: &[Self]) -> syn::Result<Self> {
        let default = take_default(&mut argument.attrs)?;
        let Pat::Ident(pattern) = &*argument.pat else {
            let text = "a parameter needs a name, by which clients can give it";
            return Err(Error::new_spanned(&argument.pat, text));
        };
        let (kind, by_reference) = owned(&argument.ty)?;
        let form = match special(&kind) {
            Some(_) if default.is_some() => {
                return Err(Error::new_spanned(
                    &argument.ty,
                    "this parameter cannot have a default",
                ));
            }
            Some(form) => form,
            None => Form::Argument(Box::new(Argument {
                kind,
                default,
                keyword_only: before.iter().any(|before| matches!(before.form, Form::Rest)),
            })),
        };
        check_order(argument, &form, before)?;
        Ok(Self {
            ident: pattern.ident.clone(),
            by_reference,
            form,
        })
    }

    /// Returns the name by which clients know it.
    pub(crate) fn name(&self) -> String {
        self.ident.unraw().to_string()
    }

    /// Returns its name, type and default as clients see them; `None` for the request.
    pub(crate) fn words(&self) -> Option<(String, String, Option<String>)> {
        let name = self.name();
        Some(match &self.form {
            Form::Argument(argument) => {
                let default = argument.default.as_ref().map(value_word);
                (name, type_word(&argument.kind), default)
            }
            Form::Rest => (format!("*{name}"), "object".to_owned(), None),
            Form::Keywords => (format!("**{name}"), "object".to_owned(), None),
            Form::Request | Form::Progress | Form::Cancellation | Form::Caller => return None,
        })
    }

    /// Returns its text in the signature that clients see; `None` for the request.
    pub(crate) fn in_signature(&self) -> Option<String> {
        let (name, kind, default) = self.words()?;
        Some(match (&self.form, default) {
            (Form::Argument(_), Some(default)) => format!("{name}: {kind} = {default}"),
            (Form::Argument(_), None) => format!("{name}: {kind}"),
            _ => name,
        })
    }
}

/// Checks Python's rules for the order of parameters.
fn check_order(argument: &PatType, form: &Form, before: &[Parameter]) -> syn::Result<()> {
    let keywords = before.iter().any(|before| matches!(before.form, Form::Keywords));
    let rest = before.iter().any(|before| matches!(before.form, Form::Rest));
    match form {
        Form::Rest if rest || keywords => {
            let text = "`Positional` can stand there once, and before `Keywords`";
            Err(Error::new_spanned(&argument.ty, text))
        }
        Form::Keywords if keywords => {
            let text = "`Keywords` can stand there once";
            Err(Error::new_spanned(&argument.ty, text))
        }
        Form::Argument(_) if keywords => {
            let text = "no argument can follow the `Keywords`";
            Err(Error::new_spanned(&argument.pat, text))
        }
        Form::Argument(this) if this.default.is_none() && !this.keyword_only => {
            let has_default = |before: &Parameter| match &before.form {
                Form::Argument(before) => before.default.is_some(),
                _ => false,
            };
            if before.iter().any(has_default) {
                let text = "an argument without a default cannot follow one that has a default";
                return Err(Error::new_spanned(&argument.pat, text));
            }
            Ok(())
        }
        _ => Ok(()),
    }
}

/// Returns the type to deserialise, and whether the method takes a reference to it.
fn owned(kind: &Type) -> syn::Result<(Type, bool)> {
    match kind {
        Type::Reference(reference) => {
            if reference.mutability.is_some() {
                let text = "an argument cannot be `&mut`: it comes from the network; take it by value";
                return Err(Error::new_spanned(kind, text));
            }
            match &*reference.elem {
                Type::Slice(slice) => {
                    let element = &slice.elem;
                    Ok((syn::parse_quote!(::std::vec::Vec<#element>), true))
                }
                Type::Path(path) if path.path.is_ident("str") => {
                    Ok((syn::parse_quote!(::std::string::String), true))
                }
                inner if special(inner).is_some() => Ok((inner.clone(), true)),
                _ => {
                    let text = "of references, `&str`, `&[T]`, `&Request`, `&Progress`, `&Cancellation` and `&Caller` can be \
                                arguments; take others by value";
                    Err(Error::new_spanned(kind, text))
                }
            }
        }
        Type::ImplTrait(_) => {
            let text = "an argument needs a type that it can be made of, not a trait";
            Err(Error::new_spanned(kind, text))
        }
        _ => Ok((kind.clone(), false)),
    }
}

/// Returns the form of a parameter whose type the macro knows by name.
fn special(kind: &Type) -> Option<Form> {
    match last_name(kind)?.to_string().as_str() {
        "Request" => Some(Form::Request),
        "Progress" => Some(Form::Progress),
        "Cancellation" => Some(Form::Cancellation),
        "Caller" => Some(Form::Caller),
        "Positional" => Some(Form::Rest),
        "Keywords" => Some(Form::Keywords),
        _ => None,
    }
}

fn take_default(attributes: &mut Vec<Attribute>) -> syn::Result<Option<Expr>> {
    let Some(index) = attributes
        .iter()
        .position(|known| known.path().is_ident("default"))
    else {
        return Ok(None);
    };
    let mark = attributes.remove(index);
    match &mark.meta {
        Meta::List(list) if !list.tokens.is_empty() => mark.parse_args().map(Some),
        meta => Err(Error::new_spanned(
            meta,
            "a default needs its value: `#[default(10)]`",
        )),
    }
}
