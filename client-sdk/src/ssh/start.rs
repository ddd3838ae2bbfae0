//! Starts a manager on another computer.

use std::time::Duration;

use labwire_device::payload::Arguments;
use serde::Serialize;

use super::connect::Ssh;
use super::error::StartError;
use super::options::SshOptions;
use super::run::quote;
use super::starting::Places;

/// The default time limit for the start of a manager. A small computer takes about ten seconds to
/// create its first RSA key.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(30);

/// Options for starting a program on another computer.
///
/// ```
/// # mod support { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/ssh.rs")); }
/// # support::lab(async |computer| {
/// # let options = computer.options();
/// use std::time::Duration;
/// use labwire_client::ssh::{StartOptions, start_manager};
///
/// let start = StartOptions::new()
///     .argument("start")
///     .keyword("port", &1876)
///     .keyword("disable_tls", &true)
///     .log_file("~/manager.log")
///     .timeout(Duration::from_secs(20));
/// let started = start_manager(&options, "~/bin/mypackage", start).await?;
/// assert_eq!(started.log_file, "~/manager.log");
/// // The program there writes its arguments into its log.
/// assert!(started.log.starts_with(r#"start --kwargs {"port":1876,"disable_tls":true}"#));
/// # Ok(())
/// # });
/// ```
#[derive(Clone)]
pub struct StartOptions {
    arguments: Vec<String>,
    keywords: Option<Arguments>,
    as_sudo: bool,
    timeout: Duration,
    log_file: Option<String>,
}

impl std::fmt::Debug for StartOptions {
    /// Omits the arguments and the keyword arguments, which may contain passwords.
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("StartOptions")
            .field("as_sudo", &self.as_sudo)
            .field("timeout", &self.timeout)
            .field("log_file", &self.log_file)
            .finish_non_exhaustive()
    }
}

impl Default for StartOptions {
    fn default() -> Self {
        Self::new()
    }
}

impl StartOptions {
    /// Creates options without arguments. The default log file is the program's path with `.log`
    /// appended.
    ///
    /// See the example of [`StartOptions`].
    pub fn new() -> Self {
        Self {
            arguments: Vec::new(),
            keywords: None,
            as_sudo: false,
            timeout: DEFAULT_TIMEOUT,
            log_file: None,
        }
    }

    /// Appends a command-line argument. The program receives it literally.
    ///
    /// See the example of [`StartOptions`].
    #[must_use]
    pub fn argument(mut self, argument: impl Into<String>) -> Self {
        self.arguments.push(argument.into());
        self
    }

    /// Adds a keyword argument. All of them are passed as the program's last argument, `--kwargs
    /// '{"port": 1876}'`, as `parse_console_script_kwargs` of MSL-Network and
    /// [`keyword_arguments`](labwire_device::keyword_arguments) expect. Without any, there is no
    /// `--kwargs`.
    ///
    /// Other users of that computer can see the arguments of a running program, including any
    /// passwords.
    ///
    /// See the example of [`StartOptions`].
    #[must_use]
    pub fn keyword<T: Serialize + ?Sized>(mut self, name: &str, value: &T) -> Self {
        let keywords = self.keywords.unwrap_or_default();
        self.keywords = Some(keywords.keyword(name, value));
        self
    }

    /// Runs the program as the superuser, with `sudo`. It must not require a password (`NOPASSWD`).
    ///
    /// ```
    /// use labwire_client::ssh::StartOptions;
    ///
    /// let start = StartOptions::new().as_sudo(true);
    /// assert!(format!("{start:?}").contains("as_sudo: true"));
    /// ```
    #[must_use]
    pub fn as_sudo(mut self, as_sudo: bool) -> Self {
        self.as_sudo = as_sudo;
        self
    }

    /// Sets the time limit for the manager's start, measured from when the connection was made. The
    /// default is 30 s.
    ///
    /// See the example of [`StartOptions`].
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Sets the log file on the other computer, which receives the program's output and is
    /// truncated first. The default is the program's path with `.log` appended. A leading `~/` is
    /// the user's home folder.
    ///
    /// See the example of [`StartOptions`].
    #[must_use]
    pub fn log_file(mut self, path: impl Into<String>) -> Self {
        self.log_file = Some(path.into());
        self
    }
}

