//! Places a manager on another computer.

use std::time::Duration;

use labwire_device::payload::Arguments;
use serde::Serialize;

use super::connect::Ssh;
use super::error::StartError;
use super::options::SshOptions;
use super::run::quote;
use super::starting::Places;

/// How long a manager may take to run, unless said otherwise: a small computer that makes its first RSA key needs
/// some ten seconds.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(30);

/// How a program is started on another computer.
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
    /// Keyword arguments may hold passwords and are not shown.
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
    /// No arguments; the log is the program's path with `.log` at its end.
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

    /// Appends an argument of the command line. The program gets it as it is.
    ///
    /// See the example of [`StartOptions`].
    #[must_use]
    pub fn argument(mut self, argument: impl Into<String>) -> Self {
        self.arguments.push(argument.into());
        self
    }

    /// Gives the program a keyword argument. All of them reach it as `--kwargs '{"port": 1876}'`, the last of its
    /// arguments, as `parse_console_script_kwargs` of MSL-Network and
    /// [`keyword_arguments`](labwire_device::keyword_arguments) expect them; without any, there is no `--kwargs`.
    ///
    /// Other users of that computer can see the arguments of a running program, and so passwords among them.
    ///
    /// See the example of [`StartOptions`].
    #[must_use]
    pub fn keyword<T: Serialize + ?Sized>(mut self, name: &str, value: &T) -> Self {
        let keywords = self.keywords.unwrap_or_default();
        self.keywords = Some(keywords.keyword(name, value));
        self
    }

    /// Runs the program as the superuser, with `sudo`. It must let the user do so without a password (`NOPASSWD`).
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

    /// How long the manager may take to run, after the connection was made; 30 s unless said otherwise.
    ///
    /// See the example of [`StartOptions`].
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// The file on the other computer that holds what the program writes; it is emptied first. Unless said otherwise
    /// it stands beside the program and has `.log` at its end. The user's home folder may be written as `~/`.
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
    /// The address that the manager says it runs on, as `HOST:PORT`; the host is the name that computer has for
    /// itself.
    pub address: String,
    /// The process that was started; with `sudo`, that of `sudo`.
    pub process_id: u32,
    /// The log file on the other computer.
    pub log_file: String,
    /// The end of the log, at most 64 KiB.
    pub log: String,
}

impl Started {
    /// The manager's port, which matters when it could choose a free one.
    ///
    /// See the example of [`start_manager`].
    pub fn port(&self) -> Option<u16> {
        self.address.rsplit_once(':')?.1.parse().ok()
    }
}

/// Starts a program on another computer and waits until the manager in it runs.
///
/// The program goes on running when the connection ends. It counts as running when its log holds
/// `Network Manager running on`; the error tells the log when the program ends before that, when it reports an error
/// (a line with `ERROR` or `Error:`) or when the time is over. In the last two cases the program is left running.
///
/// `program` is the path of the program on the other computer, taken literally; `~/` at its begin is the user's home
/// folder. Without a folder it is looked for in `PATH`, and its log is in the home folder.
///
/// When the future is dropped, the connection is closed; a program that was started already goes on running.
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

/// The command, in the words of a POSIX shell.
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

/// Quotes a path, at whose begin `~/` is the home folder.
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
