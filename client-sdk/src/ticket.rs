//! The future outcome of a command.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use labwire_wire::Executed;
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
    /// Whether the request is cancelled when this is dropped.
    cancels: bool,
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
            cancels: false,
        })
    }

    /// Cancels the call when this is dropped before its outcome, or when its time limit passes.
    pub(crate) fn cancel_on_drop(mut self) -> Self {
        self.cancels = true;
        self
    }

    /// The uid of the request, and the client's shared part.
    pub(crate) fn origin(&self) -> (u64, &Arc<Handle>) {
        (self.uid, &self.handle)
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
        // One that was not executed has ended.
        let may_run = |error: &CallError| error.executed() == Executed::Maybe;
        if self.cancels && matches!(&received, Ok(Err(error @ CallError::TimedOut { .. })) if may_run(error))
        {
            self.handle.notice(Command::Abandon { uid: self.uid });
        }
        // The engine answers every command that it was given: this one never arrived.
        Poll::Ready(received.unwrap_or_else(|_| Err(self.handle.gone(&self.target))))
    }
}

impl<T> Drop for Ticket<T> {
    fn drop(&mut self) {
        if !self.is_finished {
            self.receiver.close();
            let uid = self.uid;
            self.handle.notice(if self.cancels {
                Command::Abandon { uid }
            } else {
                Command::Forget { uid }
            });
        }
    }
}
