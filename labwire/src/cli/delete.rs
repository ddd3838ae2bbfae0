//! `labwire delete`: deletes the files of Labwire or MSL-Network in the home folder.

use std::ffi::OsStr;
use std::fs;
use std::io::{self, BufRead, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use clap::Args;
use labwire_home::Home;
use labwire_store::{may_be_database, totp_key_file};

use super::UsageError;
use super::database::Chosen;
use super::output::{output, shown};
use super::start::record_beside;

const LONG_ABOUT: &str = "\
Delete the database, the record, certificates, keys or log files.

In the folders certs, keys and logs, only files that end in .crt, .key and .log are deleted, and \
old log files (.log.1, .log.2 and so on); nothing else in the folder is. The database is the one \
that LABWIRE_DATABASE or the configuration names, or else the one in the folder. A named file that \
is not a database of Labwire or MSL-Network is kept. The key of second factors is deleted with the database \
beside which it lies. The record is the one beside the database. The command lists the files and asks before it \
deletes them; an empty answer means no.";

const EXAMPLES: &str = "\
Examples:
  # delete all files
  labwire delete --all

  # delete all log files
  labwire delete --logs

  # delete keys and certificates of another folder, without being asked
  labwire delete --keys --certs --root /path/to/folder --yes";

/// Delete the database, the record, certificates, keys or log files
#[derive(Debug, Args)]
#[command(long_about = LONG_ABOUT, after_help = EXAMPLES)]
// The command line has one flag for each thing to delete.
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a flag of the documented command line"
)]
pub(crate) struct DeleteArgs {
    /// Delete everything
    #[arg(short, long)]
    all: bool,

    /// Delete all certificates
    #[arg(short, long)]
    certs: bool,

    /// Delete the database of users, trusted hostnames and connections
    #[arg(short, long)]
    database: bool,

    /// Delete all private keys
    #[arg(short, long)]
    keys: bool,

    /// Delete all log files, including rotated ones
    #[arg(short, long)]
    logs: bool,

    /// Delete the record of who did what
    #[arg(long)]
    record: bool,

    /// The folder of the files and of the database, instead of the home folder
    #[arg(short, long, value_name = "FOLDER")]
    root: Option<PathBuf>,

    /// The configuration of the manager, which may name the database; ignored with --root
    #[arg(long, env = "LABWIRE_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,

    /// Print only the questions, no other messages
    #[arg(short, long)]
    quiet: bool,

    /// Delete without asking
    #[arg(short, long)]
    yes: bool,
}

/// Runs the command. Writes the deleted paths to standard output and reads answers from standard
/// input.
///
/// # Errors
///
/// If nothing to delete was named, the folder does not exist, a question was not answered, or a
/// file could not be deleted.
pub(crate) fn run(args: &DeleteArgs) -> anyhow::Result<()> {
    let home = match &args.root {
        Some(root) => Home::at(root),
        None => Home::resolve()?,
    };
    let database = if args.root.is_some() {
        Chosen::of_home(&home)
    } else {
        Chosen::by_default(args.config.as_deref(), &home)?
    };
    Deletion {
        args,
        input: io::stdin().lock(),
        output: output(),
        failures: 0,
        kept: None,
    }
    .run(&home, &database)
}

/// A group of files in a folder of their own.
struct Group {
    folder: &'static str,
    extension: &'static str,
    /// Whether files with a number after the extension also count, such as rotated log files.
    is_numbered: bool,
    /// The noun in a count: `3 log file(s)`.
    noun: &'static str,
    plural: &'static str,
}

const CERTIFICATES: Group = Group {
    folder: "certs",
    extension: ".crt",
    is_numbered: false,
    noun: "certificate(s)",
    plural: "certificates",
};
const KEYS: Group = Group {
    folder: "keys",
    extension: ".key",
    is_numbered: false,
    noun: "key(s)",
    plural: "keys",
};
const LOGS: Group = Group {
    folder: "logs",
    extension: ".log",
    is_numbered: true,
    noun: "log file(s)",
    plural: "log files",
};

impl Group {
    /// Whether a file of this name belongs to the group.
    fn holds(&self, name: &OsStr) -> bool {
        let name = name.as_encoded_bytes();
        let digits = name.iter().rev().take_while(|byte| byte.is_ascii_digit()).count();
        let name = match name[..name.len() - digits].strip_suffix(b".") {
            Some(current) if self.is_numbered && digits > 0 => current,
            _ => name,
        };
        name.ends_with(self.extension.as_bytes())
    }
}

/// A file and its size in bytes.
type Found = (PathBuf, u64);

