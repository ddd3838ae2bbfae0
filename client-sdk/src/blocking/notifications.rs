//! The blocking form of notifications.

use std::time::Duration;

use super::background::Background;
use crate::notification::Notification;

/// The notifications of a service: the blocking form of
/// [`labwire_client::Notifications`](crate::Notifications). An iterator that waits for each
/// notification, and ends with the link.
///
/// ```
/// # mod support { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/lab.rs")); }
/// # support::blocking_lab(|options| {
/// # use labwire_client::blocking::Client;
/// # let client = Client::connect("Ada", options)?;
/// use labwire_client::{args, blocking::Notifications};
///
/// let heartbeat = client.link("Heartbeat")?;
/// let beats: Notifications = heartbeat.notifications();
/// for count in 70..73 {
///     heartbeat.call::<()>("beat", args![count])?;
/// }
/// for (beat, count) in beats.take(3).zip(70..) {
///     assert_eq!(beat.decode::<(u64,)>()?, (count,));
/// }
/// # Ok(())
/// # });
/// ```
#[derive(Debug)]
pub struct Notifications {
    notifications: crate::Notifications,
    background: Background,
}

impl Notifications {
    pub(super) fn new(notifications: crate::Notifications, background: Background) -> Self {
        Self {
            notifications,
            background,
        }
    }

    /// Waits for the next notification, at most for this time. Returns `None` when the time is
    /// over, or after the last notification.
    ///
    /// ```
    /// # mod support { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/lab.rs")); }
    /// # support::blocking_lab(|options| {
    /// # use labwire_client::blocking::Client;
    /// # let client = Client::connect("Ada", options)?;
    /// use std::time::Duration;
    /// use labwire_client::args;
    ///
    /// let heartbeat = client.link("Heartbeat")?;
    /// let mut beats = heartbeat.notifications();
    /// heartbeat.call::<()>("beat", args![72])?;
    /// assert!(beats.next_within(Duration::from_secs(5)).is_some());
    /// assert!(beats.next_within(Duration::from_millis(20)).is_none());
    /// # Ok(())
    /// # });
    /// ```
    pub fn next_within(&mut self, limit: Duration) -> Option<Notification> {
        let next = self.notifications.next();
        let next = async { tokio::time::timeout(limit, next).await };
        self.background.wait(next).ok().flatten()
    }
}

impl Iterator for Notifications {
    type Item = Notification;

    fn next(&mut self) -> Option<Notification> {
        self.background.wait(self.notifications.next())
    }
}
