//! `labwire user`: the users that may log in to a manager that was started with `--auth-login`.

mod arguments;

use std::io::Write;

use anyhow::Context;
use labwire_home::present;
use labwire_store::{
    Account, AccountChange, COMPATIBLE_ROUNDS, Disabled, HashedPassword, StoreError, check_username,
};
use labwire_wire::visible;

use super::database::{Chosen, CreateArgs, DatabaseArgs, with_nearest_user};
use super::output::output;
use super::recorded::{done, record};
use super::{UsageError, secret, tell};
use arguments::PasswordArgs;
pub(crate) use arguments::{OldUserArgs, UserArgs};

/// The parsed command line, in either spelling.
#[derive(Debug)]
pub(crate) struct Request {
    verb: Verb,
    username: Option<String>,
    admin: bool,
    password: PasswordArgs,
    database: DatabaseArgs,
    create: CreateArgs,
    json: bool,
    /// Why a user is disabled.
    reason: String,
    full_name: Option<String>,
    email: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verb {
    Add,
    /// The same as add.
    Insert,
    Remove,
    /// The same as remove.
    Delete,
    Update,
    Disable,
    Enable,
    Set,
    List,
}

impl Verb {
    /// Returns the word on the command line.
    fn word(self) -> &'static str {
        match self {
            Self::Add => "add",
            Self::Insert => "insert",
            Self::Remove => "remove",
            Self::Delete => "delete",
            Self::Update => "update",
            Self::Disable => "disable",
            Self::Enable => "enable",
            Self::Set => "set",
            Self::List => "list",
        }
    }
}

/// Runs the command. Writes the changes to standard output.
///
/// # Errors
///
/// An error has the text of MSL-Network's error.
pub(crate) fn run(args: &Request) -> anyhow::Result<()> {
    // Usage errors come before all others.
    if args.verb != Verb::List {
        named(args)?;
    }
    execute(args, &args.database.choose(&args.create)?, &mut output())
}

fn execute(args: &Request, chosen: &Chosen, output: &mut impl Write) -> anyhow::Result<()> {
    match args.verb {
        Verb::List if args.json => list_as_json(chosen, output),
        Verb::List => list(chosen, output),
        Verb::Add | Verb::Insert => add(args, chosen, output),
        Verb::Remove | Verb::Delete => remove(args, chosen, output),
        Verb::Update => update(args, chosen, output),
        Verb::Disable | Verb::Enable | Verb::Set => change_account(args, chosen, output),
    }
}

fn add(args: &Request, chosen: &Chosen, output: &mut impl Write) -> anyhow::Result<()> {
    let username = named(args)?;
    check_username(username)?;
    // What can be refused comes before the password prompt, and a new file after it, so that none is left by two
    // passwords that differ.
    let existing = chosen.open_existing_to_add()?;
    if let Some(database) = &existing
        && database.rights(username)?.is_some()
    {
        return Err(StoreError::UserExists {
            username: username.to_owned(),
        }
        .into());
    }
    let words = args.password.words.as_deref().unwrap_or_default();
    let password = new_password(username, words, args)?;
    let mut database = match existing {
        Some(database) => database,
        None => chosen.open_to_add()?,
    };
    database.insert_user(username, &password, args.admin)?;
    let what = format!("{username} has been {}ed", args.verb.word());
    let rank = if args.admin { " as an administrator" } else { "" };
    record(chosen, "user add", &format!("{what}{rank}"));
    writeln!(output, "{what}")?;
    Ok(())
}

fn remove(args: &Request, chosen: &Chosen, output: &mut impl Write) -> anyhow::Result<()> {
    let (username, verb) = (named(args)?, args.verb.word());
    let mut database = chosen.open()?;
    match database.delete_user(username) {
        // With the typed word for the action.
        Err(StoreError::UserMissing { username, .. }) => {
            let error = StoreError::UserMissing {
                action: verb,
                username,
            };
            Err(with_nearest_user(error, &database))
        }
        removed => {
            removed?;
            let what = format!("{username} has been {verb}d");
            done(chosen, "user remove", &what, output)
        }
    }
}

fn update(args: &Request, chosen: &Chosen, output: &mut impl Write) -> anyhow::Result<()> {
    let username = named(args)?;
    let mut database = chosen.open()?;
    let Some(was_admin) = database.rights(username)? else {
        let error = StoreError::UserMissing {
            action: "update",
            username: username.to_owned(),
        };
        return Err(with_nearest_user(error, &database));
    };
    let was_compatible = database.has_compatible_password(username)?;
    let words = args.password.words.as_deref();
    let password = words
        .map(|words| new_password(username, words, args))
        .transpose()?;
    // A change of the password alone leaves the rights unchanged.
    let rights = (args.admin || password.is_none()).then_some(args.admin);
    database.update_user(username, password.as_ref(), rights)?;
    let what = format!("Updated {username}");
    let changed = changed(password.is_some(), was_admin, rights);
    record(chosen, "user update", &format!("{what}: {changed}"));
    writeln!(output, "{what}")?;
    if was_compatible && password.is_some() && args.password.chosen_rounds() != COMPATIBLE_ROUNDS {
        tell(
            "MSL-Network's manager can check the old password, and not this one; for one that both check: --compatible",
        );
    }
    if was_admin && rights == Some(false) {
        tell(format_args!(
            "{username} is no administrator any more; to be one again: labwire user update {username} --admin"
        ));
    }
    Ok(())
}

