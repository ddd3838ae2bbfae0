//! The manager's questions to a person. They may come with any request, but they are answered only
//! while no line is being typed.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use labwire_client::{ConnectOptions, Question, read_password};
use labwire_wire::visible;
use tokio::time::sleep;

use super::editor::ask;
use super::screen::Screen;
use crate::questions::noted;

/// The most columns of a name in a question.
const LONGEST: usize = 100;

/// The interval between two checks whether a question is still open.
const INTERVAL: Duration = Duration::from_millis(20);

/// Counts the questions: those that wait for an answer, and all.
#[derive(Clone, Default)]
pub(crate) struct Questions {
    open: Arc<AtomicUsize>,
    asked: Arc<AtomicUsize>,
}

/// A question that waits for an answer.
struct Open<'a>(&'a AtomicUsize);

impl Drop for Open<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Questions {
    /// Adds prompts for the manager's questions to the options. While a line is typed, a question
    /// gets no answer.
    pub(crate) fn answered(&self, options: ConnectOptions, screen: Screen) -> ConnectOptions {
        let Self { open, asked } = self.clone();
        options.ask_with(move |question| {
            if screen.is_typing() {
                return None;
            }
            asked.fetch_add(1, Ordering::SeqCst);
            open.fetch_add(1, Ordering::SeqCst);
            let _open = Open(&open);
            noted(|| match question {
                Question::Username { manager } => ask(&format!("username for {}", shown(manager))),
                Question::Password { username: name } | Question::ManagerPassword { manager: name } => {
                    read_password(&format!("password for {}> ", shown(name))).ok()
                }
            })
        })
    }

    /// Returns how many questions were asked until now.
    pub(crate) fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }

    /// Waits until no question is open. The prompt of a cancelled request may still be open, and a
    /// line and an answer must not be read at the same time.
    pub(crate) async fn closed(&self) {
        while self.open.load(Ordering::SeqCst) > 0 {
            sleep(INTERVAL).await;
        }
    }
}

/// Returns a name for a question. A manager must not be able to forge the question of another
/// program.
fn shown(name: &str) -> String {
    crate::shortened::shortened(&visible(name), LONGEST)
}
