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
    Label(label::LabelArgs),
    Grant(grant::GrantArgs),
    May(may::MayArgs),
    Token(token::TokenArgs),
    Totp(totp::TotpArgs),
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
            Typable::Label(args) => label::execute(args, &chosen, &mut output),
            Typable::Grant(args) => grant::execute(args, &chosen, &mut output),
            Typable::May(args) => may::execute(args, &chosen, &mut output),
            Typable::Token(args) => token::execute(args, &chosen, &mut output),
            Typable::Totp(args) => totp::execute(args, &chosen, &mut output),
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
fn an_attribute_with_a_blank_at_its_end_is_another_one() {
    let shell = Shell::with_users(&["ada"]);
    shell.types(&["role", "add", "reader", "call DMM.read"]);
    shell.types(&["grant", "add", "reader", "--to", "ada"]);
    for (permission, is_allowed) in [
        ("call DMM.read", true),
        ("  call DMM.read", true),
        ("call DMM.read ", false),
    ] {
        let (printed, error) = shell.run(&["may", "ada", "--permission", permission]);
        assert_eq!(error.is_none(), is_allowed, "{permission:?}: {printed}");
    }
}

#[test]
fn a_role_is_given_to_a_group_and_each_rule_is_explained() {
    let shell = Shell::with_users(&["ada", "bob"]);
    // The day is included.
    let end = until::in_words(until::chosen(None, Some("2001-01-01")).unwrap().unwrap());
    assert!(end.starts_with("ended 2001-01-02 00:00:00 "), "{end}");
    let limited = format!("operator to the user ada, on DMM*, {end}\n");
    let added = format!("Added the grant 2: {limited}");
    let listed = format!("1  reader to the group students\n2  {limited}");
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
            &["role", "add", "reader", "call @bench3.read*", "link", "see"],
            "The role reader allows: call @bench3.read*, link, see\n",
        ),
        (&["role", "show", "reader"], "call @bench3.read*\nlink\nsee\n"),
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
            &*added,
        ),
        (&["grant", "list"], &*listed),
        (
            &["may", "ada", "PSU31", "reads"],
            "ada may call PSU31.reads\n  outside the grant: grant 2, role operator to the user ada on DMM*: call\n  \
             allows it: grant 1, role reader to the group students: call @bench3.read* (in bench3 by \
             PSU3*)\n",
        ),
    ] {
        assert_eq!(shell.types(line), expected, "{line:?}");
    }
    let (printed, error) = shell.run(&["may", "ada", "DMM", "read"]);
    assert_eq!(
        printed,
        format!(
            "ada may not call DMM.read\n  {end}: grant 2, role operator to the user ada on DMM*: call\n  other object: \
             grant 1, role reader to the group students: call @bench3.read* (not in bench3)\n"
        )
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
    let days = ["2101-01-01", "2102-01-01", "2001-01-01"];
    for end in days {
        shell.types(&["grant", "add", "observer", "--to", "ada", "--until", end]);
    }
    // Each day is included, in the time zone of this computer.
    let [first, second, past] =
        days.map(|day| until::shown(until::chosen(None, Some(day)).unwrap().unwrap()));
    let rule = |number: u8| format!("grant {number}, role observer to the user ada: see");
    assert_eq!(
        shell.types(&["may", "ada", "--permission", "see DMM"]),
        format!(
            "ada may see DMM until {second}\n  allows it until {first}: {}\n  allows it until {second}: {}\n  ended {past}: \
             {}\n",
            rule(1),
            rule(2),
            rule(3),
        )
    );
}

