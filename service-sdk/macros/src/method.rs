//! Reads a method of the block.

use syn::ext::IdentExt;
use syn::{
    Attribute, Error, Expr, ExprLit, FnArg, GenericParam, Ident, ImplItemFn, Lit, LitStr, Meta, Receiver,
    ReceiverKind, ReturnType, Signature, Type,
};

use crate::parameter::{Form, Parameter};
use crate::words::last_name;

/// A method that clients can reach.
pub(crate) struct Method {
    pub(crate) ident: Ident,
    pub(crate) description: String,
    /// Its `#[cfg]` attributes.
    pub(crate) conditions: Vec<Attribute>,
    pub(crate) is_hidden: bool,
    /// The role that its callers must have.
    pub(crate) role: Option<LitStr>,
    /// If its arguments are recorded, the parameters that are secret.
    pub(crate) record: Option<Vec<LitStr>>,
    pub(crate) way: Way,
    /// Whether it takes `&mut self`.
    pub(crate) is_exclusive: bool,
    pub(crate) parameters: Vec<Parameter>,
    pub(crate) output: ReturnType,
}

/// How a method is executed.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    /// On a thread that may block.
    Blocking,
    /// On the runtime.
    Async,
    /// As `Blocking`; it is also read when the service registers.
    Property,
}

impl Method {
    /// Reads a method. Removes the attributes that only the macro understands. Returns `None` if
    /// clients cannot reach it.
    pub(crate) fn read(function: &mut ImplItemFn) -> syn::Result<Option<Self>> {
        let is_hidden = take_mark(&mut function.attrs, "hidden")?;
        let is_property = take_mark(&mut function.attrs, "property")?;
        let role = take_role(&mut function.attrs)?;
        let record = take_record(&mut function.attrs)?;
        let signature = &mut function.sig;
        let is_public = matches!(function.vis, syn::Visibility::Public(_));
        let (true, Some(receiver)) = (is_public, signature.receiver()) else {
            if is_hidden || is_property || role.is_some() || record.is_some() {
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
        if is_property && let Some(role) = &role {
            let text = "everybody who sees the service sees the value of a property; make it a method";
            return Err(Error::new_spanned(role, text));
        }
        if is_property && record.is_some() {
            let text = "a property has no arguments that could be recorded";
            return Err(Error::new_spanned(&signature.ident, text));
        }
        for secret in record.iter().flatten() {
            expect_parameter(secret, &parameters)?;
        }
        Ok(Some(Self {
            ident: signature.ident.clone(),
            description: description(&function.attrs),
            conditions: conditions(&function.attrs),
            is_hidden,
            role,
            record,
            way: match (is_property, signature.asyncness) {
                (true, _) => Way::Property,
                (false, Some(_)) => Way::Async,
                (false, None) => Way::Blocking,
            },
            is_exclusive,
            parameters,
            output: signature.output.clone(),
        }))
    }

    /// Returns the name on the network.
    pub(crate) fn name(&self) -> String {
        self.ident.unraw().to_string()
    }

    /// Returns whether it must know who sends a request.
    pub(crate) fn needs_caller(&self) -> bool {
        let takes_one = |parameter: &Parameter| matches!(parameter.form, Form::Caller);
        self.role.is_some() || self.parameters.iter().any(takes_one)
    }

    /// Returns whether it returns a `Result`.
    pub(crate) fn can_fail(&self) -> bool {
        match &self.output {
            ReturnType::Type(_, kind) => last_name(kind).is_some_and(|name| name == "Result"),
            ReturnType::Default => false,
        }
    }
}

/// Returns whether the receiver is `&mut self`.
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

/// Removes a mark like `#[hidden]` from the attributes. Returns whether it was there.
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

/// Removes `#[requires("ROLE")]` from the attributes. Returns the role.
fn take_role(attributes: &mut Vec<Attribute>) -> syn::Result<Option<LitStr>> {
    let Some(index) = attributes
        .iter()
        .position(|known| known.path().is_ident("requires"))
    else {
        return Ok(None);
    };
    let mark = attributes.remove(index);
    let role = mark.parse_args::<LitStr>();
    match role {
        Ok(role) if !role.value().is_empty() => Ok(Some(role)),
        _ => Err(Error::new_spanned(
            &mark.meta,
            "what is required is a role: `#[requires(\"operator\")]`",
        )),
    }
}

/// Removes `#[record(arguments, secret = "PARAMETER")]` from the attributes. Returns the secrets, of which
/// there may be several.
fn take_record(attributes: &mut Vec<Attribute>) -> syn::Result<Option<Vec<LitStr>>> {
    let Some(index) = attributes
        .iter()
        .position(|known| known.path().is_ident("record"))
    else {
        return Ok(None);
    };
    let mark = attributes.remove(index);
    let (mut records, mut secrets) = (false, Vec::new());
    let unknown = "write `#[record(arguments)]` or `#[record(arguments, secret = \"PARAMETER\")]`";
    let read = mark.parse_nested_meta(|meta| {
        if meta.path.is_ident("arguments") {
            records = true;
        } else if meta.path.is_ident("secret") {
            secrets.push(meta.value()?.parse()?);
        } else {
            return Err(meta.error(unknown));
        }
        Ok(())
    });
    match read {
        Ok(()) if records => Ok(Some(secrets)),
        _ => Err(Error::new_spanned(&mark.meta, unknown)),
    }
}

/// Checks that a secret is a parameter that clients give by its name.
fn expect_parameter(secret: &LitStr, parameters: &[Parameter]) -> syn::Result<()> {
    let is_named = |parameter: &Parameter| {
        matches!(parameter.form, Form::Argument(_)) && parameter.name() == secret.value()
    };
    if parameters.iter().any(is_named) {
        return Ok(());
    }
    let text = format!(
        "the method has no parameter `{}` that could be secret",
        secret.value()
    );
    Err(Error::new_spanned(secret, text))
}

/// Returns the text of the doc comments.
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

/// Returns the `#[cfg]`s among the attributes.
pub(crate) fn conditions(attributes: &[Attribute]) -> Vec<Attribute> {
    let conditions = attributes.iter().filter(|known| known.path().is_ident("cfg"));
    conditions.cloned().collect()
}