struct Deletion<'a, I, O> {
    args: &'a DeleteArgs,
    input: I,
    output: O,
    failures: usize,
    /// Why the named database was not deleted.
    kept: Option<String>,
}

impl<I: BufRead, O: Write> Deletion<'_, I, O> {
    fn run(mut self, home: &Home, chosen: &Chosen) -> anyhow::Result<()> {
        let DeleteArgs {
            all,
            certs,
            database,
            keys,
            logs,
            record,
            ..
        } = *self.args;
        if !(all || certs || database || keys || logs || record) {
            bail!(UsageError(
                "You must specify what you want to delete, for example\n  labwire delete --keys".to_owned()
            ));
        }
        let needs_folder = all || certs || keys || logs || chosen.is_in_home();
        if needs_folder && !home.root().is_dir() {
            bail!(
                "The '{}' directory does not exist; name another one with --root (or LABWIRE_HOME)",
                home.root().display()
            );
        }
        if all || database {
            self.delete_database(chosen)?;
        }
        if all || record {
            self.delete_record(chosen, record)?;
        }
        for (is_wanted, group) in [(certs, CERTIFICATES), (keys, KEYS), (logs, LOGS)] {
            if all || is_wanted {
                self.delete_group(home, &group)?;
            }
        }
        let failed = match self.failures {
            0 => None,
            count => Some(format!("{count} file(s) could not be deleted")),
        };
        let troubles: Vec<_> = self.kept.into_iter().chain(failed).collect();
        if !troubles.is_empty() {
            bail!(troubles.join("\n"));
        }
        Ok(())
    }

    fn delete_database(&mut self, chosen: &Chosen) -> anyhow::Result<()> {
        let mut found = database_files(&chosen.path);
        if found.is_empty() {
            return self.say(&format!("No database file found, looked for {chosen}\n"));
        }
        // In the home folder the file's name is enough, so that a damaged database can be deleted.
        if let Some(name) = chosen.named_by()
            && !may_be_database(&chosen.path)
        {
            self.kept = Some(format!(
                "'{}' is no Labwire database, it was left as it is; correct what has named it: {name}",
                chosen.path.display()
            ));
            return Ok(());
        }
        // Without the secrets that it encrypts, it is of no use.
        found.extend(file(totp_key_file(&chosen.path)));
        self.say(&format!("\nThe following database will be deleted: {chosen}\n"))?;
        self.say("Stop a manager that uses it first: until its end, it goes on with the deleted one\n")?;
        self.list(&found)?;
        self.delete_if_wanted(&found)
    }

    /// Deletes the record. If there is none, that is said only to those who asked for it: MSL-Network
    /// has none.
    fn delete_record(&mut self, chosen: &Chosen, is_named: bool) -> anyhow::Result<()> {
        let record = record_beside(&chosen.path);
        let found = database_files(&record);
        if found.is_empty() {
            if !is_named {
                return Ok(());
            }
            return self.say(&format!("\nNo record found, looked for {}\n", shown(&record)));
        }
        self.say("\nThe record will be deleted:\n")?;
        self.list(&found)?;
        self.delete_if_wanted(&found)
    }

    fn delete_group(&mut self, home: &Home, group: &Group) -> anyhow::Result<()> {
        self.say(&format!("\nSearching for {} ... ", group.plural))?;
        let mut found = Vec::new();
        let folder = home.root().join(group.folder);
        search(&folder, &|name| group.holds(name), &mut found)
            .with_context(|| format!("cannot search the folder {}", folder.display()))?;
        if found.is_empty() {
            return self.say(&format!("no {} found\n", group.plural));
        }
        found.sort();
        let size = human_size(found.iter().map(|(_, size)| size).sum());
        self.say(&format!(
            "\n  {} {} will be deleted [{size}]\n",
            found.len(),
            group.noun
        ))?;
        self.delete_if_wanted(&found)
    }

    fn list(&mut self, found: &[Found]) -> anyhow::Result<()> {
        for (path, size) in found {
            self.say(&format!("  {} [{}]\n", shown(path), human_size(*size)))?;
        }
        Ok(())
    }

    fn delete_if_wanted(&mut self, found: &[Found]) -> anyhow::Result<()> {
        if !self.proceed()? {
            return self.say("Okay, not deleting\n");
        }
        for (path, _) in found {
            match fs::remove_file(path) {
                Ok(()) => self.say(&format!("[Deleted] {}\n", shown(path)))?,
                Err(error) => {
                    self.failures += 1;
                    self.say(&format!("[OSError] {error} -- Cannot delete {}\n", shown(path)))?;
                }
            }
        }
        Ok(())
    }

    fn proceed(&mut self) -> anyhow::Result<bool> {
        if self.args.yes {
            return Ok(true);
        }
        write!(self.output, "Proceed (y/N)? ")?;
        self.output.flush()?;
        let mut answer = String::new();
        // An empty line means no; the end of the input is no answer.
        if self.input.read_line(&mut answer)? == 0 {
            bail!("there was no answer, so nothing more is deleted; to delete without being asked add --yes");
        }
        Ok(["y", "yes"].contains(&answer.trim().to_lowercase().as_str()))
    }

    fn say(&mut self, text: &str) -> anyhow::Result<()> {
        if !self.args.quiet {
            self.output.write_all(text.as_bytes())?;
            self.output.flush()?;
        }
        Ok(())
    }
}

