//! The choice of the database that a command works on: the one of a manager that is started in the
//! same environment.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use clap::Args;
use labwire_home::{Home, nearest};
use labwire_store::{Database, NotedRecord, StoreError};

use super::start::{Options, RecordPlace, record_beside, record_in};
use super::systemd::STATE;
use super::{set_variable, tell};
use crate::system::have_same_owner;

/// The environment variable that names the database.
const VARIABLE: &str = "LABWIRE_DATABASE";

/// The options that choose the database of a command.
#[derive(Debug, Default, Args)]
pub(super) struct DatabaseArgs {
    /// The database file [default: the one in the configuration, else manager.sqlite3 in the home
    /// folder]
    #[arg(short, long, env = "LABWIRE_DATABASE", value_name = "FILE")]
    database: Option<PathBuf>,

    /// The configuration of the manager, which may name the database
    #[arg(long, env = "LABWIRE_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
}

/// The option of commands that may create the database.
#[derive(Debug, Default, Args)]
pub(super) struct CreateArgs {
    /// Create the named database if it does not exist
    #[arg(long)]
    create: bool,
}

impl DatabaseArgs {
    /// Returns the database that these options, the environment or the configuration name, or the
    /// one in the home folder. Prints the choice on standard error.
    pub(super) fn choose(&self, create: &CreateArgs) -> anyhow::Result<Chosen> {
        let mut chosen = match &self.database {
            Some(path) => Chosen::named(path, name_of_variable(path).unwrap_or("--database")),
            None => Chosen::by_default(self.config.as_deref(), &Home::resolve()?)?,
        };
        chosen.record = chosen.record_of_manager(self.config.as_deref());
        chosen.is_to_be_created = create.create;
        tell(format_args!("The database is {chosen}"));
        Ok(chosen)
    }

    /// Returns the configuration of the manager.
    pub(super) fn config(&self) -> Option<&Path> {
        self.config.as_deref()
    }
}

/// Fails unless a record is a file of the owner of the database, who could name any file there: root would write to it.
fn expect_same_owner(record: &Path, database: &Path) -> anyhow::Result<()> {
    let shown = record.display();
    let found =
        fs::symlink_metadata(record).with_context(|| format!("cannot find {shown}, the manager's record"))?;
    if !found.is_file() || !have_same_owner(&found, &fs::metadata(database)?) {
        bail!("{shown}, the manager's record, is no file of the owner of the database");
    }
    Ok(())
}

/// Returns the error, with the question whether a similar user was meant if it is about one that is missing.
pub(super) fn with_nearest_user(error: StoreError, database: &Database) -> anyhow::Error {
    let StoreError::UserMissing { username, .. } = &error else {
        return error.into();
    };
    let users = database.users().unwrap_or_default();
    match nearest(username, users.iter().map(|(user, _)| user.as_str())) {
        Some(nearest) => anyhow::anyhow!("{error} Did you mean '{nearest}'?"),
        None => error.into(),
    }
}

/// Returns the name of the variable, if the variable contains this path.
fn name_of_variable(path: &Path) -> Option<&'static str> {
    set_variable(VARIABLE)
        .is_some_and(|set| set == path)
        .then_some(VARIABLE)
}

/// A database, and where its path comes from.
#[derive(Debug)]
pub(super) struct Chosen {
    pub(super) path: PathBuf,
    /// The option, variable or file that names it; `None` for the one in the home folder.
    named_by: Option<String>,
    is_to_be_created: bool,
    /// Where the manager that uses it records.
    record: RecordPlace,
}

impl Chosen {
    fn named(path: &Path, by: impl Into<String>) -> Self {
        Self {
            path: path.to_owned(),
            named_by: Some(by.into()),
            is_to_be_created: false,
            record: RecordPlace::Nothing,
        }
    }

    /// Returns the database of a home folder.
    pub(super) fn of_home(home: &Home) -> Self {
        Self {
            path: home.database(),
            named_by: None,
            is_to_be_created: false,
            record: RecordPlace::Nothing,
        }
    }

