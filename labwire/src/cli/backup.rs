//! `labwire backup`: copies what a manager keeps to a folder, also while the manager runs.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf, absolute};

use anyhow::{Context, bail};
use clap::Args;
use labwire_home::{Existing, Home, Readers, create_private_file, create_private_folder, write_whole_file};
use labwire_record::Reader;
use labwire_store::{Database, totp_key_file};

use super::database::{Chosen, CreateArgs, DatabaseArgs};
use super::output::{output, shown};
use super::start::{Options, record_beside};
use super::tell;

const LONG_ABOUT: &str = "\
Copy what a manager keeps to a new folder: the database, the record, keys, certificates and \
the configuration.

The manager may run meanwhile: each of the two databases is copied as of one moment. The folder is \
readable for its owner only, and is there when all of it is on the disk, or not at all. It can \
take the place of the home folder: `LABWIRE_HOME=FOLDER labwire start --check` checks it.

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
/// If the folder exists already and is not empty, or something cannot be copied. Then there is no folder.
pub(crate) fn run(args: &BackupArgs) -> anyhow::Result<()> {
    let chosen = args.database.choose(&CreateArgs::default())?;
    execute(args, &chosen, &Home::resolve()?, &mut output())
}

fn execute(args: &BackupArgs, chosen: &Chosen, home: &Home, output: &mut impl Write) -> anyhow::Result<()> {
    let folder = absolute(&args.folder).context("the folder has no path")?;
    expect_nothing_at(&folder)?;
    let database = chosen.open()?;
    let unfinished = beside(&folder)?;
    let made = make(args, chosen, (&database, home), &unfinished).and_then(|names| {
        // Windows replaces no folder.
        let _ = fs::remove_dir(&folder);
        fs::rename(&unfinished, &folder)
            .with_context(|| format!("cannot make the folder {}", shown(&folder)))?;
        Ok(names)
    });
    if made.is_err() {
        let _ = fs::remove_dir_all(&unfinished);
    }
    for name in made? {
        writeln!(output, "{}", shown(args.folder.join(name)))?;
    }
    tell_what_is_missing(args, chosen, home);
    Ok(())
}

fn expect_nothing_at(folder: &Path) -> anyhow::Result<()> {
    let is_empty = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => true,
        entries => entries
            .with_context(|| format!("cannot make the folder {}", shown(folder)))?
            .next()
            .is_none(),
    };
    if !is_empty {
        bail!(
            "there is something in the folder {}; name a folder that is to be made",
            shown(folder)
        );
    }
    Ok(())
}

/// Makes the folder in which the backup grows, and returns its path.
fn beside(folder: &Path) -> anyhow::Result<PathBuf> {
    let mut name = folder.file_name().context("the folder has no name")?.to_owned();
    name.push(".unfinished");
    let unfinished = folder.with_file_name(name);
    let made = match unfinished.symlink_metadata() {
        Ok(_) => {
            bail!(
                "there is {} of a backup that is being made or was interrupted; delete it if no other command makes one",
                shown(&unfinished)
            )
        }
        Err(_) => create_private_folder(&unfinished),
    };
    made.with_context(|| format!("cannot make the folder {}", shown(&unfinished)))?;
    Ok(unfinished)
}

