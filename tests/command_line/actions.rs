//! `labwire user` and `hostname`: each action has its own options and help, and the spelling of
//! MSL-Network works beside it.

use serde_json::{Value, json};

use super::{Ran, answering, run};
use crate::support::manager::Home;

/// Runs a line, and returns its output without what is said about the database.
fn output(home: &Home, line: &str) -> String {
    run(home, line).succeeded()
}

#[test]
fn the_help_of_an_action_has_only_its_own_options() {
    let home = Home::new();
    for (line, has, lacks) in [
        (
            "labwire user add",
            &[
                "--admin",
                "--password",
                "--rounds",
                "--compatible",
                "--create",
                "--database",
            ][..],
            &["--json"][..],
        ),
        (
            "labwire user update",
            &["--admin", "--password", "--rounds", "--compatible", "--config"],
            &["--json", "--create"],
        ),
        (
            "labwire user remove",
            &["--database", "--config"],
            &[
                "--admin",
                "--password",
                "--rounds",
                "--compatible",
                "--create",
                "--json",
            ],
        ),
        (
            "labwire user list",
            &["--json", "--database"],
            &["--admin", "--password", "--rounds", "--create", "<USERNAME>"],
        ),
        (
            "labwire hostname add",
            &["--create", "<NAME>"],
            &["--json", "--admin"],
        ),
        (
            "labwire hostname remove",
            &["--database", "<NAME>"],
            &["--json", "--create"],
        ),
        (
            "labwire hostname list",
            &["--json", "--config"],
            &["--create", "<NAME>"],
        ),
    ] {
        let page = output(&home, &format!("{line} --help"));
        for option in has {
            assert!(page.contains(option), "{line}: {option}: {page}");
        }
        for option in lacks {
            assert!(!page.contains(option), "{line}: {option}: {page}");
        }
        assert!(page.contains(&format!("Usage: {line} ")), "{page}");
        assert!(page.contains("Examples:\n  # "), "{page}");
        for example in page.lines().filter(|example| example.starts_with("  labwire ")) {
            assert!(example.chars().count() <= 80, "{example}");
        }
        let words = line.strip_prefix("labwire ").unwrap();
        let (command, action) = words.split_once(' ').unwrap();
        assert_eq!(output(&home, &format!("labwire {command} help {action}")), page);
        assert!(output(&home, &format!("{line} -h")).lines().count() <= page.lines().count());
    }
    // The other words of MSL-Network have help as well, and the page of the command names them.
    for (command, old, new) in [
        ("user", "insert", "add"),
        ("user", "delete", "remove"),
        ("hostname", "insert", "add"),
        ("hostname", "delete", "remove"),
    ] {
        let page = output(&home, &format!("labwire {command} {old} --help"));
        assert!(page.contains(&format!("as '{new}' does")), "{page}");
        let page = output(&home, &format!("labwire {command} --help"));
        assert!(page.contains(&format!("'{old}'")), "{page}");
        for action in ["add", "remove", "list"] {
            let listed = page
                .lines()
                .any(|line| line.trim_start().starts_with(&format!("{action} ")));
            assert!(listed, "{page}");
        }
        // Options before the action have no page of their own.
        let options = run(&home, &format!("labwire {command} --create --help")).succeeded();
        assert_eq!(options, page);
    }
    let bare = run(&home, "labwire user");
    assert!(
        bare.code == 2 && bare.error.contains("Usage: labwire user <ACTION>"),
        "{bare:?}"
    );
}

#[test]
fn an_unknown_action_gets_the_closest_one_and_the_list() {
    let home = Home::new();
    for (line, suggested) in [
        ("labwire user ad j.doe", "'add'"),
        ("labwire user remov j.doe", "'remove'"),
        ("labwire user upgrade j.doe", "'update'"),
        ("labwire user ls", "'list'"),
        ("labwire user --admin ad j.doe", "'add'"),
        ("labwire hostname ad bench", "'add'"),
        ("labwire hostname lst", "'list'"),
        ("labwire hostname -d lab.sqlite3 removee bench", "'remove'"),
    ] {
        let ran = run(&home, line);
        ran.failed(2, &[suggested, "the actions are add, remove", "Usage: labwire "]);
    }
    let ran = run(&home, "labwire user xyzzy");
    assert!(!ran.error.contains("similar"), "{ran:?}");
    ran.failed(
        2,
        &[
            "'xyzzy'",
            "the actions are add, remove, update, disable, enable, set and list",
        ],
    );
    // An unknown option of an action is told with the options of that action.
    run(&home, "labwire user list --jsn").failed(2, &["'--jsn'", "'--json'"]);
    run(&home, "labwire user add j.doe --pasword x").failed(2, &["'--pasword'", "'--password'"]);
    run(&home, "labwire user --adm add j.doe").failed(2, &["'--adm'", "'--admin'"]);
    assert!(!home.path("manager.sqlite3").exists());
}

