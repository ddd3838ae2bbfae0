//! The notifications of a service.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_core::Stream;

use crate::command::Command;
use crate::link::Link;
use crate::notification::Notification;
use crate::notification_queue::{NotificationReceiver, notification_queue};

/// The notifications of a service, from when [`Link::notifications`] was called.
///
/// It is a [`Stream`], and [`next`](Self::next) reads it without the trait. It ends (`None`) with
/// the link: when it is unlinked, when the client disconnects, when the service leaves, or
/// when the connection and its [session](crate::SessionState) are lost. After the last two, a client
/// that [reconnects](crate::ConnectOptions::reconnect) links again and the notifications continue.
/// Those that the service sent meanwhile are missed. While a client returns to its session, the
/// manager keeps them, within limits.
///
/// The queue holds up to [`notification_queue`](crate::ClientOptions::notification_queue)
/// notifications for a slow reader. When it is full, the oldest is dropped, and the next one counts
/// it in [`Notification::lost`].
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
    queue: NotificationReceiver,
    link: Link,
}

impl Notifications {
    /// Returns the link of these notifications.
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

    /// Waits for the next notification. Returns `None` after the last one.
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

/// Notifications through a link.
impl Link {
    /// Returns the service's notifications from now on. Each call creates a separate reader, which
    /// receives all of them.
    ///
    /// ```
    /// # mod support { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/lab.rs")); }
    /// # support::lab(|options| async move {
    /// # use labwire_client::{Client, args};
    /// # let client = Client::connect("Ada", options).await?;
    /// let heartbeat = client.link("Heartbeat").await?;
    /// let mut beats = heartbeat.notifications();
    /// heartbeat.call::<()>("beat", args![1]).await?;
    /// let beat = beats.next().await.expect("the link is there");
    /// assert_eq!(beat.decode::<(u64,)>()?, (1,));
    /// # Ok(())
    /// # });
    /// ```
    pub fn notifications(&self) -> Notifications {
        let (reader, queue) = notification_queue(self.handle().options().notifications);
        // If the driver has ended, there is no connection; dropping `reader` then ends the queue.
        self.handle().notice(Command::Subscribe {
            holder: self.holder().number(),
            reader,
        });
        Notifications {
            queue,
            link: self.clone(),
        }
    }
}
