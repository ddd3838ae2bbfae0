//! The database that the commands work on: that of a manager that is started in the same
//! environment.

use std::fs;

use super::{Ran, answering, command, run};
use crate::support::manager::Home;

/// Runs a line with these environment variables.
fn with(home: &Home, variables: &[(&str, &str)], line: &str) -> Ran {
    let mut command = command(home, line);
    command.envs(variables.iter().copied());
    Ran::from(command.output().unwrap())
}

/// Returns a home folder with a configuration that names the existing database `lab.sqlite3`.
fn home_with_configuration() -> Home {
    let home = Home::new();
    let text = format!(
        "auth-login = true\ndatabase = \"{}\"\n",
        home.argument("lab.sqlite3")
    );
    fs::write(home.path("labwire.toml"), text).unwrap();
    run(
        &home,
        "labwire hostname add bench --create -d /path/to/lab.sqlite3",
    )
    .succeeded();
    home
}

/// Returns the names of the users in a database.
fn users(home: &Home, database: &str) -> Vec<String> {
    let database = rusqlite::Connection::open(home.path(database)).unwrap();
    let mut statement = database
        .prepare("SELECT username FROM auth_users ORDER BY username")
        .unwrap();
    let names = statement.query_map([], |row| row.get(0)).unwrap();
    names.collect::<Result<_, _>>().unwrap()
}

#[test]
fn commands_use_the_database_that_the_manager_uses_and_say_which_one_it_is() {
    let home = home_with_configuration();
    run(
        &home,
        "labwire hostname add bench --create -d /path/to/other.sqlite3",
    )
    .succeeded();
    let (configuration, database) = (home.argument("labwire.toml"), home.argument("other.sqlite3"));
    let lab = home.argument("lab.sqlite3");
    let in_configuration = ("LABWIRE_CONFIG", configuration.as_str());
    let in_variable = ("LABWIRE_DATABASE", database.as_str());
    for (user, variables, option, used, named_by) in [
        (
            "a",
            &[][..],
            " --config labwire.toml",
            "lab.sqlite3",
            "labwire.toml",
        ),
        (
            "b",
            &[in_configuration],
            "",
            "lab.sqlite3",
            configuration.as_str(),
        ),
        ("c", &[in_variable], "", "other.sqlite3", "LABWIRE_DATABASE"),
        (
            "d",
            &[in_configuration, in_variable],
            "",
            "other.sqlite3",
            "LABWIRE_DATABASE",
        ),
        (
            "e",
            &[in_configuration, in_variable],
            " -d lab.sqlite3",
            "lab.sqlite3",
            "--database",
        ),
        (
            "f",
            &[("LABWIRE_CONFIG", ""), ("LABWIRE_DATABASE", "")],
            "",
            "manager.sqlite3",
            "",
        ),
    ] {
        let ran = with(
            &home,
            variables,
            &format!("labwire user add {user}{option} --compatible --password x"),
        );
        assert_eq!(ran.code, 0, "{ran:?}");
        assert_eq!(ran.output, format!("{user} has been added\n"));
        let told = ran
            .error
            .lines()
            .find(|line| line.starts_with("The database is "))
            .expect("it is told");
        assert!(told.contains(used) && told.contains(named_by), "{told}");
        assert!(
            users(&home, used).contains(&user.to_owned()),
            "{user} is not in {used}"
        );
    }
    assert_eq!(users(&home, "manager.sqlite3"), ["f"]);
    assert_eq!(users(&home, "lab.sqlite3"), ["a", "b", "e"]);

    let list = with(&home, &[in_configuration], "labwire user list");
    assert!(list.output.starts_with(&format!("Users in {lab}\n")), "{list:?}");
    with(&home, &[in_configuration], "labwire hostname add balance-7").succeeded();
    let list = with(&home, &[in_configuration], "labwire hostname list").succeeded();
    assert!(list.contains(&lab) && list.contains("\n  balance-7\n"), "{list}");
    // The manager finds the users in that database.
    with(&home, &[in_configuration], "labwire start --check --port 0").succeeded();
}

#[test]
fn no_database_is_created_at_a_path_that_may_be_mistyped() {
    let home = home_with_configuration();
    let mistyped = home.argument("new/lba.sqlite3");
    for line in [
        "labwire user add ada --password x",
        "labwire user list",
        "labwire user update ada",
        "labwire user remove ada",
        "labwire hostname add bench",
        "labwire hostname list",
        "labwire hostname remove bench",
    ] {
        let expected = [
            "there is no database ",
            &mistyped,
            "--database",
            "LABWIRE_DATABASE",
        ];
        let typed = run(&home, &format!("{line} --database {mistyped}"));
        typed.failed(1, &expected);
        let set = with(&home, &[("LABWIRE_DATABASE", &mistyped)], line);
        set.failed(1, &expected);
        assert!(!home.path("new").exists(), "{line}");
    }
    // Without a name, reading commands create no database, and `user add` creates the one that a
    // start would create.
    run(&home, "labwire user list").failed(1, &["there is no database", "labwire start"]);
    assert!(!home.path("manager.sqlite3").exists());
    run(&home, "labwire user add ada --compatible --password x").succeeded();
    assert_eq!(users(&home, "manager.sqlite3"), ["ada"]);
}

#[test]
fn a_configuration_that_is_wrong_is_told_and_no_other_database_is_used() {
    let home = Home::new();
    fs::write(home.path("labwire.toml"), "databse = \"lab.sqlite3\"\n").unwrap();
    for line in [
        "labwire user list",
        "labwire hostname list",
        "labwire delete --database --yes",
    ] {
        run(&home, &format!("{line} --config labwire.toml")).failed(2, &["labwire.toml", "`databse`"]);
        run(&home, &format!("{line} --config none.toml")).failed(1, &["none.toml", "LABWIRE_CONFIG"]);
    }
}

