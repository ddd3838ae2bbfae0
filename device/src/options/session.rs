//! Whether and for how long the manager keeps a device's session.

use std::time::Duration;

use super::ConnectOptions;
use super::reconnect::Reconnect;

/// The default time for which a session is to be kept.
const DEFAULT_GRACE: Duration = Duration::from_secs(30);

/// The manager counts in seconds.
const SHORTEST_GRACE: Duration = Duration::from_secs(1);

/// The wishes for a session.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SessionOptions {
    is_on: bool,
    grace: Duration,
    keep_callers: bool,
}

impl Default for SessionOptions {
    fn default() -> Self {
        Self {
            is_on: true,
            grace: DEFAULT_GRACE,
            keep_callers: false,
        }
    }
}

impl ConnectOptions {
    /// Sets whether the manager is to keep the session when the connection breaks: the name, the
    /// links, the locks and the requests in flight. The default is `true`.
    ///
    /// The device then returns by itself, within [`session_grace`](Self::session_grace), also if it
    /// does not [`reconnect`](Self::reconnect) otherwise. Only [`without_reconnect`](Self::without_reconnect)
    /// makes each loss final. A manager without sessions does not notice this option.
    ///
    /// A program that is killed, also by Ctrl-C if it does not handle that, or that ends with
    /// [`std::process::exit`], does not say that it leaves: its place is kept for the grace period, too. To release its links and locks at once, handle
    /// Ctrl-C and disconnect, or set this to `false`, also with the variable `LABWIRE_SESSION=false`.
    ///
    /// ```
    /// use labwire_device::ConnectOptions;
    ///
    /// let options = ConnectOptions::new().session(false);
    /// assert_eq!(options.kept_session(), None);
    /// ```
    #[must_use]
    pub fn session(mut self, keep: bool) -> Self {
        self.session.is_on = keep;
        self
    }

    /// Sets for how long the manager is to keep the session after the connection broke. The default
    /// is 30 s. Parts of a second are rounded up. The manager may keep it for less: see its option
    /// `--session-grace-limit`.
    ///
    /// ```
    /// use std::time::Duration;
    /// use labwire_device::ConnectOptions;
    ///
    /// let options = ConnectOptions::new().session_grace(Duration::from_secs(300));
    /// assert_eq!(options.kept_session(), Some(Duration::from_secs(300)));
    /// ```
    #[must_use]
    pub fn session_grace(mut self, grace: Duration) -> Self {
        let more = u64::from(grace.subsec_nanos() > 0);
        let seconds = grace.as_secs().saturating_add(more);
        self.session.grace = Duration::from_secs(seconds).max(SHORTEST_GRACE);
        self
    }

    /// Sets whether the callers of a service wait while it is away, within its session. By default
    /// their requests end at once with an error, and new ones are refused. Clients ignore it.
    ///
    /// ```
    /// use labwire_device::ConnectOptions;
    ///
    /// let options = ConnectOptions::new().keep_callers(true);
    /// assert!(options.keeps_callers());
    /// ```
    #[must_use]
    pub fn keep_callers(mut self, keep: bool) -> Self {
        self.session.keep_callers = keep;
        self
    }

    /// Returns whether the callers of a service wait while it is away.
    ///
    /// See the example of [`keep_callers`](Self::keep_callers).
    pub fn keeps_callers(&self) -> bool {
        self.session.keep_callers && self.kept_session().is_some()
    }

    /// Returns for how long the manager is asked to keep the session; `None` if it is not.
    ///
    /// ```
    /// use std::time::Duration;
    /// use labwire_device::ConnectOptions;
    ///
    /// assert_eq!(ConnectOptions::new().kept_session(), Some(Duration::from_secs(30)));
    /// assert_eq!(ConnectOptions::new().without_reconnect().kept_session(), None);
    /// ```
    pub fn kept_session(&self) -> Option<Duration> {
        let returns = !matches!(self.reconnect, Reconnect::Never);
        (self.session.is_on && returns).then_some(self.session.grace)
    }
}
