//! Subscriptions to topics, and publishing.

use std::fmt;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_core::Stream;
use labwire_device::payload::Arguments;
use labwire_wire::{MANAGER_NAME, Topic, TopicPattern};
use serde::Serialize;
use serde::de::IgnoredAny;

use crate::client::Client;
use crate::command::{Command, Target};
use crate::error::CallError;
use crate::handle::Handle;
use crate::notification::Notification;
use crate::notification_queue::{NotificationReceiver, notification_queue};
use crate::ticket::Ticket;
use crate::topic_value::TopicValue;

/// The values of the topics that match a pattern, from when [`Client::subscribe`] returned: first
/// those that the manager has kept.
///
/// It is a [`Stream`], and [`next`](Self::next) reads it without the trait. It ends (`None`) when
/// the client disconnects or loses its connection. A client that
/// [reconnects](crate::ConnectOptions::reconnect) subscribes again; values that were published
/// meanwhile are missed, and those that are kept come again. Dropping it ends the subscription.
///
/// The queue holds up to [`notification_queue`](crate::ClientOptions::notification_queue) values
/// for a slow reader. When it is full, the oldest is dropped, and the next one counts it in
/// [`TopicValue::lost`].
///
/// ```
/// # mod support { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/lab.rs")); }
/// # support::lab(|options| async move {
/// # use labwire_client::Client;
/// # let client = Client::connect("Ada", options).await?;
/// use labwire_client::{Subscription, TopicValue};
///
/// let oven = client.spawn("Oven").await?;
/// oven.publish_retained("lab.oven.temperature", 180.5).await?;
///
/// let mut temperatures: Subscription = client.subscribe("lab.*.temperature").await?;
/// let kept: TopicValue = temperatures.next().await.expect("there is a connection");
/// assert_eq!((kept.topic(), kept.json()), ("lab.oven.temperature", "180.5"));
/// assert_eq!((kept.sender(), kept.is_retained()), (&*oven.network_name(), true));
///
/// oven.publish("lab.oven.temperature", 181).await?;
/// let next = temperatures.next().await.expect("there is a connection");
/// assert_eq!(next.decode::<f64>()?, 181.0);
/// assert!(!next.is_retained() && next.lost() == 0);
/// assert_eq!(temperatures.pattern(), "lab.*.temperature");
/// # Ok(())
/// # });
/// ```
pub struct Subscription {
    queue: NotificationReceiver,
    pattern: TopicPattern,
    guard: SubscriptionGuard,
}

/// Ends a subscription when it is dropped.
struct SubscriptionGuard {
    number: u64,
    handle: Arc<Handle>,
}

impl Drop for SubscriptionGuard {
    fn drop(&mut self) {
        let number = self.number;
        self.handle.notice(Command::LeaveTopic { number });
    }
}

impl fmt::Debug for Subscription {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Subscription")
            .field("pattern", &self.pattern.as_str())
            .field("number", &self.guard.number)
            .finish_non_exhaustive()
    }
}

impl Subscription {
    /// Returns the pattern.
    ///
    /// See the example of [`Subscription`].
    pub fn pattern(&self) -> &str {
        self.pattern.as_str()
    }

    /// Waits for the next value. Returns `None` after the last one.
    ///
    /// Cancel safe: no value is lost.
    ///
    /// See the example of [`Subscription`].
    pub async fn next(&mut self) -> Option<TopicValue> {
        poll_fn(|context| self.poll(context)).await
    }

    fn poll(&self, context: &Context<'_>) -> Poll<Option<TopicValue>> {
        let next = |notification: Option<Notification>| notification.and_then(|next| TopicValue::new(&next));
        // The engine passes on only what is a value.
        self.queue.poll_next(context).map(next)
    }
}

impl Stream for Subscription {
    type Item = TopicValue;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<TopicValue>> {
        self.poll(context)
    }
}

