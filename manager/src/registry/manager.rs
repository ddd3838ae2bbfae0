//! The manager's own identity, and the lists that it sends.

use labwire_wire::MANAGER_NAME;

use super::peers::PeerId;

/// The manager's own identity.
#[derive(Clone, Debug)]
pub(crate) struct ManagerIdentity {
    /// The computer's name, without white space.
    pub(crate) hostname: String,
    pub(crate) port: u16,
    pub(crate) language: String,
    pub(crate) os: String,
}

impl ManagerIdentity {
    /// Returns the identity of the managers in tests, whose name is `Manager[h:1875]`.
    #[cfg(any(test, feature = "benchmarks", feature = "fuzzing", feature = "lab"))]
    pub(crate) fn sample() -> Self {
        Self {
            hostname: "h".into(),
            port: 1875,
            language: "Rust".into(),
            os: "Linux".into(),
        }
    }

    /// Returns `Manager[HOST:PORT]`, the form by which Python peers recognise a manager.
    pub(crate) fn name(&self) -> String {
        format!("{MANAGER_NAME}[{}:{}]", self.hostname, self.port)
    }
}

/// A list that the manager writes as JSON text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Listing {
    /// The clients, by name: an object.
    Clients,
    /// The services, by name: an object.
    Services,
    /// The linked clients of each service: an object of arrays of names.
    Links,
    /// The clients that hold a lock on each service: an object of arrays of names.
    Locks,
    /// All connected peers by kind and name, with the user that each logged in as: an array of
    /// objects.
    Sessions,
    /// The clients that are linked with that service: an array of names.
    LinkedWith(PeerId),
    /// The clients that hold a lock on that service: an array of names.
    Locking(PeerId),
}
