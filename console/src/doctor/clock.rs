//! This computer's clock.

use std::path::PathBuf;

use jiff::SignedDuration;
use labwire_client::Home;
use labwire_home::present;

use super::report::Check;
use super::subject::Subject;
use crate::saved::{local, written};

/// The tolerated difference between the clock and the time of a file, whose file system may be
/// another computer's.
const TOLERANCE: SignedDuration = SignedDuration::from_hours(1);

/// Adds how to set the clock.
pub(super) fn set_clock(check: Check, text: &str) -> Check {
    let command = if cfg!(windows) {
        "w32tm /resync"
    } else if cfg!(target_os = "macos") {
        "sudo sntp -sS time.apple.com"
    } else {
        "sudo timedatectl set-ntp true"
    };
    check.command(text, command)
}

/// Compares the clock with the times of files that programs have written on this computer.
pub(super) fn check(subject: &Subject) -> Check {
    const CHECK: &str = "clock";
    let now = present();
    let newest = dated_files(subject)
        .into_iter()
        .filter_map(|file| Some((written(&file)?, file)))
        .max();
    match newest {
        Some((time, file)) if time.duration_since(now) > TOLERANCE => set_clock(
            Check::warning(
                CHECK,
                "clock-behind",
                format!(
                    "this computer's clock shows {}, but {} was written on {}",
                    local(now),
                    file.display(),
                    local(time)
                ),
            ),
            "set the clock",
        ),
        _ => Check::ok(CHECK, local(now)),
    }
}

fn dated_files(subject: &Subject) -> Vec<PathBuf> {
    let mut files = Vec::new();
    files.extend(subject.options.deciding_certificate_file().ok().flatten());
    if let Ok(home) = Home::resolve() {
        files.extend([
            home.database(),
            home.root().join("config.toml"),
            home.root().to_owned(),
        ]);
    }
    files
}
