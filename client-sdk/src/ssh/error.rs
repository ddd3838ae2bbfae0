//! Why something did not work on another computer.

use std::path::PathBuf;
use std::time::Duration;

use labwire_device::payload::EncodeError;
use thiserror::Error;

use super::run::Status;

/// An SSH connection could not be made.
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
    /// Nobody answers at that address.
    #[error("cannot connect to {address}: {reason}; does an SSH server run there?")]
    Unreachable {
        /// The address, as `HOST:PORT`.
        address: String,
        /// What the operating system says.
        reason: std::io::Error,
    },
    /// The server took too long.
    #[error("no SSH connection to {address} within {} s; give it a longer timeout if it is slow", timeout.as_secs_f64())]
    TimedOut {
        /// The address, as `HOST:PORT`.
        address: String,
        /// How long was waited.
        timeout: Duration,
    },
    /// The connection broke, or what answers there does not speak SSH as it should.
    #[error("the SSH connection to {address} failed: {reason}")]
    Failed {
        /// The address, as `HOST:PORT`.
        address: String,
        /// What went wrong.
        reason: String,
    },
    /// The server was never met before, and nobody said that it can be trusted.
    #[error(
        "the SSH server {host} is not known, its {algorithm} key has the fingerprint {fingerprint}; compare it with \
         what `ssh-keygen -l` tells on that computer, then connect once with `ssh`, or let the host-key policy \
         accept it (it is looked up in {})",
        file.display()
    )]
    UnknownHost {
        /// The server, as `known_hosts` names it.
        host: String,
        /// The kind of its key.
        algorithm: String,
        /// The key's SHA-256 fingerprint.
        fingerprint: String,
        /// The file in which servers are looked up.
        file: PathBuf,
    },
    /// The server has another key than the one that is known.
    #[error(
        "the key of the SSH server {host} has changed: known is {trusted} ({}, line {line}), presented was \
         {presented}. Somebody may be between you and that computer. If it has a new key, remove the known one with \
         `ssh-keygen -R '{host}' -f {}` and connect again",
        file.display(), file.display()
    )]
    Changed {
        /// The server, as `known_hosts` names it.
        host: String,
        /// The SHA-256 fingerprint of the key that is known.
        trusted: String,
        /// The SHA-256 fingerprint of the key that was presented.
        presented: String,
        /// The file that holds the known key.
        file: PathBuf,
        /// The line of that file, counted from 1.
        line: usize,
    },
    /// The server's key is marked as revoked: somebody else may have it.
    #[error(
        "the key {fingerprint} of the SSH server {host} is revoked ({}, line {line}); give that computer a new key",
        file.display()
    )]
    Revoked {
        /// The server, as `known_hosts` names it.
        host: String,
        /// The key's SHA-256 fingerprint.
        fingerprint: String,
        /// The file that revokes the key.
        file: PathBuf,
        /// The line of that file, counted from 1.
        line: usize,
    },
    /// The file of known servers can be neither read nor written.
    #[error(
        "{} cannot be used to look up and save the keys of SSH servers: {reason}; correct its permissions, or name \
         another file with `known_hosts`",
        file.display()
    )]
    KnownHosts {
        /// The file.
        file: PathBuf,
        /// What the operating system says.
        reason: String,
    },
    /// There is no home folder to look for `.ssh/known_hosts` in.
    #[error("there is no home folder to look for .ssh/known_hosts in; name the file with `known_hosts`")]
    NoHome,
    /// Nobody said which user to log in as.
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
        /// What is wrong with it.
        reason: String,
    },
    /// A key file is encrypted and its passphrase was not given, or is another one.
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
    /// The agent that was named does not answer.
    #[error("the SSH agent at {} cannot be used: {reason}; start it with `ssh-agent`", socket.display())]
    Agent {
        /// The agent's socket.
        socket: PathBuf,
        /// What went wrong.
        reason: String,
    },
    /// The server does not let the user in.
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
        /// What was tried, in words.
        tried: Vec<String>,
        /// The ways to log in that the server offers, in the words of the protocol.
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

/// A command on another computer could not be run to its end, or failed.
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
    /// The command took too long. The server was asked to end it; whether it did is not known.
    #[error("`{command}` did not end on {host} within {} s{}", timeout.as_secs_f64(), said(stdout, stderr))]
    TimedOut {
        /// The other computer.
        host: String,
        /// The command.
        command: String,
        /// How long was waited.
        timeout: Duration,
        /// What it had written to its standard output.
        stdout: String,
        /// What it had written to its standard error.
        stderr: String,
    },
    /// The connection was lost while the command ran, or before. Whether it ran is not known; connect again and look.
    #[error("the SSH connection to {host} was lost during `{command}`: {reason}; connect again")]
    Lost {
        /// The other computer.
        host: String,
        /// The command.
        command: String,
        /// What went wrong.
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
    /// The command wrote more than is kept in memory. The server was asked to end it.
    #[error("`{command}` on {host} wrote more than {limit} bytes; let it write to a file there")]
    TooMuch {
        /// The other computer.
        host: String,
        /// The command.
        command: String,
        /// How many bytes are kept.
        limit: usize,
    },
    /// The command ended, but not well. [`Output::check`](super::Output::check) says so.
    #[error("`{command}` on {host} {status}{}", said(stdout, stderr))]
    Failed {
        /// The other computer.
        host: String,
        /// The command.
        command: String,
        /// How it ended.
        status: Status,
        /// What it wrote to its standard output.
        stdout: String,
        /// What it wrote to its standard error.
        stderr: String,
    },
}

/// What a command said: its complaints, or what else it wrote.
fn said(stdout: &str, stderr: &str) -> String {
    let said = if stderr.trim().is_empty() { stdout } else { stderr };
    if said.trim().is_empty() {
        return String::new();
    }
    format!("; it said:\n{}", said.trim_end())
}

/// A manager could not be started on another computer.
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
    /// There is no connection to the computer.
    #[error(transparent)]
    Connect(#[from] SshError),
    /// A keyword argument has no JSON form.
    #[error("a keyword argument for {program} cannot be written: {reason}")]
    Keywords {
        /// The program.
        program: String,
        /// What is wrong with it.
        reason: EncodeError,
    },
    /// The computer does not start programs as it should: it has no POSIX shell, or the log cannot be written.
    #[error(
        "{program} cannot be started on {host}: {reason}; there must be a POSIX shell, and a log file that can be \
         written"
    )]
    Shell {
        /// The other computer.
        host: String,
        /// The program.
        program: String,
        /// What the shell there said.
        reason: String,
    },
    /// The connection was lost before the manager ran. The program may be running; look there.
    #[error(
        "the SSH connection to {host} was lost while {program} started: {reason}; look whether it runs there"
    )]
    Lost {
        /// The other computer.
        host: String,
        /// The program.
        program: String,
        /// What went wrong.
        reason: String,
    },
    /// The program ended before the manager ran. The log says why.
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
        /// The process, which was left running.
        process_id: u32,
        /// The log file on the other computer.
        log_file: String,
        /// The end of the log.
        log: String,
    },
    /// The manager did not run in time. The program was left running.
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
        /// How long was waited.
        timeout: Duration,
        /// The process, which was left running.
        process_id: u32,
        /// The log file on the other computer.
        log_file: String,
        /// The end of the log.
        log: String,
    },
}
