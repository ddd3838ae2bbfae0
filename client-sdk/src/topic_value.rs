//! A value of a topic.

use labwire_device::payload::{DecodeError, Received, from_json};
use labwire_wire::{Topic, array_elements};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::notification::Notification;

/// A value that was published to a topic.
///
/// See the example of [`Subscription`](crate::Subscription).
#[derive(Clone, Debug)]
pub struct TopicValue {
    topic: Topic,
    value: Received,
    sender: String,
    is_retained: bool,
    lost: u64,
}

/// The keyword arguments of the notification.
#[derive(Deserialize)]
struct Keywords {
    sender: String,
    retained: bool,
}

impl TopicValue {
    /// Reads a notification of the manager. Returns `None` if it is anything else.
    pub(crate) fn new(notification: &Notification) -> Option<Self> {
        let positional = notification.positional();
        let parts = array_elements(positional).ok()?;
        let [topic, value] = parts[..] else {
            return None;
        };
        let topic: String = from_json(std::str::from_utf8(topic).ok()?).ok()?;
        let Keywords { sender, retained } = notification.decode_keywords().ok()?;
        Some(Self {
            topic: Topic::new(&topic).ok()?,
            value: positional.part(value),
            sender,
            is_retained: retained,
            lost: notification.lost(),
        })
    }

    /// Returns the name of the topic.
    pub(crate) fn name(&self) -> &Topic {
        &self.topic
    }

    /// Returns the topic.
    ///
    /// See the example of [`Subscription`](crate::Subscription).
    pub fn topic(&self) -> &str {
        self.topic.as_str()
    }

    /// Returns the network name of the peer that published it, as the manager knows it.
    ///
    /// See the example of [`Subscription`](crate::Subscription).
    pub fn sender(&self) -> &str {
        &self.sender
    }

    /// Returns whether the manager had kept it for later subscribers. It may be old.
    ///
    /// See the example of [`Subscription`](crate::Subscription).
    pub fn is_retained(&self) -> bool {
        self.is_retained
    }

    /// Returns the number of values of the subscription that were dropped just before this one,
    /// because the reader was too slow.
    ///
    /// See the example of [`Subscription`](crate::Subscription).
    pub fn lost(&self) -> u64 {
        self.lost
    }

    /// Returns the value as the peer wrote it: JSON text.
    ///
    /// See the example of [`Subscription`](crate::Subscription).
    pub fn json(&self) -> &str {
        // A notification is UTF-8.
        std::str::from_utf8(&self.value).unwrap_or_default()
    }

    /// Decodes the value, as any type that serde can deserialize.
    ///
    /// # Errors
    /// The value is of another type.
    ///
    /// See the example of [`Subscription`](crate::Subscription).
    pub fn decode<T: DeserializeOwned>(&self) -> Result<T, DecodeError> {
        self.value.decode()
    }
}
