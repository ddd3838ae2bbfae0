//! `labwire user`: the users that may log in to a manager that was started with `--auth-login`.

use std::io::{self, Write};

use anyhow::Context;
use clap::{Args, ValueEnum};
use labwire_store::{
    COMPATIBLE_ROUNDS, DEFAULT_ROUNDS, HashedPassword, MAXIMUM_ROUNDS, MINIMUM_ROUNDS, StoreError,
    check_username,
};

use super::database::{Chosen, DatabaseArgs};
use super::{UsageError, secret, tell};

const LONG_ABOUT: &str = "\
Add, change, remove and list the users that may log in.

A manager that is started with --auth-login asks every client and service for a username and a \
password, and admits the users in this list:

  labwire start --auth-login

Some requests to a manager need an administrator, with every method of authentication: shutting \
it down, or managing users and hostnames over the network.";

const EXAMPLES: &str = "\
Examples:
  # add 'j.doe' to the default database, with a prompt for the password
  labwire user add j.doe

  # add 'j.doe' with a password that is typed on the command line
  labwire user add j.doe --password a good password

  # add 'a.smith' as an administrator
  labwire user add a.smith --password '!PaSsWoRd*' --admin

  # make 'j.doe' an administrator
  labwire user update j.doe --admin

  # make 'a.smith' an ordinary user again
  labwire user update a.smith

  # change the password of 'j.doe' to the first line of a file; an administrator stays one
  labwire user update j.doe --password /path/to/my/password.txt

  # remove 'j.doe'
  labwire user remove j.doe

  # add 'j.doe' to a database of your own, which must exist (--create creates it)
  labwire user add j.doe --password The Password To Use --database /path/to/database.db

  # add 'j.doe' so that MSL-Network's own manager admits the user too
  labwire user add j.doe --compatible

  # list all users
  labwire user list";

/// Add, change, remove and list the users that may log in
#[derive(Debug, Args)]
#[command(long_about = LONG_ABOUT, after_help = EXAMPLES)]
pub(crate) struct UserArgs {
    /// The action
    #[arg(value_enum)]
    action: Action,

    /// The name of the user; every action except "list" needs it
    username: Option<String>,

    /// Make the user an administrator
    ///
    /// "update" without this flag and without --password removes the rights of an administrator;
    /// with --password alone the rights stay unchanged.
    #[arg(short, long)]
    admin: bool,

    #[command(flatten)]
    database: DatabaseArgs,

    /// The password; several words are one password, joined with single spaces
    ///
    /// All words up to the next option are part of the password, so put the name of the user first.
    ///
    /// To keep the password out of your shell's history, give the path of a file whose first line
    /// is the password, or "-" to read it from standard input, or no word to get a prompt. If no
    /// such file exists, the text itself is the password, with a warning.
    #[arg(short, long, value_name = "WORD", num_args = 0..)]
    password: Option<Vec<String>>,

    /// Number of hash rounds of the password; more rounds make guessing slower
    ///
    /// Rounds of PBKDF2-HMAC-SHA256, 100000 or more. Every login takes as long as that of the user
    /// with the most rounds.
    #[arg(
        long, value_name = "N", default_value_t = DEFAULT_ROUNDS, conflicts_with = "compatible",
        value_parser = clap::value_parser!(u32).range(i64::from(MINIMUM_ROUNDS)..=i64::from(MAXIMUM_ROUNDS)),
    )]
    rounds: u32,

    /// Let MSL-Network's own manager check the password too (100000 rounds)
    ///
    /// Use it while both managers share a database. Without it, the user can log in to Labwire
    /// only.
    #[arg(long)]
    compatible: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Action {
    /// Add a user
    Add,
    /// The same as add
    Insert,
    /// Remove a user
    Remove,
    /// The same as remove
    Delete,
    /// Change a user's password, or the rights of an administrator
    Update,
    /// List all users
    List,
}

