//! Notifications to all clients that are linked with a service.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use labwire_device::payload::{Arguments, Attached, EncodeError, IntoArguments};
use labwire_wire::frames::json_string;
use labwire_wire::{MANAGER_NAME, NOTIFICATION_UID, Topic, TopicError};
use serde::Serialize;
use thiserror::Error;

use crate::outbox::{Gone, NotTaken, Outbox, OutboxReceiver, outbox};

/// Sends notifications to all clients that are linked with the service.
///
/// It can be cloned and used from methods, tasks and threads. [`Request`](crate::Request),
/// [`ServiceHandle`](crate::ServiceHandle) and [`RunningService`](crate::RunningService) provide
/// one. A service whose own threads need it before the start creates one and passes it to
/// [`Runner::notifier`](crate::Runner::notifier):
///
/// ```
/// use labwire_service::{Notifier, NotifyError, args};
///
/// let notifier = Notifier::new();
/// // Until a service runs with it nobody can hear it.
/// assert!(matches!(notifier.notify(args!["beat", 1]), Err(NotifyError::Disconnected)));
/// ```
#[derive(Clone, Debug, Default)]
pub struct Notifier {
    state: Arc<Mutex<State>>,
}

/// The reason why a notification was not sent; [`Notifier`] has an example.
///
/// ```
/// use std::collections::BTreeMap;
/// use labwire_service::{Notifier, NotifyError};
///
/// let notifier = Notifier::new();
/// let error = notifier.notify((20.5,)).unwrap_err();
/// assert_eq!(error, NotifyError::Disconnected);
/// assert_eq!(error.to_string(), "the service is not connected to a manager");
///
/// let error = notifier.notify((BTreeMap::from([([1, 2], "lists are no keys")]),)).unwrap_err();
/// assert!(matches!(error, NotifyError::Encode(_)));
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum NotifyError {
    /// There is no connection to the manager, and no buffer for notifications.
    #[error("the service is not connected to a manager")]
    Disconnected,
    /// The outbox or the buffer is full: the manager reads too slowly, or the connection is lost.
    #[error("too many notifications wait to be sent")]
    Full,
    /// The service has ended.
    #[error("the service has ended")]
    Ended,
    /// A value cannot be encoded as JSON.
    #[error(transparent)]
    Encode(#[from] EncodeError),
    /// The name of a topic is not one.
    #[error(transparent)]
    Topic(#[from] TopicError),
}

#[derive(Debug, Default)]
struct State {
    /// The name of the service as JSON text.
    service: String,
    /// The most notifications to keep while there is no connection.
    capacity: usize,
    outlet: Outlet,
}

#[derive(Debug, Default)]
enum Outlet {
    /// There was no connection yet.
    #[default]
    None,
    Connected(Outbox),
    Disconnected(VecDeque<Composed>),
    Ended,
}

impl Notifier {
    /// Creates a notifier that belongs to no service yet.
    ///
    /// See the example of [`Notifier`].
    pub fn new() -> Self {
        Self::default()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends a notification without waiting.
    ///
    /// During a reconnect it goes into the [buffer](crate::Runner::buffer), if there is one. `Ok`
    /// means that the notification is queued; delivery is not confirmed.
    ///
    /// ```
    /// # mod support { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/lab.rs")); }
    /// # use labwire_service::service;
    /// # struct Thermometer;
    /// # #[service]
    /// # impl Thermometer {
    /// #     pub fn read(&self) -> f64 { 20.0 }
    /// # }
    /// # use labwire_service::{Notifier, Runner};
    /// use labwire_service::args;
    ///
    /// # fn main() {
    /// # let notifier = Notifier::new();
    /// # let given = notifier.clone();
    /// # support::run(async |options| {
    /// # let running = Runner::new(Thermometer).notifier(given).options(options.clone()).connect().await?;
    /// # let client = labwire_client::Client::connect("Ada", options).await?;
    /// # let thermometer = client.link("Thermometer").await?;
    /// # let mut notifications = thermometer.notifications();
    /// notifier.notify(args![20.5, unit = "°C"])?;
    /// notifier.notify((1, "a tuple is positional arguments"))?;
    ///
    /// // What a client that is linked gets:
    /// let first = notifications.next().await.expect("the service is there");
    /// assert_eq!((first.positional_json(), first.keywords_json()), ("[20.5]", r#"{"unit":"°C"}"#));
    /// # Ok(())
    /// # });
    /// # }
    /// ```
    pub fn notify(&self, arguments: impl IntoArguments) -> Result<(), NotifyError> {
        let result = result(arguments.into_arguments())?;
        self.send(|service| frame(service, result))
    }

    /// Queues or keeps the frame that `compose` makes of the service's name, as JSON text.
    fn send(&self, compose: impl FnOnce(&str) -> Composed) -> Result<(), NotifyError> {
        let state = &mut *self.state();
        match &mut state.outlet {
            Outlet::Connected(outbox) => {
                let frame = compose(&state.service);
                let frame = frame.pieces(outbox.takes_buffers());
                outbox.try_send(frame).map_err(|refused| match refused {
                    NotTaken::Full => NotifyError::Full,
                    NotTaken::Gone => NotifyError::Disconnected,
                })
            }
            outlet => outlet.keep(state.capacity, || compose(&state.service)),
        }
    }

    /// Publishes a value to a topic, words between dots, without waiting. Clients receive it if they
    /// have subscribed to the topic; they need not be linked with the service.
    ///
    /// It is queued or buffered as by [`notify`](Self::notify). If the manager refuses it, as one of
    /// MSL-Network does, the log says so.
    ///
    /// ```
    /// # mod support { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/lab.rs")); }
    /// # use labwire_service::service;
    /// # struct Thermometer;
    /// # #[service]
    /// # impl Thermometer {
    /// #     pub fn read(&self) -> f64 { 20.0 }
    /// # }
    /// # use labwire_service::{Notifier, Runner};
    /// # fn main() {
    /// # let notifier = Notifier::new();
    /// # let given = notifier.clone();
    /// # support::run(async |options| {
    /// # let running = Runner::new(Thermometer).notifier(given).options(options.clone()).connect().await?;
    /// # let client = labwire_client::Client::connect("Ada", options).await?;
    /// # let mut values = client.subscribe("lab.>").await?;
    /// notifier.publish("lab.oven.temperature", 180.5)?;
    /// notifier.publish_retained("lab.oven.door", "closed")?;
    ///
    /// // What a client that has subscribed to `lab.>` gets:
    /// let first = values.next().await.expect("there is a connection");
    /// assert_eq!((first.topic(), first.json()), ("lab.oven.temperature", "180.5"));
    /// assert!(first.sender().starts_with("Thermometer["));
    /// # Ok(())
    /// # });
    /// # }
    /// ```
    pub fn publish(&self, topic: &str, value: impl Serialize) -> Result<(), NotifyError> {
        let frame = publication(topic, &value, false)?;
        self.send(|_| frame)
    }

    /// Publishes a value as [`publish`](Self::publish) does, and lets the manager keep it for later
    /// subscribers, in place of the one before. `None` removes it.
    ///
    /// See the example of [`publish`](Self::publish).
    pub fn publish_retained(&self, topic: &str, value: impl Serialize) -> Result<(), NotifyError> {
        let frame = publication(topic, &value, true)?;
        self.send(|_| frame)
    }

    /// Sends a notification. Waits while the outbox is full, for services that produce more than
    /// the network can carry.
    ///
    /// Cancel safe: if the future is dropped early, nothing is sent.
    ///
    /// ```
    /// # mod support { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/lab.rs")); }
    /// # use labwire_service::service;
    /// # struct Thermometer;
    /// # #[service]
    /// # impl Thermometer {
    /// #     pub fn read(&self) -> f64 { 20.0 }
    /// # }
    /// # use labwire_service::{Notifier, Runner};
    /// # fn main() {
    /// # let notifier = Notifier::new();
    /// # let given = notifier.clone();
    /// # support::run(async |options| {
    /// # let running = Runner::new(Thermometer).notifier(given).options(options.clone()).connect().await?;
    /// # let client = labwire_client::Client::connect("Ada", options).await?;
    /// # let thermometer = client.link("Thermometer").await?;
    /// # let mut notifications = thermometer.notifications();
    /// for sample in 0..500 {
    ///     notifier.notify_when_ready((sample,)).await?;
    /// }
    ///
    /// // What a client that is linked gets:
    /// for sample in 0..500 {
    ///     let notification = notifications.next().await.expect("the service is there");
    ///     assert_eq!(notification.decode::<(u32,)>()?, (sample,));
    /// }
    /// # Ok(())
    /// # });
    /// # }
    /// ```
    pub async fn notify_when_ready(&self, arguments: impl IntoArguments) -> Result<(), NotifyError> {
        let result = result(arguments.into_arguments())?;
        let (outbox, frame) = {
            let state = &mut *self.state();
            match &mut state.outlet {
                Outlet::Connected(outbox) => (outbox.clone(), frame(&state.service, result)),
                outlet => return outlet.keep(state.capacity, || frame(&state.service, result)),
            }
        };
        let sent = outbox.send(frame.pieces(outbox.takes_buffers())).await;
        sent.map_err(|Gone| NotifyError::Disconnected)
    }

    /// Sets the service's name, and the capacity of the buffer.
    pub(crate) fn begin(&self, service: &str, capacity: usize) {
        let mut state = self.state();
        state.service = json_string(service);
        state.capacity = capacity;
    }

    /// Creates the outbox of a new connection, and queues the buffered notifications first.
    pub(crate) fn connected(&self, binary: bool) -> (Outbox, OutboxReceiver) {
        let (outbox, receiver) = outbox(binary);
        let mut state = self.state();
        if let Outlet::Disconnected(kept) = &mut state.outlet {
            for frame in kept.drain(..) {
                // An error means that the connection is already lost, which would have lost the
                // frame anyway.
                let _ = outbox.force(frame.pieces(binary));
            }
        }
        state.outlet = Outlet::Connected(outbox.clone());
        (outbox, receiver)
    }

    /// Starts buffering: the connection is lost and the service reconnects.
    /// Goes on with the queue of a session to which the service has returned. Notifications that were
    /// kept meanwhile follow those in the queue.
    pub(crate) fn resumed(&self, outbox: &Outbox) {
        let mut state = self.state();
        if let Outlet::Disconnected(kept) = &mut state.outlet {
            for frame in kept.drain(..) {
                // An error means that the service is ending.
                let _ = outbox.force(frame.pieces(outbox.takes_buffers()));
            }
        }
        state.outlet = Outlet::Connected(outbox.clone());
    }

    pub(crate) fn disconnected(&self) {
        self.state().outlet = Outlet::Disconnected(VecDeque::new());
    }

    /// Refuses further notifications: the service has ended.
    pub(crate) fn ended(&self) {
        self.state().outlet = Outlet::Ended;
    }
}

impl Outlet {
    fn keep(&mut self, capacity: usize, frame: impl FnOnce() -> Composed) -> Result<(), NotifyError> {
        match self {
            Self::Ended => Err(NotifyError::Ended),
            Self::Disconnected(kept) if kept.len() < capacity => {
                kept.push_back(frame());
                Ok(())
            }
            Self::Disconnected(_) if capacity > 0 => Err(NotifyError::Full),
            _ => Err(NotifyError::Disconnected),
        }
    }
}

fn result(arguments: Arguments) -> Result<(String, Attached), EncodeError> {
    let (positional, keywords, attached) = arguments.finish_with_arrays()?;
    Ok((format!("[{positional},{keywords}]"), attached))
}

/// The uid of requests to publish a value. Nothing waits for the answers, except for the log.
pub(crate) const PUBLICATION_UID: &str = "publish";

/// Composes the request to the manager that publishes a value.
fn publication(topic: &str, value: &impl Serialize, retain: bool) -> Result<Composed, NotifyError> {
    let topic = Topic::new(topic)?;
    let arguments = Arguments::new().positional(topic.as_str()).positional(value);
    let (positional, _, attached) = arguments.finish_with_arrays()?;
    let line = format!(
        "{{\"args\":{positional},\"attribute\":\"publish\",\"error\":false,\"kwargs\":{{\"retain\":{retain}}},\
         \"service\":\"{MANAGER_NAME}\",\"uid\":\"{PUBLICATION_UID}\"}}\r\n"
    );
    Ok(Composed { line, attached })
}

fn frame(service: &str, (result, attached): (String, Attached)) -> Composed {
    let line = format!(
        "{{\"error\":false,\"result\":{result},\"service\":{service},\"uid\":\"{NOTIFICATION_UID}\"}}\r\n"
    );
    Composed { line, attached }
}

/// A frame that was composed: its line, and the arrays that it refers to.
#[derive(Debug)]
struct Composed {
    line: String,
    attached: Attached,
}

impl Composed {
    /// Returns the frame in pieces, for a manager that accepts frames with buffers or does not.
    fn pieces(self, binary: bool) -> Vec<Bytes> {
        if binary {
            self.attached.frame(vec![self.line.into()])
        } else {
            vec![self.attached.inlined(self.line).into()]
        }
    }
}

#[cfg(test)]
mod tests {
    use labwire_device::args;

    use super::*;

    #[test]
    fn a_notification_has_the_frame_that_clients_know() {
        let text = result(args![1, x = "é"]).unwrap();
        assert_eq!(
            frame("\"Echo\"", text).line,
            "{\"error\":false,\"result\":[[1],{\"x\":\"é\"}],\"service\":\"Echo\",\"uid\":\"notification\"}\r\n"
        );
    }

    #[test]
    fn while_disconnected_as_many_are_kept_as_the_buffer_holds() {
        let notifier = Notifier::new();
        notifier.begin("Echo", 2);
        assert_eq!(notifier.notify((1,)), Err(NotifyError::Disconnected));
        let _first = notifier.connected(true);
        notifier.notify((1,)).unwrap();
        notifier.disconnected();
        notifier.notify((2,)).unwrap();
        notifier.notify((3,)).unwrap();
        assert_eq!(notifier.notify((4,)), Err(NotifyError::Full));
        let _second = notifier.connected(true);
        notifier.notify((5,)).unwrap();
        notifier.ended();
        assert_eq!(notifier.notify((6,)), Err(NotifyError::Ended));
    }

    #[test]
    fn without_a_buffer_nothing_is_kept() {
        let notifier = Notifier::new();
        notifier.begin("Echo", 0);
        notifier.disconnected();
        assert_eq!(notifier.notify(()), Err(NotifyError::Disconnected));
    }
}
