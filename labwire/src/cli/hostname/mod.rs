//! `labwire hostname`: the trusted devices of a manager that was started with `--auth-hostname`.

mod arguments;

use std::io::Write;

use anyhow::bail;
use labwire_store::StoreError;
use labwire_wire::visible;
use serde_json::json;

use super::database::{Chosen, CreateArgs, DatabaseArgs};
use super::output::output;
use super::{UsageError, recorded, tell};
pub(crate) use arguments::{HostnameArgs, OldHostnameArgs};

/// The parsed command line, in either spelling.
#[derive(Debug)]
pub(crate) struct Request {
    verb: Verb,
    names: Vec<String>,
    database: DatabaseArgs,
    create: CreateArgs,
    json: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verb {
    Add,
    /// The same as add.
    Insert,
    Remove,
    /// The same as remove.
    Delete,
    List,
}

impl Verb {
    /// Returns the word on the command line, and the word for the result.
    fn words(self) -> (&'static str, &'static str) {
        match self {
            Self::Add => ("add", "Added"),
            Self::Insert => ("insert", "Inserted"),
            Self::Remove => ("remove", "Removed"),
            Self::Delete => ("delete", "Deleted"),
            Self::List => ("list", "Listed"),
        }
    }
}

/// Prints how a running manager reloads the list.
fn tell_signal() {
    tell(
        "A running manager uses the old list until it receives the signal HUP (kill -HUP and the number of its \
         process)",
    );
}

/// Runs the command. Writes the changes to standard output.
///
/// # Errors
///
/// An error has the text of MSL-Network's error. Of several names, those that can be removed are
/// removed.
pub(crate) fn run(args: &Request) -> anyhow::Result<()> {
    // Usage errors come before all others.
    expect_names(args)?;
    execute(args, &args.database.choose(&args.create)?, &mut output())
}

fn execute(args: &Request, chosen: &Chosen, output: &mut impl Write) -> anyhow::Result<()> {
    expect_names(args)?;
    let (verb, done) = args.verb.words();
    match args.verb {
        Verb::List if args.json => {
            for hostname in chosen.open()?.hostnames()? {
                writeln!(output, "{}", json!({ "hostname": hostname }))?;
            }
            Ok(())
        }
        Verb::List => {
            let hostnames = chosen.open()?.hostnames()?;
            writeln!(
                output,
                "Trusted devices in {}\n\nHostnames:",
                chosen.path.display()
            )?;
            for hostname in hostnames {
                writeln!(output, "  {}", visible(&hostname))?;
            }
            Ok(())
        }
        Verb::Add | Verb::Insert => insert(chosen, &args.names, done, output),
        Verb::Remove | Verb::Delete => delete(chosen, &args.names, verb, done, output),
    }
}

fn expect_names(args: &Request) -> Result<(), UsageError> {
    if args.verb == Verb::List || !args.names.is_empty() {
        return Ok(());
    }
    let (_, done) = args.verb.words();
    Err(UsageError(format!("No hostnames were {}", done.to_lowercase())))
}

fn insert(chosen: &Chosen, names: &[String], done: &str, output: &mut impl Write) -> anyhow::Result<()> {
    let mut database = chosen.open_to_add()?;
    let has_blank = |name: &&String| name.is_empty() || name.contains(char::is_whitespace);
    if let Some(name) = names.iter().find(has_blank) {
        bail!(UsageError(format!(
            "'{name}' is no hostname: it is empty, or has blanks"
        )));
    }
    for name in names {
        database.insert_hostname(name)?;
        recorded::done(chosen, "hostname add", &format!("{done} {name}"), output)?;
    }
    tell_signal();
    Ok(())
}

fn delete(
    chosen: &Chosen,
    names: &[String],
    verb: &str,
    done: &str,
    output: &mut impl Write,
) -> anyhow::Result<()> {
    let mut database = chosen.open()?;
    let mut missing = Vec::new();
    for name in names {
        match database.delete_hostname(name) {
            Ok(()) => recorded::done(chosen, "hostname remove", &format!("{done} {name}"), output)?,
            Err(error @ StoreError::HostnameMissing { .. }) => {
                missing.push(error.to_string().replacen("delete", verb, 1));
            }
            Err(error) => return Err(error.into()),
        }
    }
    if missing.len() < names.len() {
        tell_signal();
    }
    if !missing.is_empty() {
        bail!(missing.join("\n"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use clap::{CommandFactory, Parser};

    use super::super::database::tests::in_home;
    use super::*;

    #[derive(Debug, Parser)]
    struct Typed {
        #[command(flatten)]
        args: OldHostnameArgs,
    }

    /// Runs the command with words after `labwire hostname`. Returns the output, and the error if
    /// there was one.
    fn types(path: &Path, words: &[&str]) -> (String, Option<String>) {
        let typed = Typed::try_parse_from([&["hostname"], words].concat()).unwrap();
        let mut output = Vec::new();
        let error = execute(&typed.args.into(), &in_home(path), &mut output)
            .err()
            .map(|error| error.to_string());
        (String::from_utf8(output).unwrap(), error)
    }

    fn done(text: &str) -> (String, Option<String>) {
        (text.to_owned(), None)
    }

    #[test]
    fn the_arguments_are_sound() {
        Typed::command().debug_assert();
    }

    #[test]
    fn hostnames_are_added_listed_and_removed_in_the_words_of_the_documentation() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("manager.sqlite3");
        let added = types(&path, &["add", "TheHostname", "OtherHostname"]);
        assert_eq!(added, done("Added TheHostname\nAdded OtherHostname\n"));
        assert_eq!(types(&path, &["insert", "a"]), done("Inserted a\n"));
        let (list, _) = types(&path, &["list"]);
        let start = format!("Trusted devices in {}\n\nHostnames:\n  1.0.0.0", path.display());
        assert!(list.starts_with(&start), "{list}");
        assert!(
            list.contains("\n  TheHostname\n") && list.contains("\n  localhost\n"),
            "{list}"
        );

        assert_eq!(types(&path, &["remove", "a"]), done("Removed a\n"));
        assert_eq!(
            types(&path, &["delete", "OtherHostname"]),
            done("Deleted OtherHostname\n")
        );
        let (list, _) = types(&path, &["list"]);
        assert!(!list.contains("OtherHostname"), "{list}");
    }

    #[test]
    fn of_several_hostnames_those_that_are_known_are_removed_and_the_others_are_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("manager.sqlite3");
        types(&path, &["add", "known"]);
        let (output, error) = types(&path, &["remove", "delete", "known", "x"]);
        assert_eq!(output, "Removed known\n");
        let expected = "Cannot remove 'delete'. This hostname is not in the table.\n\
            Cannot remove 'x'. This hostname is not in the table.";
        assert_eq!(error.unwrap(), expected);
    }

    #[test]
    fn no_hostname_at_all_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("manager.sqlite3");
        let words = [
            ("add", "added"),
            ("insert", "inserted"),
            ("remove", "removed"),
            ("delete", "deleted"),
        ];
        for (action, done) in words {
            let (_, error) = types(&path, &[action]);
            assert_eq!(error.unwrap(), format!("No hostnames were {done}"));
        }
    }
}
