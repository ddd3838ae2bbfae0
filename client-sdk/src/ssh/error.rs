//! Errors of the SSH functions.

use std::path::PathBuf;
use std::time::Duration;

use labwire_device::payload::EncodeError;
use thiserror::Error;

use super::exit_status::Status;

/// The reason why an SSH connection could not be made.
///
/// ```
/// use labwire_client::ssh::{Ssh, SshError, SshOptions};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// // Nobody listens at this port.
/// match Ssh::connect(&SshOptions::new("pi@localhost").port(1)).await {
///     Err(SshError::Unreachable { address, .. }) => assert_eq!(address, "localhost:1"),
///     other => panic!("{other:?}"),
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum SshError {
    /// Nothing answers at the address.
    #[error("cannot connect to {address}: {reason}; does an SSH server run there?")]
    Unreachable {
        /// The address, as `HOST:PORT`.
        address: String,
        /// The error of the operating system.
        reason: std::io::Error,
    },
    /// The server did not answer within the time limit.
    #[error("no SSH connection to {address} within {} s; give it a longer timeout if it is slow", timeout.as_secs_f64())]
    TimedOut {
        /// The address, as `HOST:PORT`.
        address: String,
        /// The time limit.
        timeout: Duration,
    },
    /// The connection was lost, or the other side violates the SSH protocol.
    #[error("the SSH connection to {address} failed: {reason}")]
    Failed {
        /// The address, as `HOST:PORT`.
        address: String,
        /// The reason.
        reason: String,
    },
    /// The server is unknown, and the host-key policy does not accept it.
    #[error(
        "the SSH server {host} is not known, its {algorithm} key has the fingerprint {fingerprint}; compare it with \
         what `ssh-keygen -l` tells on that computer, then connect once with `ssh`, or let the host-key policy \
         accept it (it is looked up in {})",
        file.display()
    )]
    UnknownHost {
        /// The server's name in the form of `known_hosts`.
        host: String,
        /// The type of its key.
        algorithm: String,
        /// The key's SHA-256 fingerprint.
        fingerprint: String,
        /// The file of known servers.
        file: PathBuf,
    },
    /// The server's key differs from the known one.
    #[error(
        "the key of the SSH server {host} has changed: known is {trusted} ({}, line {line}), presented was \
         {presented}. Somebody may be between you and that computer. If it has a new key, remove the known one with \
         `ssh-keygen -R '{host}' -f {}` and connect again",
        file.display(), file.display()
    )]
    Changed {
        /// The server's name in the form of `known_hosts`.
        host: String,
        /// The SHA-256 fingerprint of the known key.
        trusted: String,
        /// The SHA-256 fingerprint of the presented key.
        presented: String,
        /// The file that holds the known key.
        file: PathBuf,
        /// The line of that file, counted from 1.
        line: usize,
    },
    /// The server's key is marked as revoked: others may have it.
    #[error(
        "the key {fingerprint} of the SSH server {host} is revoked ({}, line {line}); give that computer a new key",
        file.display()
    )]
    Revoked {
        /// The server's name in the form of `known_hosts`.
        host: String,
        /// The key's SHA-256 fingerprint.
        fingerprint: String,
        /// The file that revokes the key.
        file: PathBuf,
        /// The line of that file, counted from 1.
        line: usize,
    },
    /// The file of known servers cannot be read or written.
    #[error(
        "{} cannot be used to look up and save the keys of SSH servers: {reason}; correct its permissions, or name \
         another file with `known_hosts`",
        file.display()
    )]
    KnownHosts {
        /// The file.
        file: PathBuf,
        /// The error of the operating system.
        reason: String,
    },
    /// There is no home folder, and so no default for the file of known servers.
    #[error("there is no home folder to look for .ssh/known_hosts in; name the file with `known_hosts`")]
    NoHome,
    /// No user was given, and none could be asked for.
    #[error("as which user to log in to {host} is not known; write USER@{host}, or set `user`")]
    NoUser {
        /// The other computer.
        host: String,
    },
    /// A key file cannot be used.
    #[error(
        "the key file {} cannot be used: {reason}; give the file that holds the private key, as `ssh-keygen` \
         writes it",
        file.display()
    )]
    KeyFile {
        /// The file.
        file: PathBuf,
        /// The reason.
        reason: String,
    },
    /// A key file is encrypted, and the passphrase is missing or wrong.
    #[error(
        "the key file {} is encrypted, and {}; set `passphrase`, or add the key to an agent with `ssh-add`",
        file.display(),
        if *given { "the passphrase is not the right one" } else { "no passphrase was given" }
    )]
    Passphrase {
        /// The file.
        file: PathBuf,
        /// Whether a passphrase was given.
        given: bool,
    },
    /// The SSH agent cannot be used.
    #[error("the SSH agent at {} cannot be used: {reason}; start it with `ssh-agent`", socket.display())]
    Agent {
        /// The agent's socket.
        socket: PathBuf,
        /// The reason.
        reason: String,
    },
    /// The server refused the login.
    #[error(
        "{address} does not let the user '{user}' in (tried: {}; the server accepts: {}); give a password or a key \
         file that it accepts for that user",
        listed(tried),
        listed(accepted)
    )]
    Denied {
        /// The address, as `HOST:PORT`.
        address: String,
        /// The user.
        user: String,
        /// Descriptions of the methods that were tried.
        tried: Vec<String>,
        /// The authentication methods that the server offers, by their protocol names.
        accepted: Vec<String>,
    },
}

fn listed(words: &[String]) -> String {
    if words.is_empty() {
        "nothing".to_owned()
    } else {
        words.join(", ")
    }
}

