//! A call: before it is sent, on its way, and its result.

use std::fmt;
use std::future::{Future, IntoFuture};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use labwire_device::payload::{Arguments, DecodeError, EncodeError, from_json};
use labwire_wire::Executed;
use serde::de::DeserializeOwned;
use tokio::time::Instant;

use crate::command::{CallCommand, Command, Limit, Outcome, Room, Target};
use crate::error::CallError;
use crate::frames::request_frame;
use crate::handle::Handle;
use crate::holder::Holder;
use crate::ticket::Ticket;

/// Reads a result from its JSON text.
type Decode<T> = fn(&str) -> Result<T, DecodeError>;

/// A call that was not made yet: `.await` makes it and waits for its result, [`send`](Self::send) makes it and lets
/// you wait later.
///
/// Many calls can be under way at once, with any number of services.
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
/// Cancel safe: when it is dropped before its reply, the reply is ignored. A request that was not written yet never
/// will be; whether one that was written is executed, nobody knows.
#[must_use = "a call does nothing until it is awaited or sent"]
pub struct Call<T> {
    request: Request,
    timeout: Option<Duration>,
    decode: Decode<T>,
}

/// What is asked of a service or of the manager.
pub(crate) struct Request {
    handle: Arc<Handle>,
    target: Target,
    arguments: Result<(String, String), EncodeError>,
    through: Option<Arc<Holder>>,
}

impl Request {
    /// A request to the manager.
    pub(crate) fn to_manager(handle: &Arc<Handle>, target: Target, arguments: Arguments) -> Self {
        Self {
            handle: Arc::clone(handle),
            target,
            arguments: arguments.finish(),
            through: None,
        }
    }

    /// A request to the service of a link.
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
            decode: from_json::<T>,
        }
    }
}

impl<T> Call<T> {
    /// Waits for the result so long at most, from when the call is made. Without it there is no limit, unless the
    /// handle has [one of its own](crate::Link::with_timeout).
    ///
    /// ```
    /// # mod support { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/lab.rs")); }
    /// # support::lab(|options| async move {
    /// # use std::time::Duration;
    /// # use labwire_client::{CallError, Client, args};
    /// # let client = Client::connect("Ada", options).await?;
    /// let echo = client.link("Echo").await?;
    /// let call = echo.call::<()>("sleep", args![60]).timeout(Duration::from_millis(20));
    /// assert!(matches!(call.await, Err(CallError::TimedOut { .. })));
    /// # Ok(())
    /// # });
    /// ```
    pub fn timeout(mut self, limit: Duration) -> Self {
        self.timeout = Some(limit);
        self
    }

    /// Gives the result as the JSON text that the service wrote, unread.
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
            decode: |text| Ok(text.to_owned()),
        }
    }

    /// Makes the call, and gives what its result can be awaited with later: calls overlap without a task for each.
    ///
    /// It waits while too many requests of this client wait to be written. Cancel safe: a call that is dropped here
    /// was not made.
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
        let Request {
            handle,
            target,
            arguments,
            through,
        } = self.request;
        let (args, kwargs) = arguments.map_err(|error| CallError::Encode {
            service: target.service.to_string(),
            attribute: target.attribute.to_string(),
            error,
        })?;
        // A limit of centuries is no limit.
        let limit = self.timeout.and_then(|timeout| {
            let deadline = Instant::now().checked_add(timeout)?.into_std();
            Some(Limit { timeout, deadline })
        });
        let room = room(&handle, limit, &target).await?;
        let uid = handle.uid();
        let frame = request_frame(&target.service, &target.attribute, &args, &kwargs, uid);
        let ticket = Ticket::send(&handle, uid, target.clone(), |reply| {
            Command::Call(CallCommand {
                uid,
                frame,
                target,
                through: through.as_ref().map(|holder| holder.number()),
                limit,
                room: Some(room),
                reply,
            })
        })?;
        Ok(Pending {
            ticket,
            decode: self.decode,
            _through: through,
        })
    }
}

/// Waits for the permit of a call, as long as the call may take.
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

/// A [`Call`] that is awaited.
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

/// A call that was made: awaiting it gives the result. See [`Call::send`].
///
/// Cancel safe: when it is dropped, the reply is ignored.
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
    ticket: Ticket<Bytes>,
    decode: Decode<T>,
    /// A link is not unlinked while replies are on their way.
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
    fn read(&self, outcome: Outcome) -> Result<T, CallError> {
        let result = outcome?;
        let text = std::str::from_utf8(&result).unwrap_or_default();
        (self.decode)(text).map_err(|error| CallError::Decode {
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
