//! What a token allows: permissions that are written in a short way.

use crate::action::Action;
use crate::pattern::{Pattern, PatternError};
use crate::permission::{ASK, Effect, Permission, PermissionError, first_word};
use crate::scope::Scope;

/// Reads what a token allows. It is a permission, such as `publish lab.*`; or a service without an
/// action, such as `DMM` or `DMM.read*`, which stands for what a client needs to use it: to see it,
/// to link with it and to call it.
///
/// ```
/// use labwire_access::{PermissionError, permissions_to_use};
///
/// let texts = |text| -> Result<Vec<String>, PermissionError> {
///     Ok(permissions_to_use(text)?.iter().map(ToString::to_string).collect())
/// };
/// assert_eq!(texts("DMM.read*")?, ["call DMM.read*", "see DMM", "link DMM"]);
/// assert_eq!(texts("DMM")?, ["call DMM", "see DMM", "link DMM"]);
/// assert_eq!(texts("lock DMM")?, ["lock DMM"]);
/// assert_eq!(texts("ask call DMM.write")?, ["ask call DMM.write"]);
/// # Ok::<_, PermissionError>(())
/// ```
///
/// # Errors
/// See [`PermissionError`].
pub fn permissions_to_use(text: &str) -> Result<Vec<Permission>, PermissionError> {
    let text = text.trim();
    let (first, rest) = first_word(text);
    let asks = first == ASK && !rest.is_empty();
    if asks || text.is_empty() || Action::ALL.iter().any(|action| action.name() == first) {
        return Ok(vec![text.parse()?]);
    }
    let call: Permission = format!("{} {text}", Action::Call).parse()?;
    let of_object = |action| Permission {
        action,
        object: call.object.clone(),
        attribute: Pattern::everything(),
        effect: Effect::Allow,
    };
    let (see, link) = (of_object(Action::See), of_object(Action::Link));
    Ok(vec![call, see, link])
}

/// Returns what a service needs to register its name, and to emit notifications. A `*` or `?` in the
/// name is one of a pattern.
///
/// # Errors
/// See [`PatternError`].
pub fn permissions_to_serve(name: &str) -> Result<Vec<Permission>, PatternError> {
    let object = Scope::Pattern(Pattern::new(name)?);
    let permission = |action| Permission {
        action,
        object: object.clone(),
        attribute: Pattern::everything(),
        effect: Effect::Allow,
    };
    Ok([Action::Register, Action::Notify].map(permission).into())
}
