//! Methods to log in, and private keys.

use std::path::{Path, PathBuf};

use russh::keys::{PrivateKey, decode_secret_key};

use super::ask::ask;
use super::error::SshError;
use super::options::SshOptions;
use super::questions::SshQuestion;

/// The key files that are tried when no method was given.
const USUAL_KEY_FILES: [&str; 3] = ["id_ed25519", "id_ecdsa", "id_rsa"];

/// A method to log in.
pub(super) enum Way {
    KeyFile { file: PathBuf, given: bool },
    Agent { socket: PathBuf, given: bool },
    Password(String),
    AskForPassword,
}

/// Returns the methods that were given, or the default ones if none was.
pub(super) fn ways(options: &SshOptions) -> Vec<Way> {
    let keys = options.key_files.iter().map(|file| (file.clone(), true));
    let mut ways: Vec<_> = keys.map(|(file, given)| Way::KeyFile { file, given }).collect();
    if let Some(socket) = options.agent_socket.clone() {
        ways.push(Way::Agent { socket, given: true });
    }
    if let Some(password) = options.password.clone() {
        ways.push(Way::Password(password));
    }
    if options.way_given() {
        return ways;
    }
    if let Some(socket) = std::env::var_os("SSH_AUTH_SOCK").filter(|socket| !socket.is_empty()) {
        let socket = PathBuf::from(socket);
        ways.push(Way::Agent { socket, given: false });
    }
    if let Some(home) = std::env::home_dir() {
        let files = USUAL_KEY_FILES.map(|name| home.join(".ssh").join(name));
        let there = files.into_iter().filter(|file| file.exists());
        ways.extend(there.map(|file| Way::KeyFile { file, given: false }));
    }
    ways.push(Way::AskForPassword);
    ways
}

/// Reads a private key. Asks for its passphrase if it needs one that was not given.
pub(super) async fn read_key(options: &SshOptions, file: &Path) -> Result<PrivateKey, SshError> {
    let unusable = |reason: String| SshError::KeyFile {
        file: file.to_owned(),
        reason,
    };
    let text = std::fs::read_to_string(file).map_err(|error| unusable(error.to_string()))?;
    match decode_secret_key(&text, None) {
        Ok(key) => return Ok(key),
        Err(error) if is_encrypted(&text, &error) => {}
        Err(error) => return Err(unusable(error.to_string())),
    }
    let question = SshQuestion::Passphrase {
        file: file.to_owned(),
    };
    let passphrase = match options.passphrase.clone() {
        None => ask(options, question).await,
        given => given,
    };
    let wrong = |given| SshError::Passphrase {
        file: file.to_owned(),
        given,
    };
    let passphrase = passphrase.ok_or_else(|| wrong(false))?;
    // Key derivation from a passphrase is slow by design: run it off the async threads.
    let decoded = tokio::task::spawn_blocking(move || decode_secret_key(&text, Some(&passphrase)));
    decoded.await.ok().and_then(Result::ok).ok_or_else(|| wrong(true))
}

/// Returns whether a private key cannot be read because it is encrypted. For some formats the
/// library's error does not show this.
fn is_encrypted(text: &str, error: &russh::keys::Error) -> bool {
    matches!(error, russh::keys::Error::KeyIsEncrypted)
        || text.contains("ENCRYPTED")
        || text.contains("Encryption: aes")
}
