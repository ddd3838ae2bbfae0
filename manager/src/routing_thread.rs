//! The routing thread.
//!
//! One thread reads from all peers, routes, and writes to them. It is more than fast enough, since
//! none of its work waits or takes long. It is cheap, since no request wakes another processor, and
//! a queue is written only after everything that has arrived was routed to it. Slow work runs
//! elsewhere: TLS handshakes on the threads of the runtime that runs the manager, passwords and
//! name lookups on threads of their own, the database on one.

mod steps;
mod yielding;

use std::io;
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use tokio::runtime::{Builder, Handle};
use tokio::sync::oneshot;

pub(crate) use steps::{Measured, Steps, Task};
pub(crate) use yielding::yield_to_events;

/// The routing thread, with its runtime.
#[derive(Debug)]
pub(crate) struct RoutingThread {
    handle: Handle,
    /// Dropping it ends the thread.
    stop: Option<oneshot::Sender<()>>,
    /// Resolves once the thread has dropped everything that it owned.
    ended: oneshot::Receiver<()>,
    thread: Option<JoinHandle<()>>,
}

impl RoutingThread {
    /// Starts the thread. `steps` records how long its steps take.
    ///
    /// # Errors
    /// If the operating system provides no thread, or no descriptors for the thread's events.
    pub(crate) fn start(steps: Arc<Steps>) -> io::Result<Self> {
        let runtime = Builder::new_current_thread()
            .enable_all()
            .on_thread_unpark(steps::wake)
            .build()?;
        let handle = runtime.handle().clone();
        let (stop, stopped) = oneshot::channel::<()>();
        let (ending, ended) = oneshot::channel::<()>();
        let thread = thread::Builder::new()
            .name("labwire-router".into())
            .spawn(move || {
                steps::watch(steps);
                // An error means that the sender was dropped, which is the signal.
                let _ = runtime.block_on(stopped);
                // Remaining peers are disconnected. A name lookup that is still running is not
                // waited for.
                runtime.shutdown_background();
                drop(ending);
            })?;
        Ok(Self {
            handle,
            stop: Some(stop),
            ended,
            thread: Some(thread),
        })
    }

    /// Returns the handle for tasks that are to run on the thread, each [measured](Measured).
    pub(crate) fn handle(&self) -> &Handle {
        &self.handle
    }

    /// Ends the thread and all of its tasks, and waits for that.
    pub(crate) async fn end(mut self) {
        drop(self.stop.take());
        let _ = (&mut self.ended).await;
    }
}

impl Drop for RoutingThread {
    /// Ends the thread, even if nobody asked for it: once a manager is dropped, its sockets are
    /// closed.
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // It fails if the thread panicked; then there is nothing to clean up.
            let _ = thread.join();
        }
    }
}
