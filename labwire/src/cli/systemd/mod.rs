//! `labwire systemd`: lets systemd run the manager, at each boot and again after a failure.

mod control;
mod unit;

use std::collections::BTreeSet;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf, absolute};

use anyhow::{Context, bail};
use clap::{Args, Subcommand};
use labwire_home::{Existing, Home, Readers, write_whole_file};

use super::output::print;
use super::say;
use super::start::Options;
use control::{Reach, Scope};
use unit::{Account, MARK, Unit};

/// The name of the unit.
const UNIT: &str = "labwire.service";

/// The configuration of a manager of the computer, if there is one.
const CONFIG: &str = "/etc/labwire/labwire.toml";

/// The home folder of a manager of the computer.
pub(super) const STATE: &str = "/var/lib/labwire";

const AFTER_HELP: &str = "\
Examples:
  # as root: run the manager at each boot, as a user that systemd makes for it
  labwire systemd install

  # without root's rights: run it as you, with the files in ~/.labwire
  labwire systemd install --user

  # what would be installed?
  labwire systemd show

The Debian package brings a unit of its own, so it does not need this command.";

/// Run the manager as a unit of systemd
#[derive(Args, Debug)]
#[command(after_help = AFTER_HELP)]
pub(super) struct SystemdArgs {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand, Debug)]
enum Action {
    /// Write the unit, and start the manager now and at each boot
    ///
    /// The unit runs this program with as few rights as it needs. Where systemd does not run, or with
    /// --unit-dir, the unit is only written, and the commands that remain are printed.
    Install {
        #[command(flatten)]
        what: What,
        #[command(flatten)]
        place: Place,
    },
    /// Stop the manager, and remove the unit; keep the manager's files
    Uninstall {
        /// The unit of your own systemd, not that of the computer
        #[arg(long)]
        user: bool,
        #[command(flatten)]
        place: Place,
    },
    /// Print the unit, and change nothing
    Show(What),
}

#[derive(Args, Debug)]
struct What {
    /// Make a unit for your own systemd, which runs as you and needs no root's rights
    #[arg(long)]
    user: bool,

    /// The user of the operating system as whom the manager runs [default: one that systemd makes]
    #[arg(long, value_name = "NAME", conflicts_with = "user")]
    run_as: Option<String>,

    /// The configuration of the manager [default: /etc/labwire/labwire.toml, if there is one; none
    /// with --user]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,

    /// The home folder of the manager [default: /var/lib/labwire; with --user, your own]
    #[arg(long, value_name = "FOLDER")]
    home: Option<PathBuf>,

    /// The program that the unit runs [default: this one]
    #[arg(long, value_name = "FILE")]
    program: Option<PathBuf>,
}

#[derive(Args, Debug)]
struct Place {
    /// The folder of the unit [default: /etc/systemd/system; with --user, ~/.config/systemd/user]
    #[arg(long, value_name = "FOLDER")]
    unit_dir: Option<PathBuf>,
}

pub(super) fn run(arguments: SystemdArgs) -> anyhow::Result<()> {
    match arguments.action {
        Action::Show(what) => print(&what.unit()?.text()?),
        Action::Install { what, place } => install(&what, &place),
        Action::Uninstall { user, place } => uninstall(Scope::of(user), &place),
    }
}

impl What {
    /// Returns the unit of these options.
    fn unit(&self) -> anyhow::Result<Unit> {
        let account = match &self.run_as {
            _ if self.user => Account::OfUser,
            None => Account::Dynamic,
            Some(name) => Account::Named(checked_name(name)?),
        };
        let home = match &self.home {
            Some(home) => absolute(home)?,
            None if self.user => Home::resolve()?.root().to_owned(),
            None => STATE.into(),
        };
        let config = match &self.config {
            Some(config) => Some(absolute(config)?),
            None => Some(PathBuf::from(CONFIG)).filter(|config| !self.user && config.exists()),
        };
        let program = match &self.program {
            Some(program) => absolute(program)?,
            None => std::env::current_exe().context("cannot find out where this program is")?,
        };
        let writes = match &config {
            Some(config) => written(config)?,
            None => BTreeSet::new(),
        };
        Ok(Unit {
            account,
            program,
            home,
            config,
            writes,
        })
    }
}

