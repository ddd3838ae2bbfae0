//! What services tell without being asked.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use futures_core::Stream;
use labwire_device::payload::{DecodeError, from_json};
use labwire_wire::array_elements;
use serde::de::DeserializeOwned;

use crate::link::Link;

/// What a service told: positional and keyword arguments.
///
/// ```
/// # mod support { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/lab.rs")); }
/// # support::lab(|options| async move {
/// # use labwire_client::Client;
/// # let client = Client::connect("Ada", options).await?;
/// use labwire_client::{Notification, args};
///
/// let heartbeat = client.link("Heartbeat").await?;
/// let mut beats = heartbeat.notifications();
/// heartbeat.call::<()>("beat", args![72]).await?;
/// let beat: Notification = beats.next().await.expect("the service is there");
/// assert_eq!((beat.service(), beat.lost()), ("Heartbeat", 0));
/// assert_eq!((beat.positional_json(), beat.keywords_json()), ("[72]", "{}"));
/// assert_eq!(beat.decode::<(u64,)>()?, (72,));
/// # Ok(())
/// # });
/// ```
#[derive(Clone, Debug)]
pub struct Notification {
    service: Arc<str>,
    positional: Bytes,
    keywords: Bytes,
    lost: u64,
}

impl Notification {
    /// `result` is the JSON text of `[args, kwargs]`.
    pub(crate) fn new(service: &str, result: &Bytes) -> Option<Self> {
        let parts = array_elements(result).ok()?;
        let [positional, keywords] = parts[..] else {
            return None;
        };
        std::str::from_utf8(result).ok()?;
        Some(Self {
            service: Arc::from(service),
            positional: result.slice_ref(positional),
            keywords: result.slice_ref(keywords),
            lost: 0,
        })
    }

    /// The service that told it.
    ///
    /// See the example of [`Notification`].
    pub fn service(&self) -> &str {
        &self.service
    }

    /// How many notifications of the service were dropped just before this one, because they were not read in time.
    ///
    /// ```
    /// # mod support { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/lab.rs")); }
    /// # support::lab(|options| async move {
    /// use labwire_client::{Client, ClientOptions, args};
    ///
    /// let newest_only = ClientOptions::from(options).notification_queue(1);
    /// let client = Client::connect("Ada", newest_only).await?;
    /// let heartbeat = client.link("Heartbeat").await?;
    /// let mut beats = heartbeat.notifications();
    /// for count in 1..=5 {
    ///     // The service notifies before it replies.
    ///     heartbeat.call::<()>("beat", args![count]).await?;
    /// }
    /// let beat = beats.next().await.expect("the service is there");
    /// assert_eq!((beat.decode::<(u64,)>()?, beat.lost()), ((5,), 4));
    /// # Ok(())
    /// # });
    /// ```
    pub fn lost(&self) -> u64 {
        self.lost
    }

    /// The positional arguments, as a tuple or as anything else that can be read from an array.
    ///
    /// ```
    /// # mod support { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/lab.rs")); }
    /// # support::lab(|options| async move {
    /// # use labwire_client::{Client, args};
    /// # let client = Client::connect("Ada", options).await?;
    /// let heartbeat = client.link("Heartbeat").await?;
    /// let mut beats = heartbeat.notifications();
    /// heartbeat.call::<()>("beat", args![72]).await?;
    /// let beat = beats.next().await.expect("the service is there");
    /// let (count,): (u64,) = beat.decode()?;
    /// assert_eq!(count, 72);
    /// # Ok(())
    /// # });
    /// ```
    pub fn decode<T: DeserializeOwned>(&self) -> Result<T, DecodeError> {
        from_json(self.positional_json())
    }

    /// The keyword arguments, as a struct with these fields or as a map.
    ///
    /// ```
    /// # mod support { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/lab.rs")); }
    /// # support::lab(|options| async move {
    /// # use labwire_client::{Client, args};
    /// # let client = Client::connect("Ada", options).await?;
    /// use std::collections::HashMap;
    ///
    /// let heartbeat = client.link("Heartbeat").await?;
    /// let mut beats = heartbeat.notifications();
    /// heartbeat.call::<()>("beat", args![72]).await?;
    /// let beat = beats.next().await.expect("the service is there");
    /// let named: HashMap<String, f64> = beat.decode_keywords()?;
    /// assert!(named.is_empty() && beat.lost() == 0);
    /// # Ok(())
    /// # });
    /// ```
    pub fn decode_keywords<T: DeserializeOwned>(&self) -> Result<T, DecodeError> {
        from_json(self.keywords_json())
    }

    /// The positional arguments as the service wrote them: the JSON text of an array.
    ///
    /// See the example of [`Notification`].
    pub fn positional_json(&self) -> &str {
        text(&self.positional)
    }

    /// The keyword arguments as the service wrote them: the JSON text of an object.
    ///
    /// See the example of [`Notification`].
    pub fn keywords_json(&self) -> &str {
        text(&self.keywords)
    }
}

/// A part of a notification as text, which was checked when it came.
fn text(part: &[u8]) -> &str {
    std::str::from_utf8(part).unwrap_or_default()
}

/// Notifications that wait for one reader.
pub(crate) struct Queue {
    capacity: usize,
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    waiting: VecDeque<Notification>,
    ended: bool,
    reader: Option<Waker>,
}

