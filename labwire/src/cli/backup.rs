//! `labwire backup`: copies what a manager keeps to a folder, also while the manager runs.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf, absolute};

use anyhow::{Context, bail};
use clap::Args;
use labwire_home::{
    Existing, Home, Readers, create_new_private_folder, create_private_file, create_private_folder,
    give_to_owner_of, write_whole_file,
};
use labwire_record::copy_record;
use labwire_store::{Database, totp_key_file};

use super::database::{Chosen, CreateArgs, DatabaseArgs};
use super::output::{output, shown};
use super::start::{Options, record_beside};
use super::tell;

const LONG_ABOUT: &str = "\
Copy what a manager keeps to a new folder: the database, the record, keys, certificates and \
the configuration.

The manager may run meanwhile: each of the two databases is copied as of one moment. The folder is \
readable for the owner of the database only, and is there when all of it is on the disk, or not at all. It can \
take the place of the home folder: `LABWIRE_HOME=FOLDER labwire start --check` checks it. What the \
configuration names elsewhere, such as a certificate, is told and not copied.

The key of second factors is left out, unless it is asked for: with it, who has the copy also has \
the second factors. Logs are not copied.";

const EXAMPLES: &str = "\
Examples:
  # copy the files of the manager in the home folder
  labwire backup /media/stick/labwire

  # those of the manager of the Debian package
  sudo -u labwire LABWIRE_HOME=/var/lib/labwire labwire backup \\
    --config /etc/labwire/labwire.toml /var/lib/labwire/backup";

/// Copy what a manager keeps to a folder
#[derive(Debug, Args)]
#[command(long_about = LONG_ABOUT, after_help = EXAMPLES)]
pub(crate) struct BackupArgs {
    /// The folder to be made
    #[arg(value_name = "FOLDER")]
    folder: PathBuf,

    /// Also copy the key with which second factors are encrypted
    #[arg(long)]
    totp_key: bool,

    #[command(flatten)]
    database: DatabaseArgs,
}

/// Runs the command. Writes the paths of the copies to standard output.
///
/// # Errors
/// If there is something at the path, or something cannot be copied. Then there is no folder.
pub(crate) fn run(args: &BackupArgs) -> anyhow::Result<()> {
    let chosen = args.database.choose(&CreateArgs::default())?;
    execute(args, &chosen, &Home::resolve()?, &mut output())
}

fn execute(args: &BackupArgs, chosen: &Chosen, home: &Home, output: &mut impl Write) -> anyhow::Result<()> {
    let folder = absolute(&args.folder).context("the folder has no path")?;
    let unfinished = place_of(&folder, home)?;
    let database = chosen.open()?;
    create_new_private_folder(&unfinished)
        .with_context(|| format!("cannot make the folder {}", shown(&unfinished)))?;
    let mut backup = Backup {
        source: &chosen.path,
        copy: Home::at(&unfinished),
        made: Vec::new(),
        notes: Vec::new(),
    };
    let made = backup.make(args, chosen, (&database, home)).and_then(|()| {
        fs::rename(&unfinished, &folder).with_context(|| format!("cannot make the folder {}", shown(&folder)))
    });
    if made.is_err() {
        let _ = fs::remove_dir_all(&unfinished);
    }
    made?;
    for path in &backup.made {
        let name = path.strip_prefix(&unfinished).unwrap_or(path);
        writeln!(output, "{}", shown(args.folder.join(name)))?;
    }
    for note in backup.notes {
        tell(note);
    }
    Ok(())
}

