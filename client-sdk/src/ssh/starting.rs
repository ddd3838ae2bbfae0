//! Watches the start of a program on another computer.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::time::Duration;

use russh::client::Msg;
use russh::{Channel, ChannelMsg};

use super::connect::Ssh;
use super::error::{RunError, StartError};
use super::exit_status::Status;
use super::start::{Started, quote_path};

/// The log text of a manager that is ready for connections; an address follows.
const RUNNING: &str = "Network Manager running on ";

/// Interval at which the log is read.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// The number of further reads after a program reports an error, so that it can end and complete
/// its log.
const LOOKS_AFTER_ERROR: u32 = 5;

/// The most bytes to read from the end of the log.
const LOG_LIMIT: usize = 64 * 1024;

/// Returns the shell script to run on the other computer. It starts the program, and for each line
/// of input it prints the log and whether the program runs. As the program's parent it learns the
/// exit status. It ends when its input ends.
///
/// The script is one compound command, so the shell has read all of it before it reads the first
/// line from the same input. It is sent through standard input: no process list shows it, and no
/// login shell interprets it.
fn script(marker: &str, command: &str, log_file: &str) -> String {
    let log = quote_path(log_file);
    format!(
        r#"{{
exec 2>&1
log={log}
runs() {{ kill -0 "$pid" 2>/dev/null || [ -d "/proc/$pid" ] || ps -p "$pid" >/dev/null 2>&1; }}
( umask 077; : > "$log" ) || {{ echo "{marker} unwritable"; exit; }}
{command} < /dev/null >> "$log" 2>&1 &
pid=$!
echo "{marker} started $pid"
while read -r line; do
if runs; then state=runs; else wait "$pid"; state="ended $?"; fi
tail -c {LOG_LIMIT} "$log"
echo
echo "{marker} $state"
done
}}
"#
    )
}

/// A program that is being started.
pub(super) struct Places<'a> {
    ssh: &'a Ssh,
    program: &'a str,
    log_file: String,
    /// Begins the lines that the script prints; random, so that other output does not contain it.
    marker: String,
    received: Vec<u8>,
    complaints: Vec<u8>,
    log: String,
    process_id: Option<u32>,
}

impl<'a> Places<'a> {
    pub(super) fn new(ssh: &'a Ssh, program: &'a str, log_file: String) -> Self {
        Self {
            ssh,
            program,
            log_file,
            marker: format!("labwire-{:016x}", RandomState::new().build_hasher().finish()),
            received: Vec::new(),
            complaints: Vec::new(),
            log: String::new(),
            process_id: None,
        }
    }

    /// Starts the program with this command, and waits until the manager runs.
    pub(super) async fn run(&mut self, command: &str) -> Result<Started, StartError> {
        let mut channel = match self.ssh.execute("sh").await {
            Ok(channel) => channel,
            Err(RunError::Refused { .. }) => return Err(self.shell("the server refuses to run one")),
            Err(error) => return Err(self.lost(&error.to_string())),
        };
        let script = script(&self.marker, command, &self.log_file);
        self.send(&channel, &script).await?;
        let (said, first) = self.answer(&mut channel).await?;
        let Some(process_id) = first.strip_prefix("started ").and_then(|id| id.parse().ok()) else {
            return Err(self.shell(&format!("the log file cannot be written ({said})")));
        };
        self.process_id = Some(process_id);
        let mut looks_left = LOOKS_AFTER_ERROR;
        loop {
            self.send(&channel, "look\n").await?;
            let (log, state) = self.answer(&mut channel).await?;
            self.log = log;
            let ended = state.strip_prefix("ended ").map(exit_status);
            let address = running_on(&self.log);
            match (ended, address) {
                // A program that exits with 0 while the manager runs has moved it to the
                // background.
                (None | Some(Status::Exited(0)), Some(address)) => {
                    return Ok(self.started(process_id, address));
                }
                (Some(status), _) => return Err(self.ended(status)),
                (None, None) if reports_error(&self.log) && looks_left == 0 => {
                    return Err(self.reported(process_id));
                }
                (None, None) => {
                    looks_left -= u32::from(reports_error(&self.log));
                    tokio::time::sleep(LOOK_EVERY).await;
                }
            }
        }
    }

    async fn send(&self, channel: &Channel<Msg>, text: &str) -> Result<(), StartError> {
        let sent = channel.data_bytes(text.as_bytes().to_vec()).await;
        sent.map_err(|error| self.lost(&error.to_string()))
    }

