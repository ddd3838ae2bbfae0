//! Executes requests in the order of arrival.
//!
//! Each request has its own task, so its place in the queue is taken before the task is spawned.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use crate::error::ServiceError;
use crate::reply::Reply;
use crate::request::Request;

/// The future of a method.
pub type ReplyFuture = Pin<Box<dyn Future<Output = Result<Reply, ServiceError>> + Send>>;

/// A wait that already has a place in the queue.
enum Turn<F: Future> {
    Now(F::Output),
    Waiting(Pin<Box<F>>),
}

impl<F: Future> Turn<F> {
    /// Takes the place with a first poll: locks and semaphores queue waiters in the order of their
    /// first poll. Later polls replace the waker.
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

/// Executes blocking work on a thread, once `state` is available and the concurrency limit permits.
pub fn blocking<S: Send + 'static>(
    state: impl Future<Output = S> + Send + 'static,
    request: Request,
    work: impl FnOnce(S, Request) -> Result<Reply, ServiceError> + Send + 'static,
) -> ReplyFuture {
    let permits = Arc::clone(request.service().permits());
    // The state comes first: a request that waits for it must not hold a permit.
    let turn = Turn::take(tokio::task::unconstrained(async move {
        let state = state.await;
        // `acquire_owned` fails only for a closed semaphore, which this one never is.
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

/// Executes an async method once `state` is available.
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

/// Refuses a request that has not begun when it is cancelled, or when its connection is lost: its
/// reply cannot be delivered.
fn check_wanted(request: &Request) -> Result<(), ServiceError> {
    if let Some(cause) = request.stop().cause() {
        let text = format!("the request was not executed, {cause}");
        return Err(ServiceError::new("CancelledError", text));
    }
    if request.is_abandoned() {
        let text = "the connection was lost before the request was executed";
        return Err(ServiceError::new("ConnectionError", text));
    }
    Ok(())
}

/// Converts a panic into an error reply.
pub(crate) fn panicked(panic: &(dyn Any + Send)) -> ServiceError {
    let text = panic.downcast_ref::<&str>().copied();
    let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    let text = format!("the service panicked: {}", text.unwrap_or("without a text"));
    ServiceError::new("RuntimeError", text)
}

/// Waits for a future. Converts its panic into an error, also one while it is dropped.
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
        // After a panic the future is not polled again.
        polled.unwrap_or_else(|panic| Poll::Ready(Err(panicked(panic.as_ref()))))
    })
    .await
}
