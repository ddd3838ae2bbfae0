//! Runs commands on another computer.

use std::time::Duration;

use russh::client::Msg;
use russh::{Channel, ChannelMsg, Sig};

use super::connect::Ssh;
use super::error::RunError;
use super::exit_status::Status;

/// The most output of a command to keep, in bytes: more than a person reads, less than fills the
/// memory.
const OUTPUT_LIMIT: usize = 16 * 1024 * 1024;

/// The exit status and output of a command.
///
/// ```
/// # mod support { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/ssh.rs")); }
/// # support::lab(async |computer| {
/// # let options = computer.options();
/// use std::time::Duration;
/// use labwire_client::ssh::{Output, Ssh, Status};
///
/// let pi = Ssh::connect(&options).await?;
/// let output: Output = pi.run("echo 21.5; echo 'not calibrated' >&2", Duration::from_secs(10)).await?;
/// assert!(output.success());
/// assert_eq!((output.stdout.as_str(), output.stderr.as_str()), ("21.5\n", "not calibrated\n"));
///
/// let output = pi.run("bin/fails", Duration::from_secs(10)).await?;
/// assert_eq!(output.status, Status::Exited(3));
/// let error = output.check().unwrap_err();
/// let text = "`bin/fails` on localhost ended with code 3; it said:\nthe port 1876 is in use";
/// assert_eq!(error.to_string(), text);
/// # Ok(())
/// # });
/// ```
#[derive(Clone, Debug)]
pub struct Output {
    /// The exit status.
    pub status: Status,
    /// The standard output. Invalid UTF-8 is replaced.
    pub stdout: String,
    /// The standard error. Invalid UTF-8 is replaced.
    pub stderr: String,
    host: String,
    command: String,
}

impl Output {
    /// Returns whether the command exited with code 0.
    ///
    /// See the example of [`Output`].
    pub fn success(&self) -> bool {
        self.status == Status::Exited(0)
    }

    /// Returns an error if the command did not exit with code 0. The error names the host, the
    /// command and its output.
    ///
    /// See the example of [`Output`].
    pub fn check(self) -> Result<Self, RunError> {
        if self.success() {
            return Ok(self);
        }
        Err(RunError::Failed {
            host: self.host,
            command: self.command,
            status: self.status,
            stdout: self.stdout,
            stderr: self.stderr,
        })
    }
}

/// Quotes an argument for a POSIX shell, which then takes it literally.
///
/// ```
/// use labwire_client::ssh::quote;
///
/// assert_eq!(format!("cat {}", quote("it's mine")), r"cat 'it'\''s mine'");
/// ```
pub fn quote(argument: &str) -> String {
    format!("'{}'", argument.replace('\'', r"'\''"))
}

impl Ssh {
    /// Runs a command and waits for its end. A failing command is not an error here;
    /// [`Output::check`] makes it one.
    ///
    /// The user's shell on the other computer interprets the command: spaces, `$`, `*`, `;` and
    /// quotes have their shell meaning. [`quote`] literal arguments. The standard input is empty.
    /// If the output exceeds 16 MiB, the result is [`RunError::TooMuch`] and the output is lost.
    ///
    /// After `timeout` the server is asked to end the command, which OpenSSH does except for the
    /// superuser. If the future is dropped, the command is not ended. In both cases nothing reads
    /// its further output.
    ///
    /// ```
    /// # mod support { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/ssh.rs")); }
    /// # support::lab(async |computer| {
    /// # std::fs::write(computer.path("it's mine.log"), "all is well\n")?;
    /// use std::time::Duration;
    /// use labwire_client::ssh::{Ssh, quote};
    ///
    /// let pi = Ssh::connect(&computer.options()).await?;
    /// let tail = format!("tail -n 1 {}", quote("it's mine.log"));
    /// let log = pi.run(&tail, Duration::from_secs(10)).await?.check()?;
    /// assert_eq!(log.stdout, "all is well\n");
    /// # Ok(())
    /// # });
    /// ```
    pub async fn run(&self, command: &str, timeout: Duration) -> Result<Output, RunError> {
        let mut output = Collected::default();
        let mut channel = None;
        let run = async {
            let channel = channel.insert(self.execute(command).await?);
            self.name(command, channel.eof().await)?;
            output.collect(self, command, channel).await
        };
        let ended = tokio::time::timeout(timeout, run).await;
        if let (false, Some(channel)) = (matches!(ended, Ok(Ok(()))), channel) {
            // An error means that the server does not support signals, or that the connection was
            // lost.
            let _ = channel.signal(Sig::TERM).await;
            let _ = channel.close().await;
        }
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let (stdout, stderr) = (text(&output.stdout), text(&output.stderr));
        let (host, command) = (self.host.clone(), command.to_owned());
        match ended {
            Ok(result) => result.map(|()| Output {
                status: output.status.unwrap_or(Status::Unknown),
                stdout,
                stderr,
                host,
                command,
            }),
            Err(_) => Err(RunError::TimedOut {
                host,
                command,
                timeout,
                stdout,
                stderr,
            }),
        }
    }

