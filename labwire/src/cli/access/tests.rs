use std::path::PathBuf;

use clap::{Parser, Subcommand};
use labwire_store::{COMPATIBLE_ROUNDS, Database, HashedPassword};

use super::*;
use crate::cli::database::tests::in_home;

#[derive(Debug, Parser)]
struct Typed {
    #[command(subcommand)]
    command: Typable,
}

#[derive(Debug, Subcommand)]
enum Typable {
    Group(group::GroupArgs),
    Role(role::RoleArgs),
    Set(set::SetArgs),
    Grant(grant::GrantArgs),
    May(may::MayArgs),
    Token(token::TokenArgs),
}

struct Shell {
    folder: tempfile::TempDir,
}

impl Shell {
    /// Returns a shell with a database that has these users.
    fn with_users(users: &[&str]) -> Self {
        let shell = Self {
            folder: tempfile::tempdir().unwrap(),
        };
        let mut database = Database::open(&shell.path()).unwrap();
        for user in users {
            let password = HashedPassword::new(user, "x", COMPATIBLE_ROUNDS).unwrap();
            database.insert_user(user, &password, false).unwrap();
        }
        shell
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("manager.sqlite3")
    }

    /// Runs a command. Returns what it has printed, and its error.
    fn run(&self, line: &[&str]) -> (String, Option<String>) {
        let typed = Typed::try_parse_from([&["labwire"], line].concat()).unwrap();
        let (chosen, mut output) = (in_home(&self.path()), Vec::new());
        let done = match &typed.command {
            Typable::Group(args) => group::execute(args, &chosen, &mut output),
            Typable::Role(args) => role::execute(args, &chosen, &mut output),
            Typable::Set(args) => set::execute(args, &chosen, &mut output),
            Typable::Grant(args) => grant::execute(args, &chosen, &mut output),
            Typable::May(args) => may::execute(args, &chosen, &mut output),
            Typable::Token(args) => token::execute(args, &chosen, &mut output),
        };
        let error = done.err().map(|error| error.to_string());
        (String::from_utf8(output).unwrap(), error)
    }

    fn types(&self, line: &[&str]) -> String {
        let (printed, error) = self.run(line);
        assert_eq!(error, None, "{line:?}");
        printed
    }
}

#[test]
fn a_role_is_given_to_a_group_and_each_rule_is_explained() {
    let shell = Shell::with_users(&["ada", "bob"]);
    for (line, expected) in [
        (&["group", "add", "students"][..], "Added the group students\n"),
        (
            &["group", "join", "students", "ada", "bob"],
            "ada, bob joined students\n",
        ),
        (&["group", "leave", "students", "bob"], "bob left students\n"),
        (&["group", "list"], "students  ada\n"),
        (
            &["set", "add", "bench3", "PSU3*", "Load 3"],
            "@bench3 includes: PSU3*, Load 3\n",
        ),
        (&["set", "list"], "bench3  Load 3, PSU3*\n"),
        (
            &["role", "add", "reader", "call @bench3.read*", "see"],
            "The role reader allows: call @bench3.read*, see\n",
        ),
        (&["role", "show", "reader"], "call @bench3.read*\nsee\n"),
        (
            &["grant", "add", "reader", "--to-group", "students"],
            "Added the grant 1: reader to the group students\n",
        ),
        (
            &[
                "grant",
                "add",
                "operator",
                "--to",
                "ada",
                "--on",
                "DMM*",
                "--until",
                "2001-01-01",
            ],
            "Added the grant 2: operator to the user ada, on DMM*, ended 2001-01-01 00:00:00\n",
        ),
        (
            &["grant", "list"],
            "1  reader to the group students\n2  operator to the user ada, on DMM*, ended 2001-01-01 00:00:00\n",
        ),
        (
            &["may", "ada", "PSU31", "reads"],
            "ada may call PSU31.reads\n  outside the grant: grant 2, role operator to the user ada on DMM*: call\n  \
             allows it: grant 1, role reader to the group students: call @bench3.read*\n",
        ),
    ] {
        assert_eq!(shell.types(line), expected, "{line:?}");
    }
    let (printed, error) = shell.run(&["may", "ada", "DMM", "read"]);
    assert_eq!(
        printed,
        "ada may not call DMM.read\n  ended 2001-01-01 00:00:00: grant 2, role operator to the user ada on DMM*: call\n  other object: \
         grant 1, role reader to the group students: call @bench3.read*\n"
    );
    assert_eq!(
        error.unwrap(),
        "ada may not do that: call DMM.read is not granted"
    );
    let (printed, _) = shell.run(&["may", "bob", "--permission", "see DMM"]);
    assert_eq!(
        printed,
        "bob may not see DMM\n  no granted role has a permission for that action\n"
    );
    for (line, expected) in [
        (
            &["grant", "remove", "1", "2"][..],
            "Removed the grant 1\nRemoved the grant 2\n",
        ),
        (&["grant", "list"], "Nothing is granted\n"),
        (
            &["role", "remove", "reader", "see"],
            "The role reader does not allow any more: see\n",
        ),
        (
            &["role", "remove", "reader"],
            "Removed the role reader, and all grants of it\n",
        ),
        (
            &["set", "remove", "bench3", "Load 3"],
            "@bench3 does not include any more: Load 3\n",
        ),
        (&["set", "remove", "bench3"], "Removed the set bench3\n"),
        (&["set", "list"], "There are no sets of services\n"),
        (
            &["group", "remove", "students"],
            "Removed the group students, and what was granted to it\n",
        ),
        (
            &["group", "list"],
            "There are no groups; everybody is in the group 'everyone'\n",
        ),
    ] {
        assert_eq!(shell.types(line), expected, "{line:?}");
    }
}

