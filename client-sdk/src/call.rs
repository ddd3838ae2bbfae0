//! Calls: before sending, in flight, and awaited.

use std::fmt;
use std::future::{Future, IntoFuture};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use labwire_device::payload::{Arguments, Attached, DecodeError, EncodeError, Received};
use labwire_wire::Executed;
use serde::de::DeserializeOwned;
use tokio::sync::oneshot;
use tokio::time::Instant;

use crate::approval::LatestApproval;
use crate::cancel::Canceller;
use crate::command::{CallCommand, Command, Limit, Outcome, Room, Target};
use crate::error::CallError;
use crate::follower::Follower;
use crate::following::Following;
use crate::frames::request_frame_with;
use crate::handle::Handle;
use crate::holder::Holder;
use crate::ticket::Ticket;

/// Decodes a result.
type Decode<T> = fn(&Received) -> Result<T, DecodeError>;

/// A call that has not been sent yet. `.await` sends it and waits for the result;
/// [`send`](Self::send) sends it and returns a [`Pending`] to await later.
///
/// Many calls can be in flight at once, with any number of services.
///
/// ```
/// # mod support { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/lab.rs")); }
/// # support::lab(|options| async move {
/// use std::time::Duration;
/// use labwire_client::{Call, Client, args};
///
/// let client = Client::connect("Ada", options).await?;
/// let math = client.link("BasicMath").await?;
/// let sum: f64 = math.call("add", args![1, 2]).await?;
/// assert_eq!(sum, 3.0);
/// let product: Call<f64> = math.call("multiply", args![3, y = 4]).timeout(Duration::from_secs(5));
/// assert_eq!(product.await?, 12.0);
/// # Ok(())
/// # });
/// ```
///
/// Cancel safe: if it is dropped before the reply, the reply is ignored. A request that was not
/// written yet is never written; one that was written may be executed. See
/// [what a timed-out call leaves running](Self::timeout).
#[must_use = "a call does nothing until it is awaited or sent"]
pub struct Call<T> {
    request: Request,
    timeout: Option<Duration>,
    deadline: Option<Duration>,
    cancels_on_drop: bool,
    decode: Decode<T>,
}

/// A request to a service or to the manager, without its uid.
pub(crate) struct Request {
    handle: Arc<Handle>,
    target: Target,
    arguments: Result<(String, String, Attached), EncodeError>,
    through: Option<Arc<Holder>>,
}

impl Request {
    /// Creates a request to the manager.
    pub(crate) fn to_manager(handle: &Arc<Handle>, target: Target, arguments: Arguments) -> Self {
        Self {
            handle: Arc::clone(handle),
            target,
            arguments: arguments.finish_with_arrays(),
            through: None,
        }
    }

    /// Creates a request to the service of a link.
    pub(crate) fn through(holder: &Arc<Holder>, target: Target, arguments: Arguments) -> Self {
        Self {
            through: Some(Arc::clone(holder)),
            ..Self::to_manager(holder.handle(), target, arguments)
        }
    }
}

impl<T> fmt::Debug for Call<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Call")
            .field("service", &self.request.target.service)
            .field("attribute", &self.request.target.attribute)
            .field("timeout", &self.timeout)
            .finish_non_exhaustive()
    }
}

impl<T: DeserializeOwned> Call<T> {
    pub(crate) fn new(request: Request, timeout: Option<Duration>) -> Self {
        Self {
            request,
            timeout,
            deadline: None,
            cancels_on_drop: false,
            decode: Received::decode::<T>,
        }
    }
}

