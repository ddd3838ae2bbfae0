//! The text of a unit: a manager with no more rights than it needs.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::path::{Component, Path, PathBuf};

use anyhow::{anyhow, bail};

/// The first line of a unit that `labwire systemd install` has written.
pub(super) const MARK: &str = "# Written by `labwire systemd`; `labwire systemd install` replaces it.";

/// The account of the operating system as whom the manager runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Account {
    /// One that systemd makes for the unit.
    Dynamic,
    /// One that exists.
    Named(String),
    /// The user whose systemd runs the unit.
    OfUser,
}

/// What a unit runs.
#[derive(Clone, Debug)]
pub(super) struct Unit {
    pub(super) account: Account,
    /// This program, as the unit finds it.
    pub(super) program: PathBuf,
    /// The home folder of the manager.
    pub(super) home: PathBuf,
    pub(super) config: Option<PathBuf>,
    /// Folders beside the home folder in which the manager writes.
    pub(super) writes: BTreeSet<PathBuf>,
}

/// What each unit has. A reload needs no program beside the shell. A manager that waits for replies longer
/// than `TimeoutStopSec=` tells systemd so. 16384 descriptors are enough for the default of `--connections`.
const SERVICE: &str = "\
ExecReload=/bin/sh -c 'kill -HUP \"$$MAINPID\"'
Restart=on-failure
RestartSec=2
WatchdogSec=30
TimeoutStopSec=30
LimitNOFILE=16384
UMask=0077
";

/// What also the systemd of a user can take away: it needs no rights for that.
const RESTRICTED: &str = "\
NoNewPrivileges=yes
LockPersonality=yes
MemoryDenyWriteExecute=yes
RestrictAddressFamilies=AF_INET AF_INET6 AF_NETLINK AF_UNIX
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
SystemCallArchitectures=native
SystemCallFilter=@system-service
SystemCallErrorNumber=EPERM
";

/// What only the systemd of the computer can take away.
const ISOLATED: &str = "\
ProtectSystem=strict
ProtectHome=yes
ProtectClock=yes
ProtectControlGroups=yes
ProtectHostname=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
ProtectProc=invisible
PrivateDevices=yes
PrivateTmp=yes
RemoveIPC=yes
CapabilityBoundingSet=
";

impl Unit {
    /// Returns the text of the unit.
    ///
    /// # Errors
    /// If a path cannot be written in a unit, or the manager could not read or write it.
    pub(super) fn text(&self) -> anyhow::Result<String> {
        let is_of_user = self.account == Account::OfUser;
        let mut text =
            format!("{MARK}\n\n[Unit]\nDescription=Labwire, the network manager of the laboratory\n");
        text.push_str("Documentation=man:labwire-start(1)\n");
        if !is_of_user {
            text.push_str("Wants=network-online.target\nAfter=network-online.target\n");
        }
        text.push_str("\n[Service]\nType=notify\n");
        match &self.account {
            Account::Dynamic => text.push_str("DynamicUser=yes\nUser=labwire\n"),
            Account::Named(name) => writeln!(text, "User={name}")?,
            Account::OfUser => {}
        }
        writeln!(text, "Environment={}", quoted("LABWIRE_HOME=", &self.home)?)?;
        write!(
            text,
            "ExecStart={} start",
            quoted("", &self.program)?.replace('$', "$$")
        )?;
        if let Some(config) = &self.config {
            write!(text, " --config {}", quoted("", config)?.replace('$', "$$"))?;
        }
        text.push('\n');
        text.push_str(SERVICE);
        text.push_str("\n# No more rights than it needs.\n");
        text.push_str(RESTRICTED);
        if !is_of_user {
            text.push_str(ISOLATED);
            text.push_str("\n# What it may write.\n");
            text.push_str(&self.folders()?);
        }
        let target = if is_of_user {
            "default.target"
        } else {
            "multi-user.target"
        };
        write!(text, "\n[Install]\nWantedBy={target}\n")?;
        Ok(text)
    }

    /// Returns the lines about the folders that the manager may write. systemd makes those in `/var/lib`
    /// and `/var/log` for it.
    fn folders(&self) -> anyhow::Result<String> {
        let mut lines = String::new();
        for (name, parent) in [("State", "/var/lib"), ("Logs", "/var/log")] {
            let below: BTreeSet<_> = self
                .written()
                .filter_map(|path| first_below(parent, path))
                .collect();
            for folder in below {
                let folder = quoted("", Path::new(folder))?;
                writeln!(lines, "{name}Directory={folder}\n{name}DirectoryMode=0700")?;
            }
        }
        for path in self.written().filter(|path| !is_managed(path)) {
            if self.account == Account::Dynamic {
                bail!(
                    "the manager has to write in {}, which belongs to nobody that systemd makes for it: name the user \
                     of the operating system to whom it belongs with --run-as, or choose a folder in /var/lib or /var/log",
                    path.display()
                );
            }
            writeln!(lines, "ReadWritePaths={}", quoted("", path)?)?;
        }
        Ok(lines)
    }

    fn written(&self) -> impl Iterator<Item = &Path> {
        let beside = self.writes.iter().filter(|path| !path.starts_with(&self.home));
        std::iter::once(&self.home).chain(beside).map(PathBuf::as_path)
    }

