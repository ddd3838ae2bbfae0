//! Questions that the manager asks while a connection is in use.

use std::collections::VecDeque;

use bytes::Bytes;
use labwire_device::NoAnswer;
use labwire_wire::Line;

/// The capacity of the queue of questions. The manager asks one at a time.
const WAITING: usize = 4;

/// The outcome of a question.
#[derive(Debug)]
pub(crate) enum Answer {
    /// The frame that answers it.
    Frame(Bytes),
    /// Neither the options nor a person can answer it.
    Missing(NoAnswer),
    /// It needs no answer.
    Nothing,
}

/// The queue of questions. One is answered at a time. The next one follows only when the previous
/// answer was handed out for writing, so a manager that asks and never reads cannot exhaust the
/// memory.
#[derive(Debug, Default)]
pub(super) struct Questions {
    waiting: VecDeque<Line>,
    stage: Stage,
    /// The question that was handed out.
    asked: Option<Line>,
    /// A question without an answer: the manager waits for one still, and asks no other.
    open: Option<Line>,
}

#[derive(Debug, Default, PartialEq, Eq)]
enum Stage {
    #[default]
    Idle,
    /// A question was handed out.
    Asked,
    /// The answer waits to be written.
    Answered,
}

impl Questions {
    /// Adds a question. Returns `false` and drops it if the queue is full.
    pub(super) fn push(&mut self, line: Line) -> bool {
        let has_room = self.waiting.len() < WAITING;
        if has_room {
            self.waiting.push_back(line);
        }
        has_room
    }

    /// Hands out the next question unless one is being answered.
    pub(super) fn poll(&mut self) -> Option<Line> {
        if self.stage != Stage::Idle {
            return None;
        }
        let line = self.waiting.pop_front()?;
        self.stage = Stage::Asked;
        self.asked = Some(line.clone());
        Some(line)
    }

    /// Notes that the answer was queued.
    pub(super) fn answered(&mut self) {
        self.stage = Stage::Answered;
    }

    /// Notes that the question that was handed out has no answer.
    pub(super) fn left_open(&mut self) {
        self.open = self.asked.take();
    }

    /// Queues the question again that had no answer, for another request that waits for it.
    pub(super) fn ask_again(&mut self) {
        if let Some(line) = self.open.take() {
            self.waiting.push_front(line);
        }
    }

    /// Notes that the answer was handed out for writing, or that there is none.
    pub(super) fn done(&mut self) {
        self.stage = Stage::Idle;
    }

    /// Whether a question was handed out and has no answer yet.
    pub(super) fn is_asked(&self) -> bool {
        self.stage == Stage::Asked
    }

    /// Removes all questions: they end with their connection.
    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty() && self.stage == Stage::Idle
    }
}