/// Returns the path of the folder in which the backup grows, beside the one that it becomes.
fn place_of(folder: &Path, home: &Home) -> anyhow::Result<PathBuf> {
    let is_there = |path: &Path| path.symlink_metadata().is_ok();
    if is_there(folder) {
        bail!(
            "there is {} already; name a folder that is to be made",
            shown(folder)
        );
    }
    let (Some(name), Some(parent)) = (folder.file_name(), folder.parent()) else {
        bail!("{} is no name of a folder that is to be made", shown(folder));
    };
    // A path that is mistyped, or a stick that is not there: its folder would be made on another disk.
    if !parent.is_dir() {
        bail!("there is no folder {} in which to make the backup", shown(parent));
    }
    // Also by another name, as through a link.
    let real = |path: &Path| path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let place = real(parent).join(name);
    if let Some(copied) = FOLDERS
        .iter()
        .map(|name| real(&home.root().join(name)))
        .find(|copied| place.starts_with(copied))
    {
        bail!("{} is copied itself; name a folder elsewhere", shown(copied));
    }
    let mut name = name.to_owned();
    name.push(".unfinished");
    let unfinished = folder.with_file_name(name);
    if is_there(&unfinished) {
        bail!(
            "there is {} of a backup that is being made or was interrupted; delete it if no other command makes one",
            shown(&unfinished)
        );
    }
    Ok(unfinished)
}

/// The folders of a home folder that are copied.
const FOLDERS: [&str; 2] = ["certs", "keys"];

/// A backup that is being made.
struct Backup<'a> {
    /// The database that is copied: what is made belongs to its owner, also if root makes it.
    source: &'a Path,
    /// The copies, under the names that they have in a home folder.
    copy: Home,
    /// The paths of the copies.
    made: Vec<PathBuf>,
    /// What to tell at the end.
    notes: Vec<String>,
}

