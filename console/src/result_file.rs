//! The file of `--output`.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use crate::failure::Failure;

/// The new file that has no result yet.
static UNWRITTEN: Mutex<Option<PathBuf>> = Mutex::new(None);

/// Removes a new file without a result, also when its command does not end by itself.
pub(crate) fn remove_unwritten() {
    if let Some(path) = unwritten(None) {
        // A failure leaves an empty file, which does no harm.
        let _ = fs::remove_file(path);
    }
}

/// Notes the new file that has no result yet, and returns the one that was noted before.
fn unwritten(path: Option<PathBuf>) -> Option<PathBuf> {
    let mut noted = UNWRITTEN.lock().unwrap_or_else(PoisonError::into_inner);
    std::mem::replace(&mut noted, path)
}

/// The file for the results. Its content is replaced by the first result; a new file is removed at
/// the end of the command if there was none.
pub(crate) struct ResultFile {
    file: File,
    is_emptied: bool,
}

impl ResultFile {
    /// Opens the file; creates it if it is missing.
    pub(crate) fn open(path: &Path) -> Result<Self, Failure> {
        let is_new = !path.exists();
        let file = File::options()
            .write(true)
            .create(true)
            .truncate(false)
            .open(path);
        let file =
            file.map_err(|error| Failure::Failed(format!("cannot write {}: {error}", path.display())))?;
        if is_new {
            unwritten(Some(path.to_owned()));
        }
        Ok(Self {
            file,
            is_emptied: false,
        })
    }

    /// Writes a text and a line end.
    pub(crate) fn write(&mut self, text: &str) -> Result<(), Failure> {
        self.write_bytes([text.as_bytes(), b"\n"])
    }

    /// Writes bytes.
    pub(crate) fn write_bytes(&mut self, pieces: [&[u8]; 2]) -> Result<(), Failure> {
        let is_first = !std::mem::replace(&mut self.is_emptied, true);
        if is_first {
            unwritten(None);
        }
        // A device or a pipe has no length.
        let emptied = if is_first && self.file.metadata().is_ok_and(|data| data.is_file()) {
            self.file.set_len(0)
        } else {
            Ok(())
        };
        let mut pieces = pieces.into_iter();
        let written = emptied.and_then(|()| pieces.try_for_each(|piece| self.file.write_all(piece)));
        written.map_err(|error| Failure::Failed(format!("cannot write the result: {error}")))
    }
}
