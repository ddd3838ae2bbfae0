//! The runtime of the crowds.

use std::future::Future;
use std::panic::resume_unwind;
use std::sync::OnceLock;

use rustix::process::setpriority_process;
use tokio::runtime::{Builder, Runtime};

/// Priority of the crowds, below that of the manager and of the measurements.
const NICENESS: i32 = 10;

fn runtime() -> &'static Runtime {
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    RUNTIME.get_or_init(|| {
        Builder::new_multi_thread()
            .worker_threads(1)
            .on_thread_start(|| {
                // Without the lower priority the figures would depend more on the machine.
                let _ = setpriority_process(None, NICENESS);
            })
            .enable_all()
            .build()
            .expect("threads can be started")
    })
}

/// Runs a task of the crowd beside the case. Returns the running task.
pub(crate) fn spawn<T: Send + 'static>(task: impl Future<Output = T> + Send + 'static) -> Task<T> {
    Task(runtime().spawn(task))
}

/// Runs a task of the crowd to its end.
pub(crate) fn run<T: Send + 'static>(task: impl Future<Output = T> + Send + 'static) -> T {
    spawn(task).join()
}

/// Runs a future on the case's own thread, which has normal priority.
pub(crate) fn block_on<T>(future: impl Future<Output = T>) -> T {
    runtime().block_on(future)
}

/// A task of the crowd, which is aborted when this is dropped.
pub(crate) struct Task<T>(tokio::task::JoinHandle<T>);

impl<T> Task<T> {
    /// Waits for its end. Panics if it panicked.
    pub(crate) fn join(mut self) -> T {
        match runtime().block_on(&mut self.0) {
            Ok(value) => value,
            Err(error) => resume_unwind(error.into_panic()),
        }
    }

    /// Waits for its end within another task. Panics if it panicked.
    pub(crate) async fn ended(mut self) -> T {
        match (&mut self.0).await {
            Ok(value) => value,
            Err(error) => resume_unwind(error.into_panic()),
        }
    }

    /// Whether it has ended.
    pub(crate) fn is_finished(&self) -> bool {
        self.0.is_finished()
    }
}

impl<T> Drop for Task<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}