#[test]
fn delete_deletes_the_database_that_the_manager_uses_and_only_after_a_yes() {
    let home = home_with_configuration();
    run(&home, "labwire hostname add bench").succeeded();
    let lab = home.path("lab.sqlite3");
    for answer in ["\n", "n\n", "maybe\n"] {
        let output = answering(&home, "labwire delete -d --config labwire.toml", answer).succeeded();
        assert!(output.contains(&home.argument("lab.sqlite3")), "{output}");
        assert!(
            output.contains("Proceed (y/N)? ") && output.contains("Okay, not deleting"),
            "{output}"
        );
        assert!(lab.exists());
    }
    answering(&home, "labwire delete -d --config labwire.toml", "y\n").succeeded();
    assert!(!lab.exists() && home.path("manager.sqlite3").exists());

    // A folder on the command line has precedence over the environment.
    let elsewhere = Home::new();
    let line = format!("labwire delete -d -y --root {}", home.argument(""));
    with(&elsewhere, &[("LABWIRE_CONFIG", "none.toml")], &line).succeeded();
    assert!(!home.path("manager.sqlite3").exists());
    let none = with(
        &home,
        &[("LABWIRE_DATABASE", "gone.sqlite3")],
        "labwire delete -d -y",
    )
    .succeeded();
    assert!(
        none.contains("No database file found, looked for gone.sqlite3 (named by LABWIRE_DATABASE)"),
        "{none}"
    );
}

#[test]
fn a_new_password_leaves_an_administrator_one() {
    let home = Home::new();
    let admins = |home: &Home| {
        let list = run(home, "labwire user list").succeeded();
        list.lines().filter(|line| line.ends_with(" True")).count()
    };
    run(&home, "labwire user add ada --admin --compatible --password x").succeeded();
    let ran = run(&home, "labwire user update ada --compatible --password y");
    assert!(!ran.error.contains("no administrator"), "{ran:?}");
    ran.succeeded();
    assert_eq!(admins(&home), 1);
    let ran = run(&home, "labwire user update ada");
    assert!(ran.error.contains("ada is no administrator any more"), "{ran:?}");
    assert_eq!(admins(&home), 0);
}

#[test]
fn delete_leaves_a_file_that_is_no_labwire_database() {
    let home = Home::new();
    fs::write(home.path("notes.txt"), "the only copy\n").unwrap();
    let other = rusqlite::Connection::open(home.path("other.sqlite3")).unwrap();
    other.execute_batch("CREATE TABLE bookmarks (url TEXT)").unwrap();
    drop(other);
    run(&home, "labwire certgen").succeeded();
    for name in ["notes.txt", "other.sqlite3"] {
        let before = fs::read(home.path(name)).unwrap();
        for line in ["labwire delete -d -y", "labwire delete -a -y"] {
            let ran = with(&home, &[("LABWIRE_DATABASE", name)], line);
            assert_eq!(ran.code, 1, "{ran:?}");
            let told = format!("'{name}' is no Labwire database, it was left as it is");
            assert!(
                ran.error.contains(&told) && ran.error.contains("LABWIRE_DATABASE"),
                "{ran:?}"
            );
            assert_eq!(fs::read(home.path(name)).unwrap(), before);
        }
    }
    // The other files are deleted.
    assert!(!home.path("certs/localhost.crt").exists());
    // The database in the home folder is Labwire's own, even if it is damaged.
    fs::write(home.path("manager.sqlite3"), "damaged").unwrap();
    run(&home, "labwire delete -d -y").succeeded();
    assert!(!home.path("manager.sqlite3").exists());
}

#[test]
fn a_change_of_the_trusted_hostnames_is_told_to_need_a_signal() {
    let home = Home::new();
    for line in ["labwire hostname add bench", "labwire hostname remove bench"] {
        let ran = run(&home, line);
        assert!(ran.code == 0 && ran.error.contains("signal HUP"), "{ran:?}");
    }
    for line in ["labwire hostname list", "labwire hostname remove bench"] {
        let ran = run(&home, line);
        assert!(!ran.error.contains("HUP"), "{ran:?}");
    }
    let page = run(&home, "labwire hostname --help").succeeded();
    assert!(page.contains("signal HUP"), "{page}");
}

#[test]
fn a_list_of_a_database_that_is_not_there_is_an_error_that_names_the_file() {
    let home = Home::new();
    for line in [
        "labwire grant list",
        "labwire role list",
        "labwire set list --json",
        "labwire group list",
        "labwire label list",
        "labwire token list",
        "labwire user list",
        "labwire may ada",
    ] {
        let ran = run(&home, line);
        let missing = home.argument("manager.sqlite3");
        assert!(ran.output.is_empty(), "{ran:?}");
        ran.failed(1, &["there is no database", &missing, "--database"]);
        assert!(!home.path("manager.sqlite3").exists(), "{line}");
    }
    let hint = "labwire admin access.explain ada 'call DMM.read'";
    run(&home, "labwire may ada DMM read").failed(1, &["another computer", hint]);
}

#[test]
fn a_misspelt_user_is_told_which_one_may_be_meant() {
    let home = Home::new();
    run(&home, "labwire user add charles --compatible --password x").succeeded();
    for line in [
        "labwire user remove charlse",
        "labwire user update charlse --admin",
        "labwire user disable charlse",
        "labwire user enable charlse",
        "labwire user set charlse --email c@lab.example",
        "labwire totp enable charlse",
    ] {
        run(&home, line).failed(1, &["'charlse'", "not in the table. Did you mean 'charles'?"]);
    }
}
