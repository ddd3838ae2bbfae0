//! Calls in flight whose progress and items are followed.

use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_core::Stream;
use labwire_device::payload::{DecodeError, Received};
use serde::de::DeserializeOwned;
use tokio::sync::watch;

use crate::approval::LatestApproval;
use crate::call::Pending;
use crate::cancel::Canceller;
use crate::command::Target;
use crate::error::CallError;
use crate::follower::Followed;
use crate::item_queue::{FULL_BYTES, ItemReceiver};
use crate::progress_value::ProgressValue;

/// A call in flight whose progress and items are followed: awaiting it returns the result. Created by
/// [`Call::follow`](crate::Call::follow).
///
/// ```
/// # mod support { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/lab.rs")); }
/// use labwire_service::{Progress, Runner, ServiceError, service};
///
/// struct Spectrometer;
///
/// #[service]
/// impl Spectrometer {
///     pub async fn scan(&self, count: u32, progress: &Progress) -> Result<u32, ServiceError> {
///         for done in 1..=count {
///             progress.send_item(f64::from(done) / 2.0).await?;
///             progress.set(f64::from(done) / f64::from(count))?;
///         }
///         Ok(count)
///     }
/// }
///
/// # fn main() { support::empty_lab(|options| async move {
/// # use labwire_client::{Client, args};
/// # let service = Runner::new(Spectrometer).options(options.clone()).connect().await?;
/// # let client = Client::connect("Ada", options).await?;
/// // A client of it:
/// use labwire_client::{Following, Items, LatestProgress};
///
/// let spectrometer = client.link("Spectrometer").await?;
/// let mut scan: Following<u32> = spectrometer.call("scan", args![3]).follow().await?;
/// let mut items: Items<f64> = scan.items();
/// let mut progress: LatestProgress = scan.progress();
/// let mut spectrum = Vec::new();
/// while let Some(item) = items.next().await {
///     spectrum.push(item?);
/// }
/// assert_eq!(spectrum, [0.5, 1.0, 1.5]);
/// assert_eq!(scan.await?, 3);
/// assert_eq!(progress.latest().and_then(|value| value.ratio()), Some(1.0));
/// assert_eq!(progress.changed().await, progress.latest());
/// assert_eq!(progress.changed().await, None);
/// # drop(service);
/// # Ok(())
/// # }); }
/// ```
///
/// Cancel safe: if it is dropped, the reply is ignored, and the items with it.
#[must_use = "the result of the call is ignored when this is dropped"]
pub struct Following<T> {
    pending: Pending<T>,
    items: Arc<ItemReceiver>,
    progress: watch::Receiver<Option<ProgressValue>>,
    target: Target,
}

impl<T> fmt::Debug for Following<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Following")
            .field("pending", &self.pending)
            .finish_non_exhaustive()
    }
}

impl<T> Following<T> {
    pub(crate) fn new(pending: Pending<T>, followed: Followed, target: Target) -> Self {
        Self {
            pending,
            items: Arc::new(followed.items),
            progress: followed.progress,
            target,
        }
    }

    /// Returns the items as they come, each decoded. They end with the call.
    ///
    /// Several streams of one call share its items: each item goes to one of them.
    ///
    /// See the example of [`Following`].
    pub fn items<I: DeserializeOwned>(&mut self) -> Items<I> {
        Items {
            queue: Arc::clone(&self.items),
            target: self.target.clone(),
            decode: Received::decode::<I>,
        }
    }

    /// Returns the items as they come, each as the JSON text that the service wrote. Arrays are
    /// in it as base64.
    pub fn raw_items(&mut self) -> Items<String> {
        Items {
            queue: Arc::clone(&self.items),
            target: self.target.clone(),
            decode: |item| Ok(item.to_text().into_owned()),
        }
    }

    /// Returns the latest progress, and its changes.
    ///
    /// See the example of [`Following`].
    pub fn progress(&self) -> LatestProgress {
        let mut latest = self.progress.clone();
        latest.mark_changed();
        LatestProgress { latest }
    }

    /// As [`Pending::approval`]. What the manager tells is in the progress, too: see
    /// [`ProgressValue::approval`].
    pub async fn approval(&self) -> LatestApproval {
        self.pending.approval().await
    }

    /// Returns a handle by which the call can be cancelled while it is awaited.
    ///
    /// See the example of [`Canceller`].
    pub fn canceller(&self) -> Canceller {
        self.pending.canceller()
    }
}

impl<T> Future for Following<T> {
    type Output = Result<T, CallError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.pending).poll(context)
    }
}

/// The items of a call, as they come: a [`Stream`], and [`next`](Self::next) reads it without the
/// trait. It ends (`None`) with the call.
///
/// All calls of a client share its connection, so a reader that stops does not keep the others
/// waiting: up to 64 MiB of items wait for it. Then the stream ends with
/// [`CallError::ItemsLost`], as when the connection breaks and the manager cannot keep all items; the
/// call itself goes on.
///
/// See the example of [`Following`].
pub struct Items<I> {
    queue: Arc<ItemReceiver>,
    target: Target,
    decode: fn(&Received) -> Result<I, DecodeError>,
}

impl<I> fmt::Debug for Items<I> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Items")
            .field("service", &self.target.service)
            .field("attribute", &self.target.attribute)
            .finish_non_exhaustive()
    }
}

impl<I> Items<I> {
    /// Waits for the next item. Returns `None` after the last one.
    ///
    /// Cancel safe: no item is lost.
    ///
    /// See the example of [`Following`].
    pub async fn next(&mut self) -> Option<Result<I, CallError>> {
        poll_fn(|context| self.poll(context)).await
    }

    fn poll(&self, context: &Context<'_>) -> Poll<Option<Result<I, CallError>>> {
        self.queue.poll_next(context).map(|next| {
            Some(match next? {
                Ok(item) => (self.decode)(&item).map_err(|error| CallError::Decode {
                    service: self.target.service.to_string(),
                    attribute: self.target.attribute.to_string(),
                    error,
                }),
                Err(_) => Err(CallError::ItemsLost {
                    service: self.target.service.to_string(),
                    attribute: self.target.attribute.to_string(),
                    limit: FULL_BYTES,
                }),
            })
        })
    }
}

impl<I> Stream for Items<I> {
    type Item = Result<I, CallError>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.poll(context)
    }
}

/// How far a call has come: its latest progress, and the changes. While the call waits for
/// [approval](crate::Approval), that is the progress.
///
/// Values that come faster than they are read are skipped.
///
/// See the example of [`Following`].
#[derive(Clone, Debug)]
pub struct LatestProgress {
    latest: watch::Receiver<Option<ProgressValue>>,
}

impl LatestProgress {
    /// Returns the latest value; `None` if there was none.
    ///
    /// See the example of [`Following`].
    pub fn latest(&self) -> Option<ProgressValue> {
        self.latest.borrow().clone()
    }

    /// Waits for a value that this handle has not returned here yet. Returns `None` once the call has
    /// ended, and then the last value was returned.
    ///
    /// Cancel safe.
    ///
    /// See the example of [`Following`].
    pub async fn changed(&mut self) -> Option<ProgressValue> {
        loop {
            self.latest.changed().await.ok()?;
            let value = self.latest.borrow_and_update().clone();
            if let Some(value) = value {
                return Some(value);
            }
        }
    }
}