/// Topics.
impl Client {
    /// Subscribes to a topic, or to the topics that match a pattern: `*` stands for any one word,
    /// and `>` as the last word for all the rest. The manager's own events are topics below
    /// `manager`, as in `manager.>`.
    ///
    /// Fails with [`CallError::Topic`] if that is no pattern, and with [`CallError::Manager`] if
    /// the client has too many. Cancel safe: if the future is dropped early, there is no
    /// subscription.
    ///
    /// See the example of [`Subscription`].
    pub async fn subscribe(&self, pattern: &str) -> Result<Subscription, CallError> {
        let pattern = TopicPattern::new(pattern)?;
        let handle = self.handle();
        let room = handle.room().await;
        let number = handle.uid();
        let (reader, queue) = notification_queue(handle.options().notifications);
        let target = Target::new(MANAGER_NAME, "subscribe");
        let ticket = Ticket::send(handle, number, target, |reply| Command::SubscribeTopic {
            number,
            pattern: pattern.clone(),
            reader,
            room: Some(room),
            reply,
        })?;
        let guard = SubscriptionGuard {
            number,
            handle: Arc::clone(handle),
        };
        ticket.await?;
        Ok(Subscription {
            queue,
            pattern,
            guard,
        })
    }

    /// Publishes a value to a topic. Returns once it is queued for all subscribers: one that reads
    /// slowly delays this.
    ///
    /// Fails with [`CallError::Topic`] if that is no topic, and with [`CallError::Manager`] if it
    /// begins with `manager`. Not cancel safe: if the future is dropped early, the value may be published.
    ///
    /// See the example of [`Subscription`].
    pub async fn publish(&self, topic: &str, value: impl Serialize) -> Result<(), CallError> {
        self.publish_value(topic, |arguments| arguments.positional(&value))
            .await
    }

    /// Publishes a value, as [`publish`](Self::publish), and lets the manager keep it for later
    /// subscribers, in place of the one before. `None` removes it. The manager keeps it also after
    /// this client has left.
    ///
    /// See the example of [`Subscription`].
    pub async fn publish_retained(&self, topic: &str, value: impl Serialize) -> Result<(), CallError> {
        let with_value = |arguments: Arguments| arguments.positional(&value).keyword("retain", &true);
        self.publish_value(topic, with_value).await
    }

    /// Publishes a value that is JSON text, as [`publish`](Self::publish). It may contain `NaN` and
    /// `Infinity`, and its numbers are sent as they are written.
    ///
    /// ```
    /// # mod support { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/lab.rs")); }
    /// # support::lab(|options| async move {
    /// # use labwire_client::Client;
    /// # let client = Client::connect("Ada", options).await?;
    /// use labwire_client::CallError;
    ///
    /// client.publish_json("lab.oven.temperature", "180.50").await?;
    /// client.publish_retained_json("lab.oven.drift", "NaN").await?;
    /// let refused = client.publish_json("lab..drift", "0").await;
    /// assert!(matches!(refused, Err(CallError::Topic(_))));
    /// # Ok(())
    /// # });
    /// ```
    pub async fn publish_json(&self, topic: &str, json: &str) -> Result<(), CallError> {
        self.publish_value(topic, |arguments| arguments.positional_json(json))
            .await
    }

    /// Publishes a value that is JSON text, as [`publish_retained`](Self::publish_retained).
    ///
    /// See the example of [`publish_json`](Self::publish_json).
    pub async fn publish_retained_json(&self, topic: &str, json: &str) -> Result<(), CallError> {
        let with_value = |arguments: Arguments| arguments.positional_json(json).keyword("retain", &true);
        self.publish_value(topic, with_value).await
    }

    async fn publish_value(
        &self,
        topic: &str,
        with_value: impl FnOnce(Arguments) -> Arguments,
    ) -> Result<(), CallError> {
        let topic = Topic::new(topic)?;
        let arguments = with_value(Arguments::new().positional(topic.as_str()));
        self.manager_call::<IgnoredAny>("publish", arguments).await?;
        Ok(())
    }
}
