//! The meaning of a manager's refusals.
//!
//! On the wire, a refusal is a text alone: it has no member with the reason. Scripts search these
//! texts, so all versions of Labwire have the same ones, and those about passwords, hostnames and
//! limits of services are MSL-Network's, too. This table is the only place that reads them.

/// The reason of a refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// The password of the manager (`--auth-password`) is wrong.
    WrongManagerPassword,
    /// The username or its password (`--auth-login`) is wrong.
    WrongLogin,
    /// This computer is not in the list of `--auth-hostname`.
    UntrustedHostname,
    /// A manager with `--auth-certificate` was presented no certificate.
    CertificateNeeded,
    /// The certificate is for no user of the manager.
    NoUserOfCertificate,
    /// A manager without authentication serves its own computer only.
    OwnComputerOnly,
    /// An address must wait after failed logins, or too many logins wait to be checked.
    TooManyLogins,
    /// A limit on connections is reached.
    TooManyConnections,
    /// The manager is being stopped.
    Stopping,
    /// As many clients are linked with a service as it allows.
    ServiceFull,
    /// A client holds the lock of a service.
    ServiceLocked,
}

/// The texts, each a part of the messages with this reason that no peer chooses.
const TEXTS: [(&str, Refusal); 15] = [
    ("Wrong Manager password", Refusal::WrongManagerPassword),
    ("Unregistered user", Refusal::WrongLogin),
    ("Wrong login password", Refusal::WrongLogin),
    ("is not a trusted hostname", Refusal::UntrustedHostname),
    (
        "serves only peers with a client certificate",
        Refusal::CertificateNeeded,
    ),
    ("who is no user of this manager", Refusal::NoUserOfCertificate),
    ("serves its own computer only", Refusal::OwnComputerOnly),
    ("too many failed logins", Refusal::TooManyLogins),
    ("too many logins are waiting", Refusal::TooManyLogins),
    (
        "connections, which is as many as it may have",
        Refusal::TooManyConnections,
    ),
    ("has too many connections", Refusal::TooManyConnections),
    ("is shutting down", Refusal::Stopping),
    ("maximum number of Clients", Refusal::ServiceFull),
    ("service is locked", Refusal::ServiceLocked),
    ("Service is locked", Refusal::ServiceLocked),
];

impl Refusal {
    /// Returns the reason in a manager's message. `None` stands for any other reason.
    pub(super) fn read(message: &str) -> Option<Self> {
        let found = TEXTS.iter().find(|(text, _)| message.contains(text));
        found.map(|(_, refusal)| *refusal)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_messages_of_managers_have_their_reasons() {
        for (message, expected) in [
            (
                "ValueError: Wrong Manager password",
                Some(Refusal::WrongManagerPassword),
            ),
            (
                "ValueError: Unregistered user or Wrong login password",
                Some(Refusal::WrongLogin),
            ),
            (
                "ConnectionError: the manager is shutting down",
                Some(Refusal::Stopping),
            ),
            (
                "PermissionError: 'Scope' service is locked by Ada[pc:1] since 2026-01-01T00:00:00+00:00",
                Some(Refusal::ServiceLocked),
            ),
            (
                "PermissionError: The maximum number of Clients are already linked with 'Scope'\nThe linked Clients \
                 are:\n  Ada[pc:1]",
                Some(Refusal::ServiceFull),
            ),
            ("NameError: the name 'Manager' is reserved", None),
        ] {
            assert_eq!(Refusal::read(message), expected, "{message}");
        }
    }
}
