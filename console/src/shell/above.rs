//! The lines above the one that is being typed. The editor shows them some time after they came; until
//! then, later lines wait behind them, so that their order is kept.

use std::collections::VecDeque;
use std::sync::mpsc::SyncSender;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;

use crate::counted::counted;

/// The most lines that wait.
const CAPACITY: usize = 100;

/// The lines that wait to be shown, oldest first.
#[derive(Default)]
pub(super) struct LinesAbove {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    waiting: VecDeque<String>,
    /// The number of lines after the last one that waits that came too fast.
    skipped: u64,
    /// Whether lines were taken out that the editor has not shown yet.
    is_showing: bool,
    /// Whether the editor has ended.
    has_ended: bool,
}

impl LinesAbove {
    /// Returns the lines that an editor shows, which takes them from a channel without capacity.
    pub(super) fn shown_by(editor: SyncSender<String>) -> Arc<Self> {
        let lines = Arc::new(Self::default());
        let taken = Arc::clone(&lines);
        let showing = thread::Builder::new().name("messages".to_owned());
        let started = showing.spawn(move || {
            loop {
                let next = taken.take();
                if editor.send(next).is_err() {
                    taken.state().has_ended = true;
                    return;
                }
                taken.state().is_showing = false;
            }
        });
        // Without the thread, lines are written directly.
        lines.state().has_ended = started.is_err();
        lines
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a line while one is typed, or while earlier ones wait. Returns `false` if the line can be
    /// written directly.
    pub(super) fn add(&self, line: String, is_typing: bool) -> bool {
        let mut state = self.state();
        let is_first = state.waiting.is_empty() && !state.is_showing;
        if state.has_ended || (is_first && !is_typing) {
            return false;
        }
        if state.waiting.len() >= CAPACITY {
            state.skipped += 1;
        } else {
            let skipped = std::mem::take(&mut state.skipped);
            state.waiting.push_back(match skipped {
                0 => line,
                _ => format!(
                    "({} left out: too many at once)\n{line}",
                    counted(skipped, "line")
                ),
            });
            self.changed.notify_one();
        }
        true
    }

    /// Waits for lines, and takes all of them out. They count as waiting until they are shown.
    fn take(&self) -> String {
        let state = self.state();
        let mut state = self
            .changed
            .wait_while(state, |state| state.waiting.is_empty())
            .unwrap_or_else(PoisonError::into_inner);
        state.is_showing = true;
        Vec::from(std::mem::take(&mut state.waiting)).join("\n")
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::sync_channel;

    use super::*;

    #[test]
    fn lines_that_come_too_fast_are_counted() {
        let lines = LinesAbove::default();
        for number in 0..CAPACITY + 3 {
            assert!(lines.add(number.to_string(), true));
        }
        assert_eq!(lines.take().lines().count(), CAPACITY);
        assert!(lines.add("next".to_owned(), true));
        assert_eq!(lines.take(), "(3 lines left out: too many at once)\nnext");
    }

    #[test]
    fn a_line_waits_behind_earlier_ones_that_are_not_shown_yet() {
        let (editor, shown) = sync_channel(0);
        let lines = LinesAbove::shown_by(editor);
        assert!(!lines.add("before".to_owned(), false));
        assert!(lines.add("1".to_owned(), true));
        assert!(lines.add("2".to_owned(), false));
        let mut seen = shown.recv().unwrap();
        if seen == "1" {
            seen = format!("{seen}\n{}", shown.recv().unwrap());
        }
        assert_eq!(seen, "1\n2");
        drop(shown);
    }
}