/// Makes the copies, under the names that they have in a home folder. Returns the names.
fn make(
    args: &BackupArgs,
    chosen: &Chosen,
    (database, home): (&Database, &Home),
    folder: &Path,
) -> anyhow::Result<Vec<PathBuf>> {
    let copy = Home::at(folder);
    let mut made = vec![copy.database()];
    copy_database(&copy.database(), |path| Ok(database.copy_to(path)?))
        .with_context(|| format!("cannot copy the database {}", shown(&chosen.path)))?;
    if let Some(record) = chosen.record()?.filter(|record| record.exists()) {
        let path = record_beside(&copy.database());
        copy_database(&path, |path| Ok(Reader::open(&record)?.copy_to(path)?))
            .with_context(|| format!("cannot copy the record {}", shown(&record)))?;
        made.push(path);
    }
    let mut files = Vec::new();
    for name in ["keys", "certs"] {
        let part = home.root().join(name);
        find(&part, &folder.join(name), &mut files)
            .with_context(|| format!("cannot read the folder {}", shown(&part)))?;
    }
    files.sort();
    let profiles = home.root().join("config.toml");
    if profiles.is_file() {
        files.push((profiles, folder.join("config.toml")));
    }
    if let Some(config) = args.database.config() {
        files.push((config.to_owned(), folder.join("labwire.toml")));
    }
    let key = totp_key_file(&chosen.path);
    if args.totp_key && key.exists() {
        files.push((key, totp_key_file(&copy.database())));
    }
    for (from, to) in files {
        let copied = fs::read(&from)
            .and_then(|contents| write_whole_file(&to, &contents, Readers::Owner, Existing::Keep));
        copied.with_context(|| format!("cannot copy {}", shown(&from)))?;
        made.push(to);
    }
    let names = made.iter().filter_map(|path| path.strip_prefix(folder).ok());
    Ok(names.map(Path::to_owned).collect())
}

/// Lets SQLite write a copy into a file for this user only, and waits until it is on the disk.
fn copy_database(path: &Path, copy: impl FnOnce(&str) -> anyhow::Result<()>) -> anyhow::Result<()> {
    create_private_file(path)?;
    copy(path.to_str().context("the path of the folder is no text")?)?;
    OpenOptions::new().write(true).open(path)?.sync_all()?;
    Ok(())
}

/// Collects the files of a folder and its subfolders, each with the path of its copy. Does not follow a link to a
/// folder. A missing folder contains no files.
fn find(folder: &Path, copy: &Path, files: &mut Vec<(PathBuf, PathBuf)>) -> io::Result<()> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries?,
    };
    for entry in entries {
        let entry = entry?;
        let (path, copy) = (entry.path(), copy.join(entry.file_name()));
        if entry.file_type()?.is_dir() {
            find(&path, &copy, files)?;
        } else if path.is_file() {
            files.push((path, copy));
        }
    }
    Ok(())
}

/// Tells which files of the manager are elsewhere, and were not copied.
fn tell_what_is_missing(args: &BackupArgs, chosen: &Chosen, home: &Home) {
    if !args.totp_key && totp_key_file(&chosen.path).exists() {
        tell(format_args!(
            "The key of second factors, {}, is not in the backup: copy it to another place, or add --totp-key",
            shown(totp_key_file(&chosen.path))
        ));
    }
    let options = args
        .database
        .config()
        .and_then(|config| Options::from_file(config).ok());
    let Some(options) = options else { return };
    let named = [
        ("cert-file", options.cert_file),
        ("key-file", options.key_file),
        ("client-ca", options.client_ca),
        ("client-crl", options.client_crl),
    ];
    let copied = ["keys", "certs"].map(|name| home.root().join(name));
    for (option, file) in named {
        if let Some(file) = file
            && !copied.iter().any(|folder| file.starts_with(folder))
        {
            tell(format_args!(
                "{}, which {option} names, is not in the backup: copy it, too",
                shown(&file)
            ));
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
        fs::create_dir(&copy).unwrap();
        let copied = types(folder.path(), &["--totp-key"]).unwrap();
        assert!(copied.ends_with("\nmanager.sqlite3.totp-key\n"), "{copied}");
    }

    #[test]
    fn what_cannot_be_copied_leaves_no_folder_and_nothing_is_replaced() {
        let folder = furnished();
        let copy = folder.path().join("copy");
        let error = types(folder.path(), &["--config", "/nonexistent/labwire.toml"]).unwrap_err();
        assert!(
            error.starts_with("cannot copy /nonexistent/labwire.toml: "),
            "{error}"
        );
        assert_eq!(names(folder.path()), ["home"]);

        fs::create_dir(&copy).unwrap();
        fs::write(copy.join("a file"), "kept").unwrap();
        let error = types(folder.path(), &[]).unwrap_err();
        assert!(error.starts_with("there is something in the folder /"), "{error}");
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