impl<T> Call<T> {
    /// Sets a time limit for the call, measured from when it is sent. By default there is none,
    /// except the limit of a link's [`with_timeout`](crate::Link::with_timeout).
    ///
    /// # What a timed-out call leaves running
    ///
    /// The limit ends the wait, not the work. A request that was written is not taken back: the
    /// service is not told of the timeout, executes the request to its end, and replies. The client
    /// discards that reply. Until then the request counts as in flight at the manager and at the
    /// service, and a method that has the service's state for itself delays the calls behind it. The
    /// link and its locks remain. The same is true for a call that is dropped.
    ///
    /// A request that was still queued in the client is never sent.
    /// [`CallError::executed`] tells the cases apart: [`Executed::Maybe`] after a request was
    /// written, else [`Executed::No`].
    ///
    /// A call of which the manager has told that it waits for [approval](crate::Approval) is cancelled
    /// when the limit passes. The manager says at once whether its service has received it, and the
    /// client waits for that for up to a second more. If it has not, the error says
    /// [`Executed::No`], and nobody can approve the call any more; if the call was approved at that
    /// moment, its service is asked to stop, and the error says [`Executed::Maybe`].
    ///
    /// To stop an instrument after a timeout, use [`deadline`](Self::deadline) or
    /// [`cancel_on_drop`](Self::cancel_on_drop), if the service can be asked to stop, or call a method
    /// that the service has for it. Before the
    /// call is repeated, ask the service for its state: otherwise both calls may be executed.
    ///
    /// ```
    /// # mod support { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/lab.rs")); }
    /// # support::lab(|options| async move {
    /// # use std::time::Duration;
    /// # use labwire_client::{CallError, Client, args};
    /// # let client = Client::connect("Ada", options).await?;
    /// use labwire_client::Executed;
    ///
    /// let echo = client.link("Echo").await?;
    /// let call = echo.call::<()>("sleep", args![60]).timeout(Duration::from_millis(20));
    /// let error = call.await.unwrap_err();
    /// assert!(matches!(error, CallError::TimedOut { .. }));
    /// // The service sleeps for the rest of the minute.
    /// assert_eq!(error.executed(), Executed::Maybe);
    /// # Ok(())
    /// # });
    /// ```
    pub fn timeout(mut self, limit: Duration) -> Self {
        self.timeout = Some(limit);
        self
    }

    /// Sets a deadline that the manager keeps: when it passes, the call fails with
    /// [`CallError::DeadlinePassed`], and the service is asked to stop, if it can be. From 1 ms to 31
    /// days, counted from when the manager forwards the call; the manager refuses others.
    ///
    /// Unlike [`timeout`](Self::timeout), it does not cover the time before: without a connection, a
    /// call that is kept waits for it. Needs a manager of Labwire.
    ///
    /// ```
    /// # mod support { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/lab.rs")); }
    /// # support::lab(|options| async move {
    /// # use std::time::Duration;
    /// # use labwire_client::{CallError, Client, args};
    /// # let client = Client::connect("Ada", options).await?;
    /// let echo = client.link("Echo").await?;
    /// let call = echo.call::<()>("sleep", args![60]).deadline(Duration::from_millis(20));
    /// assert!(matches!(call.await.unwrap_err(), CallError::DeadlinePassed { .. }));
    /// # Ok(())
    /// # });
    /// ```
    pub fn deadline(mut self, limit: Duration) -> Self {
        self.deadline = Some(limit);
        self
    }

    /// Cancels the call when its future is dropped before the result, or when its
    /// [`timeout`](Self::timeout) passes: the service is asked to stop, if it can be. By default it
    /// executes the call to its end.
    ///
    /// Needs a manager of Labwire.
    ///
    /// ```
    /// # mod support { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/lab.rs")); }
    /// use labwire_service::{Cancellation, Runner, service};
    /// # use std::sync::Arc;
    /// # use tokio::sync::Notify;
    ///
    /// struct Stage {
    ///     stopped: Arc<Notify>,
    /// }
    ///
    /// #[service]
    /// impl Stage {
    ///     pub async fn travel(&self, cancellation: Cancellation) {
    ///         cancellation.cancelled().await;
    ///         self.stopped.notify_one();
    ///     }
    /// }
    ///
    /// # fn main() { support::empty_lab(|options| async move {
    /// # use std::time::Duration;
    /// # use labwire_client::{Client, args};
    /// # let stopped = Arc::new(Notify::new());
    /// # let stage = Stage { stopped: Arc::clone(&stopped) };
    /// # let service = Runner::new(stage).options(options.clone()).connect().await?;
    /// # let client = Client::connect("Ada", options).await?;
    /// // A client of it:
    /// let stage = client.link("Stage").await?;
    /// let travel = stage.call::<()>("travel", args![]).cancel_on_drop().send().await?;
    /// tokio::time::sleep(Duration::from_millis(20)).await;
    /// drop(travel);
    /// stopped.notified().await;
    /// # drop(service);
    /// # Ok(())
    /// # }); }
    /// ```
    pub fn cancel_on_drop(mut self) -> Self {
        self.cancels_on_drop = true;
        self
    }

