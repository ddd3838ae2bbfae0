//! The thread that routes.
//!
//! All that is read from peers and written to them is read, routed and written by one thread. That is more than
//! fast enough, since nothing of what it does waits or takes long, and it is what makes it cheap: no request wakes
//! another processor, and a queue is written only after all that has arrived was routed to it. What takes long is
//! done elsewhere: TLS handshakes on the threads of whoever runs the manager, passwords and lookups of names on
//! threads of their own, the database on one.

use std::io;
use std::thread;

use tokio::runtime::{Builder, Handle};
use tokio::sync::oneshot;

/// The thread that routes, with its runtime.
#[derive(Debug)]
pub(crate) struct RoutingThread {
    handle: Handle,
    /// Dropping it ends the thread.
    stop: oneshot::Sender<()>,
    /// Resolves once the thread has let go of all that was its own.
    ended: oneshot::Receiver<()>,
}

impl RoutingThread {
    /// Starts the thread.
    ///
    /// # Errors
    /// What the operating system says when it gives no thread, or no descriptors for the thread's events.
    pub(crate) fn start() -> io::Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let handle = runtime.handle().clone();
        let (stop, stopped) = oneshot::channel::<()>();
        let (ending, ended) = oneshot::channel::<()>();
        thread::Builder::new()
            .name("labwire-router".into())
            .spawn(move || {
                // An error means that the sender was dropped, which is what is waited for.
                let _ = runtime.block_on(stopped);
                // Who has not left by then is thrown out. A lookup that is still under way is not waited for.
                runtime.shutdown_background();
                drop(ending);
            })?;
        Ok(Self { handle, stop, ended })
    }

    /// For tasks that are to run on the thread.
    pub(crate) fn handle(&self) -> &Handle {
        &self.handle
    }

    /// Ends the thread and all of its tasks, and waits for that.
    pub(crate) async fn end(self) {
        drop(self.stop);
        let _ = self.ended.await;
    }
}
