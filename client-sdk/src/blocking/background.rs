//! The background thread of blocking clients.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::{Builder, Handle};
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep};

/// How long clients have to disconnect from their manager after the last handle was dropped.
const FAREWELL: Duration = Duration::from_secs(5);

/// Interval at which the thread checks whether they have.
const LOOK: Duration = Duration::from_millis(5);

/// A runtime on its own thread. It ends when the last handle is dropped and clients have
/// disconnected, or after [`FAREWELL`].
#[derive(Clone)]
pub(super) struct Background(Arc<Thread>);

struct Thread {
    runtime: Handle,
    /// The thread waits until this is dropped.
    _stop: oneshot::Sender<()>,
}

impl fmt::Debug for Background {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Background").finish_non_exhaustive()
    }
}

impl Background {
    pub(super) fn start() -> std::io::Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let handle = runtime.handle().clone();
        let (stop, stopped) = oneshot::channel();
        std::thread::Builder::new()
            .name("labwire-client".to_owned())
            .spawn(move || {
                runtime.block_on(async move {
                    // An error means that the last handle was dropped.
                    let _ = stopped.await;
                    let deadline = Instant::now() + FAREWELL;
                    while Handle::current().metrics().num_alive_tasks() > 0 && Instant::now() < deadline {
                        sleep(LOOK).await;
                    }
                });
                // Does not wait for a question at the terminal that is never answered.
                runtime.shutdown_background();
            })?;
        Ok(Self(Arc::new(Thread {
            runtime: handle,
            _stop: stop,
        })))
    }

    /// Waits on this thread, while the background thread does the work.
    pub(super) fn wait<F: Future>(&self, future: F) -> F::Output {
        if Handle::try_current().is_ok() {
            self.refuse_asynchronous_code();
        }
        self.0.runtime.block_on(future)
    }

    /// Panics in async code. A blocking task of a runtime may wait, a task on an async thread may
    /// not; only an attempt to wait distinguishes them.
    fn refuse_asynchronous_code(&self) {
        let waited = catch_unwind(AssertUnwindSafe(|| self.0.runtime.block_on(async {})));
        assert!(
            waited.is_ok(),
            "a client of labwire_client::blocking was used in asynchronous code, where it would stop everything \
             else; use labwire_client::Client there, or tokio::task::spawn_blocking"
        );
    }
}