impl Action {
    fn verb(self) -> &'static str {
        match self {
            Self::Add => "add",
            Self::Insert => "insert",
            Self::Remove => "remove",
            Self::Delete => "delete",
            Self::Update => "update",
            Self::List => "list",
        }
    }
}

/// Runs the command. Writes the changes to standard output.
///
/// # Errors
///
/// An error has the text of MSL-Network's error.
pub(crate) fn run(args: &UserArgs) -> anyhow::Result<()> {
    // Usage errors come before all others.
    if args.action != Action::List {
        named(args)?;
    }
    execute(args, &args.database.choose()?, &mut io::stdout().lock())
}

fn execute(args: &UserArgs, chosen: &Chosen, output: &mut impl Write) -> anyhow::Result<()> {
    match args.action {
        Action::List => list(chosen, output),
        Action::Add | Action::Insert => add(args, chosen, output),
        Action::Remove | Action::Delete => remove(args, chosen, output),
        Action::Update => update(args, chosen, output),
    }
}

fn add(args: &UserArgs, chosen: &Chosen, output: &mut impl Write) -> anyhow::Result<()> {
    let username = named(args)?;
    check_username(username)?;
    let mut database = chosen.open_to_add()?;
    // Checked before the password prompt, so that no password is typed in vain.
    if database.rights(username)?.is_some() {
        return Err(StoreError::UserExists {
            username: username.to_owned(),
        }
        .into());
    }
    let words = args.password.as_deref().unwrap_or_default();
    let password = new_password(username, words, args)?;
    database.insert_user(username, &password, args.admin)?;
    writeln!(output, "{username} has been {}ed", args.action.verb())?;
    Ok(())
}

fn remove(args: &UserArgs, chosen: &Chosen, output: &mut impl Write) -> anyhow::Result<()> {
    let (username, verb) = (named(args)?, args.action.verb());
    match chosen.open()?.delete_user(username) {
        // With the typed word for the action.
        Err(StoreError::UserMissing { username, .. }) => Err(StoreError::UserMissing {
            action: verb,
            username,
        }
        .into()),
        removed => {
            removed?;
            writeln!(output, "{username} has been {verb}d")?;
            Ok(())
        }
    }
}

fn update(args: &UserArgs, chosen: &Chosen, output: &mut impl Write) -> anyhow::Result<()> {
    let username = named(args)?;
    let mut database = chosen.open()?;
    let Some(was_admin) = database.rights(username)? else {
        return Err(StoreError::UserMissing {
            action: "update",
            username: username.to_owned(),
        }
        .into());
    };
    let words = args.password.as_deref();
    let password = words
        .map(|words| new_password(username, words, args))
        .transpose()?;
    // A change of the password alone leaves the rights unchanged.
    let rights = (args.admin || password.is_none()).then_some(args.admin);
    database.update_user(username, password.as_ref(), rights)?;
    writeln!(output, "Updated {username}")?;
    if was_admin && rights == Some(false) {
        tell(format_args!(
            "{username} is no administrator any more; to be one again: labwire user update {username} --admin"
        ));
    }
    Ok(())
}

fn list(chosen: &Chosen, output: &mut impl Write) -> anyhow::Result<()> {
    const TITLE: &str = "Username";
    let users = chosen.open()?.users()?;
    if users.is_empty() {
        writeln!(output, "There are no users in the database")?;
        return Ok(());
    }
    let width = users
        .iter()
        .map(|(name, _)| name.chars().count())
        .fold(TITLE.len(), usize::max);
    writeln!(output, "Users in {}\n", chosen.path.display())?;
    writeln!(output, "{TITLE:width$} Administrator")?;
    writeln!(output, "{:=<width$} =============", "")?;
    for (name, is_admin) in users {
        let is_admin = if is_admin { "True" } else { "False" };
        writeln!(output, "{name:width$} {is_admin}")?;
    }
    Ok(())
}

