//! The manager's questions to a person. They may come with any request, but an answer can be typed
//! only while no line is.

use labwire_client::{ConnectOptions, Question};
use labwire_wire::visible;

use super::editor::ask;
use super::screen::Screen;

/// The most characters of a name in a question.
const LONGEST: usize = 100;

/// Makes a person answer the manager's questions. While a line is typed there is no answer.
pub(crate) fn answered_by_person(options: ConnectOptions, screen: Screen) -> ConnectOptions {
    options.ask_with(move |question| {
        if screen.is_typing() {
            return None;
        }
        match question {
            Question::Username { manager } => ask(&format!("username for {}", shown(manager))),
            Question::Password { username: name } | Question::ManagerPassword { manager: name } => {
                rpassword::prompt_password(format!("password for {}> ", shown(name))).ok()
            }
        }
    })
}

/// Returns a name for a question. A manager must not be able to forge the question of another
/// program.
fn shown(name: &str) -> String {
    let name = visible(name);
    match name.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", &name[..end]),
        None => name,
    }
}
