//! Questions during login.

use std::path::PathBuf;
use std::sync::Arc;

/// A question during login.
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
    /// Another prompt of the server, such as for a one-time code.
    Other {
        /// The other computer.
        host: String,
        /// The prompt.
        prompt: String,
        /// Whether the answer may be shown while it is typed.
        visible: bool,
    },
}

/// A function that answers questions.
pub(super) type Source = Arc<dyn Fn(&SshQuestion) -> Option<String> + Send + Sync>;
