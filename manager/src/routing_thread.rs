//! The thread that routes.
//!
//! All that is read from peers and written to them is read, routed and written by one thread. That is more than
//! fast enough, since nothing of what it does waits or takes long, and it is what makes it cheap: no request wakes
//! another processor, and a queue is written only after all that has arrived was routed to it. What takes long is
//! done elsewhere: TLS handshakes on the threads of whoever runs the manager, passwords and lookups of names on
//! threads of their own, the database on one.

mod steps;

use std::io;
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use tokio::runtime::{Builder, Handle};
use tokio::sync::oneshot;

pub(crate) use steps::{Measured, Steps, Task};

/// The thread that routes, with its runtime.
#[derive(Debug)]
pub(crate) struct RoutingThread {
    handle: Handle,
    /// Dropping it ends the thread.
    stop: Option<oneshot::Sender<()>>,
    /// Resolves once the thread has let go of all that was its own.
    ended: oneshot::Receiver<()>,
    thread: Option<JoinHandle<()>>,
}

impl RoutingThread {
    /// Starts the thread, which notes how long its steps take.
    ///
    /// # Errors
    /// What the operating system says when it gives no thread, or no descriptors for the thread's events.
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
                // An error means that the sender was dropped, which is what is waited for.
                let _ = runtime.block_on(stopped);
                // Who has not left by then is thrown out. A lookup that is still under way is not waited for.
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

    /// For tasks that are to run on the thread, each [measured](Measured).
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
    /// Ends the thread, also when nobody asked for it: once a manager is dropped, its sockets are closed.
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // It fails when the thread panicked, of which there is nothing to clear up.
            let _ = thread.join();
        }
    }
}