impl Backup<'_> {
    fn make(
        &mut self,
        args: &BackupArgs,
        chosen: &Chosen,
        (database, home): (&Database, &Home),
    ) -> anyhow::Result<()> {
        give_to_owner_of(self.copy.root(), self.source);
        self.database(&self.copy.database(), |path| Ok(database.copy_to(path)?))
            .with_context(|| format!("cannot copy the database {}", shown(&chosen.path)))?;
        match chosen.record() {
            Ok(Some(record)) if record.try_exists().unwrap_or(true) => {
                self.database(&record_beside(&self.copy.database()), |path| {
                    Ok(copy_record(&record, path)?)
                })
                .with_context(|| format!("cannot copy the record {}", shown(&record)))?;
            }
            Ok(Some(record)) => self.notes.push(format!(
                "There is no record {}, so there is none in the backup",
                shown(&record)
            )),
            Ok(None) => {}
            Err(error) => self
                .notes
                .push(format!("The record is not in the backup: {error:#}")),
        }
        for name in FOLDERS {
            let part = home.root().join(name);
            self.folder(&part, &self.copy.root().join(name))
                .with_context(|| format!("cannot copy the folder {}", shown(&part)))?;
        }
        let profiles = home.root().join("config.toml");
        if profiles.try_exists()? {
            self.file(&profiles, &self.copy.root().join("config.toml"))?;
        }
        if let Some(config) = args.database.config() {
            self.file(config, &self.copy.root().join("labwire.toml"))?;
            self.note_what_is_elsewhere(config, home);
        }
        let key = totp_key_file(&chosen.path);
        if args.totp_key {
            self.file(&key, &totp_key_file(&self.copy.database()))?;
        } else if key.try_exists()? {
            self.notes.push(format!(
                "The key of second factors, {}, is not in the backup: copy it to another place, or add --totp-key",
                shown(&key)
            ));
        }
        Ok(())
    }

    /// Lets SQLite write a copy into a file for this user only, and waits until it is on the disk.
    fn database(&mut self, path: &Path, copy: impl FnOnce(&str) -> anyhow::Result<()>) -> anyhow::Result<()> {
        create_private_file(path)?;
        copy(path.to_str().context("the path of the folder is no text")?)?;
        OpenOptions::new().write(true).open(path)?.sync_all()?;
        self.note_made(path);
        Ok(())
    }

    fn file(&mut self, from: &Path, to: &Path) -> anyhow::Result<()> {
        let copied = fs::read(from)
            .and_then(|contents| write_whole_file(to, &contents, Readers::Owner, Existing::Keep));
        copied.with_context(|| format!("cannot copy {}", shown(from)))?;
        self.note_made(to);
        Ok(())
    }

    /// Copies the files of a folder and its subfolders. Does not follow a link to a folder. A missing folder contains
    /// no files.
    fn folder(&mut self, folder: &Path, copy: &Path) -> anyhow::Result<()> {
        let entries = match fs::read_dir(folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            entries => entries?,
        };
        create_private_folder(copy)?;
        give_to_owner_of(copy, self.source);
        let mut entries = entries.collect::<io::Result<Vec<_>>>()?;
        entries.sort_by_key(fs::DirEntry::file_name);
        for entry in entries {
            let (path, copy) = (entry.path(), copy.join(entry.file_name()));
            if entry.file_type()?.is_dir() {
                self.folder(&path, &copy)?;
            } else if path.is_file() {
                self.file(&path, &copy)?;
            } else {
                let note = format!("{} is not in the backup: it leads to no file", shown(&path));
                self.notes.push(note);
            }
        }
        Ok(())
    }

    fn note_made(&mut self, path: &Path) {
        give_to_owner_of(path, self.source);
        self.made.push(path.to_owned());
    }

    /// Notes which files the configuration names, and which are elsewhere in a copy or not in it.
    fn note_what_is_elsewhere(&mut self, config: &Path, home: &Home) {
        // The manager tells what is wrong with it.
        let Ok(options) = Options::from_file(config) else {
            return;
        };
        let renamed = [
            ("database", options.database, self.copy.database()),
            (
                "record-file",
                options.record_file,
                record_beside(&self.copy.database()),
            ),
        ];
        for (option, file, copy) in renamed {
            if let Some(file) = file {
                let copy = copy
                    .file_name()
                    .unwrap_or_default()
                    .to_string_lossy()
                    .into_owned();
                self.notes.push(format!(
                    "The configuration names {} ({option}), which is in the backup as {copy}: correct {option} in its \
                     labwire.toml if it is restored to another place",
                    shown(&file)
                ));
            }
        }
        let secret = |words: Option<Vec<String>>| {
            let path = PathBuf::from(words?.join(" "));
            path.is_file().then_some(path)
        };
        let named = [
            ("cert-file", options.cert_file),
            ("key-file", options.key_file),
            ("key-file-password", secret(options.key_file_password)),
            ("client-ca", options.client_ca),
            ("client-crl", options.client_crl),
            ("auth-password", secret(options.auth_password)),
        ];
        let copied = FOLDERS.map(|name| home.root().join(name));
        let is_in = |file: &Path, folder: &PathBuf| match (absolute(file), absolute(folder)) {
            (Ok(file), Ok(folder)) => file.starts_with(folder),
            _ => false,
        };
        for (option, file) in named {
            if let Some(file) = file
                && !copied.iter().any(|folder| is_in(&file, folder))
            {
                self.notes.push(format!(
                    "{}, which {option} names, is not in the backup: copy it, too",
                    shown(&file)
                ));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory, Parser};
    use labwire_home::others_can_read;

    use super::super::database::tests::in_home;
    use super::*;

    #[derive(Debug, Parser)]
    struct Typed {
        #[command(flatten)]
        args: BackupArgs,
    }

    /// Returns a folder with a home folder in it.
    fn furnished() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        let home = folder.path().join("home");
        Database::open(&home.join("manager.sqlite3")).unwrap();
        for (name, text) in [
            ("keys/localhost.key", "a key"),
            ("certs/old/pc.crt", "a certificate"),
            ("logs/manager.log", "a log"),
            ("manager.sqlite3.totp-key", "a secret"),
            ("config.toml", "profiles"),
        ] {
            let path = home.join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        folder
    }

    /// Runs the command with these words. Returns the output, and the error if there was one.
    fn types(folder: &Path, words: &[&str]) -> Result<String, String> {
        let copy = folder.join("copy");
        let words = [&["backup", copy.to_str().unwrap()], words].concat();
        let args = Typed::try_parse_from(words).unwrap().args;
        let home = Home::at(folder.join("home"));
        let mut output = Vec::new();
        execute(&args, &in_home(&home.database()), &home, &mut output)
            .map_err(|error| format!("{error:#}"))?;
        let output = String::from_utf8(output).unwrap();
        Ok(output.replace(&format!("{}/", copy.display()), ""))
    }

    fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).unwrap();
        let mut names: Vec<_> = entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn the_arguments_are_sound() {
        Typed::command().debug_assert();
    }

    #[test]
    fn all_but_logs_and_the_key_of_second_factors_is_copied_for_the_owner_alone() {
        let folder = furnished();
        let copied = "manager.sqlite3\ncerts/old/pc.crt\nkeys/localhost.key\nconfig.toml\n";
        assert_eq!(types(folder.path(), &[]).unwrap(), copied);
        let copy = folder.path().join("copy");
        assert_eq!(names(&copy), ["certs", "config.toml", "keys", "manager.sqlite3"]);
        assert_eq!(
            fs::read_to_string(copy.join("certs/old/pc.crt")).unwrap(),
            "a certificate"
        );
        for name in ["", "manager.sqlite3", "keys", "keys/localhost.key", "config.toml"] {
            assert_eq!(others_can_read(&copy.join(name)).unwrap(), None, "{name}");
        }
        assert_eq!(names(folder.path()), ["copy", "home"]);
        fs::remove_dir_all(&copy).unwrap();
        let copied = types(folder.path(), &["--totp-key"]).unwrap();
        assert!(copied.ends_with("\nmanager.sqlite3.totp-key\n"), "{copied}");
        fs::remove_dir_all(&copy).unwrap();
        fs::remove_file(folder.path().join("home/manager.sqlite3.totp-key")).unwrap();
        let error = types(folder.path(), &["--totp-key"]).unwrap_err();
        assert!(error.contains("manager.sqlite3.totp-key: "), "{error}");
        assert_eq!(names(folder.path()), ["home"]);
    }

    #[test]
    fn what_cannot_be_copied_leaves_no_folder_and_nothing_is_replaced() {
        let folder = furnished();
        let copy = folder.path().join("copy");
        let home = Home::at(folder.path().join("home"));
        let args = ["backup", "/nonexistent/stick/copy"];
        let args = Typed::try_parse_from(args).unwrap().args;
        let error = execute(&args, &in_home(&home.database()), &home, &mut Vec::new()).unwrap_err();
        assert!(
            error
                .to_string()
                .starts_with("there is no folder /nonexistent/stick in"),
            "{error}"
        );
        let error = types(folder.path(), &["--config", "/nonexistent/labwire.toml"]).unwrap_err();
        assert!(
            error.starts_with("cannot copy /nonexistent/labwire.toml: "),
            "{error}"
        );
        assert_eq!(names(folder.path()), ["home"]);
        // Also by other names of the folder.
        for path in ["home/keys/copy", "home/logs/../keys/copy", "home/certs/old/copy"] {
            let path = folder.path().join(path);
            fs::create_dir_all(folder.path().join("home/logs")).unwrap();
            let args = ["backup", path.to_str().unwrap()];
            let args = Typed::try_parse_from(args).unwrap().args;
            let error = execute(&args, &in_home(&home.database()), &home, &mut Vec::new()).unwrap_err();
            assert!(
                error
                    .to_string()
                    .ends_with(" is copied itself; name a folder elsewhere"),
                "{error}"
            );
            assert!(!path.exists());
        }

        fs::create_dir(&copy).unwrap();
        fs::write(copy.join("a file"), "kept").unwrap();
        let error = types(folder.path(), &[]).unwrap_err();
        assert!(
            error.ends_with("/copy already; name a folder that is to be made"),
            "{error}"
        );
        assert_eq!(names(&copy), ["a file"]);
        fs::remove_dir_all(&copy).unwrap();
        fs::create_dir(folder.path().join("copy.unfinished")).unwrap();
        let error = types(folder.path(), &[]).unwrap_err();
        assert!(error.contains("copy.unfinished of a backup"), "{error}");
        assert_eq!(names(folder.path()), ["copy.unfinished", "home"]);
        fs::remove_dir(folder.path().join("copy.unfinished")).unwrap();

        let database = folder.path().join("home/manager.sqlite3");
        fs::write(&database, "no database, but something else").unwrap();
        let error = types(folder.path(), &[]).unwrap_err();
        assert!(error.starts_with("cannot use the database /"), "{error}");
        fs::remove_file(&database).unwrap();
        let error = types(folder.path(), &[]).unwrap_err();
        assert!(error.starts_with("there is no database /"), "{error}");
        assert_eq!(names(folder.path()), ["home"]);
    }
}
