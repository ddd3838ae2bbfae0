//! A call: before it is sent, on its way, and its result.

use std::fmt;
use std::future::{Future, IntoFuture};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use labwire_device::payload::{DecodeError, from_json};
use labwire_wire::Executed;
use serde::de::DeserializeOwned;
use tokio::time::{Instant, Sleep};

use crate::core::{ClientCore, Request, Ticket};
use crate::error::CallError;
use crate::pending_request::Outcome;

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

impl<T> fmt::Debug for Call<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Call")
            .field("service", &self.request.service)
            .field("attribute", &self.request.attribute)
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
        let about = About {
            service: self.request.service.clone(),
            attribute: self.request.attribute.clone(),
            timeout: self.timeout,
        };
        let Some(limit) = self.timeout else {
            let ticket = ClientCore::send(self.request).await?;
            return Ok(Pending::new(ticket, None, self.decode, about));
        };
        // A limit of centuries is no limit.
        let deadline = Instant::now().checked_add(limit);
        let sleep = deadline.map(|deadline| Box::pin(tokio::time::sleep_until(deadline)));
        let send = ClientCore::send(self.request);
        let Some(mut sleep) = sleep else {
            return Ok(Pending::new(send.await?, None, self.decode, about));
        };
        tokio::select! {
            biased;
            ticket = send => Ok(Pending::new(ticket?, Some(sleep), self.decode, about)),
            () = &mut sleep => Err(about.timed_out(Executed::No)),
        }
    }
}

/// What the errors of a call tell about it.
struct About {
    service: String,
    attribute: String,
    timeout: Option<Duration>,
}

impl About {
    fn timed_out(&self, executed: Executed) -> CallError {
        CallError::TimedOut {
            service: self.service.clone(),
            attribute: self.attribute.clone(),
            timeout: self.timeout.unwrap_or_default(),
            executed,
        }
    }
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
    ticket: Ticket,
    deadline: Option<Pin<Box<Sleep>>>,
    decode: Decode<T>,
    about: Arc<About>,
}

impl<T> fmt::Debug for Pending<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Pending")
            .field("service", &self.about.service)
            .field("attribute", &self.about.attribute)
            .finish_non_exhaustive()
    }
}

impl<T> Pending<T> {
    fn new(ticket: Ticket, deadline: Option<Pin<Box<Sleep>>>, decode: Decode<T>, about: About) -> Self {
        Self {
            ticket,
            deadline,
            decode,
            about: Arc::new(about),
        }
    }

    fn read(&self, outcome: Outcome) -> Result<T, CallError> {
        let result = outcome?;
        let text = std::str::from_utf8(&result).unwrap_or_default();
        (self.decode)(text).map_err(|error| CallError::Decode {
            service: self.about.service.clone(),
            attribute: self.about.attribute.clone(),
            error,
        })
    }
}

impl<T> Future for Pending<T> {
    type Output = Result<T, CallError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        if let Poll::Ready(outcome) = Pin::new(&mut self.ticket).poll(context) {
            return Poll::Ready(self.read(outcome));
        }
        let Some(deadline) = &mut self.deadline else {
            return Poll::Pending;
        };
        std::task::ready!(deadline.as_mut().poll(context));
        Poll::Ready(match self.ticket.give_up() {
            Ok(outcome) => self.read(outcome),
            Err(executed) => Err(self.about.timed_out(executed)),
        })
    }
}
