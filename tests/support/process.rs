//! A program that a test has started, with its output so far, and its end at the latest with the
//! test.

use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

pub(crate) use rustix::process::Signal;

use super::{DEADLINE, POLL_INTERVAL};

/// A running program, which is killed on drop. If the test has failed, its output is printed.
pub(crate) struct Process {
    name: String,
    child: Child,
    input: Option<ChildStdin>,
    transcript: Arc<Transcript>,
    readers: Vec<JoinHandle<()>>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stream {
    Output,
    Error,
}

#[derive(Default)]
struct Transcript {
    content: Mutex<Content>,
    changed: Condvar,
}

#[derive(Default)]
struct Content {
    lines: Vec<(Stream, String)>,
    streams_closed: usize,
}

impl Process {
    /// Starts `command` with its standard streams connected to the test. `name` is its name in
    /// failures.
    pub(crate) fn spawn(name: &str, command: &mut Command) -> Self {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("cannot start {name}: {error}"));
        let transcript = Arc::new(Transcript::default());
        let readers = vec![
            follow(child.stdout.take().unwrap(), Stream::Output, &transcript),
            follow(child.stderr.take().unwrap(), Stream::Error, &transcript),
        ];
        let input = child.stdin.take();
        Self {
            name: name.to_owned(),
            child,
            input,
            transcript,
            readers,
        }
    }

    /// Waits until `wanted` returns `Some` for a line, printed already or later.
    pub(crate) fn wait_for<T>(&self, what: &str, wanted: impl Fn(&str) -> Option<T>) -> T {
        self.wait_for_line_after(0, what, wanted).1
    }

    /// Like [`Self::wait_for`], from line number `start` on. Also returns the number of the line
    /// after the one found.
    pub(crate) fn wait_for_line_after<T>(
        &self,
        start: usize,
        what: &str,
        wanted: impl Fn(&str) -> Option<T>,
    ) -> (usize, T) {
        let deadline = Instant::now() + DEADLINE;
        let mut seen = start;
        let mut content = self.transcript.lock();
        loop {
            while let Some((_, line)) = content.lines.get(seen) {
                seen += 1;
                if let Some(found) = wanted(line) {
                    return (seen, found);
                }
            }
            let left = deadline.saturating_duration_since(Instant::now());
            let closed = content.streams_closed == 2;
            if closed || left.is_zero() {
                drop(content);
                let why = if closed {
                    "it has ended"
                } else {
                    "it took too long"
                };
                panic!("{} never printed {what}: {why}", self.name);
            }
            content = self
                .transcript
                .changed
                .wait_timeout(content, left)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
    }

    /// Returns the standard output so far.
    pub(crate) fn output(&self) -> String {
        self.transcript.text(|stream| stream == Stream::Output)
    }

    /// Returns the output on both streams so far.
    pub(crate) fn everything_printed(&self) -> String {
        self.transcript.text(|_| true)
    }

    /// Types a line, without its end of line, into the program.
    pub(crate) fn type_line(&mut self, line: &str) {
        let input = self.input.as_mut().expect("the input is open until close_input");
        input
            .write_all(format!("{line}\n").as_bytes())
            .and_then(|()| input.flush())
            .unwrap_or_else(|error| panic!("cannot type {line:?} into {}: {error}", self.name));
    }

    /// Ends the program's input.
    pub(crate) fn close_input(&mut self) {
        self.input = None;
    }

    /// Asks the program to end, as a service manager does.
    pub(crate) fn terminate(&self) {
        self.signal(Signal::TERM);
    }

    /// Sends the program a signal.
    pub(crate) fn signal(&self, signal: Signal) {
        let process = rustix::process::Pid::from_child(&self.child);
        // If it has just ended, there is no process to signal, which is fine.
        let _ = rustix::process::kill_process(process, signal);
    }

    /// Returns its process id.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Waits for the end of the program and of its output.
    pub(crate) fn wait(&mut self) -> ExitStatus {
        self.wait_within(DEADLINE)
    }

    /// Like [`Self::wait`], with another deadline.
    pub(crate) fn wait_within(&mut self, limit: Duration) -> ExitStatus {
        let Some(status) = self.ended_within(limit) else {
            panic!("{} did not end within {} seconds", self.name, limit.as_secs());
        };
        for reader in self.readers.drain(..) {
            reader.join().expect("the reader of an output does not panic");
        }
        status
    }

    fn ended_within(&mut self, limit: Duration) -> Option<ExitStatus> {
        let deadline = Instant::now() + limit;
        loop {
            if let Some(status) = self.child.try_wait().expect("a child can be waited for") {
                return Some(status);
            }
            if Instant::now() >= deadline {
                return None;
            }
            std::thread::sleep(POLL_INTERVAL);
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Both fail only if the process has already ended and was waited for.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("---- {} printed:\n{}", self.name, self.everything_printed());
        }
    }
}

impl Transcript {
    fn lock(&self) -> MutexGuard<'_, Content> {
        self.content.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn text(&self, of: impl Fn(Stream) -> bool) -> String {
        let content = self.lock();
        content
            .lines
            .iter()
            .filter(|(stream, _)| of(*stream))
            .fold(String::new(), |mut text, (_, line)| {
                text.push_str(line);
                text.push('\n');
                text
            })
    }
}

/// Collects the lines of one stream until it ends.
fn follow(
    source: impl Read + Send + 'static,
    stream: Stream,
    transcript: &Arc<Transcript>,
) -> JoinHandle<()> {
    let transcript = Arc::clone(transcript);
    std::thread::spawn(move || {
        let mut source = BufReader::new(source);
        let mut line = Vec::new();
        while matches!(source.read_until(b'\n', &mut line), Ok(1..)) {
            let text = String::from_utf8_lossy(&line)
                .trim_end_matches(['\r', '\n'])
                .to_owned();
            transcript.lock().lines.push((stream, text));
            transcript.changed.notify_all();
            line.clear();
        }
        transcript.lock().streams_closed += 1;
        transcript.changed.notify_all();
    })
}

/// Returns a command that another program runs, whose own arguments come first.
pub(crate) fn through(program: &str, arguments: &[&str], command: &Command) -> Command {
    let mut outer = Command::new(program);
    outer
        .args(arguments)
        .arg(command.get_program())
        .args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => outer.env(name, value),
            None => outer.env_remove(name),
        };
    }
    if let Some(folder) = command.get_current_dir() {
        outer.current_dir(folder);
    }
    outer
}

/// Returns the command such that file modes apply to it, even if root runs the tests. Returns
/// `None` and reports it where that is not possible.
pub(crate) fn bound_by_modes(command: Command) -> Option<Command> {
    const WITHOUT_RIGHTS: [&str; 2] = ["--bounding-set=-dac_override,-dac_read_search", "--"];
    if !rustix::process::geteuid().is_root() {
        return Some(command);
    }
    let attempt = Command::new("setpriv").args(WITHOUT_RIGHTS).arg("true").status();
    if attempt.is_ok_and(|status| status.success()) {
        return Some(through("setpriv", &WITHOUT_RIGHTS, &command));
    }
    super::requirements::left_out(
        "what the modes of files forbid: root ignores them, and setpriv cannot change that",
    );
    None
}
