//! A program on a pseudo-terminal, with a terminal at the other end that answers where its cursor
//! is.

use std::fs::File;
use std::io::{Read, Write};
use std::process::{Child, Command, ExitStatus};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use rustix::process::{Pid, Signal};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{LocalModes, Winsize, tcgetattr, tcsetwinsize};

use super::process::through;
use super::{DEADLINE, POLL_INTERVAL};

/// A running program whose terminal the test is. It is killed on drop.
pub(crate) struct PseudoTerminal {
    child: Child,
    controller: File,
    /// The terminal's other end, held open: its modes can be read after the program has ended.
    device: File,
    shown: Arc<Shown>,
    /// The length of what was found already.
    found: usize,
}

#[derive(Default)]
struct Shown {
    /// All that was written, without the commands for the terminal.
    text: Mutex<String>,
    changed: Condvar,
}

impl Shown {
    fn text(&self) -> MutexGuard<'_, String> {
        self.text.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl PseudoTerminal {
    /// Starts a program on a terminal of this size. It is the terminal that controls the program,
    /// as for a person: Ctrl-C is a signal, and passwords are asked for there.
    pub(crate) fn start(command: &Command, columns: u16, rows: u16) -> Self {
        let controller = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
        grantpt(&controller).unwrap();
        unlockpt(&controller).unwrap();
        let size = Winsize {
            ws_row: rows,
            ws_col: columns,
            ws_xpixel: 0,
            ws_ypixel: 0,
        };
        tcsetwinsize(&controller, size).unwrap();
        let name = ptsname(&controller, Vec::new()).unwrap();
        let path = name.to_str().unwrap().to_owned();
        let device = File::options().read(true).write(true).open(path).unwrap();
        let stream = || device.try_clone().unwrap();
        let mut command = through("setsid", &["--ctty"], command);
        command.env("TERM", "xterm-256color");
        command.stdin(stream()).stdout(stream()).stderr(stream());
        let child = command.spawn().unwrap();
        // It holds copies of the terminal.
        drop(command);
        let controller = File::from(controller);
        let shown = Arc::new(Shown::default());
        let screen = Screen {
            rows: usize::from(rows),
            ..Screen::default()
        };
        follow(controller.try_clone().unwrap(), screen, Arc::clone(&shown));
        Self {
            child,
            controller,
            device,
            shown,
            found: 0,
        }
    }

    /// Types keys.
    pub(crate) fn send(&mut self, keys: &str) {
        self.controller.write_all(keys.as_bytes()).unwrap();
    }

    /// Waits until a text is shown behind the last one that was waited for.
    pub(crate) fn wait_for(&mut self, wanted: &str) {
        let deadline = Instant::now() + DEADLINE;
        let mut text = self.shown.text();
        loop {
            if let Some(at) = text[self.found..].find(wanted) {
                self.found += at + wanted.len();
                return;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            assert!(
                !left.is_zero(),
                "{wanted:?} was never shown:\n{}",
                &text[self.found..]
            );
            text = self
                .shown
                .changed
                .wait_timeout(text, left)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
    }

    /// Returns all that was shown.
    pub(crate) fn text(&self) -> String {
        self.shown.text().clone()
    }

    /// Returns whether the terminal shows what is typed and gathers it in lines, as before a
    /// program of the whole screen or an editor.
    pub(crate) fn is_as_before(&self) -> bool {
        let modes = tcgetattr(&self.device).unwrap().local_modes;
        modes.contains(LocalModes::ECHO | LocalModes::ICANON | LocalModes::ISIG)
    }

    /// Waits until the modes are as before a program that changes them, or not.
    pub(crate) fn wait_for_modes(&self, are_as_before: bool) {
        let deadline = Instant::now() + DEADLINE;
        while self.is_as_before() != are_as_before {
            assert!(Instant::now() < deadline, "the modes stay:\n{}", self.text());
            std::thread::sleep(POLL_INTERVAL);
        }
    }

    /// Sends the program a signal.
    pub(crate) fn signal(&self, signal: Signal) {
        rustix::process::kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Waits for the end of the program.
    pub(crate) fn wait(&mut self) -> ExitStatus {
        let deadline = Instant::now() + DEADLINE;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(Instant::now() < deadline, "it does not end:\n{}", self.text());
            std::thread::sleep(POLL_INTERVAL);
        }
    }
}

impl Drop for PseudoTerminal {
    fn drop(&mut self) {
        // Both fail only if the program has already ended and was waited for.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("---- the terminal showed:\n{}", self.text());
        }
    }
}

/// Collects what is shown, and answers the question where the cursor is. Ends with the terminal.
fn follow(mut controller: File, mut screen: Screen, shown: Arc<Shown>) {
    std::thread::spawn(move || {
        let mut buffer = [0; 4096];
        let mut pending = Vec::new();
        while let Ok(length @ 1..) = controller.read(&mut buffer) {
            pending.extend_from_slice(&buffer[..length]);
            // A character may arrive in two parts.
            let valid = match std::str::from_utf8(&pending) {
                Ok(_) => pending.len(),
                Err(error) => error.valid_up_to(),
            };
            let read: Vec<u8> = pending.drain(..valid).collect();
            for character in String::from_utf8_lossy(&read).chars() {
                if let Some(answer) = screen.take(character)
                    && controller.write_all(answer.as_bytes()).is_err()
                {
                    return;
                }
            }
            shown.text().push_str(&std::mem::take(&mut screen.text));
            shown.changed.notify_all();
        }
    });
}

/// As much of a terminal as is needed to know where its cursor is.
#[derive(Default)]
struct Screen {
    rows: usize,
    row: usize,
    column: usize,
    saved: (usize, usize),
    /// The command that is arriving, without its escape character.
    command: Option<String>,
    text: String,
}

impl Screen {
    /// Takes the next character. Returns the answer to a question.
    fn take(&mut self, character: char) -> Option<String> {
        if let Some(mut command) = self.command.take() {
            command.push(character);
            let is_longer = match command.as_bytes() {
                [b'[' | b']' | b'('] => true,
                // Parameters of a command.
                [b'[', .., last] => !(0x40..=0x7e).contains(last),
                // A title or the like, up to BEL or ESC \.
                [b']', .., last] => *last != 7 && *last != b'\\',
                _ => false,
            };
            if is_longer {
                self.command = Some(command);
                return None;
            }
            return self.obey(&command);
        }
        match character {
            '\u{1b}' => self.command = Some(String::new()),
            '\n' => {
                self.row = (self.row + 1).min(self.rows - 1);
                self.text.push('\n');
            }
            '\r' => self.column = 0,
            character if character.is_control() => {}
            character => {
                self.column += 1;
                self.text.push(character);
            }
        }
        None
    }

    fn obey(&mut self, command: &str) -> Option<String> {
        let parameters = command.get(1..command.len() - 1).unwrap_or_default();
        let mut numbers = parameters.split(';').map(str::parse::<usize>);
        let mut number = || numbers.next().and_then(Result::ok).unwrap_or(1);
        match command.chars().last() {
            Some('n') if parameters == "6" => {
                return Some(format!("\u{1b}[{};{}R", self.row + 1, self.column + 1));
            }
            Some('H') => {
                self.row = (number() - 1).min(self.rows - 1);
                self.column = number() - 1;
            }
            Some('A') => self.row = self.row.saturating_sub(number()),
            Some('B') => self.row = (self.row + number()).min(self.rows - 1),
            Some('G') => self.column = number() - 1,
            Some('7') => self.saved = (self.row, self.column),
            Some('8') => (self.row, self.column) = self.saved,
            _ => {}
        }
        None
    }
}