    /// Returns the database that `LABWIRE_DATABASE` names, or else the configuration, or else the
    /// one in the home folder.
    pub(super) fn by_default(config: Option<&Path>, home: &Home) -> anyhow::Result<Self> {
        if let Some(path) = set_variable(VARIABLE) {
            return Ok(Self::named(Path::new(&path), VARIABLE));
        }
        if let Some(config) = config
            && let Some(path) = Options::from_file(config)?.database
        {
            return Ok(Self::named(&path, config.display().to_string()));
        }
        Ok(Self::of_home(home))
    }

    /// Whether it is the one in the home folder, because no option, variable or configuration names
    /// one.
    pub(super) fn is_in_home(&self) -> bool {
        self.named_by.is_none()
    }

    /// Returns the option, variable or file that names it; `None` for the one in the home folder.
    pub(super) fn named_by(&self) -> Option<&str> {
        self.named_by.as_deref()
    }

    /// Returns the record for the changes of the command; `None` if nothing is recorded.
    ///
    /// # Errors
    /// If the database names a file that may not be that of its manager.
    pub(super) fn record(&self) -> anyhow::Result<Option<PathBuf>> {
        match &self.record {
            RecordPlace::Nothing => Ok(None),
            RecordPlace::Named(path) => Ok(Some(path.clone())),
            RecordPlace::Usual => match Database::open(&self.path)?.noted_record()? {
                NotedRecord::Unknown => Ok(Some(record_beside(&self.path))),
                NotedRecord::Nothing => Ok(None),
                NotedRecord::File(path) if path == record_beside(&self.path) => Ok(Some(path)),
                NotedRecord::File(path) => {
                    expect_same_owner(&path, &self.path)?;
                    Ok(Some(path))
                }
            },
        }
    }

    /// Returns where a manager records that is started in this environment, or with this configuration,
    /// and uses this database.
    fn record_of_manager(&self, config: Option<&Path>) -> RecordPlace {
        let options = config.and_then(|config| Options::from_file(config).ok());
        // The configuration may be that of another manager.
        let is_its_own = |options: &Options| match &options.database {
            Some(database) => *database == self.path,
            None => self.is_in_home(),
        };
        record_in(&options.filter(is_its_own).unwrap_or_default())
    }

    /// Opens the database for a command that only reads it, or changes existing rows.
    ///
    /// # Errors
    /// If it does not exist, unless `--create` is set.
    pub(super) fn open(&self) -> anyhow::Result<Database> {
        if !self.is_to_be_created && self.is_missing() {
            bail!(
                "there is no database {self}; name another one with --database (or {VARIABLE}). `labwire start` creates \
                 one, and so does `labwire user add`{}",
                self.note_of_service()
                    .map_or_else(String::new, |note| format!(". {note}"))
            );
        }
        self.open_or_create()
    }

    /// Opens the database for a command that adds a row. Creates the one in the home folder if it
    /// is missing.
    ///
    /// # Errors
    /// If another one is named and does not exist, unless `--create` is set.
    pub(super) fn open_to_add(&self) -> anyhow::Result<Database> {
        self.expect_to_create()?;
        self.open_or_create()
    }

    /// Opens the database for a command that adds a row, unless it is missing and may be created.
    ///
    /// # Errors
    /// As [`open_to_add`](Self::open_to_add).
    pub(super) fn open_existing_to_add(&self) -> anyhow::Result<Option<Database>> {
        self.expect_to_create()?;
        (!self.is_missing()).then(|| self.open_or_create()).transpose()
    }

    /// Fails if the database is missing and a command that adds a row must not create it.
    fn expect_to_create(&self) -> anyhow::Result<()> {
        if !self.is_in_home() && !self.is_to_be_created && self.is_missing() {
            bail!(
                "there is no database {self}, and none was created, since the path may be mistyped; correct it with \
                 --database (or {VARIABLE}), or create this one with --create"
            );
        }
        Ok(())
    }

    /// Whether its file is missing.
    pub(super) fn is_missing(&self) -> bool {
        // If that is unknown, the error on opening states the reason.
        matches!(self.path.try_exists(), Ok(false))
    }

