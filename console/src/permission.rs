//! Refusals for lack of a permission, at managers with roles and for tokens.
//!
//! As of other [refusals](crate::doctor), there is nothing but the text on the wire. protocol.md
//! lists its three forms.

use crate::failure::{Failure, without_exception};
use crate::output::{shell_argument, shell_word};

/// The actions whose permissions apply to services alone.
const OF_SERVICES: [&str; 6] = ["see", "link", "lock", "break-lock", "register", "notify"];

/// A permission that is missing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Lacking<'a> {
    /// As in `call DMM.read`.
    permission: &'a str,
    whose: Whose<'a>,
}

/// Who lacks it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Whose<'a> {
    User(&'a str),
    /// The token of a user, who may have the permission.
    Token,
    /// A peer that has not logged in as a user.
    Everyone,
}

impl<'a> Lacking<'a> {
    /// Reads a message of the manager, with or without the name of the exception. Returns `None` if it
    /// is about something else.
    pub(crate) fn read(message: &'a str) -> Option<Self> {
        let line = without_exception(message).lines().next()?;
        let (permission, whose) = line.strip_prefix("the permission '")?.split_once("' is not ")?;
        let whose = if whose.starts_with("one of the token ") {
            Whose::Token
        } else if let Some(user) = whose.strip_prefix("granted to the user '") {
            Whose::User(user.strip_suffix('\'')?)
        } else if whose.starts_with("granted to everyone") {
            Whose::Everyone
        } else {
            return None;
        };
        Some(Self { permission, whose })
    }

    /// Returns the command with which an administrator finds out why. A request for an attribute of a
    /// service needs more than one permission; with the attribute, the command is about all of them.
    pub(crate) fn hint(&self, attribute: Option<&str>) -> String {
        let user = match self.whose {
            Whose::User(user) => user,
            Whose::Token => {
                return "an administrator can look what the token allows: labwire token list".to_owned();
            }
            Whose::Everyone => {
                return "log in with --username NAME; an administrator can look what is granted to everyone: labwire \
                        grant list"
                    .to_owned();
            }
        };
        let words = match self.permission.split_once(' ') {
            Some(("call", object)) => object
                .rsplit_once('.')
                .map(|(service, called)| (service, Some(called))),
            Some((action, service)) if OF_SERVICES.contains(&action) => Some((service, None)),
            _ => None,
        };
        let question = match words {
            Some((service, called)) => {
                let attribute = called.or(attribute).map(shell_argument);
                match attribute {
                    Some(attribute) => format!("{} {attribute}", shell_word(service)),
                    None => shell_argument(service),
                }
            }
            None => format!("--permission {}", shell_argument(self.permission)),
        };
        format!(
            "an administrator can look why: labwire may {} {question}",
            shell_word(user)
        )
    }
}

/// Returns whether a failure is the lack of a permission.
pub(crate) fn is_lacking(failure: &Failure) -> bool {
    matches!(failure, Failure::Refused(text) if Lacking::read(text).is_some())
}

/// Names the attribute that was to be called in the hint of a failure, if that is the lack of a
/// permission.
pub(crate) fn of_call(failure: Failure, attribute: &str) -> Failure {
    failure.map_text(|text| match Lacking::read(&text) {
        Some(lacking) => text.replacen(&lacking.hint(None), &lacking.hint(Some(attribute)), 1),
        None => text,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_permission_has_the_command_that_explains_it() {
        let of_olga = |permission: &str| {
            format!("PermissionError: the permission '{permission}' is not granted to the user 'olga'")
        };
        for (message, attribute, expected) in [
            (of_olga("link DMM"), Some("read"), "labwire may olga DMM read"),
            (of_olga("link DMM"), None, "labwire may olga DMM"),
            (of_olga("call lab.DMM.read"), None, "labwire may olga lab.DMM read"),
            (of_olga("lock My DMM"), None, "labwire may olga 'My DMM'"),
            (
                of_olga("publish lab.oven"),
                None,
                "labwire may olga --permission 'publish lab.oven'",
            ),
            (
                "the permission 'call DMM.write' is not one of the token 3 of the user 'ada'".to_owned(),
                None,
                "labwire token list",
            ),
            (
                "PermissionError: the permission 'link DMM' is not granted to everyone, and this peer has not logged \
                 in as a user"
                    .to_owned(),
                Some("read"),
                "labwire grant list",
            ),
        ] {
            let hint = Lacking::read(&message).unwrap().hint(attribute);
            assert!(hint.ends_with(&format!(": {expected}")), "{message}: {hint}");
        }
        for message in [
            "KeyError: 'DMM' service does not exist",
            "PermissionError: 'DMM' service is locked by Ada[pc:1] since 2026-01-01T00:00:00+00:00",
        ] {
            assert_eq!(Lacking::read(message), None, "{message}");
        }
    }

    #[test]
    fn the_attribute_replaces_the_hint_about_the_service() {
        let text = "the permission 'link DMM' is not granted to the user 'olga'";
        let hint = "an administrator can look why: labwire may olga DMM";
        let failure = Failure::Refused(format!("{text}\n{hint}\ndid you mean 'DVM'?"));
        assert!(is_lacking(&failure));
        let named = of_call(failure, "read").to_string();
        assert_eq!(named, format!("{text}\n{hint} read\ndid you mean 'DVM'?"));
        let other = of_call(Failure::Refused("locked\nhint".to_owned()), "read");
        assert_eq!(other.to_string(), "locked\nhint");
    }
}
