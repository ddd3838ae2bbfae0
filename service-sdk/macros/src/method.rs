//! What is read from a method of the block.

use syn::ext::IdentExt;
use syn::{
    Attribute, Error, Expr, ExprLit, FnArg, GenericParam, Ident, ImplItemFn, Lit, Meta, Pat, PatType,
    Receiver, ReceiverKind, ReturnType, Signature, Type,
};

use crate::words::{type_word, value_word};

/// A method that clients can reach.
pub(crate) struct Method {
    pub(crate) ident: Ident,
    pub(crate) description: String,
    /// The `#[cfg]`s that it stands under.
    pub(crate) conditions: Vec<Attribute>,
    pub(crate) is_hidden: bool,
    pub(crate) is_property: bool,
    pub(crate) is_async: bool,
    pub(crate) is_exclusive: bool,
    pub(crate) parameters: Vec<Parameter>,
    pub(crate) output: ReturnType,
}

/// A parameter besides `self`.
pub(crate) enum Parameter {
    /// An argument that the client gives.
    Argument {
        ident: Ident,
        /// The type to deserialise; what the method takes may be a reference to it.
        kind: Type,
        by_reference: bool,
        default: Option<Expr>,
        keyword_only: bool,
    },
    /// What `*args` is in Python.
    Rest { ident: Ident, by_reference: bool },
    /// What `**kwargs` is in Python.
    Keywords { ident: Ident, by_reference: bool },
    /// The request itself.
    Request { by_reference: bool },
}

impl Method {
    /// Reads a method, and takes the marks out of it that mean something to the macro alone. `None` when clients
    /// cannot reach it.
    pub(crate) fn read(function: &mut ImplItemFn) -> syn::Result<Option<Self>> {
        let is_hidden = take_mark(&mut function.attrs, "hidden")?;
        let is_property = take_mark(&mut function.attrs, "property")?;
        let signature = &mut function.sig;
        let is_public = matches!(function.vis, syn::Visibility::Public(_));
        let (true, Some(receiver)) = (is_public, signature.receiver()) else {
            if is_hidden || is_property {
                let text = "only a `pub` method with `&self` or `&mut self` is an attribute of the service";
                return Err(Error::new_spanned(&signature.ident, text));
            }
            return Ok(None);
        };
        let is_exclusive = check_receiver(receiver)?;
        check_signature(signature, is_property)?;
        let mut parameters = Vec::new();
        for argument in signature.inputs.iter_mut().skip(1) {
            if let FnArg::Typed(argument) = argument {
                parameters.push(Parameter::read(argument, &parameters)?);
            }
        }
        if is_property && let Some(second) = signature.inputs.iter().nth(1) {
            return Err(Error::new_spanned(second, "a property has no parameters"));
        }
        Ok(Some(Self {
            ident: signature.ident.clone(),
            description: description(&function.attrs),
            conditions: conditions(&function.attrs),
            is_hidden,
            is_property,
            is_async: signature.asyncness.is_some(),
            is_exclusive,
            parameters,
            output: signature.output.clone(),
        }))
    }

    /// The name on the network.
    pub(crate) fn name(&self) -> String {
        self.ident.unraw().to_string()
    }

    /// Whether what it returns is a `Result`.
    pub(crate) fn can_fail(&self) -> bool {
        match &self.output {
            ReturnType::Type(_, kind) => last_name(kind).is_some_and(|name| name == "Result"),
            ReturnType::Default => false,
        }
    }
}

impl Parameter {
    fn read(argument: &mut PatType, before: &[Self]) -> syn::Result<Self> {
        let default = take_default(&mut argument.attrs)?;
        let Pat::Ident(pattern) = &*argument.pat else {
            let text = "a parameter needs a name, by which clients can give it";
            return Err(Error::new_spanned(&argument.pat, text));
        };
        let ident = pattern.ident.clone();
        let (kind, by_reference) = owned(&argument.ty)?;
        let special = match last_name(&kind).map(ToString::to_string).as_deref() {
            Some("Request") => Some(Self::Request { by_reference }),
            Some("Positional") => Some(Self::Rest {
                ident: ident.clone(),
                by_reference,
            }),
            Some("Keywords") => Some(Self::Keywords {
                ident: ident.clone(),
                by_reference,
            }),
            _ => None,
        };
        let keywords = |parameter: &Self| matches!(parameter, Self::Keywords { .. });
        let rest = |parameter: &Self| matches!(parameter, Self::Rest { .. });
        if let Some(special) = special {
            if default.is_some() {
                return Err(Error::new_spanned(
                    &argument.ty,
                    "this parameter cannot have a default",
                ));
            }
            if (rest(&special) && before.iter().any(|before| rest(before) || keywords(before)))
                || (keywords(&special) && before.iter().any(keywords))
            {
                let text =
                    "`Positional` can stand there once, and before `Keywords`, which can stand there once";
                return Err(Error::new_spanned(&argument.ty, text));
            }
            return Ok(special);
        }
        if before.iter().any(keywords) {
            return Err(Error::new_spanned(
                &argument.pat,
                "no argument can follow the `Keywords`",
            ));
        }
        let keyword_only = before.iter().any(rest);
        let follows_default = before.iter().any(|before| {
            matches!(
                before,
                Self::Argument {
                    default: Some(_),
                    keyword_only: false,
                    ..
                }
            )
        });
        if default.is_none() && !keyword_only && follows_default {
            let text = "an argument without a default cannot follow one that has a default";
            return Err(Error::new_spanned(&argument.pat, text));
        }
        Ok(Self::Argument {
            ident,
            kind,
            by_reference,
            default,
            keyword_only,
        })
    }

