//! What peers do.

use std::fmt;
use std::str::FromStr;

/// What a permission allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Action {
    /// See a service in the lists of the manager.
    See,
    /// Link with a service, and so receive its notifications.
    Link,
    /// Send requests to a service.
    Call,
    /// Lock a service.
    Lock,
    /// Break the lock of somebody else on a service.
    BreakLock,
    /// Connect as the service of a name.
    Register,
    /// Emit notifications as a service.
    Notify,
    /// Publish values to a topic.
    Publish,
    /// Subscribe to topics.
    Subscribe,
    /// Send an administrator's request to the manager.
    Administer,
    /// Decide about a request of somebody else to a service that waits for approval.
    Approve,
}

/// No action has this name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is no action '{0}'")]
pub struct UnknownAction(
    /// The given name.
    pub String,
);

impl Action {
    /// All actions, in the order in which they are listed.
    pub const ALL: [Self; 11] = [
        Self::See,
        Self::Link,
        Self::Call,
        Self::Lock,
        Self::BreakLock,
        Self::Register,
        Self::Notify,
        Self::Publish,
        Self::Subscribe,
        Self::Administer,
        Self::Approve,
    ];

    /// Returns the action's name, the first word of a permission.
    pub fn name(self) -> &'static str {
        match self {
            Self::See => "see",
            Self::Link => "link",
            Self::Call => "call",
            Self::Lock => "lock",
            Self::BreakLock => "break-lock",
            Self::Register => "register",
            Self::Notify => "notify",
            Self::Publish => "publish",
            Self::Subscribe => "subscribe",
            Self::Administer => "administer",
            Self::Approve => "approve",
        }
    }

    /// Returns whether a permission for it names attributes of services, too.
    pub fn has_attribute(self) -> bool {
        matches!(self, Self::Call | Self::Approve)
    }
}

impl fmt::Display for Action {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

impl FromStr for Action {
    type Err = UnknownAction;

    fn from_str(name: &str) -> Result<Self, UnknownAction> {
        let found = Self::ALL.into_iter().find(|action| action.name() == name);
        found.ok_or_else(|| UnknownAction(name.to_owned()))
    }
}

/// One thing that a peer wants to do. Its text is that of the permission that it needs, such as
/// `call DMM.read`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Access<'a> {
    /// What it wants to do.
    pub action: Action,
    /// The name of a service; of a topic for [`Action::Publish`]; a pattern of topics for
    /// [`Action::Subscribe`]; the name of the request for [`Action::Administer`].
    pub object: &'a str,
    /// The attribute of the service, for [`Action::Call`] and [`Action::Approve`]; otherwise empty.
    pub attribute: &'a str,
}

impl<'a> Access<'a> {
    /// Returns the access that an action has to a service, a topic or a request.
    pub fn to(action: Action, object: &'a str) -> Self {
        Self {
            action,
            object,
            attribute: "",
        }
    }

    /// Returns the access of a request to an attribute of a service.
    pub fn call(service: &'a str, attribute: &'a str) -> Self {
        Self {
            action: Action::Call,
            object: service,
            attribute,
        }
    }

    /// Returns the access of somebody who approves, or refuses, a request to an attribute of a service.
    pub fn approve(service: &'a str, attribute: &'a str) -> Self {
        Self {
            action: Action::Approve,
            object: service,
            attribute,
        }
    }
}

impl fmt::Display for Access<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            action,
            object,
            attribute,
        } = self;
        if action.has_attribute() {
            write!(formatter, "{action} {object}.{attribute}")
        } else {
            write!(formatter, "{action} {object}")
        }
    }
}
