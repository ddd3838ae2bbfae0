//! Services with `&mut self` methods, whose state the SDK keeps in a lock.

use std::fmt;
use std::ops::DerefMut;
use std::sync::Arc;

use tokio::sync::{Mutex, OwnedMutexGuard, OwnedRwLockWriteGuard, RwLock};

use crate::attributes::Attributes;
use crate::error::ServiceError;
use crate::reply::Reply;
use crate::request::Request;
use crate::service::Service;
use crate::turn::ReplyFuture;

/// A service whose state is in a lock. Methods that take `&self` are executed concurrently; those
/// that take `&mut self` alone, in the order of the requests.
///
/// [`IntoService`](crate::IntoService) converts a type with `&mut self` methods into it. Clones
/// share the service, so the rest of the program can keep one to access the state.
///
/// ```
/// use labwire_service::{IntoService, Locked, Runner, service};
///
/// struct Counter(u64);
///
/// #[service]
/// impl Counter {
///     pub fn increment(&mut self) -> u64 {
///         self.0 += 1;
///         self.0
///     }
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let counter: Locked<Counter> = Counter(0).into_service();
/// let runner = Runner::new(counter.clone());
/// counter.state().await.increment();
/// assert_eq!(counter.state().await.0, 1);
/// # }
/// ```
pub struct Locked<T: Stateful> {
    lock: Arc<T::Lock>,
}

impl<T: Stateful> Clone for Locked<T> {
    fn clone(&self) -> Self {
        Self {
            lock: Arc::clone(&self.lock),
        }
    }
}

impl<T: Stateful> fmt::Debug for Locked<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Locked").finish_non_exhaustive()
    }
}

impl<T: Stateful> Locked<T> {
    /// Puts a state into its lock.
    #[doc(hidden)]
    pub fn new(state: T) -> Self {
        Self {
            lock: Arc::new(T::Lock::new(state)),
        }
    }

    /// Waits for exclusive access to the state, which lasts until the guard is dropped. Waiters are
    /// served in order. Cancel safe.
    ///
    /// See the example of [`Locked`].
    pub async fn state(&self) -> impl DerefMut<Target = T> + Send + use<T> {
        Arc::clone(&self.lock).exclusive().await
    }
}

impl<T: Stateful> Service for Locked<T> {
    fn name(&self) -> String {
        T::NAME.to_owned()
    }

    fn max_clients(&self) -> u32 {
        T::MAX_CLIENTS
    }

    fn attributes(&self) -> Attributes {
        Arc::clone(&self.lock).with(T::attributes)
    }

    fn call(
        self: Arc<Self>,
        request: Request,
    ) -> impl Future<Output = Result<Reply, ServiceError>> + Send + 'static {
        T::call(&self.lock, request)
    }
}

/// Implemented by the macro for a type with `&mut self` methods.
#[doc(hidden)]
pub trait Stateful: Sized + Send + 'static {
    type Lock: StateLock<Self>;

    const NAME: &'static str;
    const MAX_CLIENTS: u32;

    fn attributes(&mut self) -> Attributes;

    fn call(lock: &Arc<Self::Lock>, request: Request) -> ReplyFuture;
}

/// The lock of a state.
#[doc(hidden)]
#[diagnostic::on_unimplemented(
    message = "a service with both `&self` and `&mut self` methods must be `Sync`, and `{T}` is not",
    note = "make all its methods and properties take `&mut self`; then it need only be `Send`"
)]
pub trait StateLock<T>: Send + Sync + Sized + 'static {
    type Guard: DerefMut<Target = T> + Send;

    fn new(state: T) -> Self;

    fn exclusive(self: Arc<Self>) -> impl Future<Output = Self::Guard> + Send;

    /// Blocks until it has exclusive access to the state.
    fn with<R>(self: Arc<Self>, use_state: impl FnOnce(&mut T) -> R) -> R;
}

impl<T: Send + Sync + 'static> StateLock<T> for RwLock<T> {
    type Guard = OwnedRwLockWriteGuard<T>;

    fn new(state: T) -> Self {
        Self::new(state)
    }

    fn exclusive(self: Arc<Self>) -> impl Future<Output = Self::Guard> + Send {
        self.write_owned()
    }

    fn with<R>(self: Arc<Self>, use_state: impl FnOnce(&mut T) -> R) -> R {
        use_state(&mut self.blocking_write())
    }
}

impl<T: Send + 'static> StateLock<T> for Mutex<T> {
    type Guard = OwnedMutexGuard<T>;

    fn new(state: T) -> Self {
        Self::new(state)
    }

    fn exclusive(self: Arc<Self>) -> impl Future<Output = Self::Guard> + Send {
        self.lock_owned()
    }

    fn with<R>(self: Arc<Self>, use_state: impl FnOnce(&mut T) -> R) -> R {
        use_state(&mut self.blocking_lock())
    }
}
