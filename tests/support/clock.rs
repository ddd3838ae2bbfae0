//! Programs with another clock than the computer's.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use super::requirements::give_up;

/// Returns the path of the library that changes a program's clock.
pub(crate) fn library() -> PathBuf {
    let folders = fs::read_dir("/usr/lib").into_iter().flatten().flatten();
    let mut candidates = folders.map(|folder| folder.path().join("faketime/libfaketimeMT.so.1"));
    candidates.find(|path| path.exists()).unwrap_or_else(|| {
        give_up("the tests need libfaketime to set a manager's clock; `bash tests/run` installs it")
    })
}

/// The clock of a program that is set while the program runs.
pub(crate) struct SetClock {
    _folder: TempDir,
    file: PathBuf,
}

impl SetClock {
    /// Sets the clock so many seconds before or after the computer's.
    pub(crate) fn set(&self, offset: i64) {
        // Replaced as a whole: the program reads it at any time.
        let next = self.file.with_extension("next");
        fs::write(&next, format!("{offset:+}\n")).expect("the file can be written");
        fs::rename(&next, &self.file).expect("the file can be replaced");
    }
}

/// Makes a command follow a clock that can be set.
pub(crate) fn follow_file(command: &mut Command) -> SetClock {
    let folder = tempfile::tempdir().expect("a folder can be made");
    let file = folder.path().join("clock");
    let clock = SetClock {
        _folder: folder,
        file,
    };
    clock.set(0);
    command
        .env("LD_PRELOAD", library())
        .env("FAKETIME_TIMESTAMP_FILE", &clock.file)
        .env("FAKETIME_NO_CACHE", "1")
        // The kernel's monotonic clock is not affected by setting the time.
        .env("FAKETIME_DONT_FAKE_MONOTONIC", "1")
        .env("DONT_FAKE_MONOTONIC", "1");
    clock
}

/// Makes a command start at this time, such as `1970-01-01 00:00:00` in UTC; its clock runs from
/// there.
pub(crate) fn begin_at(command: &mut Command, time: &str) {
    command
        .env("LD_PRELOAD", library())
        .env("FAKETIME", format!("@{time}"))
        .env("TZ", "UTC")
        // The kernel's monotonic clock is not affected by setting the time.
        .env("FAKETIME_DONT_FAKE_MONOTONIC", "1")
        .env("DONT_FAKE_MONOTONIC", "1");
}

/// Makes a command follow the offset in a file, such as `+31d`, from the computer's clock.
pub(crate) fn follow(command: &mut Command, file: &Path) {
    command
        .env("LD_PRELOAD", library())
        .env("FAKETIME_TIMESTAMP_FILE", file)
        .env("FAKETIME_NO_CACHE", "1")
        .env("TZ", "UTC")
        // The kernel's monotonic clock is not affected by setting the time.
        .env("FAKETIME_DONT_FAKE_MONOTONIC", "1")
        .env("DONT_FAKE_MONOTONIC", "1");
}
