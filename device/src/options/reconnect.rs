//! Whether and how a lost connection is made again.

use super::ConnectOptions;
use crate::backoff::Backoff;

/// Whether a lost connection is made again.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Reconnect {
    /// Services reconnect, clients do not.
    Unset,
    Never,
    With(Backoff),
}

impl ConnectOptions {
    /// Reconnects when the connection is lost, with the waits of the back-off, until it succeeds or
    /// the manager refuses for a reason that waiting does not change. Services do so by default,
    /// with [`Backoff::new`]. By default a client only returns to its [session](Self::session), within
    /// its grace period; a connection without one is final.
    ///
    /// ```
    /// use std::time::Duration;
    /// use labwire_device::{Backoff, ConnectOptions};
    ///
    /// let options = ConnectOptions::new().reconnect(Backoff::new().maximum(Duration::from_secs(10)));
    /// assert!(options.backoff().is_some());
    /// ```
    #[must_use]
    pub fn reconnect(mut self, backoff: Backoff) -> Self {
        self.reconnect = Reconnect::With(backoff);
        self
    }

    /// Does not reconnect: a lost connection is final, also for a service, and the manager is asked to
    /// keep no [session](Self::session).
    ///
    /// ```
    /// use labwire_device::{Backoff, ConnectOptions};
    ///
    /// let options = ConnectOptions::new().without_reconnect();
    /// // What a service adds to its options:
    /// assert_eq!(options.reconnect_by_default(Backoff::new()).backoff(), None);
    /// ```
    #[must_use]
    pub fn without_reconnect(mut self) -> Self {
        self.reconnect = Reconnect::Never;
        self
    }

    /// Reconnects with the waits of the back-off, unless these options specify whether to
    /// reconnect: by [`reconnect`](Self::reconnect), by
    /// [`without_reconnect`](Self::without_reconnect), or by the variable `LABWIRE_RECONNECT`. For
    /// programs whose users expect that they come back by themselves.
    ///
    /// ```
    /// use labwire_device::{Backoff, ConnectOptions};
    ///
    /// let options = ConnectOptions::new().reconnect_by_default(Backoff::new());
    /// assert_eq!(options.backoff(), Some(Backoff::new()));
    /// ```
    #[must_use]
    pub fn reconnect_by_default(mut self, backoff: Backoff) -> Self {
        if matches!(self.reconnect, Reconnect::Unset) {
            self.reconnect = Reconnect::With(backoff);
        }
        self
    }

    /// Returns the back-off for reconnects; `None` if a lost connection is final, or if these options
    /// leave that to the default.
    ///
    /// ```
    /// # use labwire_device::{Backoff, ConnectOptions};
    /// assert_eq!(ConnectOptions::new().backoff(), None);
    /// assert_eq!(ConnectOptions::new().reconnect(Backoff::new()).backoff(), Some(Backoff::new()));
    /// ```
    pub fn backoff(&self) -> Option<Backoff> {
        match self.reconnect {
            Reconnect::With(backoff) => Some(backoff),
            Reconnect::Unset | Reconnect::Never => None,
        }
    }
}