/// Returns what an update has changed, for the record. `rights` is whether the user is an administrator now;
/// `None` if that was left as it was.
fn changed(has_new_password: bool, was_admin: bool, rights: Option<bool>) -> String {
    let password = has_new_password.then_some("a new password");
    let rights = match (was_admin, rights) {
        (false, Some(true)) => Some("an administrator now"),
        (true, Some(false)) => Some("no administrator any more"),
        _ => None,
    };
    let changes: Vec<_> = password.into_iter().chain(rights).collect();
    if changes.is_empty() {
        return "nothing has changed".to_owned();
    }
    changes.join(", ")
}

fn change_account(args: &Request, chosen: &Chosen, output: &mut impl Write) -> anyhow::Result<()> {
    let user = named(args)?.to_owned();
    let said = match args.verb {
        Verb::Disable => format!("{user} cannot log in any more"),
        Verb::Enable => format!("{user} can log in"),
        _ => format!("Updated {user}"),
    };
    let recorded = match args.verb {
        Verb::Disable => format!("{said}: {}", args.reason),
        Verb::Enable => said.clone(),
        _ => {
            let described = [("full name", &args.full_name), ("e-mail", &args.email)];
            let described =
                described.map(|(what, text)| text.as_ref().map(|text| format!("{what} '{text}'")));
            format!(
                "{said}: {}",
                described.into_iter().flatten().collect::<Vec<_>>().join(", ")
            )
        }
    };
    let change = match args.verb {
        Verb::Disable => AccountChange::Disable {
            user,
            reason: args.reason.clone(),
        },
        Verb::Enable => AccountChange::Enable { user },
        _ => AccountChange::Describe {
            user,
            full_name: args.full_name.clone(),
            email: args.email.clone(),
        },
    };
    let mut database = chosen.open()?;
    let changed = database.change_account(&change, present().as_second());
    changed.map_err(|error| with_nearest_user(error, &database))?;
    record(chosen, &format!("user {}", args.verb.word()), &recorded);
    writeln!(output, "{}", visible(&said))?;
    Ok(())
}

fn list(chosen: &Chosen, output: &mut impl Write) -> anyhow::Result<()> {
    const TITLE: &str = "Username";
    let mut users = chosen.open()?.accounts()?;
    for user in &mut users {
        user.username = visible(&user.username);
    }
    if users.is_empty() {
        writeln!(output, "There are no users in the database")?;
        return Ok(());
    }
    let width = users
        .iter()
        .map(|user| user.username.chars().count())
        .fold(TITLE.len(), usize::max);
    writeln!(output, "Users in {}\n", chosen.path.display())?;
    writeln!(output, "{TITLE:width$} Administrator")?;
    writeln!(output, "{:=<width$} =============", "")?;
    for Account {
        username,
        is_admin,
        disabled,
        has_second_factor,
        ..
    } in users
    {
        let is_admin = if is_admin { "True" } else { "False" };
        let factor = has_second_factor.then(|| "second factor".to_owned());
        let disabled = disabled.map(|Disabled { reason, .. }| format!("disabled: {reason}"));
        let notes: Vec<_> = factor.into_iter().chain(disabled).collect();
        let line = format!("{username:width$} {is_admin:13} {}", visible(&notes.join("; ")));
        writeln!(output, "{}", line.trim_end())?;
    }
    Ok(())
}

/// Writes one object per line.
fn list_as_json(chosen: &Chosen, output: &mut impl Write) -> anyhow::Result<()> {
    for account in chosen.open()?.accounts()? {
        writeln!(output, "{}", account.describe())?;
    }
    Ok(())
}

fn named(args: &Request) -> anyhow::Result<&str> {
    let missing = || {
        let verb = args.verb.word();
        let cause = match args.password.words.as_deref() {
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

fn new_password(username: &str, words: &[String], args: &Request) -> anyhow::Result<HashedPassword> {
    let password = secret::resolve_new(words, &format!("Password for {username}: "));
    let password = password.context("--password")?;
    Ok(HashedPassword::new(
        username,
        &password,
        args.password.chosen_rounds(),
    )?)
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
        args: OldUserArgs,
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
            execute(&typed.args.into(), &in_home(&self.path()), &mut output)
                .map_err(|error| error.to_string())?;
            Ok(String::from_utf8(output).unwrap())
        }

        fn lets_in(&self, username: &str, password: &str) -> bool {
            let store = Store::open(&self.path(), &StoreOptions::default()).unwrap();
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            let outcome = runtime.block_on(store.verify_login(username, password));
            runtime.block_on(store.close());
            outcome.unwrap().is_ok()
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
        // A name forges no line, and is no command for the terminal.
        let forged = "m\nroot     True\u{1b}]0;x\u{7}\u{202e}";
        shell.types(&["add", forged, "-p", "x"]).unwrap();
        let list = shell.types(&["list"]).unwrap();
        assert!(
            list.contains("\nm\u{fffd}root     True\u{fffd}]0;x\u{fffd}\u{fffd} False\n"),
            "{list:?}"
        );
        shell.types(&["remove", forged]).unwrap();
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
