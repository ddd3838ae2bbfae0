//! Whether a request is to be stopped.

use std::fmt;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::sync::Notify;

use crate::error::ServiceError;
use crate::request::Request;

/// Why a request is to be stopped.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CancelCause {
    /// The client has cancelled it, for this reason if it gave one.
    Client(Option<Arc<str>>),
    /// Its deadline has passed.
    Deadline,
    /// The client has disconnected, or the connection to the manager is lost.
    Disconnected,
}

impl fmt::Display for CancelCause {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Client(None) => formatter.write_str("the client has cancelled it"),
            Self::Client(Some(reason)) => write!(formatter, "the client has cancelled it: {reason}"),
            Self::Deadline => formatter.write_str("its deadline has passed"),
            Self::Disconnected => formatter.write_str("nobody waits for its reply"),
        }
    }
}

/// Tells a method that its request is to be stopped.
///
/// A method with a parameter of this type, or of a reference to it, is asked to stop when its client
/// cancels the request or disconnects, when the deadline of the request passes, or when the
/// connection to the manager is lost. Clients do not see the parameter.
///
/// The method decides what to do: it may finish, or bring its instrument into a safe state and return
/// [`error`](Self::error). Its future is not dropped, and its thread is not interrupted, since that
/// could leave an instrument in the middle of a command. A request that waits for its turn when it is
/// cancelled is not executed.
///
/// ```
/// # mod support { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/lab.rs")); }
/// # fn main() {
/// use std::time::Duration;
/// use labwire_service::{Cancellation, ServiceError, service};
///
/// struct Stage;
///
/// #[service]
/// impl Stage {
///     pub async fn travel(&self, steps: u32, cancellation: &Cancellation) -> Result<u32, ServiceError> {
///         for _ in 0..steps {
///             // … one step of the motor …
///             tokio::select! {
///                 () = tokio::time::sleep(Duration::from_millis(1)) => {}
///                 () = cancellation.cancelled() => return Err(cancellation.error()),
///             }
///         }
///         Ok(steps)
///     }
/// }
///
/// # support::serve(Stage, async |stage| {
/// // What a client that waits gets:
/// assert_eq!(stage.call::<u32>("travel", (3,)).await?, 3);
/// # Ok(())
/// # });
/// # }
/// ```
#[derive(Clone)]
pub struct Cancellation {
    request: Request,
}

/// Whether a request is to be stopped, as its [`Request`] keeps it.
#[derive(Debug, Default)]
pub(crate) struct Stop {
    cause: OnceLock<CancelCause>,
    stopped: Notify,
}

impl Stop {
    /// Asks the method to stop, unless it was asked before.
    pub(crate) fn set(&self, cause: CancelCause) {
        if self.cause.set(cause).is_ok() {
            self.stopped.notify_waiters();
        }
    }

    pub(crate) fn cause(&self) -> Option<&CancelCause> {
        self.cause.get()
    }

    async fn wait(&self) {
        loop {
            let stopped = self.stopped.notified();
            tokio::pin!(stopped);
            // What comes after the check wakes this.
            stopped.as_mut().enable();
            if self.cause.get().is_some() {
                return;
            }
            stopped.await;
        }
    }
}

impl fmt::Debug for Cancellation {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Cancellation")
            .field("cause", &self.cause())
            .finish_non_exhaustive()
    }
}

impl Cancellation {
    pub(crate) fn new(request: Request) -> Self {
        Self { request }
    }

    /// Returns whether the request is to be stopped.
    pub fn is_cancelled(&self) -> bool {
        self.request.stop().cause().is_some()
    }

    /// Returns why the request is to be stopped; `None` if it is not.
    pub fn cause(&self) -> Option<CancelCause> {
        self.request.stop().cause().cloned()
    }

    /// Waits until the request is to be stopped.
    ///
    /// Cancel safe. See the example of [`Cancellation`].
    pub async fn cancelled(&self) {
        self.request.stop().wait().await;
    }

    /// Returns how long the request may take, counted from its arrival, if its client has set a
    /// deadline.
    pub fn deadline(&self) -> Option<Duration> {
        self.request.deadline()
    }

    /// Creates the error for a request that was stopped: a `CancelledError` with the cause.
    ///
    /// See the example of [`Cancellation`].
    pub fn error(&self) -> ServiceError {
        let text = match self.cause() {
            Some(cause) => format!("the request was stopped, {cause}"),
            None => "the request was stopped".to_owned(),
        };
        ServiceError::new("CancelledError", text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_first_cause_counts_and_wakes_everyone() {
        let stop = Arc::new(Stop::default());
        assert_eq!(stop.cause(), None);
        let waiting: Vec<_> = (0..3)
            .map(|_| {
                let stop = Arc::clone(&stop);
                tokio::spawn(async move { stop.wait().await })
            })
            .collect();
        tokio::task::yield_now().await;
        stop.set(CancelCause::Client(Some("too hot".into())));
        stop.set(CancelCause::Deadline);
        for waiting in waiting {
            waiting.await.unwrap();
        }
        stop.wait().await;
        assert_eq!(
            stop.cause().unwrap().to_string(),
            "the client has cancelled it: too hot"
        );
    }
}