/// Returns the database and the files that SQLite keeps beside it: a log or journal must not remain
/// for the next database.
fn database_files(database: &Path) -> Vec<Found> {
    let files = ["", "-wal", "-shm", "-journal"].map(|suffix| {
        let mut name = database.as_os_str().to_owned();
        name.push(suffix);
        PathBuf::from(name)
    });
    files.into_iter().filter_map(file).collect()
}

/// Returns a file if it is there.
fn file(path: PathBuf) -> Option<Found> {
    match path.metadata() {
        Ok(metadata) if metadata.is_file() => Some((path, metadata.len())),
        _ => None,
    }
}

/// Collects the files with a wanted name in a folder and its subfolders. Does not follow a link to
/// a folder. A missing folder contains no files.
fn search(folder: &Path, is_wanted: &dyn Fn(&OsStr) -> bool, found: &mut Vec<Found>) -> io::Result<()> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries?,
    };
    for entry in entries {
        let entry = entry?;
        let path = entry.path();
        if entry.file_type()?.is_dir() {
            search(&path, is_wanted, found)?;
        } else if is_wanted(&entry.file_name()) {
            found.push((path, entry.metadata()?.len()));
        }
    }
    Ok(())
}

/// Formats a number of bytes in a readable unit, rounded as MSL-Network rounds it.
fn human_size(bytes: u64) -> String {
    let rounded = |unit: u64| {
        let (whole, rest) = (bytes / unit, bytes % unit);
        let is_up = rest * 2 > unit || (rest * 2 == unit && whole % 2 == 1);
        whole + u64::from(is_up)
    };
    match bytes {
        0..1_000 => format!("{bytes} B"),
        1_000..1_000_000 => format!("{} kB", rounded(1_000)),
        1_000_000..1_000_000_000 => format!("{} MB", rounded(1_000_000)),
        _ => format!("{} GB", rounded(1_000_000_000)),
    }
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory, Parser};

    use super::*;

    #[derive(Debug, Parser)]
    struct Typed {
        #[command(flatten)]
        args: DeleteArgs,
    }

    /// Returns a home folder with a file of each kind and, in each folder, one that must be kept.
    fn furnished() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for name in ["certs/old", "keys", "logs"] {
            fs::create_dir_all(folder.path().join(name)).unwrap();
        }
        let files = [
            "manager.sqlite3",
            "manager.sqlite3-wal",
            "manager.sqlite3-shm",
            "manager.sqlite3-journal",
            "manager.sqlite3.totp-key",
            "certs/localhost.crt",
            "certs/old/pc.crt",
            "keys/localhost.key",
            "logs/manager.log",
            "certs/notes.txt",
            "keys/localhost.crt",
            "logs/readme",
            "other.key",
        ];
        for name in files {
            fs::write(folder.path().join(name), vec![b'x'; 1_500]).unwrap();
        }
        folder
    }

    /// Runs the command with typed words and answers. Returns the output, and the error if there
    /// was one.
    fn types(folder: &Path, words: &[&str], answers: &str) -> (String, Option<String>) {
        let args = Typed::try_parse_from([&["delete"], words].concat()).unwrap().args;
        let mut output = Vec::new();
        let deletion = Deletion {
            args: &args,
            input: answers.as_bytes(),
            output: &mut output,
            failures: 0,
            kept: None,
        };
        let error = deletion
            .run(&Home::at(folder), &Chosen::of_home(&Home::at(folder)))
            .err()
            .map(|error| error.to_string());
        (String::from_utf8(output).unwrap(), error)
    }

    fn left(folder: &Path) -> Vec<String> {
        let mut found = Vec::new();
        search(folder, &|_| true, &mut found).unwrap();
        let name = |path: &Path| path.strip_prefix(folder).unwrap().to_str().unwrap().to_owned();
        let mut names: Vec<_> = found.iter().map(|(path, _)| name(path)).collect();
        names.sort();
        names
    }

    #[test]
    fn the_arguments_are_sound() {
        Typed::command().debug_assert();
    }

    #[test]
    fn everything_that_is_ours_is_deleted_and_nothing_else() {
        let folder = furnished();
        let (output, error) = types(folder.path(), &["-a", "-y"], "");
        assert_eq!(error, None);
        assert_eq!(
            left(folder.path()),
            [
                "certs/notes.txt",
                "keys/localhost.crt",
                "logs/readme",
                "other.key"
            ]
        );
        assert!(
            output.contains("\nSearching for certificates ... \n  2 certificate(s) will be deleted [3 kB]\n")
        );
        assert!(
            output.contains("\nThe following database will be deleted: /"),
            "{output}"
        );
        assert!(output.contains("/manager.sqlite3 [2 kB]\n"), "{output}");
        assert_eq!(output.matches("[Deleted] ").count(), 9);
    }

    #[test]
    fn nothing_is_found_in_an_empty_folder() {
        let folder = tempfile::tempdir().unwrap();
        let (output, error) = types(folder.path(), &["--all"], "");
        let expected = format!(
            "No database file found, looked for {}\n\nSearching for certificates ... no certificates found\n\n\
             Searching for keys ... no keys found\n\nSearching for log files ... no log files found\n",
            folder.path().join("manager.sqlite3").display()
        );
        assert_eq!((output, error), (expected, None));
    }

    #[test]
    fn only_an_answer_that_means_yes_deletes() {
        for (answer, is_deleted) in [
            ("\n", false),
            ("y\n", true),
            ("Y\n", true),
            ("yes\r\n", true),
            ("n\n", false),
            ("x\n", false),
        ] {
            let folder = furnished();
            let (output, error) = types(folder.path(), &["-l"], answer);
            assert_eq!(error, None);
            assert_eq!(
                folder.path().join("logs/manager.log").exists(),
                !is_deleted,
                "{answer:?}"
            );
            assert!(output.contains("Proceed (y/N)? "));
            assert_eq!(output.contains("Okay, not deleting\n"), !is_deleted);
        }
    }

    #[test]
    fn each_kind_is_asked_about_on_its_own() {
        let folder = furnished();
        types(folder.path(), &["-d", "-k"], "n\ny\n");
        assert!(folder.path().join("manager.sqlite3").exists());
        assert!(!folder.path().join("keys/localhost.key").exists());
        assert!(folder.path().join("certs/localhost.crt").exists());
    }

    #[test]
    fn the_end_of_the_input_is_no_answer() {
        let folder = furnished();
        let before = left(folder.path());
        let (_, error) = types(folder.path(), &["-a"], "");
        assert!(error.unwrap().contains("--yes"));
        assert_eq!(left(folder.path()), before);
    }

    #[test]
    fn quiet_writes_the_question_only() {
        let folder = furnished();
        let (output, _) = types(folder.path(), &["-q", "-c"], "y\n");
        assert_eq!(output, "Proceed (y/N)? ");
        let (output, _) = types(folder.path(), &["-q", "-y", "-k"], "");
        assert_eq!(output, "");
        assert!(!folder.path().join("keys/localhost.key").exists());
    }

    #[test]
    fn naming_nothing_or_a_folder_that_is_not_there_is_an_error() {
        let folder = furnished();
        let (_, error) = types(folder.path(), &["-y"], "");
        let expected = "You must specify what you want to delete, for example\n  labwire delete --keys";
        assert_eq!(error.unwrap(), expected);
        let missing = folder.path().join("missing");
        let (_, error) = types(&missing, &["-a"], "");
        let expected = format!("The '{}' directory does not exist; ", missing.display());
        assert!(error.unwrap().starts_with(&expected));
    }

    #[test]
    fn a_link_is_deleted_and_what_it_points_to_is_not() {
        let folder = furnished();
        let elsewhere = tempfile::tempdir().unwrap();
        let kept = elsewhere.path().join("kept.key");
        fs::write(&kept, "kept").unwrap();
        std::os::unix::fs::symlink(elsewhere.path(), folder.path().join("keys/folder")).unwrap();
        std::os::unix::fs::symlink(&kept, folder.path().join("keys/link.key")).unwrap();
        types(folder.path(), &["-k", "-y"], "");
        assert!(kept.exists());
        assert_eq!(
            folder
                .path()
                .join("keys/link.key")
                .symlink_metadata()
                .ok()
                .map(|_| ()),
            None
        );
    }

    #[test]
    fn sizes_are_rounded_as_the_reference_rounds_them() {
        let sizes = [999, 1_000, 1_500, 2_500, 2_501, 1_499_999, 2_000_000_000].map(human_size);
        assert_eq!(sizes, ["999 B", "1 kB", "2 kB", "2 kB", "3 kB", "1 MB", "2 GB"]);
    }
}
