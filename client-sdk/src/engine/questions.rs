//! What the manager asks while a connection is in use.

use std::collections::VecDeque;

use bytes::Bytes;
use labwire_device::NoAnswer;
use labwire_wire::Line;

/// How many questions may wait for their turn. The manager asks one after the other.
const WAITING: usize = 4;

/// What came of a question.
#[derive(Debug)]
pub(crate) enum Answer {
    /// The frame that answers it.
    Frame(Bytes),
    /// Nobody can answer it.
    Missing(NoAnswer),
    /// It needs none.
    Nothing,
}

/// The questions of the manager. They are answered one after the other, since a person may have to type, and the next
/// one only when the answer before it is written: a manager that asks and never reads gets no more.
#[derive(Debug, Default)]
pub(super) struct Questions {
    waiting: VecDeque<Line>,
    stage: Stage,
}

#[derive(Debug, Default, PartialEq, Eq)]
enum Stage {
    #[default]
    Idle,
    /// Somebody is looking for the answer.
    Asked,
    /// The answer waits to be written.
    Answered,
}

impl Questions {
    /// Adds a question. Returns `false` when too many wait, and drops it.
    pub(super) fn push(&mut self, line: Line) -> bool {
        let has_room = self.waiting.len() < WAITING;
        if has_room {
            self.waiting.push_back(line);
        }
        has_room
    }

    /// Takes out the next question, if it is its turn.
    pub(super) fn poll(&mut self) -> Option<Line> {
        if self.stage != Stage::Idle {
            return None;
        }
        let line = self.waiting.pop_front()?;
        self.stage = Stage::Asked;
        Some(line)
    }

    /// The answer to the question was queued.
    pub(super) fn answered(&mut self) {
        self.stage = Stage::Answered;
    }

    /// The answer was taken for writing, or there is none.
    pub(super) fn done(&mut self) {
        self.stage = Stage::Idle;
    }

    /// Whether somebody is looking for an answer.
    pub(super) fn is_asked(&self) -> bool {
        self.stage == Stage::Asked
    }

    /// Forgets all of them: the next connection has not asked.
    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty() && self.stage == Stage::Idle
    }
}