/// The reason why a command on another computer did not succeed.
///
/// ```
/// # mod support { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/ssh.rs")); }
/// # support::lab(async |computer| {
/// # use std::time::Duration;
/// # use labwire_client::ssh::Ssh;
/// # let pi = Ssh::connect(&computer.options()).await?;
/// use labwire_client::ssh::RunError;
///
/// match pi.run("sleep 60", Duration::from_millis(50)).await {
///     Err(RunError::TimedOut { host, command, .. }) => {
///         assert_eq!((host.as_str(), command.as_str()), ("localhost", "sleep 60"));
///     }
///     other => panic!("{other:?}"),
/// }
/// # Ok(())
/// # });
/// ```
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum RunError {
    /// The command did not end within the time limit. The server was asked to end it; whether it
    /// did is unknown.
    #[error("`{command}` did not end on {host} within {} s{}", timeout.as_secs_f64(), said(stdout, stderr))]
    TimedOut {
        /// The other computer.
        host: String,
        /// The command.
        command: String,
        /// The time limit.
        timeout: Duration,
        /// The standard output so far.
        stdout: String,
        /// The standard error so far.
        stderr: String,
    },
    /// The connection was lost before or while the command ran. Whether it ran is unknown; connect
    /// again and check.
    #[error("the SSH connection to {host} was lost during `{command}`: {reason}; connect again")]
    Lost {
        /// The other computer.
        host: String,
        /// The command.
        command: String,
        /// The reason.
        reason: String,
    },
    /// The server does not run commands for this user.
    #[error("{host} refuses to run `{command}`; the account there must be allowed to run commands")]
    Refused {
        /// The other computer.
        host: String,
        /// The command.
        command: String,
    },
    /// The output exceeds the limit. The server was asked to end the command.
    #[error("`{command}` on {host} wrote more than {limit} bytes; let it write to a file there")]
    TooMuch {
        /// The other computer.
        host: String,
        /// The command.
        command: String,
        /// The limit, in bytes.
        limit: usize,
    },
    /// The command ended unsuccessfully. Only [`Output::check`](super::Output::check) returns this.
    #[error("`{command}` on {host} {status}{}", said(stdout, stderr))]
    Failed {
        /// The other computer.
        host: String,
        /// The command.
        command: String,
        /// How it ended.
        status: Status,
        /// The standard output.
        stdout: String,
        /// The standard error.
        stderr: String,
    },
}

/// Formats a command's standard error, or its standard output if there is none.
fn said(stdout: &str, stderr: &str) -> String {
    let said = if stderr.trim().is_empty() { stdout } else { stderr };
    if said.trim().is_empty() {
        return String::new();
    }
    format!("; it said:\n{}", said.trim_end())
}

/// The reason why a manager could not be started on another computer.
///
/// ```
/// use labwire_client::ssh::{SshError, SshOptions, StartError, StartOptions, start_manager};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// // Nobody listens at this port.
/// let options = SshOptions::new("pi@localhost").port(1);
/// match start_manager(&options, "~/bin/mypackage", StartOptions::new()).await {
///     Err(StartError::Connect(SshError::Unreachable { address, .. })) => assert_eq!(address, "localhost:1"),
///     other => panic!("{other:?}"),
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum StartError {
    /// The SSH connection could not be made.
    #[error(transparent)]
    Connect(#[from] SshError),
    /// A keyword argument cannot be encoded as JSON.
    #[error("a keyword argument for {program} cannot be written: {reason}")]
    Keywords {
        /// The program.
        program: String,
        /// The reason.
        reason: EncodeError,
    },
    /// The computer cannot start the program: it has no POSIX shell, or the log file is not
    /// writable.
    #[error(
        "{program} cannot be started on {host}: {reason}; there must be a POSIX shell, and a log file that can be \
         written"
    )]
    Shell {
        /// The other computer.
        host: String,
        /// The program.
        program: String,
        /// The reason, with the shell's error output.
        reason: String,
    },
    /// The connection was lost before the manager was running. The program may be running; check
    /// there.
    #[error(
        "the SSH connection to {host} was lost while {program} started: {reason}; look whether it runs there"
    )]
    Lost {
        /// The other computer.
        host: String,
        /// The program.
        program: String,
        /// The reason.
        reason: String,
    },
    /// The program ended before the manager was running. See the log for the reason.
    #[error("{program} on {host} {status} before the manager ran; its log {log_file} holds:\n{log}")]
    Ended {
        /// The other computer.
        host: String,
        /// The program.
        program: String,
        /// How it ended.
        status: Status,
        /// The log file on the other computer.
        log_file: String,
        /// The end of the log.
        log: String,
    },
    /// The program reported an error in its log. It was left running.
    #[error(
        "{program} on {host} reports an error before the manager ran (its process {process_id} was left running); \
         its log {log_file} holds:\n{log}"
    )]
    Reported {
        /// The other computer.
        host: String,
        /// The program.
        program: String,
        /// The process id. The process was left running.
        process_id: u32,
        /// The log file on the other computer.
        log_file: String,
        /// The end of the log.
        log: String,
    },
    /// The manager was not running within the time limit. The program was left running.
    #[error(
        "the manager that {program} starts on {host} did not run within {} s (its process {process_id} was left \
         running); give it a longer timeout if it is slow; its log {log_file} holds:\n{log}",
        timeout.as_secs_f64()
    )]
    TimedOut {
        /// The other computer.
        host: String,
        /// The program.
        program: String,
        /// The time limit.
        timeout: Duration,
        /// The process id. The process was left running.
        process_id: u32,
        /// The log file on the other computer.
        log_file: String,
        /// The end of the log.
        log: String,
    },
}
