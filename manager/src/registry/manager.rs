//! The manager itself as it stands in lists, and the lists.

use labwire_wire::MANAGER_NAME;

use super::peers::PeerId;

/// What the registry holds of the manager itself.
#[derive(Clone, Debug)]
pub(crate) struct ManagerIdentity {
    /// The computer's name, without white space.
    pub(crate) hostname: String,
    pub(crate) port: u16,
    pub(crate) language: String,
    pub(crate) os: String,
}

impl ManagerIdentity {
    /// That of the managers in tests: its name is `Manager[h:1875]`.
    #[cfg(any(test, feature = "benchmarks", feature = "fuzzing"))]
    pub(crate) fn sample() -> Self {
        Self {
            hostname: "h".into(),
            port: 1875,
            language: "Rust".into(),
            os: "Linux".into(),
        }
    }

    /// `Manager[HOST:PORT]`, the form by which Python peers recognise a manager.
    pub(crate) fn name(&self) -> String {
        format!("{MANAGER_NAME}[{}:{}]", self.hostname, self.port)
    }
}

/// A list that the manager keeps ready as JSON text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Listing {
    /// The manager's identity, with everyone who is connected: an object.
    Identity,
    /// The clients, by name: an object.
    Clients,
    /// The services, by name: an object.
    Services,
    /// The linked clients of each service: an object of arrays of names.
    Links,
    /// The clients that hold a lock, of each service: an object of arrays of names.
    Locks,
    /// Everyone who is connected, by kind and name, with the user that the peer logged in as: an array of objects.
    Sessions,
    /// The clients that are linked with that service: an array of names.
    LinkedWith(PeerId),
    /// The clients that hold a lock on that service: an array of names.
    Locking(PeerId),
}