fn named(args: &UserArgs) -> anyhow::Result<&str> {
    let missing = || {
        let verb = args.action.verb();
        let cause = match args.password.as_deref() {
            None | Some([]) => String::new(),
            Some(_) => format!(
                ": all words behind --password are the password, so the name comes first, as in\n  labwire user {verb} NAME \
                 --password WORD"
            ),
        };
        UsageError(format!("You must specify a username to {verb}{cause}"))
    };
    Ok(args.username.as_deref().ok_or_else(missing)?)
}

fn new_password(username: &str, words: &[String], args: &UserArgs) -> anyhow::Result<HashedPassword> {
    let password = secret::resolve_new(words, &format!("Password for {username}: "));
    let password = password.context("--password")?;
    let rounds = if args.compatible {
        COMPATIBLE_ROUNDS
    } else {
        args.rounds
    };
    Ok(HashedPassword::new(username, &password, rounds)?)
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use clap::{CommandFactory, Parser};
    use labwire_store::{Store, StoreOptions};

    use super::super::database::tests::in_home;

    use super::*;

    #[derive(Debug, Parser)]
    struct Typed {
        #[command(flatten)]
        args: UserArgs,
    }

    struct Shell {
        folder: tempfile::TempDir,
    }

    impl Shell {
        fn new() -> Self {
            Self {
                folder: tempfile::tempdir().unwrap(),
            }
        }

        fn path(&self) -> PathBuf {
            self.folder.path().join("home").join("manager.sqlite3")
        }

        /// Runs the command with words after `labwire user`.
        fn types(&self, words: &[&str]) -> Result<String, String> {
            let typed =
                Typed::try_parse_from([&["user"], words].concat()).map_err(|error| error.to_string())?;
            let mut output = Vec::new();
            execute(&typed.args, &in_home(&self.path()), &mut output).map_err(|error| error.to_string())?;
            Ok(String::from_utf8(output).unwrap())
        }

        fn lets_in(&self, username: &str, password: &str) -> bool {
            let store = Store::open(&self.path(), &StoreOptions::default()).unwrap();
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            let outcome = runtime.block_on(store.verify_login(username, password));
            runtime.block_on(store.close());
            outcome.unwrap().is_some()
        }

        /// Returns the recorded rounds of the password; `None` if they are those of MSL-Network.
        fn rounds(&self, username: &str) -> Option<u32> {
            let database = rusqlite::Connection::open(self.path()).unwrap();
            let question =
                "SELECT record.rounds FROM auth_users AS user LEFT JOIN labwire_password_rounds AS record
                ON record.salt = user.salt WHERE user.username = ?1";
            database
                .query_row(question, [username], |row| row.get(0))
                .unwrap()
        }
    }

    #[test]
    fn the_arguments_are_sound() {
        Typed::command().debug_assert();
    }

    #[test]
    fn users_are_added_updated_listed_and_removed_in_the_words_of_the_documentation() {
        let shell = Shell::new();
        assert!(
            shell
                .types(&["list"])
                .unwrap_err()
                .contains("there is no database")
        );
        let added = shell.types(&["add", "j.doe", "--password", "a", "good", "password"]);
        assert_eq!(added.unwrap(), "j.doe has been added\n");
        let added = shell.types(&["insert", "a.smith", "-p", "!PaSsWoRd*", "-a"]);
        assert_eq!(added.unwrap(), "a.smith has been inserted\n");
        assert!(shell.lets_in("j.doe", "a good password"));
        assert!(shell.lets_in("a.smith", "!PaSsWoRd*"));

        let expected = format!(
            "Users in {}\n\nUsername Administrator\n======== =============\na.smith  True\nj.doe    False\n",
            shell.path().display()
        );
        assert_eq!(shell.types(&["list"]).unwrap(), expected);

        assert_eq!(
            shell.types(&["update", "j.doe", "--admin"]).unwrap(),
            "Updated j.doe\n"
        );
        assert_eq!(shell.types(&["update", "a.smith"]).unwrap(), "Updated a.smith\n");
        let list = shell.types(&["list"]).unwrap();
        assert!(list.ends_with("a.smith  False\nj.doe    True\n"), "{list}");
        assert!(shell.lets_in("a.smith", "!PaSsWoRd*"));

        assert_eq!(
            shell.types(&["remove", "j.doe"]).unwrap(),
            "j.doe has been removed\n"
        );
        assert_eq!(
            shell.types(&["delete", "a.smith"]).unwrap(),
            "a.smith has been deleted\n"
        );
        assert_eq!(
            shell.types(&["list"]).unwrap(),
            "There are no users in the database\n"
        );
    }

    #[test]
    fn a_password_can_be_the_first_line_of_a_file() {
        let shell = Shell::new();
        let file = shell.folder.path().join("password.txt");
        std::fs::write(&file, "from a file\nnot this\n").unwrap();
        shell
            .types(&["add", "j.doe", "-p", "old", "--compatible"])
            .unwrap();
        shell
            .types(&["update", "j.doe", "-p", file.to_str().unwrap(), "--compatible"])
            .unwrap();
        assert!(shell.lets_in("j.doe", "from a file"));
    }

    #[test]
    fn a_new_password_leaves_the_rights_as_they_are() {
        let shell = Shell::new();
        shell
            .types(&["add", "a", "-p", "x", "-a", "--compatible"])
            .unwrap();
        shell.types(&["add", "b", "-p", "x", "--compatible"]).unwrap();
        for name in ["a", "b"] {
            shell.types(&["update", name, "-p", "y", "--compatible"]).unwrap();
            assert!(shell.lets_in(name, "y"));
        }
        let list = shell.types(&["list"]).unwrap();
        assert!(list.ends_with("a        True\nb        False\n"), "{list}");
        shell
            .types(&["update", "b", "-p", "z", "-a", "--compatible"])
            .unwrap();
        shell.types(&["update", "a"]).unwrap();
        let list = shell.types(&["list"]).unwrap();
        assert!(list.ends_with("a        False\nb        True\n"), "{list}");
    }

    #[test]
    fn the_rounds_are_the_default_the_compatible_ones_or_those_asked_for() {
        let shell = Shell::new();
        shell.types(&["add", "default", "-p", "x"]).unwrap();
        shell
            .types(&["add", "compatible", "-p", "x", "--compatible"])
            .unwrap();
        shell
            .types(&["add", "chosen", "-p", "x", "--rounds", "123456"])
            .unwrap();
        let rounds = ["default", "compatible", "chosen"].map(|name| shell.rounds(name));
        assert_eq!(rounds, [Some(600_000), None, Some(123_456)]);
        let refused = shell
            .types(&["add", "weak", "-p", "x", "--rounds", "99999"])
            .unwrap_err();
        assert!(refused.contains("99999 is not in 100000..=10000000"), "{refused}");
        let refused = shell
            .types(&["add", "both", "--compatible", "--rounds", "200000"])
            .unwrap_err();
        assert!(refused.contains("cannot be used with"), "{refused}");
    }

    #[test]
    fn mistakes_are_errors_in_the_words_of_the_reference() {
        let shell = Shell::new();
        shell.types(&["add", "j.doe", "-p", "x", "--compatible"]).unwrap();
        let mistakes: [(&[&str], &str); 7] = [
            (&["add"], "You must specify a username to add"),
            (&["remove"], "You must specify a username to remove"),
            (
                &["add", "j.doe", "-p", "y"],
                "A user with the name 'j.doe' already exists",
            ),
            (
                &["insert", "h:1", "-p", "y"],
                "A username cannot end with \":<integer>\"",
            ),
            (
                &["update", "eve"],
                "Cannot update 'eve'. This user is not in the table.",
            ),
            (
                &["remove", "eve"],
                "Cannot remove 'eve'. This user is not in the table.",
            ),
            (
                &["delete", "eve"],
                "Cannot delete 'eve'. This user is not in the table.",
            ),
        ];
        for (words, expected) in mistakes {
            assert_eq!(shell.types(words).unwrap_err(), expected, "{words:?}");
        }
    }
}