impl Queue {
    pub(crate) fn new(capacity: usize) -> Self {
        Self {
            capacity,
            inner: Mutex::default(),
        }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Appends a notification. When there are too many, the oldest makes room: what is new is worth more.
    pub(crate) fn push(&self, notification: Notification) {
        let mut inner = self.inner();
        if inner.ended {
            return;
        }
        inner.waiting.push_back(notification);
        if inner.waiting.len() > self.capacity {
            let dropped = inner.waiting.pop_front().map_or(0, |oldest| oldest.lost + 1);
            if let Some(next) = inner.waiting.front_mut() {
                next.lost += dropped;
            }
        }
        let reader = inner.reader.take();
        drop(inner);
        if let Some(reader) = reader {
            reader.wake();
        }
    }

    /// No more will come. What waits can still be read.
    pub(crate) fn end(&self) {
        let mut inner = self.inner();
        inner.ended = true;
        let reader = inner.reader.take();
        drop(inner);
        if let Some(reader) = reader {
            reader.wake();
        }
    }

    fn poll_next(&self, context: &Context<'_>) -> Poll<Option<Notification>> {
        let mut inner = self.inner();
        if let Some(notification) = inner.waiting.pop_front() {
            return Poll::Ready(Some(notification));
        }
        if inner.ended {
            return Poll::Ready(None);
        }
        inner.reader = Some(context.waker().clone());
        Poll::Pending
    }
}

/// The notifications of a service, from when [`Link::notifications`] was called.
///
/// It is a [`Stream`], and can be read with [`next`](Self::next) without one. It ends (`None`) when the link does:
/// when it is unlinked, when the client disconnects, or when the service leaves or the connection is lost. A client
/// that [reconnects](crate::ConnectOptions::reconnect) links again after these two, and the notifications go on;
/// those that the service sent meanwhile are missed.
///
/// Up to [`notification_queue`](crate::ClientOptions::notification_queue) notifications wait for a slow reader, then
/// the oldest are dropped and the next one [tells how many](Notification::lost).
///
/// It keeps the link, as a [`Link`] does.
///
/// ```
/// # mod support { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/lab.rs")); }
/// # support::lab(|options| async move {
/// # use labwire_client::Client;
/// # let client = Client::connect("Ada", options).await?;
/// use labwire_client::{Notifications, args};
///
/// let heartbeat = client.link("Heartbeat").await?;
/// let mut beats: Notifications = heartbeat.notifications();
/// for count in 70..73 {
///     heartbeat.call::<()>("beat", args![count]).await?;
/// }
/// heartbeat.unlink().await?;
/// // What came before the end can still be read.
/// let mut sum = 0;
/// while let Some(beat) = beats.next().await {
///     sum += beat.decode::<(u64,)>()?.0;
/// }
/// assert_eq!(sum, 70 + 71 + 72);
/// # Ok(())
/// # });
/// ```
#[derive(Debug)]
pub struct Notifications {
    queue: Arc<Queue>,
    link: Link,
}

impl std::fmt::Debug for Queue {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Queue")
            .field("capacity", &self.capacity)
            .finish_non_exhaustive()
    }
}

impl Notifications {
    pub(crate) fn new(link: Link, capacity: usize) -> Self {
        let queue = Arc::new(Queue::new(capacity));
        link.core.listen(&queue);
        Self { queue, link }
    }

    /// The link that they come through.
    ///
    /// ```
    /// # mod support { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/lab.rs")); }
    /// # support::lab(|options| async move {
    /// # use labwire_client::Client;
    /// # let client = Client::connect("Ada", options).await?;
    /// let mut beats = client.link("Heartbeat").await?.notifications();
    /// // It keeps the link, so that there are beats.
    /// assert!(beats.link().is_linked());
    /// beats.link().call::<()>("beat", (72,)).await?;
    /// assert!(beats.next().await.is_some());
    /// # Ok(())
    /// # });
    /// ```
    pub fn link(&self) -> &Link {
        &self.link
    }

    /// The next notification; `None` when no more will come.
    ///
    /// Cancel safe: no notification is lost.
    ///
    /// See the example of [`Notifications`].
    pub async fn next(&mut self) -> Option<Notification> {
        poll_fn(|context| self.queue.poll_next(context)).await
    }
}

impl Stream for Notifications {
    type Item = Notification;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Notification>> {
        self.queue.poll_next(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn notification(count: u64) -> Notification {
        Notification::new("Heartbeat", &Bytes::from(format!("[[{count}], {{}}]"))).unwrap()
    }

    fn next(queue: &Queue) -> Option<(u64, u64)> {
        let context = Context::from_waker(Waker::noop());
        match queue.poll_next(&context) {
            Poll::Ready(next) => next.map(|next| (next.decode::<(u64,)>().unwrap().0, next.lost())),
            Poll::Pending => panic!("nothing waits"),
        }
    }

    #[test]
    fn a_slow_reader_is_told_how_many_of_the_oldest_it_missed() {
        let queue = Queue::new(2);
        for count in 0..5 {
            queue.push(notification(count));
        }
        assert_eq!(next(&queue), Some((3, 3)));
        queue.push(notification(5));
        queue.end();
        assert_eq!(next(&queue), Some((4, 0)));
        assert_eq!(next(&queue), Some((5, 0)));
        assert_eq!(next(&queue), None);
    }

    #[test]
    fn a_queue_of_one_holds_the_newest() {
        let queue = Queue::new(1);
        for count in 0..4 {
            queue.push(notification(count));
        }
        assert_eq!(next(&queue), Some((3, 3)));
    }

    #[test]
    fn arguments_are_read_by_position_and_by_name() {
        let result = Bytes::from_static(br#"[ [1, "a"], {"unit": "V"} ]"#);
        let notification = Notification::new("S", &result).unwrap();
        assert_eq!(
            notification.decode::<(u8, String)>().unwrap(),
            (1, "a".to_owned())
        );
        let keywords: std::collections::HashMap<String, String> = notification.decode_keywords().unwrap();
        assert_eq!(keywords["unit"], "V");
        assert!(notification.decode::<(u8,)>().is_err());
    }
}
