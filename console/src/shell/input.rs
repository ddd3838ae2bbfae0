//! The lines of the shell: from a person, or from a script.

use std::io;
use std::thread;

use tokio::sync::mpsc;

use super::editor::{Editor, Read};
use crate::failure::Failure;

/// The number of lines of a script that are read ahead.
const AHEAD: usize = 16;

/// Where the lines come from.
pub(crate) enum Input {
    Person(Editor),
    Script(mpsc::Receiver<io::Result<String>>),
}

impl Input {
    /// Returns the lines of standard input. They are read in a thread: the connection is served
    /// while no line comes.
    pub(crate) fn script() -> Result<Self, Failure> {
        let (sender, lines) = mpsc::channel(AHEAD);
        let reader = thread::Builder::new().name("script".to_owned());
        let reader = reader.spawn(move || {
            for line in io::stdin().lines() {
                let is_last = line.is_err();
                if sender.blocking_send(line).is_err() || is_last {
                    return;
                }
            }
        });
        reader.map_err(|error| Failure::Failed(format!("cannot start: {error}")))?;
        Ok(Self::Script(lines))
    }

    /// Waits for the next line. `None` at the end. Not cancel safe for a person's.
    ///
    /// # Errors
    /// If the terminal or standard input cannot be read.
    pub(crate) async fn next(&mut self) -> Result<Option<String>, Failure> {
        match self {
            Self::Person(editor) => match editor.read().await {
                Read::Line(line) => Ok(Some(line)),
                Read::Interrupted => Ok(Some(String::new())),
                Read::End => Ok(None),
                Read::Failed(error) => Err(Failure::Failed(format!("cannot read the terminal: {error}"))),
            },
            Self::Script(lines) => match lines.recv().await {
                Some(Ok(line)) => Ok(Some(line)),
                None => Ok(None),
                Some(Err(error)) => Err(Failure::Failed(format!("cannot read standard input: {error}"))),
            },
        }
    }
}
