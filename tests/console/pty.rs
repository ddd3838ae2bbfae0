//! Commands at a pseudo-terminal.

use std::fs::File;
use std::io::{Read, Write};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::Instant;

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcgetattr, tcsetwinsize};

use super::super::support::DEADLINE;
use super::super::support::manager::Manager;
use super::super::support::process::Signal;
use super::command;
use super::rendered::rendered;

/// A command at a pseudo-terminal.
pub(super) struct Terminal {
    child: Child,
    controller: File,
    device: File,
    received: mpsc::Receiver<Vec<u8>>,
    bytes: Vec<u8>,
    /// What the command has written so far.
    pub(super) shown: String,
    size: (u16, u16),
    modes: String,
}

impl Terminal {
    /// Starts a command at a terminal of this width and height.
    pub(super) fn open(
        manager: &Manager,
        arguments: &[&str],
        size: (u16, u16),
        environment: &[(&str, &str)],
    ) -> Self {
        let controller = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
        grantpt(&controller).unwrap();
        unlockpt(&controller).unwrap();
        let name = ptsname(&controller, Vec::new()).unwrap();
        let device = File::options()
            .read(true)
            .write(true)
            .open(name.to_str().unwrap())
            .unwrap();
        let window = Winsize {
            ws_col: size.0,
            ws_row: size.1,
            ws_xpixel: 0,
            ws_ypixel: 0,
        };
        tcsetwinsize(&controller, window).unwrap();
        let modes = format!("{:?}", tcgetattr(&device).unwrap());
        let stream = || Stdio::from(device.try_clone().unwrap());
        let mut command: Command = command(manager, arguments);
        command
            .stdin(stream())
            .stdout(stream())
            .stderr(stream())
            .env_remove("NO_COLOR");
        let child = command.envs(environment.iter().copied()).spawn().unwrap();
        let (sender, received) = mpsc::channel();
        let controller = File::from(controller);
        let mut reader = controller.try_clone().unwrap();
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(count @ 1..) = reader.read(&mut buffer) {
                if sender.send(buffer[..count].to_vec()).is_err() {
                    return;
                }
            }
        });
        Self {
            child,
            controller,
            device,
            received,
            bytes: Vec::new(),
            shown: String::new(),
            size,
            modes,
        }
    }

    /// Waits until the command has written a text.
    pub(super) fn wait_for(&mut self, text: &str) {
        let deadline = Instant::now() + DEADLINE;
        while !self.shown.contains(text) {
            let left = deadline.saturating_duration_since(Instant::now());
            let received = self.received.recv_timeout(left);
            let received = received.unwrap_or_else(|_| panic!("{text:?} was not shown: {:?}", self.shown));
            self.take(&received);
        }
    }

    /// Waits until the screen shows a text, and returns its lines.
    pub(super) fn wait_for_screen(&mut self, text: &str) -> Vec<String> {
        let deadline = Instant::now() + DEADLINE;
        loop {
            let lines = rendered(&self.shown, self.size);
            if lines.iter().any(|line| line.contains(text)) {
                return lines;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            let received = self.received.recv_timeout(left);
            let received = received.unwrap_or_else(|_| panic!("{text:?} was not shown: {lines:#?}"));
            self.take(&received);
        }
    }

    fn take(&mut self, received: &[u8]) {
        self.bytes.extend_from_slice(received);
        self.shown = String::from_utf8_lossy(&self.bytes).into_owned();
    }

    /// Types keys.
    pub(super) fn type_keys(&mut self, keys: &str) {
        self.controller.write_all(keys.as_bytes()).unwrap();
    }

    /// Sends a signal to the command.
    pub(super) fn signal(&self, signal: Signal) {
        rustix::process::kill_process(rustix::process::Pid::from_child(&self.child), signal).unwrap();
    }

    /// Waits for the end, and returns the exit code.
    pub(super) fn end(&mut self) -> Option<i32> {
        let deadline = Instant::now() + DEADLINE;
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            assert!(Instant::now() < deadline, "it does not end: {:?}", self.shown);
            if let Ok(received) = self.received.recv_timeout(super::super::support::POLL_INTERVAL) {
                self.take(&received);
            }
        };
        // What was written before the end may arrive a moment later.
        let quiet = std::time::Duration::from_millis(300);
        while let Ok(received) = self.received.recv_timeout(quiet) {
            self.take(&received);
        }
        status.code()
    }

    /// Checks that the terminal is as it was before.
    pub(super) fn expect_restored(&self) {
        let modes = format!("{:?}", tcgetattr(&self.device).unwrap());
        assert_eq!(modes, self.modes, "the modes of the terminal");
        let entered = self.shown.matches("\u{1b}[?1049h").count();
        assert_eq!((entered, self.shown.matches("\u{1b}[?1049l").count()), (1, 1));
        assert!(
            self.shown.rfind("\u{1b}[?25h") > self.shown.rfind("\u{1b}[?25l"),
            "the cursor"
        );
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
