//! The blocking form of subscriptions, and publishing.

use std::time::Duration;

use serde::Serialize;

use super::background::Background;
use super::client::Client;
use crate::error::CallError;
use crate::topic_value::TopicValue;

/// The values of the topics that match a pattern: the blocking form of
/// [`labwire_client::Subscription`](crate::Subscription). An iterator that waits for each value, and
/// ends with the connection.
///
/// ```
/// # mod support { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/lab.rs")); }
/// # support::blocking_lab(|options| {
/// # use labwire_client::blocking::Client;
/// # let client = Client::connect("Ada", options)?;
/// use labwire_client::blocking::Subscription;
///
/// client.publish_retained("lab.door", "open")?;
/// let mut doors: Subscription = client.subscribe("lab.>")?;
/// client.publish("lab.door", "closed")?;
/// let (kept, next) = (doors.next().unwrap(), doors.next().unwrap());
/// assert_eq!((kept.json(), next.json()), ("\"open\"", "\"closed\""));
/// # Ok(())
/// # });
/// ```
#[derive(Debug)]
pub struct Subscription {
    subscription: crate::Subscription,
    background: Background,
}

impl Subscription {
    /// Waits for the next value, at most for this time. Returns `None` when the time is over, or
    /// after the last value.
    ///
    /// ```
    /// # mod support { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/lab.rs")); }
    /// # support::blocking_lab(|options| {
    /// # use std::time::Duration;
    /// # use labwire_client::blocking::Client;
    /// # let client = Client::connect("Ada", options)?;
    /// let mut doors = client.subscribe("lab.door")?;
    /// assert!(doors.next_within(Duration::from_millis(20)).is_none());
    /// # Ok(())
    /// # });
    /// ```
    pub fn next_within(&mut self, limit: Duration) -> Option<TopicValue> {
        let next = self.subscription.next();
        let next = async { tokio::time::timeout(limit, next).await };
        self.background.wait(next).ok().flatten()
    }
}

impl Iterator for Subscription {
    type Item = TopicValue;

    fn next(&mut self) -> Option<TopicValue> {
        self.background.wait(self.subscription.next())
    }
}

/// Topics.
impl Client {
    /// Subscribes to the topics that match a pattern. See
    /// [`Client::subscribe`](crate::Client::subscribe).
    ///
    /// See the example of [`Subscription`].
    pub fn subscribe(&self, pattern: &str) -> Result<Subscription, CallError> {
        let (client, background) = self.parts();
        let subscription = background.wait(client.subscribe(pattern))?;
        Ok(Subscription {
            subscription,
            background: background.clone(),
        })
    }

    /// Publishes a value to a topic. See [`Client::publish`](crate::Client::publish).
    ///
    /// See the example of [`Subscription`].
    pub fn publish(&self, topic: &str, value: impl Serialize) -> Result<(), CallError> {
        let (client, background) = self.parts();
        background.wait(client.publish(topic, value))
    }

    /// Publishes a value that the manager keeps for later subscribers. See
    /// [`Client::publish_retained`](crate::Client::publish_retained).
    ///
    /// See the example of [`Subscription`].
    pub fn publish_retained(&self, topic: &str, value: impl Serialize) -> Result<(), CallError> {
        let (client, background) = self.parts();
        background.wait(client.publish_retained(topic, value))
    }

    /// Publishes a value that is JSON text. See [`Client::publish_json`](crate::Client::publish_json).
    ///
    /// ```
    /// # mod support { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/lab.rs")); }
    /// # support::blocking_lab(|options| {
    /// # use labwire_client::blocking::Client;
    /// # let client = Client::connect("Ada", options)?;
    /// client.publish_json("lab.oven.temperature", "180.50")?;
    /// client.publish_retained_json("lab.oven.drift", "NaN")?;
    /// # Ok(())
    /// # });
    /// ```
    pub fn publish_json(&self, topic: &str, json: &str) -> Result<(), CallError> {
        let (client, background) = self.parts();
        background.wait(client.publish_json(topic, json))
    }

    /// Publishes a value that is JSON text, and that the manager keeps. See
    /// [`Client::publish_retained_json`](crate::Client::publish_retained_json).
    ///
    /// See the example of [`publish_json`](Self::publish_json).
    pub fn publish_retained_json(&self, topic: &str, json: &str) -> Result<(), CallError> {
        let (client, background) = self.parts();
        background.wait(client.publish_retained_json(topic, json))
    }
}