    /// Refuses a program, configuration or folder that the unit would not find.
    ///
    /// # Errors
    /// If it does not exist, or is in a folder that is hidden from the unit.
    pub(super) fn check(&self) -> anyhow::Result<()> {
        self.check_hidden()?;
        if !self.program.is_file() {
            bail!("there is no program {}", self.program.display());
        }
        // As its own user, the manager creates its folders itself.
        let missing = |path: &&Path| self.account != Account::OfUser && !is_managed(path) && !path.is_dir();
        if let Some(missing) = self.written().find(missing) {
            let missing = missing.display();
            bail!("there is no folder {missing}: create it, for the user as whom the manager runs");
        }
        Ok(())
    }

    /// Refuses what is in a folder that is hidden from the unit.
    fn check_hidden(&self) -> anyhow::Result<()> {
        if self.account == Account::OfUser {
            return Ok(());
        }
        let paths = [Some(&self.program), self.config.as_ref(), Some(&self.home)];
        for path in paths.into_iter().flatten().chain(&self.writes) {
            let hidden = ["/home", "/root", "/run/user", "/tmp", "/var/tmp"];
            if let Some(folder) = hidden.iter().find(|folder| path.starts_with(folder)) {
                let remedy = if *path == self.program {
                    "install it with `install -m 755 FILE /usr/local/bin/labwire`, and run that one (or use --user)"
                } else {
                    "choose another place (or use --user)"
                };
                bail!(
                    "{} is in {folder}, which is hidden from the unit: {remedy}",
                    path.display()
                );
            }
        }
        Ok(())
    }
}

/// Whether systemd makes the folder for the manager.
fn is_managed(path: &Path) -> bool {
    ["/var/lib", "/var/log"]
        .iter()
        .any(|parent| first_below(parent, path).is_some())
}

/// Returns the name of the folder in `parent` in which `path` is.
fn first_below<'a>(parent: &str, path: &'a Path) -> Option<&'a str> {
    match path.strip_prefix(parent).ok()?.components().next()? {
        Component::Normal(name) => name.to_str(),
        _ => None,
    }
}

/// Returns a path as a word of a unit, behind `prefix`.
fn quoted(prefix: &str, path: &Path) -> anyhow::Result<String> {
    let shown = path.display();
    let text = path
        .to_str()
        .ok_or_else(|| anyhow!("{shown} is not UTF-8, and cannot be written in a unit"))?;
    if text.chars().any(char::is_control) {
        bail!("{shown:?} contains a control character, and cannot be written in a unit");
    }
    let escaped = text.replace('\\', "\\\\").replace('"', "\\\"").replace('%', "%%");
    let is_plain = |letter: char| letter.is_alphanumeric() || "/._-+@%$:,=~".contains(letter);
    Ok(if escaped.chars().all(is_plain) {
        format!("{prefix}{escaped}")
    } else {
        format!("\"{prefix}{escaped}\"")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unit(account: Account, home: &str) -> Unit {
        Unit {
            account,
            program: "/usr/bin/labwire".into(),
            home: home.into(),
            config: None,
            writes: BTreeSet::new(),
        }
    }

    #[test]
    fn words_are_quoted_as_systemd_reads_them() {
        let quoted = |text: &str| quoted("A=", Path::new(text)).unwrap();
        assert_eq!(quoted("/srv/lab"), "A=/srv/lab");
        assert_eq!(quoted("/srv/the lab"), "\"A=/srv/the lab\"");
        assert_eq!(quoted("/srv/50%"), "A=/srv/50%%");
        assert_eq!(quoted("/srv/a\"b\\c"), "\"A=/srv/a\\\"b\\\\c\"");
        let mut of_money = unit(Account::OfUser, "/srv/$HOME");
        of_money.program = "/srv/$X/labwire".into();
        let text = of_money.text().unwrap();
        assert!(text.contains("\nExecStart=/srv/$$X/labwire start\n"), "{text}");
        assert!(text.contains("\nEnvironment=LABWIRE_HOME=/srv/$HOME\n"), "{text}");
        assert!(super::quoted("", Path::new("/srv/a\nExecStartPre=/bin/sh")).is_err());
    }

    #[test]
    fn folders_are_made_by_systemd_or_must_belong_to_the_user() {
        let mut unit = unit(Account::Dynamic, "/var/lib/labwire");
        unit.writes.insert("/var/log/labwire".into());
        let text = unit.text().unwrap();
        assert!(text.contains("\nDynamicUser=yes\n"), "{text}");
        assert!(text.contains("\nStateDirectory=labwire\n"), "{text}");
        assert!(text.contains("\nLogsDirectory=labwire\n"), "{text}");
        unit.writes.insert("/srv/lab".into());
        let refused = unit.text().unwrap_err().to_string();
        assert!(
            refused.contains("/srv/lab") && refused.contains("--run-as"),
            "{refused}"
        );
        unit.account = Account::Named("ada".into());
        let text = unit.text().unwrap();
        assert!(text.contains("\nReadWritePaths=/srv/lab\n"), "{text}");
        assert!(
            text.contains("\nUser=ada\n") && !text.contains("Dynamic"),
            "{text}"
        );
    }

    #[test]
    fn what_is_hidden_from_the_unit_is_refused_with_the_remedy() {
        let mut unit = unit(Account::Dynamic, "/var/lib/labwire");
        unit.check_hidden().unwrap();
        unit.program = "/home/ada/.cargo/bin/labwire".into();
        let refused = unit.check_hidden().unwrap_err().to_string();
        assert!(refused.contains("install -m 755"), "{refused}");
        unit.account = Account::OfUser;
        unit.check_hidden().unwrap();
    }
}
