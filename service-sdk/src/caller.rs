//! Who sends a request.

use serde::Deserialize;

use crate::error::ServiceError;
use crate::request::Request;

/// The role of administrators, which includes all others.
const ADMINISTRATOR: &str = "administrator";

/// Who sends a request, in the words of the manager: a client cannot set it.
///
/// A method with a parameter of this type, or of a reference to it, learns who called it. Clients do
/// not see the parameter. A manager that does not tell, such as MSL-Network's own, lets the service do
/// without: such a method then refuses every request with a `PermissionError`.
///
/// Groups and roles are known at a manager that runs with `--roles`; elsewhere there are none.
///
/// ```
/// # mod support { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/lab.rs")); }
/// # fn main() {
/// use labwire_service::{Caller, service};
///
/// struct Logbook;
///
/// #[service]
/// impl Logbook {
///     pub fn sign(&self, caller: &Caller) -> String {
///         match caller.user() {
///             Some(user) => format!("signed by {user}"),
///             None => format!("signed at {}", caller.address()),
///         }
///     }
/// }
///
/// # support::serve(Logbook, async |logbook| {
/// // What a client gets that has not logged in:
/// assert_eq!(logbook.call::<String>("sign", ()).await?, "signed at 127.0.0.1");
/// # Ok(())
/// # });
/// # }
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Caller {
    user: Option<String>,
    #[serde(default)]
    groups: Vec<String>,
    #[serde(default)]
    roles: Vec<String>,
    address: String,
    tls: bool,
    #[serde(default)]
    token: bool,
    #[serde(default)]
    certificate: bool,
}

impl Caller {
    /// Returns the user that the client has logged in as, or `None` if it has not.
    ///
    /// See the example of [`Caller`].
    pub fn user(&self) -> Option<&str> {
        self.user.as_deref()
    }

    /// Returns the groups of users that the user is a member of, by name.
    pub fn groups(&self) -> &[String] {
        &self.groups
    }

    /// Returns the roles that are granted to the user for this service, by name. An administrator has
    /// the role `administrator`, unless the client has logged in with a token.
    pub fn roles(&self) -> &[String] {
        &self.roles
    }

    /// Returns the IP address of the client's computer.
    ///
    /// See the example of [`Caller`].
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Returns whether the client's connection to the manager is encrypted.
    pub fn is_encrypted(&self) -> bool {
        self.tls
    }

    /// Returns whether the client has logged in with a token of the user, which allows less than the
    /// user may do.
    pub fn has_token(&self) -> bool {
        self.token
    }

    /// Returns whether the client has logged in with a certificate of the user, in place of a password.
    pub fn has_certificate(&self) -> bool {
        self.certificate
    }

    /// Returns whether the user has a role for this service. Administrators have every role.
    pub fn has_role(&self, role: &str) -> bool {
        self.roles.iter().any(|own| own == role || own == ADMINISTRATOR)
    }
}

/// Returns who sends a request, for a method that must know it.
///
/// # Errors
/// The manager does not tell.
pub fn caller(request: &Request) -> Result<Caller, ServiceError> {
    request.caller().ok_or_else(unknown_caller)
}

/// Checks that whoever sends a request has a role.
///
/// # Errors
/// The sender has no such role, or the manager does not tell.
pub fn require(request: &Request, role: &str) -> Result<(), ServiceError> {
    require_role(request.caller().as_ref(), role)
}

/// Returns the error of a request whose sender is not known, although the method must know it.
fn unknown_caller() -> ServiceError {
    ServiceError::new(
        "PermissionError",
        "this method must know who calls it, and the manager does not tell: it needs Labwire's manager",
    )
}

fn require_role(caller: Option<&Caller>, role: &str) -> Result<(), ServiceError> {
    let caller = caller.ok_or_else(unknown_caller)?;
    if caller.has_role(role) {
        return Ok(());
    }
    let who = match caller.user() {
        Some(user) => format!("the user '{user}' has"),
        None => "a client that has not logged in has".to_owned(),
    };
    Err(ServiceError::new(
        "PermissionError",
        format!("this method requires the role '{role}' for this service, which {who} not"),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn caller(text: &str) -> Caller {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn who_has_a_role_may_and_an_administrator_too() {
        for (roles, allowed) in [
            (r#"["observer","operator"]"#, true),
            (r#"["administrator"]"#, true),
            (r#"["observer"]"#, false),
            ("[]", false),
        ] {
            let text = format!(r#"{{"user":"ada","groups":[],"roles":{roles},"address":"::1","tls":true}}"#);
            let checked = require_role(Some(&caller(&text)), "operator");
            assert_eq!(checked.is_ok(), allowed, "{roles}");
        }
        let stranger = caller(r#"{"user":null,"address":"::1","tls":false,"later":1}"#);
        let refused = require_role(Some(&stranger), "operator").unwrap_err();
        assert_eq!(
            refused.to_string(),
            "PermissionError: this method requires the role 'operator' for this service, which a client that has not \
             logged in has not"
        );
        assert!(require_role(None, "operator").is_err(), "nobody knows who it is");
    }
}
