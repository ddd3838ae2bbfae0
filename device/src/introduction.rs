//! The identity that a device sends to the manager.

use std::time::Duration;

use labwire_home::operating_system;
use labwire_wire::{ResumeRequest, SessionRequest};

use crate::payload::{EncodeError, to_json};

/// A device's identity.
///
/// ```
/// use labwire_device::{ConnectOptions, Introduction, connect};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let manager = labwire_testing::TestManager::start().await;
/// # let options = ConnectOptions::new().port(manager.port()).without_tls();
/// let service = Introduction::service("Echo", r#"{"echo":"(*args, **kwargs)"}"#).max_clients(1);
/// assert_eq!(service.name(), "Echo");
/// let connection = connect(&options, &service).await?;
/// assert!(connection.network_name.starts_with("Echo["));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Introduction {
    name: String,
    kind: Kind,
    features: &'static [&'static str],
    session: Option<SessionRequest>,
    /// Whether the service wants to know who sends each request.
    asks_for_callers: bool,
    /// The methods whose arguments the manager is asked to record, as JSON text.
    record_arguments: Option<String>,
}

#[derive(Clone, Debug)]
enum Kind {
    Client,
    Service {
        attributes: String,
        max_clients: Option<u32>,
    },
}

/// A feature of every device: the manager confirms that it has accepted the device.
pub(crate) const REGISTERED: &str = "registered";

/// What the manager says instead to a device that has returned to its session.
pub(crate) const RESUMED: &str = "resumed";

/// The feature of devices whose place the manager keeps after their connection broke.
const SESSIONS: &str = "sessions";

/// The feature for long lines that arrive while the manager is still receiving them.
const CUT_THROUGH: &str = "cut-through";

/// The feature for raw bytes that follow a line.
pub(crate) const BINARY: &str = "binary";