#[test]
fn a_grant_on_every_service_is_one_without_a_limit() {
    let shell = Shell::with_users(&["ada"]);
    for (line, expected) in [
        (
            &["grant", "add", "administrator", "--to", "ada", "--on", "*"][..],
            "Added the grant 1: administrator to the user ada\n",
        ),
        (
            &["may", "ada", "--permission", "administer stats"],
            "ada may administer stats\n  allows it: grant 1, role administrator to the user ada: administer\n",
        ),
    ] {
        assert_eq!(shell.types(line), expected, "{line:?}");
    }
}

#[test]
fn an_explanation_says_until_when_the_permission_holds() {
    let shell = Shell::with_users(&["ada"]);
    for end in ["2101-01-01", "2102-01-01", "2001-01-01"] {
        shell.types(&["grant", "add", "observer", "--to", "ada", "--until", end]);
    }
    let rule = "grant 1, role observer to the user ada: see";
    assert_eq!(
        shell.types(&["may", "ada", "--permission", "see DMM"]),
        format!(
            "ada may see DMM until 2102-01-01 00:00:00\n  allows it until 2101-01-01 00:00:00: {rule}\n  allows it until \
             2102-01-01 00:00:00: {}\n  ended 2001-01-01 00:00:00: {}\n",
            rule.replace('1', "2"),
            rule.replace('1', "3"),
        )
    );
}

#[test]
fn lists_and_explanations_are_json_objects_one_per_line() {
    let shell = Shell::with_users(&["ada"]);
    shell.types(&["group", "add", "students"]);
    shell.types(&["set", "add", "bench3", "PSU3*"]);
    shell.types(&["grant", "add", "observer", "--to", "ada", "--on", "@bench3"]);
    let grant = r#"{"group":null,"id":1,"on":"@bench3","role":"observer","until":null,"user":"ada"}"#;
    for (line, expected) in [
        (
            &["group", "list", "--json"][..],
            r#"{"group":"students","members":[]}"#.to_owned(),
        ),
        (
            &["set", "list", "--json"],
            r#"{"patterns":["PSU3*"],"set":"bench3"}"#.to_owned(),
        ),
        (
            &["role", "show", "observer", "--json"],
            r#"{"permissions":["see","link","subscribe"],"role":"observer"}"#.to_owned(),
        ),
        (&["grant", "list", "--json"], grant.to_owned()),
        (
            &["may", "ada", "--permission", "see PSU31", "--json"],
            format!(
                r#"{{"allowed":true,"permission":"see PSU31","rules":[{{"grant":{grant},"permission":"see","verdict":"allows"}}],"until":null}}"#
            ),
        ),
    ] {
        assert_eq!(shell.types(line), expected + "\n", "{line:?}");
    }
}

#[test]
fn a_misspelt_name_is_an_error_with_the_nearest_one() {
    let shell = Shell::with_users(&["ada"]);
    for (line, expected) in [
        (
            &["grant", "add", "operater", "--to", "ada"][..],
            "there is no role 'operater', did you mean 'operator'?",
        ),
        (
            &["grant", "add", "operator", "--to", "adda"],
            "there is no user 'adda', did you mean 'ada'?",
        ),
        (
            &["role", "show", "obsever"],
            "there is no role 'obsever', did you mean 'observer'?",
        ),
        (
            &["may", "adda", "DMM"],
            "there is no user 'adda', did you mean 'ada'?",
        ),
        (
            &["grant", "add", "operator", "--to", "ada", "--on", "@bench"],
            "there is no set 'bench'",
        ),
        (
            &["role", "add", "reader", "cal DMM"],
            "the permission 'cal DMM': there is no action 'cal', did you mean 'call'?",
        ),
    ] {
        assert_eq!(shell.run(line).1.unwrap(), expected, "{line:?}");
    }
}