/// Returns the folders beside the home folder in which a manager with this configuration writes.
fn written(config: &Path) -> anyhow::Result<BTreeSet<PathBuf>> {
    let options = Options::from_file(config)?;
    let files = [options.log_file, options.database, options.record_file];
    let files: Vec<_> = files.into_iter().flatten().collect();
    if let Some(relative) = files.iter().find(|file| file.is_relative()) {
        bail!(
            "the configuration {} names {}, which is relative to the folder in which the manager is started: write the \
             whole path",
            config.display(),
            relative.display()
        );
    }
    let folders = files.iter().filter_map(|file| file.parent());
    Ok(folders.map(Path::to_owned).collect())
}

/// Returns the name of a user if it can be written in a unit.
fn checked_name(name: &str) -> anyhow::Result<String> {
    let is_name = |name: &str| {
        let mut letters = name.chars();
        letters
            .next()
            .is_some_and(|first| first.is_ascii_alphanumeric() || first == '_')
            && letters.all(|letter| letter.is_ascii_alphanumeric() || "_-.".contains(letter))
    };
    if !is_name(name) {
        bail!(super::UsageError(format!(
            "'{name}' is no name of a user of the operating system (--run-as)"
        )));
    }
    Ok(name.to_owned())
}

/// Writes the unit, and lets systemd start it if it is in its place.
fn install(what: &What, place: &Place) -> anyhow::Result<()> {
    let scope = Scope::of(what.user);
    let unit = what.unit()?;
    unit.check()?;
    let text = unit.text()?;
    let reach = Reach::of(scope, place.unit_dir.is_some())?;
    let file = scope.folder(place.unit_dir.as_deref())?.join(UNIT);
    expect_own(&file)?;
    if let Some(packaged) = scope.packaged(UNIT).filter(|_| place.unit_dir.is_none()) {
        bail!(
            "the package has installed {} already: start it with `systemctl enable --now labwire`, and change it with \
             `systemctl edit labwire`",
            packaged.display()
        );
    }
    create_folder(&file)?;
    write_whole_file(&file, text.as_bytes(), Readers::Everyone, Existing::Replace).with_context(|| {
        let remedy = if what.user {
            "choose another folder with --unit-dir"
        } else {
            "run this as root, or use --user"
        };
        format!("cannot write {} ({remedy})", file.display())
    })?;
    say(format_args!("wrote {}", file.display()))?;
    let commands = [&["daemon-reload"][..], &["enable", UNIT], &["restart", UNIT]];
    reach.tell_or_run(scope, &commands)?;
    if reach == Reach::Running {
        say("the manager runs, and will be started at each boot")?;
    }
    if what.user {
        say("it ends when you log out, unless you let it stay: loginctl enable-linger")?;
    }
    say(format_args!(
        "its files are in {}: name that folder to other commands, as in LABWIRE_HOME={0} labwire user list",
        unit.home.display()
    ))
}

/// Stops the manager, and removes the unit.
fn uninstall(scope: Scope, place: &Place) -> anyhow::Result<()> {
    let reach = Reach::of(scope, place.unit_dir.is_some())?;
    let file = scope.folder(place.unit_dir.as_deref())?.join(UNIT);
    if !file.exists() {
        bail!("there is no unit {}", file.display());
    }
    expect_own(&file)?;
    let text = fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?;
    // As it is written there: `LABWIRE_HOME=FOLDER`.
    let home = text.lines().find_map(|line| line.strip_prefix("Environment="));
    if reach == Reach::Running {
        reach.tell_or_run(scope, &[&["disable", "--now", UNIT]])?;
    }
    fs::remove_file(&file).with_context(|| format!("cannot remove {}", file.display()))?;
    say(format_args!("removed {}", file.display()))?;
    reach.tell_or_run(scope, &[&["daemon-reload"]])?;
    let of_home = home.map_or_else(String::new, |home| format!("{home} "));
    say(format_args!(
        "the manager's files are kept: {of_home}labwire delete --all removes them"
    ))
}

/// Refuses a unit that this program has not written.
fn expect_own(file: &Path) -> anyhow::Result<()> {
    match fs::read(file) {
        Ok(text) if text.starts_with(MARK.as_bytes()) => Ok(()),
        Ok(_) => bail!(
            "{} was not written by `labwire systemd`, and is kept: remove it yourself if you do not need it",
            file.display()
        ),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error).with_context(|| format!("cannot read {}", file.display())),
    }
}

/// Creates the folder of the unit: everyone may look into it.
fn create_folder(file: &Path) -> anyhow::Result<()> {
    let Some(folder) = file.parent() else {
        return Ok(());
    };
    fs::create_dir_all(folder).with_context(|| format!("cannot create {}", folder.display()))
}
