//! How a lock is to be acquired.

use std::fmt::Write;
use std::time::Duration;

use labwire_wire::frames::json_string;

/// The kind of a lock: for one client, or for all that are linked.
///
/// ```
/// # mod support { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/lab.rs")); }
/// # support::lab(|options| async move {
/// # use labwire_client::Client;
/// # let client = Client::connect("Ada", options).await?;
/// use labwire_client::Lock;
///
/// let bob = client.spawn("Bob").await?;
/// let (echo, of_bob) = (client.link("Echo").await?, bob.link("Echo").await?);
/// // Not while Bob is linked as well:
/// assert!(echo.lock(Lock::Exclusive).await.is_err());
/// let guard = echo.lock(Lock::Shared).await?;
/// assert_eq!(guard.clients().len(), 2);
///
/// // Who was not linked has to wait.
/// let carl = client.spawn("Carl").await?;
/// assert!(carl.link("Echo").await.is_err());
/// # Ok(())
/// # });
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Lock {
    /// Held by one client, which must be the only one that is linked.
    Exclusive,
    /// Held by all clients that are linked.
    Shared,
}

/// How a lock is to be acquired: its kind, and on which terms.
///
/// Terms other than the kind need a manager of Labwire 0.2 or later; others refuse them.
///
/// ```
/// # mod support { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/lab.rs")); }
/// # support::lab(|options| async move {
/// # use std::time::Duration;
/// # use labwire_client::Client;
/// # let client = Client::connect("Ada", options).await?;
/// use labwire_client::{Lock, LockOptions};
///
/// let terms = LockOptions::new(Lock::Exclusive)
///     .ttl(Duration::from_secs(60))
///     .reason("calibration of the reference")
///     .wait(Duration::from_secs(5));
/// let guard = client.lock("Echo", terms).await?;
/// assert!(guard.is_held());
///
/// // Others are told who holds it, why, since when and until when.
/// let bob = client.spawn("Bob").await?;
/// let error = bob.link("Echo").await.unwrap_err();
/// assert!(error.to_string().contains("calibration of the reference"), "{error}");
/// assert_eq!(error.lock().unwrap().holder, Some(client.network_name()));
/// # Ok(())
/// # });
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub struct LockOptions {
    kind: Lock,
    pub(crate) ttl: Option<Duration>,
    reason: Option<String>,
    wait: Option<Duration>,
}

impl From<Lock> for LockOptions {
    fn from(kind: Lock) -> Self {
        Self::new(kind)
    }
}

impl LockOptions {
    /// Returns the options of a lock of that kind, which is held until it is released.
    ///
    /// See the example of [`LockOptions`].
    pub fn new(kind: Lock) -> Self {
        Self {
            kind,
            ttl: None,
            reason: None,
            wait: None,
        }
    }

    /// Sets the time after which the manager ends the lock unless it is renewed: from a second to
    /// 366 days. The client renews it by itself while the guard exists, three times within this
    /// time, whether or not it sends requests. So the lock ends when the program hangs or its
    /// computer is off. Without it, the lock is held until it is released or the connection ends.
    ///
    /// See the example of [`LockOptions`].
    pub fn ttl(mut self, ttl: Duration) -> Self {
        self.ttl = Some(ttl);
        self
    }

    /// Sets the reason that others are told: a text of at most 256 bytes.
    ///
    /// See the example of [`LockOptions`].
    pub fn reason(mut self, reason: impl Into<String>) -> Self {
        self.reason = Some(reason.into());
        self
    }

    /// Sets how long to wait for the lock if others hold one or are linked: up to 7 days. Requests
    /// are granted in the order of their arrival. By default a lock that is not free is refused at
    /// once.
    ///
    /// See the example of [`LockOptions`].
    pub fn wait(mut self, wait: Duration) -> Self {
        self.wait = Some(wait);
        self
    }

    /// Returns these options, with a wait of zero unless one is set: with it, the manager links the
    /// client.
    pub(crate) fn with_link(mut self) -> Self {
        self.wait.get_or_insert_default();
        self
    }

    /// Returns these options for a lock that was held already: with a link, and without a wait.
    pub(crate) fn again(&self) -> Self {
        Self {
            wait: Some(Duration::ZERO),
            ..self.clone()
        }
    }

    /// Returns the keyword arguments of the request `acquire_lock`.
    pub(crate) fn kwargs(&self) -> String {
        let mut text = format!("{{\"shared\":{}", self.kind == Lock::Shared);
        // Writing to a string cannot fail.
        if let Some(ttl) = self.ttl {
            let _ = write!(text, ",\"ttl\":{}", ttl.as_secs_f64());
        }
        if let Some(reason) = &self.reason {
            let _ = write!(text, ",\"reason\":{}", json_string(reason));
        }
        if let Some(wait) = self.wait {
            let _ = write!(text, ",\"wait\":{}", wait.as_secs_f64());
        }
        text.push('}');
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn terms_that_are_not_set_are_not_sent() {
        assert_eq!(LockOptions::new(Lock::Shared).kwargs(), r#"{"shared":true}"#);
        let all = LockOptions::from(Lock::Exclusive)
            .ttl(Duration::from_millis(1_500))
            .reason("a \"test\"")
            .wait(Duration::ZERO);
        let expected = r#"{"shared":false,"ttl":1.5,"reason":"a \"test\"","wait":0}"#;
        assert_eq!(all.kwargs(), expected);
        assert_eq!(all.clone().with_link(), all);
        let linked = LockOptions::new(Lock::Exclusive).with_link();
        assert_eq!(linked.kwargs(), r#"{"shared":false,"wait":0}"#);
    }
}
