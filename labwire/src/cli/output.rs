//! Standard output, and its end: a reader such as `head` may close the pipe early.

use std::fmt::Display;
use std::io::{self, Stdout, Write};
use std::path::Path;

use anyhow::Context;
use labwire_wire::visible;

/// The error that standard output was closed by its reader. The program ends without a message then.
#[derive(Debug, thiserror::Error)]
#[error("standard output is closed")]
struct Closed;

/// Standard output. Its error for a closed pipe is told from those of other files by [`is_closed`].
pub(super) struct Output(Stdout);

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes).map_err(marked)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush().map_err(marked)
    }
}

fn marked(error: io::Error) -> io::Error {
    if error.kind() == io::ErrorKind::BrokenPipe {
        io::Error::other(Closed)
    } else {
        error
    }
}

/// Returns standard output.
pub(super) fn output() -> Output {
    Output(io::stdout())
}

/// Writes a line to standard output.
///
/// # Errors
/// If it cannot be written, for example to a full disk or a closed pipe.
pub(crate) fn say(line: impl Display) -> anyhow::Result<()> {
    print(&format!("{line}\n"))
}

/// Writes a text to standard output.
///
/// # Errors
/// As [`say`].
pub(super) fn print(text: &str) -> anyhow::Result<()> {
    let mut output = output();
    let written = output.write_all(text.as_bytes()).and_then(|()| output.flush());
    written.context("cannot write to standard output")
}

/// Returns a path for people: file names may contain commands for a terminal.
pub(super) fn shown(path: impl AsRef<Path>) -> String {
    visible(&path.as_ref().to_string_lossy())
}

/// Returns whether the error is that standard output was closed by its reader.
pub(super) fn is_closed(error: &anyhow::Error) -> bool {
    let mut causes = error
        .chain()
        .filter_map(|cause| cause.downcast_ref::<io::Error>()?.get_ref());
    causes.any(|cause| cause.downcast_ref::<Closed>().is_some())
}
