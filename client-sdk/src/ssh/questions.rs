//! What must be known to log in, and who is asked for it.

use std::path::PathBuf;
use std::sync::Arc;

use super::options::SshOptions;
use super::terminal;

/// What must be known to log in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SshQuestion {
    /// The name of the user to log in as.
    User {
        /// The other computer.
        host: String,
    },
    /// The password of that user.
    Password {
        /// The user.
        user: String,
        /// The other computer.
        host: String,
    },
    /// The passphrase of an encrypted key file.
    Passphrase {
        /// The key file.
        file: PathBuf,
    },
    /// Something else that the server wants to know, such as a code for one login.
    Other {
        /// The other computer.
        host: String,
        /// The server's words.
        prompt: String,
        /// Whether the answer may be seen while it is typed.
        visible: bool,
    },
}

pub(super) type Source = Arc<dyn Fn(&SshQuestion) -> Option<String> + Send + Sync>;

/// Asks a person, or the function that answers for one. An empty answer is none.
pub(super) async fn ask(options: &SshOptions, question: SshQuestion) -> Option<String> {
    let source = options.source.clone();
    // A person types slowly, and what asks may block.
    let answer = tokio::task::spawn_blocking(move || match source {
        Some(source) => source(&question),
        None => terminal::ask(&question),
    });
    answer.await.ok().flatten().filter(|answer| !answer.is_empty())
}
