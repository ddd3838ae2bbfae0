//! The thread that works for clients without async.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::{Builder, Handle};
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep};

/// How long clients have to leave their manager after the last handle was dropped.
const FAREWELL: Duration = Duration::from_secs(5);

/// How often it is looked whether they have.
const LOOK: Duration = Duration::from_millis(5);

/// A runtime on a thread of its own, which ends when the last handle is dropped and clients have left.
#[derive(Clone)]
pub(super) struct Background(Arc<Thread>);

struct Thread {
    runtime: Handle,
    /// The thread waits for this to be dropped.
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
                    // The error says that the last handle is gone.
                    let _ = stopped.await;
                    let deadline = Instant::now() + FAREWELL;
                    while Handle::current().metrics().num_alive_tasks() > 0 && Instant::now() < deadline {
                        sleep(LOOK).await;
                    }
                });
                // A question at the terminal that nobody answers must not keep the thread.
                runtime.shutdown_background();
            })?;
        Ok(Self(Arc::new(Thread {
            runtime: handle,
            _stop: stop,
        })))
    }

    /// Waits on this thread, while the background works.
    pub(super) fn wait<F: Future>(&self, future: F) -> F::Output {
        if Handle::try_current().is_ok() {
            self.refuse_asynchronous_code();
        }
        self.0.runtime.block_on(future)
    }

    /// A blocking task of a runtime may wait, a task that drives others must not. Only waiting tells which it is.
    fn refuse_asynchronous_code(&self) {
        let waited = catch_unwind(AssertUnwindSafe(|| self.0.runtime.block_on(async {})));
        assert!(
            waited.is_ok(),
            "a client of labwire_client::blocking was used in asynchronous code, where it would stop everything \
             else; use labwire_client::Client there, or tokio::task::spawn_blocking"
        );
    }
}