    /// How it stands in the signature that clients see; `None` for the request.
    pub(crate) fn in_signature(&self) -> Option<String> {
        match self {
            Self::Argument {
                ident, kind, default, ..
            } => {
                let mut text = format!("{}: {}", ident.unraw(), type_word(kind));
                if let Some(default) = default {
                    text.push_str(" = ");
                    text.push_str(&value_word(default));
                }
                Some(text)
            }
            Self::Rest { ident, .. } => Some(format!("*{}", ident.unraw())),
            Self::Keywords { ident, .. } => Some(format!("**{}", ident.unraw())),
            Self::Request { .. } => None,
        }
    }
}

/// Whether the receiver is `&mut self`.
fn check_receiver(receiver: &Receiver) -> syn::Result<bool> {
    match &receiver.kind {
        ReceiverKind::Reference(_, _, mutability) => return Ok(mutability.is_some()),
        ReceiverKind::Typed(_, kind) => {
            if let Type::Reference(reference) = &**kind
                && type_is_self(&reference.elem)
            {
                return Ok(reference.mutability.is_some());
            }
        }
        _ => {}
    }
    let text = "a method of a service takes `&self` or `&mut self`: it is called again and again";
    Err(Error::new_spanned(receiver, text))
}

fn type_is_self(kind: &Type) -> bool {
    matches!(kind, Type::Path(path) if path.path.is_ident("Self"))
}

fn check_signature(signature: &Signature, is_property: bool) -> syn::Result<()> {
    for parameter in &signature.generics.params {
        if !matches!(parameter, GenericParam::Lifetime(_)) {
            let text = "a method of a service cannot be generic: its arguments come as JSON, which has no types; \
                        write one method for each type, or leave `pub` out";
            return Err(Error::new_spanned(parameter, text));
        }
    }
    if is_property && let Some(asyncness) = &signature.asyncness {
        let text = "a property cannot be `async`: it is read when the service registers; make it a method";
        return Err(Error::new_spanned(asyncness, text));
    }
    if signature.ident.unraw().to_string().starts_with('_') {
        let text =
            "clients cannot ask for names that begin with an underscore; leave `pub` out, or rename it";
        return Err(Error::new_spanned(&signature.ident, text));
    }
    Ok(())
}

/// The type of which a value is made, and whether the method takes a reference to it.
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
                elem if is_special(elem) => Ok((elem.clone(), true)),
                _ => {
                    let text =
                        "of references, `&str`, `&[T]` and `&Request` can be arguments; take others by value";
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

fn is_special(kind: &Type) -> bool {
    last_name(kind).is_some_and(|name| name == "Request" || name == "Positional" || name == "Keywords")
}

fn last_name(kind: &Type) -> Option<&Ident> {
    match kind {
        Type::Path(path) => path.path.segments.last().map(|segment| &segment.ident),
        Type::Paren(paren) => last_name(&paren.elem),
        Type::Group(group) => last_name(&group.elem),
        _ => None,
    }
}

/// Takes a mark like `#[hidden]` out of the attributes; whether it was there.
pub(crate) fn take_mark(attributes: &mut Vec<Attribute>, name: &str) -> syn::Result<bool> {
    let Some(index) = attributes.iter().position(|known| known.path().is_ident(name)) else {
        return Ok(false);
    };
    let mark = attributes.remove(index);
    match mark.meta {
        Meta::Path(_) => Ok(true),
        meta => Err(Error::new_spanned(meta, format!("`#[{name}]` takes nothing"))),
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

/// The text of the doc comments.
pub(crate) fn description(attributes: &[Attribute]) -> String {
    let lines = attributes.iter().filter_map(|attribute| match &attribute.meta {
        Meta::NameValue(pair) if pair.path.is_ident("doc") => match &pair.value {
            Expr::Lit(ExprLit {
                lit: Lit::Str(line), ..
            }) => Some(line.value()),
            _ => None,
        },
        _ => None,
    });
    let lines: Vec<String> = lines
        .map(|line| line.strip_prefix(' ').unwrap_or(&line).trim_end().to_owned())
        .collect();
    lines.join("\n").trim().to_owned()
}

/// The `#[cfg]`s among the attributes.
pub(crate) fn conditions(attributes: &[Attribute]) -> Vec<Attribute> {
    let conditions = attributes.iter().filter(|known| known.path().is_ident("cfg"));
    conditions.cloned().collect()
}
