//! Letting a long line of this peer go on while it arrives.

use std::time::Duration;

use labwire_wire::ArrivingEnvelope;
use tokio::io::AsyncRead;
use tokio::task::yield_now;
use tokio::time::{Instant, timeout_at};

use super::administration::Login;
use super::inbox::Inbox;
use super::session::Session;
use crate::memory;
use crate::router::{CutThrough, Incoming, Router, Sender};

/// From how many bytes on a line may go on before its end has come.
const BEGIN_BYTES: usize = 512 * 1024;

/// How long that many may take to arrive: 16 MiB/s. A line that comes slowly is collected, so that nobody has to wait for
/// its end.
const BEGIN_TIME: Duration = Duration::from_millis(32);

/// How much has to come, while others wait for the end of the line, in the time after which a reader that reads nothing is
/// cut.
const PACE_BYTES: usize = 1024 * 1024;

/// A line of which a part has gone on.
#[derive(Debug)]
pub(super) struct Passage {
    cut_through: CutThrough,
    /// Until when [`PACE_BYTES`] have to come, and how many have.
    deadline: Instant,
    come: usize,
}

impl Session<'_> {
    /// Lets what has arrived of a long line go on; tells whether it could and the rest can.
    pub(super) fn lets_go_on<R: AsyncRead + Unpin>(&mut self, inbox: &mut Inbox<R>) -> bool {
        let Some((line, arriving)) = inbox.arriving() else {
            return false;
        };
        if !arriving.was_considered && line.len() >= BEGIN_BYTES {
            arriving.was_considered = true;
            if arriving.since.elapsed() <= BEGIN_TIME && matches!(self.login, Login::Idle) {
                self.passage = self.begin_passage(line, &arriving.envelope);
            }
        }
        let Some(mut passage) = self.passage.take() else {
            return false;
        };
        if let Some(error) = arriving.envelope.failure() {
            self.with_router(|router, from| router.break_off_broken(from, passage.cut_through, error));
            inbox.throw_line_away();
            return false;
        }
        if let Some(passing) = passage.cut_through.go_on(line, &arriving.envelope) {
            let bytes = inbox.take_out(passing.range.clone());
            passage.cut_through.pass(&passing, &bytes);
            memory::give_back(bytes);
        }
        self.passage = Some(passage);
        true
    }

    fn begin_passage(&self, line: &[u8], arriving: &ArrivingEnvelope) -> Option<Passage> {
        let cut_through = self.with_router(|router, from| {
            if self.is_service {
                router.cut_reply_through(from, line, arriving)
            } else {
                router.cut_request_through(from, line, arriving)
            }
        });
        Some(Passage {
            cut_through: cut_through?,
            deadline: Instant::now() + self.hub.limits.stall,
            come: 0,
        })
    }

    /// Reads what has arrived of a line of which a part has gone on, and breaks it off if others wait for its end in vain.
    pub(super) async fn read_at_pace<R: AsyncRead + Unpin>(&mut self, inbox: &mut Inbox<R>) {
        let Some(passage) = &mut self.passage else {
            return;
        };
        if let Ok(count) = timeout_at(passage.deadline, inbox.read()).await {
            passage.come += count;
            // It would else be read as fast as it comes, and everybody else would wait.
            yield_now().await;
        }
        let now = Instant::now();
        if now < passage.deadline {
            return;
        }
        if passage.come >= PACE_BYTES || !passage.cut_through.is_waited_for() {
            (passage.deadline, passage.come) = (now + self.hub.limits.stall, 0);
        } else if let Some(passage) = self.passage.take() {
            self.with_router(|router, from| router.break_off_stalled(from, passage.cut_through));
            inbox.throw_line_away();
        }
    }

    /// Ends the line of which a part has gone on.
    pub(super) fn end_passage(&self, passage: Passage, incoming: Incoming) {
        let Incoming { line, kind } = incoming;
        self.with_router(|router, from| {
            router.end_cut_through(from, passage.cut_through, line.view(), &kind);
        });
        memory::give_back(line.into_bytes());
    }

    fn with_router<T>(&self, act: impl FnOnce(&mut Router<'_>, &Sender<'_>) -> T) -> T {
        let mut registry = self.hub.registry();
        let draining = self.hub.is_draining();
        act(&mut self.hub.router(&mut registry, draining), &self.sender())
    }
}
