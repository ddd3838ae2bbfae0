//! Executing a request when it is its turn.
//!
//! Requests queue in the order in which they came, although each is executed by a task of its own: the place in the
//! queue is taken before the task is there.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use crate::error::ServiceError;
use crate::reply::Reply;
use crate::request::Request;

/// What executes a request.
pub type ReplyFuture = Pin<Box<dyn Future<Output = Result<Reply, ServiceError>> + Send>>;

/// A wait whose place in the queue is taken.
enum Turn<F: Future> {
    Now(F::Output),
    Waiting(Pin<Box<F>>),
}

impl<F: Future> Turn<F> {
    /// Takes the place: locks and semaphores give it to who polls first, whatever the waker. The wait itself polls
    /// with its own.
    fn take(wait: F) -> Self {
        let mut wait = Box::pin(wait);
        let mut context = Context::from_waker(Waker::noop());
        match wait.as_mut().poll(&mut context) {
            Poll::Ready(output) => Self::Now(output),
            Poll::Pending => Self::Waiting(wait),
        }
    }

    async fn come(self) -> F::Output {
        match self {
            Self::Now(output) => output,
            Self::Waiting(wait) => wait.await,
        }
    }
}

/// Executes work that blocks, on a thread, once `state` is there and fewer requests are executed than may be.
pub fn blocking<S: Send + 'static>(
    state: impl Future<Output = S> + Send + 'static,
    request: Request,
    work: impl FnOnce(S, Request) -> Result<Reply, ServiceError> + Send + 'static,
) -> ReplyFuture {
    let permits = Arc::clone(request.service().permits());
    // The state comes first: who waits for it must not keep others from working.
    let turn = Turn::take(tokio::task::unconstrained(async move {
        let state = state.await;
        // It fails only for a semaphore that is closed, which nobody does.
        (state, permits.acquire_owned().await.ok())
    }));
    Box::pin(async move {
        let (state, permit) = turn.come().await;
        check_wanted(&request)?;
        let done = tokio::task::spawn_blocking(move || {
            let result = work(state, request);
            drop(permit);
            result
        });
        match done.await {
            Ok(result) => result,
            Err(error) => Err(match error.try_into_panic() {
                Ok(panic) => panicked(panic.as_ref()),
                Err(_) => ServiceError::new("RuntimeError", "the service is ending"),
            }),
        }
    })
}

/// Executes an asynchronous method once `state` is there.
pub fn asynchronous<S, F>(
    state: impl Future<Output = S> + Send + 'static,
    request: Request,
    method: impl FnOnce(S, Request) -> F + Send + 'static,
) -> ReplyFuture
where
    S: Send + 'static,
    F: Future<Output = Result<Reply, ServiceError>> + Send + 'static,
{
    let turn = Turn::take(tokio::task::unconstrained(state));
    Box::pin(async move {
        let state = turn.come().await;
        check_wanted(&request)?;
        method(state, request).await
    })
}

/// Nobody waits for what came over a connection that is lost: it need not begin.
fn check_wanted(request: &Request) -> Result<(), ServiceError> {
    if request.is_abandoned() {
        let text = "the connection was lost before the request was executed";
        return Err(ServiceError::new("ConnectionError", text));
    }
    Ok(())
}

/// Turns a panic into the error that the client gets.
pub(crate) fn panicked(panic: &(dyn Any + Send)) -> ServiceError {
    let text = panic.downcast_ref::<&str>().copied();
    let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    let text = format!("the service panicked: {}", text.unwrap_or("without a text"));
    ServiceError::new("RuntimeError", text)
}

/// Waits for a future whose panic becomes an error, also one while it is dropped.
pub(crate) async fn catch_panic(
    future: impl Future<Output = Result<Reply, ServiceError>>,
) -> Result<Reply, ServiceError> {
    let mut future = Some(Box::pin(future));
    std::future::poll_fn(|context| {
        let polled = catch_unwind(AssertUnwindSafe(|| {
            let waiting = future.as_mut().expect("it is polled until it is ready");
            let output = std::task::ready!(waiting.as_mut().poll(context));
            future = None;
            Poll::Ready(output)
        }));
        // After a panic the future is not touched again.
        polled.unwrap_or_else(|panic| Poll::Ready(Err(panicked(panic.as_ref()))))
    })
    .await
}