    /// Changes the result to the JSON text that the service wrote, without decoding it. Arrays are in
    /// it as base64.
    ///
    /// ```
    /// # mod support { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/lab.rs")); }
    /// # support::lab(|options| async move {
    /// # use labwire_client::{Client, args};
    /// # let client = Client::connect("Ada", options).await?;
    /// let echo = client.link("Echo").await?;
    /// assert_eq!(echo.call::<()>("echo", args![1.5, f64::NAN]).raw().await?, "[[1.5,NaN],{}]");
    /// # Ok(())
    /// # });
    /// ```
    pub fn raw(self) -> Call<String> {
        Call {
            request: self.request,
            timeout: self.timeout,
            deadline: self.deadline,
            cancels_on_drop: self.cancels_on_drop,
            decode: |result| Ok(result.to_text().into_owned()),
        }
    }

    /// Sends the call and returns a [`Pending`] for its result. Calls can overlap without a task
    /// for each.
    ///
    /// Waits while too many requests of this client are queued for writing (backpressure). Cancel
    /// safe: if the future is dropped early, the call is not sent.
    ///
    /// ```
    /// # mod support { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/lab.rs")); }
    /// # support::lab(|options| async move {
    /// # use labwire_client::{Client, args};
    /// # let client = Client::connect("Ada", options).await?;
    /// let math = client.link("BasicMath").await?;
    /// let sum = math.call::<f64>("add", args![1, 2]).send().await?;
    /// let product = math.call::<f64>("multiply", args![3, 4]).send().await?;
    /// assert_eq!((sum.await?, product.await?), (3.0, 12.0));
    /// # Ok(())
    /// # });
    /// ```
    pub async fn send(self) -> Result<Pending<T>, CallError> {
        self.send_with(None).await
    }

    /// As [`send`](Self::send), and asks for the progress and the items of the call: see
    /// [`Following`], with an example.
    ///
    /// Services that send none need no change. Needs a manager of Labwire.
    pub async fn follow(self) -> Result<Following<T>, CallError> {
        let target = self.request.target.clone();
        let (follower, receivers) = Follower::new();
        let pending = self.send_with(Some(Box::new(follower))).await?;
        Ok(Following::new(pending, receivers, target))
    }

    /// Returns the members of the request beside those of the first version, each with a comma after
    /// it.
    fn members(&self, follows: bool) -> String {
        let mut members = String::new();
        if let Some(deadline) = self.deadline {
            members = format!("\"deadline\":{},", deadline.as_secs_f64());
        }
        if follows {
            members.push_str("\"progress\":true,");
        }
        members
    }

    async fn send_with(self, follower: Option<Box<Follower>>) -> Result<Pending<T>, CallError> {
        let members = self.members(follower.is_some());
        let Request {
            handle,
            target,
            arguments,
            through,
        } = self.request;
        let (args, kwargs, attached) = arguments.map_err(|error| CallError::Encode {
            service: target.service.to_string(),
            attribute: target.attribute.to_string(),
            error,
        })?;
        // A deadline beyond the range of `Instant` means no limit.
        let limit = self.timeout.and_then(|timeout| {
            let deadline = Instant::now().checked_add(timeout)?.into_std();
            Some(Limit { timeout, deadline })
        });
        let room = room(&handle, limit, &target).await?;
        let uid = handle.uid();
        let names = (&*target.service, &*target.attribute);
        let frame = if attached.is_empty() {
            request_frame_with(names, (&args, &kwargs), uid, &members)
        } else if handle.status().borrow().about.binary {
            let frame = request_frame_with(names, (&args, &kwargs), uid, &members);
            attached.frame(vec![frame]).concat().into()
        } else {
            let (args, kwargs) = (attached.inlined(args), attached.inlined(kwargs));
            request_frame_with(names, (&args, &kwargs), uid, &members)
        };
        let ticket = Ticket::send(&handle, uid, target.clone(), |reply| {
            Command::Call(CallCommand {
                uid,
                frame,
                target,
                through: through.as_ref().map(|holder| holder.number()),
                limit,
                room: Some(room),
                follower,
                reply,
            })
        })?;
        let ticket = if self.cancels_on_drop {
            ticket.cancel_on_drop()
        } else {
            ticket
        };
        Ok(Pending {
            ticket,
            decode: self.decode,
            _through: through,
        })
    }
}

