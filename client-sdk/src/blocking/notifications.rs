//! Notifications, for programs without async.

use std::time::Duration;

use super::background::Background;
use crate::notification::Notification;

/// The notifications of a service, like [`labwire_client::Notifications`](crate::Notifications): an iterator that
/// waits, and ends when the link does.
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

    /// The next notification; `None` when none comes within this time, or when no more will come.
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
