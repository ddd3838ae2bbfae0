//! The file of `--output`.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

use crate::failure::Failure;

/// The file for the results. Its content is replaced by the first result; a new file is removed on
/// drop if there was none.
pub(crate) struct ResultFile {
    path: PathBuf,
    file: File,
    is_new: bool,
    is_emptied: bool,
}

impl Drop for ResultFile {
    fn drop(&mut self) {
        if self.is_new && !self.is_emptied {
            // A failure leaves an empty file, which does no harm.
            let _ = fs::remove_file(&self.path);
        }
    }
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
        Ok(Self {
            path: path.to_owned(),
            file,
            is_new,
            is_emptied: false,
        })
    }

    /// Writes a text and a line end.
    pub(crate) fn write(&mut self, text: &str) -> Result<(), Failure> {
        let is_first = !std::mem::replace(&mut self.is_emptied, true);
        // A device or a pipe has no length.
        let emptied = if is_first && self.file.metadata().is_ok_and(|data| data.is_file()) {
            self.file.set_len(0)
        } else {
            Ok(())
        };
        let written = emptied.and_then(|()| writeln!(self.file, "{text}"));
        written.map_err(|error| Failure::Failed(format!("cannot write the result: {error}")))
    }
}