#[test]
fn the_spelling_of_msl_network_works_as_before() {
    let home = Home::new();
    output(
        &home,
        "labwire hostname add bench --create -d /path/to/lab.sqlite3",
    );
    for (line, expected) in [
        // The action words have their own words in the output.
        ("labwire user insert a -p x --compatible", "a has been inserted\n"),
        ("labwire user delete a", "a has been deleted\n"),
        ("labwire hostname insert a", "Inserted a\n"),
        ("labwire hostname delete a", "Deleted a\n"),
        // Options may come before the action.
        (
            "labwire user --admin --compatible --password=x add b",
            "b has been added\n",
        ),
        (
            "labwire user -d /path/to/lab.sqlite3 add c --compatible -p x",
            "c has been added\n",
        ),
        ("labwire user --compatible add -p=x d", "d has been added\n"),
        ("labwire user --admin update d", "Updated d\n"),
        (
            "labwire hostname --database /path/to/lab.sqlite3 remove bench",
            "Removed bench\n",
        ),
        (
            "labwire hostname -d /path/to/lab.sqlite3 --create add e f",
            "Added e\nAdded f\n",
        ),
        // An action ignores the options that it has no use for.
        ("labwire user update d --create --admin", "Updated d\n"),
        (
            "labwire user remove d --admin --password words of a password",
            "d has been removed\n",
        ),
        ("labwire user delete b --rounds 200000", "b has been deleted\n"),
        (
            "labwire user list ada --admin",
            "There are no users in the database\n",
        ),
        // Names may be those of actions.
        ("labwire user add list --compatible -p x", "list has been added\n"),
        ("labwire user remove list", "list has been removed\n"),
        (
            "labwire hostname add remove list help",
            "Added remove\nAdded list\nAdded help\n",
        ),
        ("labwire hostname remove -- help", "Removed help\n"),
    ] {
        assert_eq!(output(&home, line), expected, "{line}");
    }
    // The words of a password end at the next option.
    let line = "labwire user --password - --compatible add g";
    assert_eq!(
        answering(&home, line, "secret\n").succeeded(),
        "g has been added\n"
    );
    let list = output(&home, "labwire user -d /path/to/lab.sqlite3 list");
    assert!(list.contains("c        False\n"), "{list}");
    let list = output(&home, "labwire hostname list ignored");
    assert!(list.contains("\n  remove\n"), "{list}");

    for (line, text) in [
        ("labwire user add", "You must specify a username to add"),
        (
            "labwire user insert --admin",
            "You must specify a username to insert",
        ),
        (
            "labwire user --admin update",
            "You must specify a username to update",
        ),
        ("labwire user add -p a password j.doe", "so the name comes first"),
        ("labwire hostname add", "No hostnames were added"),
        ("labwire hostname delete", "No hostnames were deleted"),
        (
            "labwire user --rounds 5 add j.doe",
            "5 is not in 100000..=10000000",
        ),
        (
            "labwire user add j.doe --rounds 5",
            "5 is not in 100000..=10000000",
        ),
        (
            "labwire user add j.doe --compatible --rounds 200000",
            "cannot be used with",
        ),
    ] {
        run(&home, line).failed(2, &[text]);
    }
    run(&home, "labwire user delete eve").failed(1, &["Cannot delete 'eve'"]);
}

#[test]
fn lists_can_be_one_object_per_line() {
    let home = Home::new();
    output(&home, "labwire user add ada --admin --compatible --password x");
    output(&home, "labwire user add bob --compatible --password x");
    let objects = |line: &str| -> Vec<Value> {
        let Ran { output, .. } = run(&home, line);
        output
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    };
    let user = |name: &str, is_admin: bool| {
        json!({
            "username": name, "administrator": is_admin, "disabled": null, "full_name": "", "email": "",
            "last_login": null, "second_factor": false,
        })
    };
    assert_eq!(
        objects("labwire user list --json"),
        [user("ada", true), user("bob", false),]
    );
    output(&home, "labwire hostname add balance-7");
    assert!(objects("labwire hostname list --json").contains(&json!({ "hostname": "balance-7" })));
}