    /// Waits for a line that begins with the marker. Returns the text before it, and the rest of
    /// the line.
    async fn answer(&mut self, channel: &mut Channel<Msg>) -> Result<(String, String), StartError> {
        loop {
            if let Some(answer) = take_answer(&mut self.received, &self.marker) {
                return Ok(answer);
            }
            match channel.wait().await {
                Some(ChannelMsg::Data { data }) => self.received.extend_from_slice(&data),
                Some(ChannelMsg::ExtendedData { data, .. }) => self.complaints.extend_from_slice(&data),
                Some(ChannelMsg::Close) | None if self.ssh.session.is_closed() => {
                    return Err(self.lost("the server hung up"));
                }
                Some(ChannelMsg::Close) | None => return Err(self.shell("the shell ended")),
                Some(_) => {}
            }
            // A program that is no POSIX shell may write without end.
            if self.received.len() + self.complaints.len() > 4 * LOG_LIMIT {
                return Err(self.shell("what answers is no POSIX shell"));
            }
        }
    }

    fn started(&self, process_id: u32, address: String) -> Started {
        Started {
            address,
            process_id,
            log_file: self.log_file.clone(),
            log: self.log.clone(),
        }
    }

    fn host(&self) -> String {
        self.ssh.host.clone()
    }

    fn lost(&self, reason: &str) -> StartError {
        StartError::Lost {
            host: self.host(),
            program: self.program.to_owned(),
            reason: reason.to_owned(),
        }
    }

    fn shell(&self, reason: &str) -> StartError {
        let said = String::from_utf8_lossy(&self.complaints);
        let said = said.trim();
        StartError::Shell {
            host: self.host(),
            program: self.program.to_owned(),
            reason: if said.is_empty() {
                reason.to_owned()
            } else {
                format!("{reason} ({said})")
            },
        }
    }

    fn ended(&self, status: Status) -> StartError {
        StartError::Ended {
            host: self.host(),
            program: self.program.to_owned(),
            status,
            log_file: self.log_file.clone(),
            log: self.log.clone(),
        }
    }

    fn reported(&self, process_id: u32) -> StartError {
        StartError::Reported {
            host: self.host(),
            program: self.program.to_owned(),
            process_id,
            log_file: self.log_file.clone(),
            log: self.log.clone(),
        }
    }

    /// Returns the error for an expired time limit.
    pub(super) fn timed_out(&self, timeout: Duration) -> StartError {
        match self.process_id {
            Some(process_id) => StartError::TimedOut {
                host: self.host(),
                program: self.program.to_owned(),
                timeout,
                process_id,
                log_file: self.log_file.clone(),
                log: self.log.clone(),
            },
            None => self.shell("no shell answered in time"),
        }
    }
}

/// Removes the first answer from the received bytes, if it is complete.
fn take_answer(received: &mut Vec<u8>, marker: &str) -> Option<(String, String)> {
    let place = received
        .windows(marker.len())
        .position(|window| window == marker.as_bytes())?;
    let after = place + marker.len();
    let end = after + received[after..].iter().position(|&byte| byte == b'\n')?;
    let text = String::from_utf8_lossy(&received[..place]).trim_end().to_owned();
    let words = String::from_utf8_lossy(&received[after..end]).trim().to_owned();
    received.drain(..=end);
    Some((text, words))
}

fn running_on(log: &str) -> Option<String> {
    let (_, rest) = log.split_once(RUNNING)?;
    // Whitespace after the address shows that it is complete.
    let end = rest.find(char::is_whitespace)?;
    Some(rest[..end].to_owned())
}

/// Returns whether the log reports an error. Any program may have been started, so its log is the
/// only evidence.
fn reports_error(log: &str) -> bool {
    log.contains("ERROR") || log.contains("Error:")
}

fn exit_status(code: &str) -> Status {
    code.parse().map_or(Status::Unknown, Status::Exited)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_taken_when_it_is_complete() {
        let mut received = b"welcome\nlabwire-1 sta".to_vec();
        assert_eq!(take_answer(&mut received, "labwire-1"), None);
        received.extend_from_slice(b"rted 7\nmore");
        let answer = ("welcome".to_owned(), "started 7".to_owned());
        assert_eq!(take_answer(&mut received, "labwire-1"), Some(answer));
        assert_eq!(received, b"more");
    }

    #[test]
    fn the_address_is_read_when_it_is_complete() {
        let log = "12:00 [INFO ] manager - Network Manager running on lab-pc:1876 (TLS ENABLED)";
        assert_eq!(running_on(log).as_deref(), Some("lab-pc:1876"));
        assert_eq!(running_on("Network Manager running on lab-pc:18"), None);
    }
}
