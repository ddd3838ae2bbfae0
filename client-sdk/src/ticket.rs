//! The future outcome of a command.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::sync::oneshot;

use crate::command::{Command, Target};
use crate::error::CallError;
use crate::handle::Handle;

/// The future outcome of a command. Dropping it early cancels a request that was not written yet;
/// the reply to one that was written is ignored.
pub(crate) struct Ticket<T> {
    uid: u64,
    target: Target,
    handle: Arc<Handle>,
    receiver: oneshot::Receiver<Result<T, CallError>>,
    is_finished: bool,
}

impl<T> Ticket<T> {
    /// Sends the command that `command` makes of the sender for its reply.
    pub(crate) fn send(
        handle: &Arc<Handle>,
        uid: u64,
        target: Target,
        command: impl FnOnce(oneshot::Sender<Result<T, CallError>>) -> Command,
    ) -> Result<Self, CallError> {
        let (reply, receiver) = oneshot::channel();
        handle.send(command(reply), &target)?;
        Ok(Self {
            uid,
            target,
            handle: Arc::clone(handle),
            receiver,
            is_finished: false,
        })
    }

    /// The service and the attribute of the request.
    pub(crate) fn target(&self) -> &Target {
        &self.target
    }
}

impl<T> Future for Ticket<T> {
    type Output = Result<T, CallError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let received = std::task::ready!(Pin::new(&mut self.receiver).poll(context));
        self.is_finished = true;
        // The engine answers every command that it was given: this one never arrived.
        Poll::Ready(received.unwrap_or_else(|_| Err(self.handle.gone(&self.target))))
    }
}

impl<T> Drop for Ticket<T> {
    fn drop(&mut self) {
        if !self.is_finished {
            self.receiver.close();
            self.handle.notice(Command::Forget { uid: self.uid });
        }
    }
}