    /// Returns a note about the database of the manager that starts with this computer, for who works on the one in
    /// the own home folder.
    fn note_of_service(&self) -> Option<String> {
        let state = Path::new(STATE);
        // An error means that this user may not look into the folder.
        let has_one = || state.is_dir() && Home::at(state).database().try_exists().unwrap_or(true);
        (self.is_in_home() && self.path.parent() != Some(state) && has_one()).then(|| {
            format!(
                "The manager that starts with this computer has its own in {STATE}. For that one: sudo -u labwire \
                 LABWIRE_HOME={STATE} labwire ..."
            )
        })
    }

    fn open_or_create(&self) -> anyhow::Result<Database> {
        let is_new = self.is_missing();
        let opened = Database::open(&self.path).with_context(|| format!("cannot use the database {self}"))?;
        if is_new {
            tell(format_args!("Created the database {}", self.path.display()));
            if let Some(note) = self.note_of_service() {
                tell(note);
            }
        }
        Ok(opened)
    }
}

impl fmt::Display for Chosen {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}", self.path.display())?;
        match &self.named_by {
            None => Ok(()),
            Some(name) => write!(formatter, " (named by {name})"),
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// Returns the database at a path, as if it were the one in the home folder.
    pub(in crate::cli) fn in_home(path: &Path) -> Chosen {
        Chosen {
            path: path.to_owned(),
            named_by: None,
            is_to_be_created: false,
            record: RecordPlace::Nothing,
        }
    }

    #[test]
    fn a_database_is_created_in_the_home_folder_or_on_demand_only() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("new").join("manager.sqlite3");
        let mut named = Chosen::named(&path, "--database");
        for error in [
            named.open().err(),
            named.open_to_add().err(),
            in_home(&path).open().err(),
        ] {
            let text = error.expect("it is refused").to_string();
            assert!(
                text.contains(path.to_str().unwrap()) && text.contains("--database"),
                "{text}"
            );
        }
        assert!(!folder.path().join("new").exists());
        in_home(&path).open_to_add().unwrap();
        in_home(&path).open().unwrap();
        std::fs::remove_file(&path).unwrap();
        named.is_to_be_created = true;
        named.open().unwrap();
        named.open_to_add().unwrap();
    }

    #[test]
    fn the_configuration_names_the_database_if_it_does() {
        let folder = tempfile::tempdir().unwrap();
        let (config, home) = (folder.path().join("labwire.toml"), Home::at(folder.path()));
        std::fs::write(&config, "port = 8326\n").unwrap();
        let chosen = Chosen::by_default(Some(&config), &home).unwrap();
        assert!(chosen.is_in_home() && chosen.path == home.database());
        std::fs::write(&config, "database = \"/lab/users.sqlite3\"\n").unwrap();
        let chosen = Chosen::by_default(Some(&config), &home).unwrap();
        assert_eq!(
            chosen.to_string(),
            format!("/lab/users.sqlite3 (named by {})", config.display())
        );
        std::fs::write(&config, "databse = \"/lab/users.sqlite3\"\n").unwrap();
        assert!(Chosen::by_default(Some(&config), &home).is_err());
    }

    #[test]
    fn changes_are_recorded_where_the_manager_of_the_database_records() {
        let folder = tempfile::tempdir().unwrap();
        let (config, home) = (folder.path().join("labwire.toml"), Home::at(folder.path()));
        let named = Chosen::named(Path::new("/lab/other.sqlite3"), "--database");
        let in_home = Chosen::of_home(&home);
        for (text, record) in [
            ("", RecordPlace::Usual),
            (
                "record-file = \"/lab/record\"\n",
                RecordPlace::Named("/lab/record".into()),
            ),
            ("record = \"nothing\"\n", RecordPlace::Nothing),
            (
                "database = \"/lab/b\"\nrecord = \"nothing\"\n",
                RecordPlace::Usual,
            ),
        ] {
            std::fs::write(&config, text).unwrap();
            assert_eq!(in_home.record_of_manager(Some(&config)), record, "{text}");
            let other = named.record_of_manager(Some(&config));
            assert_eq!(other, RecordPlace::Usual, "{text}");
        }
    }
}