    /// Starts a command, and waits until the server has confirmed it.
    pub(super) async fn execute(&self, command: &str) -> Result<Channel<Msg>, RunError> {
        let mut channel = self.name(command, self.session.channel_open_session().await)?;
        self.name(command, channel.exec(true, command).await)?;
        loop {
            match channel.wait().await {
                Some(ChannelMsg::Success) => return Ok(channel),
                Some(ChannelMsg::Failure) => {
                    return Err(RunError::Refused {
                        host: self.host.clone(),
                        command: command.to_owned(),
                    });
                }
                Some(_) => {}
                None => return self.name(command, Err(russh::Error::Disconnect)),
            }
        }
    }

    fn name<T>(&self, command: &str, result: Result<T, russh::Error>) -> Result<T, RunError> {
        result.map_err(|error| match error {
            russh::Error::ChannelOpenFailure(_) => RunError::Refused {
                host: self.host.clone(),
                command: command.to_owned(),
            },
            error => RunError::Lost {
                host: self.host.clone(),
                command: command.to_owned(),
                reason: error.to_string(),
            },
        })
    }
}

#[derive(Default)]
struct Collected {
    status: Option<Status>,
    stdout: Vec<u8>,
    stderr: Vec<u8>,
}

impl Collected {
    async fn collect(
        &mut self,
        ssh: &Ssh,
        command: &str,
        channel: &mut Channel<Msg>,
    ) -> Result<(), RunError> {
        while let Some(message) = channel.wait().await {
            match message {
                ChannelMsg::Data { data } => self.stdout.extend_from_slice(&data),
                ChannelMsg::ExtendedData { data, .. } => self.stderr.extend_from_slice(&data),
                ChannelMsg::ExitStatus { exit_status } => self.status = Some(Status::Exited(exit_status)),
                ChannelMsg::ExitSignal { signal_name, .. } => {
                    self.status = Some(Status::Killed(signal_word(&signal_name)));
                }
                // Both sides have closed the channel.
                ChannelMsg::Close => return Ok(()),
                _ => {}
            }
            if self.stdout.len() + self.stderr.len() > OUTPUT_LIMIT {
                return Err(RunError::TooMuch {
                    host: ssh.host.clone(),
                    command: command.to_owned(),
                    limit: OUTPUT_LIMIT,
                });
            }
        }
        // The library ends all channels in this way when the connection is lost.
        if ssh.session.is_closed() && self.status.is_none() {
            return ssh.name(command, Err(russh::Error::Disconnect));
        }
        Ok(())
    }
}

fn signal_word(signal: &Sig) -> String {
    match signal {
        Sig::Custom(name) => name.clone(),
        known => format!("{known:?}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quoted_argument_reaches_a_shell_as_it_is() {
        for argument in ["", "two words", "it's; $HOME `id` \"*\" \\ !", "line\nbreak", "'"] {
            let shell = std::process::Command::new("sh")
                .args(["-c", &format!("printf %s {}", quote(argument))])
                .output()
                .unwrap();
            assert_eq!(String::from_utf8(shell.stdout).unwrap(), argument);
        }
    }
}
