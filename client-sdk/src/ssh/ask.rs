//! Asks a question during login.

use super::options::SshOptions;
use super::questions::SshQuestion;
use super::terminal;

/// Asks a person at the terminal, or the function of [`SshOptions::ask_with`]. An empty answer
/// counts as `None`.
pub(super) async fn ask(options: &SshOptions, question: SshQuestion) -> Option<String> {
    let source = options.source.clone();
    // A person may take a while, and the function may block.
    let answer = tokio::task::spawn_blocking(move || match source {
        Some(source) => source(&question),
        None => terminal::ask(&question),
    });
    answer.await.ok().flatten().filter(|answer| !answer.is_empty())
}
