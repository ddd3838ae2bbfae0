//! What must be known to log in, and who is asked for it.

use std::path::PathBuf;
use std::sync::Arc;

use super::options::SshOptions;
use super::terminal;

/// What must be known to log in.
///
/// ```
/// # mod support { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/ssh.rs")); }
/// # support::lab(async |computer| {
/// # let file = computer.key_file("difference engine");
/// use labwire_client::ssh::{Ssh, SshOptions, SshQuestion};
///
/// let options = SshOptions::new("localhost").key_file(&file).ask_with(move |question| match question {
///     SshQuestion::User { host } => (host == "localhost").then(|| "pi".to_owned()),
///     SshQuestion::Passphrase { file: encrypted } => {
///         assert_eq!(*encrypted, file);
///         Some("difference engine".to_owned())
///     }
///     _ => None,
/// });
/// # let options = computer.at(options);
/// assert!(Ssh::connect(&options).await.is_ok());
/// # Ok(())
/// # });
/// ```
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