#[test]
fn a_lock_needs_the_link_too_and_a_call_may() {
    let shell = Shell::with_users(&["ada"]);
    shell.types(&["role", "add", "caller", "call", "lock", "see"]);
    shell.types(&["grant", "add", "caller", "--to", "ada"]);
    for (question, may, why) in [
        (
            &["DMM", "read"][..],
            "call DMM.read",
            "a call without a link is answered",
        ),
        (
            &["--permission", "call DMM.read"],
            "call DMM.read",
            "a call without a link is answered",
        ),
        (
            &["--permission", "lock DMM"],
            "lock DMM",
            "a lock needs both\n  no granted role",
        ),
    ] {
        let line = [&["may", "ada"], question].concat();
        let (printed, error) = shell.run(&line);
        assert!(printed.starts_with(&format!("ada may {may}\n")), "{printed}");
        assert!(
            printed.contains(&format!("but may not link DMM: {why}")),
            "{printed}"
        );
        let expected = may
            .starts_with("lock")
            .then(|| "ada may not do that: link DMM is not granted".to_owned());
        assert_eq!(error, expected);
        let (printed, error) = shell.run(&[&line[..], &["--json"]].concat());
        assert_eq!(error, expected);
        assert_eq!(printed.lines().count(), 2, "{printed}");
        assert!(
            printed
                .contains(r#"{"allowed":false,"ask":false,"permission":"link DMM","rules":[],"until":null}"#),
            "{printed}"
        );
    }
    assert_eq!(shell.run(&["may", "ada", "DMM"]).1, None);
    assert_eq!(shell.run(&["may", "ada", "--permission", "see DMM"]).1, None);
    shell.types(&["grant", "add", "observer", "--to", "ada", "--on", "DMM"]);
    let printed = shell.types(&["may", "ada", "DMM", "read"]);
    assert!(!printed.contains("but may not"), "{printed}");
    assert!(shell.run(&["may", "ada", "--permission", "lock PSU"]).1.is_some());
}

#[test]
fn the_same_grant_is_added_once_and_a_group_is_not_taken_for_a_user() {
    let shell = Shell::with_users(&["ada"]);
    shell.types(&["group", "add", "students"]);
    let add = |options: &[&str]| shell.run(&[&["grant", "add", "operator"], options].concat());
    assert_eq!(add(&["--to", "ada"]).1, None);
    let (printed, error) = add(&["--to", "ada"]);
    assert_eq!(error, None);
    assert_eq!(
        printed,
        "Nothing is added, the grant 1 is the same: operator to the user ada\n"
    );
    assert_eq!(add(&["--to", "ada", "--until", "2200-01-01"]).1, None);
    assert_eq!(add(&["--to", "ada", "--on", "DMM"]).1, None);
    assert_eq!(shell.types(&["grant", "list"]).lines().count(), 3);
    for (options, expected) in [
        (
            ["--to", "students"],
            "there is no user 'students'; there is a group of this name: --to-group students",
        ),
        (
            ["--to-group", "ada"],
            "there is no group 'ada'; there is a user of this name: --to ada",
        ),
        (["--to", "nobody"], "there is no user 'nobody'"),
    ] {
        assert_eq!(add(&options).1.unwrap(), expected);
    }
}

#[test]
fn what_a_rule_means_is_noted_where_something_else_may_be_meant() {
    let note = |text: &str| notes::of_call(&text.parse().unwrap());
    assert!(note("call read*").unwrap().ends_with("'call *.read*'"));
    for text in ["call", "call *", "call DMM.read*", "call @bench3", "see read*"] {
        assert_eq!(note(text), None, "{text}");
    }

    let rows = labwire_access::Rows {
        roles: vec![
            ("caller".to_owned(), "call DMM.read*".parse().unwrap()),
            ("publisher".to_owned(), "publish".parse().unwrap()),
        ],
        sets: vec![("bench3".to_owned(), "DMM-*".parse().unwrap())],
        ..labwire_access::Rows::default()
    };
    let note = |role: &str, on: &str| {
        let grant = labwire_access::Grant {
            id: 1,
            role: role.to_owned(),
            to: labwire_access::Grantee::User("ada".to_owned()),
            on: on.parse().unwrap(),
            until: None,
        };
        notes::of_grant(&grant, &rows)
    };
    for role in ["caller", "operator"] {
        let told = note(role, "DMM.read*").unwrap();
        assert!(told.ends_with("a role with 'call DMM.read*'"), "{told}");
    }
    assert_eq!(note("publisher", "lab.*"), None);
    assert_eq!(note("observer", "lab.*"), None);
    assert_eq!(note("caller", "DMM*"), None);
    assert!(
        note("observer", "bench3")
            .unwrap()
            .ends_with("the set of this name: --on '@bench3'")
    );
    assert_eq!(note("observer", "@bench3"), None);

    for (text, meant) in [
        ("lok PSU", Some("'lock PSU'")),
        ("Lock PSU", Some("'lock PSU'")),
        ("lock PSU", None),
        ("frob PSU", None),
        ("Load 3", None),
        ("DMM.read*", None),
    ] {
        let told = notes::meant_action(text);
        assert_eq!(told.is_some(), meant.is_some(), "{text}: {told:?}");
        assert!(
            told.is_none_or(|told| told.contains(meant.unwrap_or_default())),
            "{text}"
        );
    }
    assert!(notes::of_blank("frob PSU").is_some());
    assert!(notes::of_blank("lock PSU").is_none());
    assert!(notes::of_blank("ask call PSU").is_none());
    assert!(notes::meant_action("ask call PSU").is_none());
    assert!(notes::of_blank("DMM.read*").is_none());
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
                r#"{{"allowed":true,"ask":false,"permission":"see PSU31","rules":[{{"grant":{grant},"permission":"see","sets":{{"bench3":"PSU3*"}},"verdict":"allows"}}],"until":null}}"#
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

#[test]
fn labels_are_given_listed_explained_and_taken_back() {
    let shell = Shell::with_users(&["ada"]);
    for (line, expected) in [
        (&["label", "list"][..], "No service has a label\n"),
        (&["label", "list", "--json"], ""),
        (
            &["label", "add", "PSU3*", "bench3", "psu"],
            "PSU3* has the labels: bench3, psu\n",
        ),
        (
            &["label", "add", "DMM-3", "bench3"],
            "DMM-3 has the labels: bench3\n",
        ),
        (&["label", "list"], "DMM-3  bench3\nPSU3*  bench3, psu\n"),
        (&["label", "list", "PSU31"], "PSU3*  bench3, psu\n"),
        (&["label", "list", "Oven"], "Oven has no labels\n"),
        (
            &["label", "list", "--json"],
            "{\"labels\":[\"bench3\"],\"service\":\"DMM-3\"}\n{\"labels\":[\"bench3\",\"psu\"],\"service\":\"PSU3*\"}\n",
        ),
        (&["set", "list"], "bench3  DMM-3, PSU3*\npsu     PSU3*\n"),
        (
            &["grant", "add", "operator", "--to", "ada", "--on", "@psu+bench3"],
            "Added the grant 1: operator to the user ada, on @bench3+psu\n",
        ),
        (
            &["may", "ada", "PSU31", "read"],
            "ada may call PSU31.read\n  allows it: grant 1, role operator to the user ada on @bench3+psu: call (in bench3 \
             by PSU3*, in psu by PSU3*)\n",
        ),
        (
            &["label", "remove", "PSU3*", "psu"],
            "PSU3* does not have any more the labels: psu\n",
        ),
        (&["label", "remove", "DMM-3"], "DMM-3 has no labels any more\n"),
    ] {
        assert_eq!(shell.types(line), expected, "{line:?}");
    }
    let (printed, error) = shell.run(&["may", "ada", "PSU31", "read"]);
    assert!(printed.contains("outside the grant: ") && printed.contains("(in bench3 by PSU3*, not in psu)"));
    assert!(error.is_some());
    let (_, error) = shell.run(&["label", "add", "", "bench3"]);
    assert!(error.unwrap().contains("a pattern may not be empty"));
}

#[test]
fn all_that_a_user_may_do_is_listed() {
    let shell = Shell::with_users(&["ada", "bob"]);
    for line in [
        &["group", "add", "students"][..],
        &["group", "join", "students", "ada"],
        &["role", "add", "reader", "call DMM.read*", "see"],
        &["role", "add", "empty", "see"],
        &["role", "remove", "empty", "see"],
        &["grant", "add", "reader", "--to-group", "students"],
        &["grant", "add", "instrument", "--to", "ada", "--on", "DMM*"],
        &["grant", "add", "empty", "--to-group", "everyone"],
        &["grant", "add", "operator", "--to", "bob"],
    ] {
        shell.types(line);
    }
    assert_eq!(
        shell.types(&["may", "ada"]),
        "ada is in the groups: students, everyone\n  grant 1, reader to the group students: call DMM.read*, see\n  \
         grant 2, instrument to the user ada, on DMM*: register, notify, publish\n  grant 3, empty to the group \
         everyone: nothing\n"
    );
    let json: serde_json::Value = serde_json::from_str(&shell.types(&["may", "bob", "--json"])).unwrap();
    assert_eq!(json["groups"], json!(["everyone"]));
    assert_eq!(json["grants"][1]["permissions"][3], "call");
    assert_eq!(json["administrator"], false);
    let (_, error) = shell.run(&["may", "adda"]);
    assert_eq!(error.unwrap(), "there is no user 'adda', did you mean 'ada'?");
}

#[test]
fn commands_about_rules_name_a_database_that_is_not_there_and_create_none() {
    let shell = Shell {
        folder: tempfile::tempdir().unwrap(),
    };
    for line in [
        &["role", "list"][..],
        &["role", "show", "instrument"],
        &["group", "list"],
        &["set", "list"],
        &["label", "list"],
        &["grant", "list"],
        &["grant", "list", "--json"],
        &["token", "list"],
    ] {
        let (printed, error) = shell.run(line);
        assert_eq!(printed, "", "{line:?}");
        assert!(error.unwrap().starts_with("there is no database "), "{line:?}");
    }
    let (_, error) = shell.run(&["group", "add", "students"]);
    assert!(error.unwrap().starts_with("there is no database "));
    assert!(!shell.path().exists());
}

#[test]
fn users_who_have_joined_before_a_refusal_are_told() {
    let shell = Shell::with_users(&["ada", "bob"]);
    shell.run(&["group", "add", "heaters"]);
    for (verb, said) in [("join", "ada joined heaters\n"), ("leave", "ada left heaters\n")] {
        let (output, error) = shell.run(&["group", verb, "heaters", "ada", "nosuch", "bob"]);
        assert_eq!(output, said);
        assert!(error.is_some_and(|error| error.contains("nosuch")), "{verb}");
    }
}