/// A manager that runs on another computer.
///
/// See the example of [`start_manager`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Started {
    /// The address that the manager reports, as `HOST:PORT`. The host is that computer's own name
    /// for itself.
    pub address: String,
    /// The id of the started process; with `sudo`, that of `sudo`.
    pub process_id: u32,
    /// The log file on the other computer.
    pub log_file: String,
    /// The end of the log, at most 64 KiB.
    pub log: String,
}

impl Started {
    /// Returns the manager's port, for example when the manager chose a free one.
    ///
    /// See the example of [`start_manager`].
    pub fn port(&self) -> Option<u16> {
        self.address.rsplit_once(':')?.1.parse().ok()
    }
}

/// Starts a program on another computer and waits until its manager is running.
///
/// The program keeps running after the connection ends. The manager counts as running once the log
/// contains `Network Manager running on`. Fails, with the log in the error, if the program ends
/// before that, reports an error (a line with `ERROR` or `Error:`), or exceeds the time limit. In
/// the last two cases the program is left running.
///
/// `program` is the path of the program on the other computer, taken literally; a leading `~/` is
/// the user's home folder. A name without a folder is looked up in `PATH`, and its log is in the
/// home folder.
///
/// If the future is dropped, the connection is closed. A program that was already started keeps
/// running.
///
/// ```
/// # mod support { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/ssh.rs")); }
/// # support::lab(async |computer| {
/// # let options = computer.options();
/// use labwire_client::ssh::{StartError, StartOptions, Started, start_manager};
///
/// let started: Started = start_manager(&options, "~/bin/mypackage", StartOptions::new()).await?;
/// assert_eq!((started.address.as_str(), started.port()), ("raspberrypi:1876", Some(1876)));
/// assert_eq!(started.log_file, "~/bin/mypackage.log");
///
/// match start_manager(&options, "~/bin/fails", StartOptions::new()).await {
///     Err(StartError::Ended { log, .. }) => assert_eq!(log, "the port 1876 is in use"),
///     other => panic!("{other:?}"),
/// }
/// # Ok(())
/// # });
/// ```
pub async fn start_manager(
    options: &SshOptions,
    program: &str,
    start: StartOptions,
) -> Result<Started, StartError> {
    let keywords = start.keywords.clone().map(Arguments::finish).transpose();
    let keywords = keywords.map_err(|reason| StartError::Keywords {
        program: program.to_owned(),
        reason,
    })?;
    let ssh = Ssh::connect(options).await?;
    let log_file = start.log_file.clone().unwrap_or_else(|| format!("{program}.log"));
    let keywords = keywords.as_ref().map(|(_, keywords)| keywords.as_str());
    let command = command_line(program, &start, keywords);
    let mut starting = Places::new(&ssh, program, log_file);
    let result = tokio::time::timeout(start.timeout, starting.run(&command)).await;
    let result = result.unwrap_or_else(|_| Err(starting.timed_out(start.timeout)));
    ssh.close().await;
    result
}

/// Formats the command for a POSIX shell.
fn command_line(program: &str, start: &StartOptions, keywords: Option<&str>) -> String {
    let mut words = vec!["nohup".to_owned()];
    if start.as_sudo {
        words.extend(["sudo", "-n", "--"].map(str::to_owned));
    }
    words.push(quote_path(program));
    words.extend(start.arguments.iter().map(|argument| quote(argument)));
    if let Some(keywords) = keywords {
        words.push("--kwargs".to_owned());
        words.push(quote(keywords));
    }
    words.join(" ")
}

/// Quotes a path. A leading `~/` is the home folder.
pub(super) fn quote_path(path: &str) -> String {
    match path.strip_prefix("~/") {
        Some(rest) => format!("\"$HOME\"/{}", quote(rest)),
        None => quote(path),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_holds_its_arguments_as_they_are() {
        let options = StartOptions::new().argument("it's").as_sudo(true);
        assert_eq!(
            command_line("~/bin/my package", &options, Some(r#"{"password":"a b"}"#)),
            r#"nohup sudo -n -- "$HOME"/'bin/my package' 'it'\''s' --kwargs '{"password":"a b"}'"#
        );
    }
}
