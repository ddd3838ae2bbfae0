//! What commands change is in the record of the manager.

use super::*;

#[test]
fn what_commands_change_is_in_the_record_with_the_systems_user() {
    // Two users were added before the first start.
    let home = home();
    home.prepare(&["group", "add", "students"]);
    let manager = Manager::start_in(home, &["--disable-tls", "--auth-login", "--roles"]);
    for words in [
        &["group", "join", "students", "bob"][..],
        &["role", "add", "reader", "call DMM*.read*"],
        &["set", "add", "bench3", "PSU3*"],
        &[
            "grant",
            "add",
            "reader",
            "--to-group",
            "students",
            "--on",
            "@bench3",
            "--for",
            "90min",
        ],
        &["grant", "list"],
        &["grant", "remove", "1"],
        &["user", "remove", "bob"],
        &["hostname", "add", "notebook"],
    ] {
        manager.home().prepare(words);
    }
    let nothing = manager
        .home()
        .command(&["set", "remove", "nothing"])
        .output()
        .unwrap();
    assert!(!nothing.status.success());
    let found = entries(&manager, &["--kind", "command"]);
    let commands: Vec<_> = found
        .iter()
        .map(|entry| entry["attribute"].as_str().unwrap())
        .collect();
    assert_eq!(
        commands,
        [
            "user add",
            "user add",
            "group add",
            "group join",
            "role add",
            "set add",
            "grant add",
            "grant remove",
            "user remove",
            "hostname add"
        ]
    );
    let text = found[0]["text"].as_str().unwrap();
    assert!(text.starts_with("ada has been added"), "{text}");
    assert_eq!(found[3]["text"], "bob joined students");
    let user = &found[0]["user"];
    assert!(found.iter().all(|entry| entry["user"] == *user), "{found:?}");
    let name = Command::new("id").arg("-un").output().unwrap();
    let name = String::from_utf8(name.stdout).unwrap();
    assert!(user.as_str().unwrap().starts_with(name.trim()), "{user}");
    let text = history(&manager, &["--kind", "command", "--limit", "1"]);
    assert!(
        text.contains(" ran labwire hostname add: Added notebook"),
        "{text}"
    );

    let home = manager.end();
    let verified = finished(&mut home.command(&["history", "--file", "manager.record.sqlite3", "--verify"]));
    assert_eq!(verified.0, Some(0), "{verified:?}");
    // What cannot be recorded is done all the same, and said.
    fs::remove_file(home.path("manager.record.sqlite3")).unwrap();
    fs::create_dir(home.path("manager.record.sqlite3")).unwrap();
    let (code, output, errors) = finished(&mut home.command(&["group", "add", "guests"]));
    assert_eq!((code, output.as_str()), (Some(0), "Added the group guests\n"));
    assert!(
        errors.contains("labwire: this change is not in the record: "),
        "{errors}"
    );
    let (code, _, errors) = finished(
        home.command(&["group", "add", "others"])
            .env("LABWIRE_RECORD", "nothing"),
    );
    assert_eq!(code, Some(0));
    assert!(!errors.contains("the record"), "{errors}");
}

#[test]
fn commands_write_to_the_record_that_only_the_command_line_of_the_manager_names() {
    let elsewhere = tempfile::tempdir().unwrap();
    let file = elsewhere.path().join("record.sqlite3");
    let file = file.to_str().unwrap();
    let manager = Manager::start_in(home(), &["--disable-tls", "--record-file", file]);
    manager.home().prepare(&["group", "add", "running"]);
    let home = manager.end();
    home.prepare(&["group", "add", "stopped"]);
    let words = ["history", "--file", file, "--kind", "command", "--json"];
    let (code, output, _) = finished(&mut home.command(&words));
    let added = output
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap()["text"].clone());
    let added: Vec<_> = added.collect();
    assert_eq!(
        (code, added),
        (
            Some(0),
            vec![json!("Added the group running"), json!("Added the group stopped")]
        )
    );

    // What is no file of the owner of the database is not written to.
    let kept = elsewhere.path().join("kept.sqlite3");
    fs::rename(file, &kept).unwrap();
    std::os::unix::fs::symlink(&kept, file).unwrap();
    let (code, output, errors) = finished(&mut home.command(&["group", "add", "linked"]));
    assert_eq!((code, output.as_str()), (Some(0), "Added the group linked\n"));
    assert!(
        errors.contains("labwire: this change is not in the record: "),
        "{errors}"
    );
    fs::remove_file(file).unwrap();
    let (_, _, errors) = finished(&mut home.command(&["group", "add", "missing"]));
    assert!(errors.contains("cannot find"), "{errors}");
    assert!(!Path::new(file).exists());

    // The next start counts, and so does what the command itself is told.
    let manager = Manager::start_in(home, &["--disable-tls", "--record", "nothing"]);
    let other = elsewhere.path().join("other.sqlite3");
    let mut named = manager.home().command(&["group", "add", "named"]);
    finished(named.env("LABWIRE_RECORD_FILE", &other));
    assert!(other.exists());
    let before = fs::read(&other).unwrap();
    let (code, _, errors) = finished(&mut manager.home().command(&["group", "add", "unrecorded"]));
    assert_eq!(code, Some(0), "{errors}");
    assert!(!errors.contains("the record"), "{errors}");
    assert_eq!(fs::read(&other).unwrap(), before);
}
