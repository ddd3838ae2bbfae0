//! Cancels calls in flight.

use std::fmt;
use std::sync::Arc;

use labwire_wire::MANAGER_NAME;

use crate::command::{Command, Target};
use crate::error::CallError;
use crate::handle::Handle;
use crate::ticket::Ticket;

/// What became of a call that was cancelled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CancelOutcome {
    /// Its service is asked to stop. The call ends when the service confirms that, or has finished.
    Asked,
    /// The call has ended. If its service had received it, it may still be running there, since this
    /// service cannot be asked to stop.
    Ended,
    /// The call had ended before.
    Over,
}

/// Cancels a call in flight, while somebody else awaits its result.
///
/// ```
/// # mod support { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/lab.rs")); }
/// use labwire_service::{Cancellation, Runner, ServiceError, service};
///
/// struct Stage;
///
/// #[service]
/// impl Stage {
///     pub async fn travel(&self, cancellation: Cancellation) -> Result<(), ServiceError> {
///         cancellation.cancelled().await;
///         Err(cancellation.error())
///     }
/// }
///
/// # fn main() { support::empty_lab(|options| async move {
/// # use labwire_client::{Client, args};
/// # let service = Runner::new(Stage).options(options.clone()).connect().await?;
/// # let client = Client::connect("Ada", options).await?;
/// // A client of it:
/// use labwire_client::{CancelOutcome, Canceller};
///
/// let stage = client.link("Stage").await?;
/// let travel = stage.call::<()>("travel", args![]).send().await?;
/// let canceller: Canceller = travel.canceller();
/// // … until somebody opens the door …
/// # tokio::time::sleep(std::time::Duration::from_millis(50)).await;
/// assert_eq!(canceller.cancel(Some("the door is open")).await?, CancelOutcome::Asked);
/// let error = travel.await.unwrap_err();
/// assert!(error.is_cancelled(), "{error}");
/// assert!(error.to_string().ends_with("the client has cancelled it: the door is open"));
/// assert_eq!(canceller.cancel(None).await?, CancelOutcome::Over);
/// # drop(service);
/// # Ok(())
/// # }); }
/// ```
#[derive(Clone)]
pub struct Canceller {
    handle: Arc<Handle>,
    call: u64,
}

impl fmt::Debug for Canceller {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Canceller")
            .field("call", &self.call)
            .finish_non_exhaustive()
    }
}

impl Canceller {
    pub(crate) fn new(handle: Arc<Handle>, call: u64) -> Self {
        Self { handle, call }
    }

    /// Cancels the call. The service is told `reason`, a text of at most 256 bytes. A call that was
    /// not written yet is never sent.
    ///
    /// Needs a manager of Labwire. Cancel safe: once polled, the call is cancelled even if the future
    /// is dropped.
    ///
    /// See the example of [`Canceller`].
    ///
    /// # Errors
    /// [`CallError::Disconnected`] without a connection, or [`CallError::Manager`].
    pub async fn cancel(&self, reason: Option<&str>) -> Result<CancelOutcome, CallError> {
        let target = Target::new(MANAGER_NAME, "cancel");
        let uid = self.handle.uid();
        let ticket = Ticket::send(&self.handle, uid, target, |reply| Command::Cancel {
            uid,
            call: self.call,
            reason: reason.map(str::to_owned),
            reply,
        })?;
        match ticket.await {
            Ok(result) => Ok(match &*result {
                b"\"ended\"" => CancelOutcome::Ended,
                b"\"over\"" => CancelOutcome::Over,
                _ => CancelOutcome::Asked,
            }),
            // Its reply was on its way.
            Err(error) if error.is_absence() => Ok(CancelOutcome::Over),
            Err(error) => Err(error),
        }
    }
}
