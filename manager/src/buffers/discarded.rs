//! Drops values that take long to drop, on a thread of its own.

use std::any::Any;
use std::sync::LazyLock;
use std::sync::mpsc::{Sender, channel};
use std::thread;

/// A value to be dropped.
type Discarded = Box<dyn Any + Send>;

/// The channel to the thread that drops; `None` if it could not be started. It lives as long as the
/// process.
static THREAD: LazyLock<Option<Sender<Discarded>>> = LazyLock::new(|| {
    let (sender, discarded) = channel::<Discarded>();
    let thread = thread::Builder::new().name("memory".to_owned());
    let started = thread.spawn(move || discarded.into_iter().for_each(drop));
    started.is_ok().then_some(sender)
});

/// Drops a value on another thread: returning dozens of megabytes takes the system several
/// milliseconds, and dropping tens of thousands of pieces takes as long. Without that thread, drops
/// it here.
pub(crate) fn discard(value: impl Send + 'static) {
    if let Some(thread) = &*THREAD {
        // It fails if the thread has ended, which it does not; the value then comes back in the
        // error and is dropped.
        let _ = thread.send(Box::new(value));
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{self, Sender};
    use std::thread::{self, ThreadId};
    use std::time::Duration;

    use super::*;

    struct Tells(Sender<ThreadId>);

    impl Drop for Tells {
        fn drop(&mut self) {
            let _ = self.0.send(thread::current().id());
        }
    }

    #[test]
    fn a_value_is_dropped_by_another_thread() {
        let (sender, dropped) = mpsc::channel();
        discard(Tells(sender));
        let by = dropped.recv_timeout(Duration::from_secs(30)).unwrap();
        assert_ne!(by, thread::current().id());
    }
}