impl Introduction {
    /// Creates the identity of a client. Among its features are notice of a linked service that
    /// disconnects, a mark on the manager's own errors, and notice of requests that wait for approval.
    ///
    /// ```
    /// # use labwire_device::Introduction;
    /// assert_eq!(Introduction::client("Ada").name(), "Ada");
    /// ```
    pub fn client(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            kind: Kind::Client,
            features: &[
                REGISTERED,
                "unlinked",
                "origin",
                CUT_THROUGH,
                "leases",
                BINARY,
                "approval",
            ],
            session: None,
            asks_for_callers: false,
            record_arguments: None,
        }
    }

    /// Creates the identity of a service. `attributes` is the JSON text of an object from names to
    /// signatures or plain values.
    ///
    /// See the example of [`Introduction`].
    pub fn service(name: impl Into<String>, attributes: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            kind: Kind::Service {
                attributes: attributes.into(),
                max_clients: None,
            },
            features: &[REGISTERED, CUT_THROUGH, "progress", "cancel", BINARY],
            session: None,
            asks_for_callers: false,
            record_arguments: None,
        }
    }

    /// Sets the maximum number of linked clients. 0, the default, means no limit.
    ///
    /// See the example of [`Introduction`].
    #[must_use]
    pub fn max_clients(mut self, limit: u32) -> Self {
        if let Kind::Service { max_clients, .. } = &mut self.kind {
            *max_clients = (limit > 0).then_some(limit);
        }
        self
    }

    /// Asks the manager to keep the session for this long after the connection broke. `None`, the
    /// default, asks for none. A device that asks must [confirm](crate::Confirmations) what it
    /// receives.
    ///
    /// ```
    /// use std::time::Duration;
    /// use labwire_device::Introduction;
    ///
    /// let ada = Introduction::client("Ada").session(Some(Duration::from_secs(60)));
    /// ```
    #[must_use]
    pub fn session(mut self, grace: Option<Duration>) -> Self {
        self.session = grace.map(|grace| SessionRequest {
            grace: Some(grace.as_secs()),
            ..SessionRequest::default()
        });
        self
    }

    /// Lets the callers of a service wait while it is away, within the time of its session. By
    /// default they are told at once that it is away.
    ///
    /// ```
    /// use std::time::Duration;
    /// use labwire_device::Introduction;
    ///
    /// let grace = Some(Duration::from_mins(1));
    /// let echo = Introduction::service("Echo", "{}").session(grace).keep_callers(true);
    /// ```
    #[must_use]
    pub fn keep_callers(mut self, keep: bool) -> Self {
        if let Some(session) = &mut self.session {
            session.keep_callers = keep;
        }
        self
    }

    /// Asks the manager to tell a service with each request who sends it: the member `caller`. By
    /// default it is not told.
    ///
    /// ```
    /// use labwire_device::Introduction;
    ///
    /// let echo = Introduction::service("Echo", "{}").ask_for_callers(true);
    /// ```
    #[must_use]
    pub fn ask_for_callers(mut self, asks: bool) -> Self {
        self.asks_for_callers = asks && self.is_service();
        self
    }

    /// Asks the manager to record the arguments of some requests of a service, if it records calls.
    /// `methods` is the JSON text of the identity's member `record_arguments`, as
    /// [`RecordedMethods`](labwire_wire::RecordedMethods) describes it. By default none are recorded.
    ///
    /// ```
    /// use labwire_device::Introduction;
    ///
    /// let methods = r#"{"unlock":{"parameters":["door","code"],"secret":["code"]}}"#;
    /// let door = Introduction::service("Door", "{}").record_arguments(Some(methods.to_owned()));
    /// ```
    #[must_use]
    pub fn record_arguments(mut self, methods: Option<String>) -> Self {
        self.record_arguments = methods.filter(|_| self.is_service());
        self
    }

    /// Leaves out the feature `binary`: arrays arrive as base64. For tests.
    #[doc(hidden)]
    #[must_use]
    pub fn without_binary(mut self) -> Self {
        self.features = match self.kind {
            Kind::Client => &[
                REGISTERED,
                "unlinked",
                "origin",
                CUT_THROUGH,
                "leases",
                "approval",
            ],
            Kind::Service { .. } => &[REGISTERED, CUT_THROUGH, "progress", "cancel"],
        };
        self
    }

    pub(crate) fn is_service(&self) -> bool {
        matches!(self.kind, Kind::Service { .. })
    }

    /// Returns the name that the device will have on the network.
    ///
    /// See the example of [`Introduction`].
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the identity as JSON text, in the form that the manager expects.
    pub(crate) fn to_json(&self, resume: Option<ResumeRequest>) -> Result<String, EncodeError> {
        let name = to_json(&self.name)?;
        let session = self
            .session
            .clone()
            .map(|session| SessionRequest { resume, ..session });
        let sessions = session.as_ref().map(|_| SESSIONS);
        let caller = self.asks_for_callers.then_some("caller");
        let features: Vec<&str> = self
            .features
            .iter()
            .copied()
            .chain(sessions)
            .chain(caller)
            .collect();
        let features = to_json(&features)?;
        let session = session.map(|session| format!(",\"session\":{}", session.to_json()));
        let session = session.unwrap_or_default();
        let language = to_json(&format!("Rust, Labwire {}", env!("CARGO_PKG_VERSION")))?;
        let system = to_json(&operating_system())?;
        let about = format!(
            "\"name\":{name},\"language\":{language},\"os\":{system},\"features\":{features}{session}"
        );
        Ok(match &self.kind {
            Kind::Client => format!("{{\"type\":\"client\",{about}}}"),
            Kind::Service {
                attributes,
                max_clients,
            } => {
                let limit = max_clients.map_or(-1, i64::from);
                let recorded = self.record_arguments.as_ref();
                let recorded = recorded.map(|methods| format!(",\"record_arguments\":{methods}"));
                let recorded = recorded.unwrap_or_default();
                format!(
                    "{{\"type\":\"service\",{about},\"attributes\":{attributes},\"max_clients\":{limit}{recorded}}}"
                )
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use labwire_wire::{Identity, Role};

    use super::*;

    #[test]
    fn the_manager_reads_what_was_said() {
        let service = Introduction::service("Digital \"M\"", r#"{"read":"() -> float"}"#).max_clients(2);
        let identity = Identity::from_json(service.to_json(None).unwrap().as_bytes()).unwrap();
        assert_eq!(identity.name, "Digital \"M\"");
        let role = Role::Service {
            attributes: r#"{"read":"() -> float"}"#.to_owned(),
            max_clients: Some(2),
            recorded: None,
        };
        assert_eq!(identity.role, role);

        let client = Introduction::client("Ada").to_json(None).unwrap();
        assert_eq!(Identity::from_json(client.as_bytes()).unwrap().role, Role::Client);
        let unlimited = Introduction::service("S", "{}")
            .max_clients(0)
            .to_json(None)
            .unwrap();
        assert!(unlimited.contains("\"max_clients\":-1"), "{unlimited}");
    }

    #[test]
    fn a_session_is_asked_for_and_returned_to() {
        let grace = Some(Duration::from_mins(1));
        let service = Introduction::service("S", "{}").session(grace).keep_callers(true);
        let resume = ResumeRequest {
            secret: "abc".to_owned(),
            received: 7,
        };
        for resume in [None, Some(resume)] {
            let identity = service.to_json(resume.clone()).unwrap();
            let identity = Identity::from_json(identity.as_bytes()).unwrap();
            assert!(identity.features.sessions && identity.features.cut_through);
            let expected = SessionRequest {
                grace: Some(60),
                keep_callers: true,
                resume,
            };
            assert_eq!(identity.session, Some(expected));
        }
        let without = service.session(None).to_json(None).unwrap();
        assert!(!without.contains("session"), "{without}");
    }
}
