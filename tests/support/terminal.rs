//! A person at a terminal, with the real `nc` and the real `openssl s_client`.

use std::process::Command;

use serde_json::{Value, json};

use super::manager::{HOST, Manager};
use super::process::Process;

/// A terminal program that is connected to a manager.
pub(crate) struct Terminal {
    process: Process,
    lines_read: usize,
}

impl Terminal {
    pub(crate) fn netcat(manager: &Manager) -> Self {
        let mut command = Command::new("nc");
        Self::open("nc", command.args([HOST, &manager.port().to_string()]))
    }

    pub(crate) fn openssl(manager: &Manager) -> Self {
        let address = format!("{HOST}:{}", manager.port());
        let mut command = Command::new("openssl");
        // With the certificate the program also verifies the manager.
        command.args([
            "s_client",
            "-quiet",
            "-verify_return_error",
            "-verify_hostname",
            HOST,
        ]);
        Self::open(
            "openssl s_client",
            command.args(["-CAfile", &manager.certificate(), "-connect", &address]),
        )
    }

    fn open(name: &str, command: &mut Command) -> Self {
        Self {
            process: Process::spawn(name, command),
            lines_read: 0,
        }
    }

    /// Answers the request for an identity with `line`.
    pub(crate) fn identified(mut self, line: &str) -> Self {
        self.expect_request("identity");
        self.enter(line);
        self
    }

    pub(crate) fn enter(&mut self, line: &str) {
        self.process.type_line(line);
    }

    /// Returns the next frame on the screen.
    pub(crate) fn frame(&mut self) -> Value {
        let (lines_read, frame) = self
            .process
            .wait_for_line_after(self.lines_read, "a frame", |line| {
                serde_json::from_str(line).ok().filter(Value::is_object)
            });
        self.lines_read = lines_read;
        frame
    }

    /// Expects a request of the manager with this attribute, and returns its arguments.
    pub(crate) fn expect_request(&mut self, attribute: &str) -> Value {
        let frame = self.frame();
        assert_eq!(frame["attribute"], attribute, "{frame}");
        assert_eq!(frame["error"], false, "{frame}");
        assert_eq!(frame["uid"], "", "{frame}");
        assert_eq!(frame["kwargs"], json!({}), "{frame}");
        assert!(
            frame["requester"].as_str().unwrap().starts_with("Manager["),
            "{frame}"
        );
        frame["args"].clone()
    }

    /// Enters a line and returns the result of its request.
    pub(crate) fn ask(&mut self, line: &str) -> Value {
        self.enter(line);
        self.result()
    }

    pub(crate) fn result(&mut self) -> Value {
        let frame = self.frame();
        assert_eq!(frame["error"], false, "{frame}");
        assert_eq!(frame["uid"], "", "{frame}");
        frame["result"].clone()
    }

    /// Enters a line and returns the message of the resulting error.
    pub(crate) fn ask_in_vain(&mut self, line: &str) -> String {
        self.enter(line);
        self.error()
    }

    pub(crate) fn error(&mut self) -> String {
        let frame = self.frame();
        assert_eq!(frame["error"], true, "{frame}");
        assert_eq!(frame["result"], Value::Null, "{frame}");
        assert!(frame["traceback"].is_array(), "{frame}");
        frame["message"].as_str().unwrap().to_owned()
    }

    /// Waits until the program ends because the manager has closed the connection: the person's
    /// side stays open until then, so there is no other reason for it to end.
    pub(crate) fn expect_closed(mut self) {
        self.process.close_input();
        self.process.wait();
    }
}
