//! The manager's questions to the person who runs a command.

use std::io::{self, IsTerminal};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use labwire_client::{ConnectOptions, FirstUse, Question, UnknownCertificate, ask_at_terminal, ask_to_trust};

use crate::variables::is_set;

/// Whether a question is open, or the person gave no answer.
static IS_UNANSWERED: AtomicBool = AtomicBool::new(false);

/// Returns whether a question at the terminal is open, or was given up. A command that is asked to
/// end then has nothing to shut down.
pub(crate) fn is_unanswered() -> bool {
    IS_UNANSWERED.load(Ordering::SeqCst)
}

/// Returns options with which the manager's questions are asked at the terminal.
pub(crate) fn asked(options: ConnectOptions) -> ConnectOptions {
    let options = options.ask_with(answer);
    if options.asks_on_first_use() {
        options.first_use(FirstUse::Decide(Arc::new(is_trusted)))
    } else {
        options
    }
}

fn is_trusted(unknown: &UnknownCertificate) -> bool {
    noted(|| ask_to_trust(unknown).then(String::new)).is_some()
}

fn answer(question: &Question) -> Option<String> {
    if !io::stdin().is_terminal() {
        return None;
    }
    noted(|| ask_at_terminal(question))
}

/// Asks a question, and notes meanwhile that it is open.
pub(crate) fn noted(ask: impl FnOnce() -> Option<String>) -> Option<String> {
    IS_UNANSWERED.store(true, Ordering::SeqCst);
    let answer = ask();
    IS_UNANSWERED.store(answer.is_none(), Ordering::SeqCst);
    answer
}

/// Returns that a variable is set which answers another question than the manager's, if it is so.
pub(crate) fn mistaken_variable(question: &Question) -> Option<&'static str> {
    match question {
        Question::ManagerPassword { .. } if is_set("LABWIRE_PASSWORD") => {
            Some("LABWIRE_PASSWORD is set, but this manager asks for LABWIRE_MANAGER_PASSWORD")
        }
        Question::Username { .. } | Question::Password { .. }
            if is_set("LABWIRE_MANAGER_PASSWORD") && !is_set("LABWIRE_PASSWORD") =>
        {
            Some("LABWIRE_MANAGER_PASSWORD is set, but this manager asks for a user's LABWIRE_PASSWORD")
        }
        _ => None,
    }
}

/// Forgets a question that was given up.
pub(crate) fn forget() {
    IS_UNANSWERED.store(false, Ordering::SeqCst);
}
