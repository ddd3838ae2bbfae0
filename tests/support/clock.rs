//! Programs with another clock than the computer's.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::requirements::give_up;

/// Returns the path of the library that changes a program's clock.
pub(crate) fn library() -> PathBuf {
    let folders = fs::read_dir("/usr/lib").into_iter().flatten().flatten();
    let mut candidates = folders.map(|folder| folder.path().join("faketime/libfaketimeMT.so.1"));
    candidates.find(|path| path.exists()).unwrap_or_else(|| {
        give_up("the tests need libfaketime to set a manager's clock; `bash tests/run` installs it")
    })
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
