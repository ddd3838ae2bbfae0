//! Speaking with systemd, where it runs.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, anyhow, bail};

use crate::cli::{say, set_variable};

/// Whose systemd runs a unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scope {
    Computer,
    User,
}

/// Whether systemd can be told about a unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reach {
    /// It runs, and reads the folder of the unit.
    Running,
    /// Somebody else has to tell it.
    Elsewhere,
}

impl Scope {
    pub(super) fn of(is_user: bool) -> Self {
        if is_user { Self::User } else { Self::Computer }
    }

    /// Returns the folder of the units that an administrator or a user writes, or the `chosen` one.
    pub(super) fn folder(self, chosen: Option<&Path>) -> anyhow::Result<PathBuf> {
        if let Some(chosen) = chosen {
            return Ok(chosen.to_owned());
        }
        if self == Self::Computer {
            return Ok("/etc/systemd/system".into());
        }
        let config = match set_variable("XDG_CONFIG_HOME") {
            Some(config) => PathBuf::from(config),
            None => std::env::home_dir()
                .ok_or_else(|| anyhow!("cannot find your home folder: set HOME, or use --unit-dir"))?
                .join(".config"),
        };
        Ok(config.join("systemd/user"))
    }

    /// Returns the unit of this name that a package has installed.
    pub(super) fn packaged(self, name: &str) -> Option<PathBuf> {
        let folders: &[&str] = match self {
            Self::Computer => &["/usr/lib/systemd/system", "/lib/systemd/system"],
            Self::User => &[],
        };
        let mut files = folders.iter().map(|folder| Path::new(folder).join(name));
        files.find(|file| file.exists())
    }

    /// Returns a command of `systemctl`, as words.
    fn words<'a>(self, arguments: &[&'a str]) -> Vec<&'a str> {
        let mut words = vec!["systemctl"];
        if self == Self::User {
            words.push("--user");
        }
        words.extend(arguments);
        words
    }
}

impl Reach {
    /// Finds out whether systemd runs.
    ///
    /// # Errors
    /// If it does not, and no folder was chosen.
    pub(super) fn of(scope: Scope, is_folder_chosen: bool) -> anyhow::Result<Self> {
        if is_folder_chosen {
            return Ok(Self::Elsewhere);
        }
        // As in sd_booted(3).
        if Path::new("/run/systemd/system").is_dir() {
            return Ok(Self::Running);
        }
        let folder = scope.folder(None)?;
        bail!(
            "systemd does not run on this computer: write the unit with `--unit-dir {}`, or into another folder, and start \
             it where systemd runs; with another supervisor, let that run `labwire start`",
            folder.display()
        )
    }

    /// Runs the commands of `systemctl`, or prints them if somebody else has to run them.
    ///
    /// # Errors
    /// If one fails.
    pub(super) fn tell_or_run(self, scope: Scope, commands: &[&[&str]]) -> anyhow::Result<()> {
        for arguments in commands {
            let words = scope.words(arguments);
            let line = words.join(" ");
            if self == Self::Elsewhere {
                say(format_args!("run where systemd reads that folder: {line}"))?;
                continue;
            }
            let status = Command::new(words[0])
                .args(&words[1..])
                .status()
                .with_context(|| format!("cannot run `{line}`"))?;
            if !status.success() {
                bail!("`{line}` has failed with {status}; `journalctl -u labwire` may tell why");
            }
        }
        Ok(())
    }
}