/// Waits for the permit of a call, at most until the call's deadline.
async fn room(handle: &Handle, limit: Option<Limit>, target: &Target) -> Result<Room, CallError> {
    if let Some(room) = handle.try_room() {
        return Ok(room);
    }
    let Some(limit) = limit else {
        return Ok(handle.room().await);
    };
    let waiting = tokio::time::timeout_at(limit.deadline.into(), handle.room());
    waiting
        .await
        .map_err(|_| target.timed_out(limit.timeout, Executed::No))
}

impl<T: 'static> IntoFuture for Call<T> {
    type Output = Result<T, CallError>;
    type IntoFuture = CallFuture<T>;

    fn into_future(self) -> CallFuture<T> {
        CallFuture(Box::pin(async move { self.send().await?.await }))
    }
}

/// The future of an awaited [`Call`].
///
/// ```
/// # mod support { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/lab.rs")); }
/// # support::lab(|options| async move {
/// # use labwire_client::Client;
/// # let client = Client::connect("Ada", options).await?;
/// use labwire_client::{CallFuture, args};
///
/// let math = client.link("BasicMath").await?;
/// // A future with a name can stand in a struct, or in a list.
/// let mut sums: Vec<CallFuture<f64>> = Vec::new();
/// for x in 0..3 {
///     sums.push(math.call("add", args![x, 1]).into_future());
/// }
/// for (x, sum) in sums.into_iter().enumerate() {
///     assert_eq!(sum.await?, x as f64 + 1.0);
/// }
/// # Ok(())
/// # });
/// ```
#[must_use = "futures do nothing unless they are polled"]
pub struct CallFuture<T>(Pin<Box<dyn Future<Output = Result<T, CallError>> + Send>>);

impl<T> fmt::Debug for CallFuture<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("CallFuture").finish_non_exhaustive()
    }
}

impl<T> Future for CallFuture<T> {
    type Output = Result<T, CallError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        self.0.as_mut().poll(context)
    }
}

/// A call in flight: awaiting it returns the result. Created by [`Call::send`].
///
/// Cancel safe: if it is dropped, the reply is ignored.
///
/// ```
/// # mod support { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/lab.rs")); }
/// # support::lab(|options| async move {
/// # use labwire_client::Client;
/// # let client = Client::connect("Ada", options).await?;
/// use labwire_client::{Pending, args};
///
/// let math = client.link("BasicMath").await?;
/// let sum: Pending<f64> = math.call("add", args![1, 2]).send().await?;
/// // … something else …
/// assert_eq!(sum.await?, 3.0);
/// # Ok(())
/// # });
/// ```
#[must_use = "the result of the call is ignored when this is dropped"]
pub struct Pending<T> {
    ticket: Ticket<Received>,
    decode: Decode<T>,
    /// Keeps the link until the reply has come.
    _through: Option<Arc<Holder>>,
}

impl<T> fmt::Debug for Pending<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Pending")
            .field("service", &self.ticket.target().service)
            .field("attribute", &self.ticket.target().attribute)
            .finish_non_exhaustive()
    }
}

impl<T> Pending<T> {
    /// Returns a handle by which the call can be cancelled while it is awaited.
    ///
    /// See the example of [`Canceller`].
    pub fn canceller(&self) -> Canceller {
        let (uid, handle) = self.ticket.origin();
        Canceller::new(Arc::clone(handle), uid)
    }

    /// Returns whether the call waits until somebody approves it, and the changes. Ends at once: it
    /// does not wait for the manager.
    ///
    /// See the example of [`LatestApproval`].
    pub async fn approval(&self) -> LatestApproval {
        let (call, handle) = self.ticket.origin();
        let (reply, latest) = oneshot::channel();
        handle.notice(Command::Approval { call, reply });
        // An error means that the call has ended.
        LatestApproval::new(latest.await.ok())
    }

    fn read(&self, outcome: Outcome) -> Result<T, CallError> {
        let result = outcome?;
        (self.decode)(&result).map_err(|error| CallError::Decode {
            service: self.ticket.target().service.to_string(),
            attribute: self.ticket.target().attribute.to_string(),
            error,
        })
    }
}

impl<T> Future for Pending<T> {
    type Output = Result<T, CallError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let outcome = std::task::ready!(Pin::new(&mut self.ticket).poll(context));
        Poll::Ready(self.read(outcome))
    }
}
