//! State that others change, and that one reader waits for.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

/// State that one reader waits for.
#[derive(Debug, Default)]
pub(crate) struct Readable<T>(Mutex<Inner<T>>);

#[derive(Debug, Default)]
struct Inner<T> {
    state: T,
    reader: Option<Waker>,
}

impl<T> Readable<T> {
    fn inner(&self) -> MutexGuard<'_, Inner<T>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the state and wakes the reader.
    pub(crate) fn change(&self, change: impl FnOnce(&mut T)) {
        let mut inner = self.inner();
        change(&mut inner.state);
        let reader = inner.reader.take();
        drop(inner);
        if let Some(reader) = reader {
            reader.wake();
        }
    }

    /// Changes the state in a way that the reader need not know of yet.
    pub(crate) fn change_quietly(&self, change: impl FnOnce(&mut T)) {
        change(&mut self.inner().state);
    }

    /// Reads the state. If there is nothing to read, the next change wakes the reader.
    pub(crate) fn poll<R>(&self, context: &Context<'_>, read: impl FnOnce(&mut T) -> Poll<R>) -> Poll<R> {
        let mut inner = self.inner();
        let read = read(&mut inner.state);
        if read.is_pending() {
            inner.reader = Some(context.waker().clone());
        }
        read
    }
}
