//! Letting others have their turn, also those whose bytes have just arrived.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use tokio::task::yield_now;

/// Notes that the runtime has looked for events, and wakes the task.
struct Looked {
    has_looked: AtomicBool,
    task: Waker,
}

impl Wake for Looked {
    fn wake(self: Arc<Self>) {
        self.has_looked.store(true, Ordering::Relaxed);
        self.task.wake_by_ref();
    }
}

/// Waits until the tasks that can run have run, and the runtime has looked for events of sockets and timers.
///
/// [`yield_now`] itself ends as soon as the task is woken by anything: a peer that is refused line after line wakes its
/// task with each answer, and everybody else would wait until the runtime looks for events by itself, every 61 turns.
/// Cancel safe.
pub(crate) async fn yield_to_events() {
    let mut yielding = pin!(yield_now());
    let mut looked: Option<Arc<Looked>> = None;
    poll_fn(|context| {
        if let Some(looked) = &looked {
            // With another waker, the task could not be woken any more, and goes on.
            let is_over =
                looked.has_looked.load(Ordering::Relaxed) || !looked.task.will_wake(context.waker());
            return if is_over { Poll::Ready(()) } else { Poll::Pending };
        }
        let begun = Arc::new(Looked {
            has_looked: AtomicBool::new(false),
            task: context.waker().clone(),
        });
        looked = Some(Arc::clone(&begun));
        // It wakes this waker once the runtime has looked, and would be ready when it is polled again.
        yielding
            .as_mut()
            .poll(&mut Context::from_waker(&Waker::from(begun)))
    })
    .await;
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::{TcpListener, TcpStream};
    use tokio::sync::Notify;
    use tokio::time::timeout;

    use super::*;

    /// A task that wakes itself all the time lets another one see its bytes after one turn.
    #[tokio::test]
    async fn a_task_that_wakes_itself_does_not_delay_events() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut sender = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (mut receiver, _) = listener.accept().await.unwrap();
        let (begin, end) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let (asked_to_begin, asked_to_end) = (Arc::clone(&begin), Arc::clone(&end));
        let flood = tokio::spawn(async move {
            asked_to_begin.notified().await;
            let mut turns = 0;
            let mut asked = pin!(asked_to_end.notified());
            loop {
                turns += 1;
                let mut yielding = pin!(yield_to_events());
                let is_over = poll_fn(|context| {
                    // As an answer to the peer itself does.
                    context.waker().wake_by_ref();
                    if asked.as_mut().poll(context).is_ready() {
                        return Poll::Ready(true);
                    }
                    yielding.as_mut().poll(context).map(|()| false)
                });
                if is_over.await {
                    return turns;
                }
            }
        });
        let reading = tokio::spawn(async move {
            let mut byte = [0];
            receiver.read_exact(&mut byte).await.unwrap();
            end.notify_one();
        });
        yield_now().await;
        begin.notify_one();
        sender.write_all(b"x").await.unwrap();
        timeout(Duration::from_secs(30), reading).await.unwrap().unwrap();
        let turns = timeout(Duration::from_secs(30), flood).await.unwrap().unwrap();
        assert!(turns < 10, "{turns}");
    }
}
