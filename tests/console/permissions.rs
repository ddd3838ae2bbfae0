//! What commands tell a user who lacks a permission at a manager with `--roles`.

use std::fs;

use super::*;

/// Starts a manager with the service DMM, an administrator, and the users `olga`, to whom nothing is granted, and
/// `ada`, who may do everything with the service Echo and lock DMM, which she does not see.
fn with_roles() -> (Manager, RawPeer) {
    with_roles_and(&[])
}

/// As [`with_roles`], after these commands.
fn with_roles_and(commands: &[&[&str]]) -> (Manager, RawPeer) {
    let home = Home::new();
    for user in [&["root", "--admin"][..], &["olga"], &["ada"]] {
        home.prepare(&[&["user", "add"], user, &["--compatible", "--password", "x"]].concat());
    }
    home.prepare(&["role", "add", "locker", "link DMM", "lock DMM", "call DMM.read"]);
    home.prepare(&["grant", "add", "locker", "--to", "ada"]);
    home.prepare(&["grant", "add", "operator", "--to", "ada", "--on", "Echo"]);
    for words in commands {
        home.prepare(words);
    }
    let manager = Manager::start_in(home, &["--disable-tls", "--auth-login", "--roles"]);
    let mut dmm = logged_in(&manager, "root");
    dmm.identify(&json!({ "type": "service", "name": "DMM", "attributes": {} }));
    manager.wait_for_log(" DMM[");
    (manager, dmm)
}

fn logged_in(manager: &Manager, user: &str) -> RawPeer {
    let mut peer = RawPeer::connect(manager);
    for credential in [user, "x"] {
        assert_eq!(peer.read_json()["error"], false);
        peer.send_line(&json!({ "result": credential }).to_string());
    }
    peer
}

fn as_user(manager: &Manager, user: &str, arguments: &[&str]) -> Done {
    let mut command = command(manager, arguments);
    run(command.env("LABWIRE_USERNAME", user).env("LABWIRE_PASSWORD", "x"))
}

#[test]
fn who_lacks_a_permission_is_told_which_and_how_to_find_out_why() {
    let (manager, _dmm) = with_roles();
    let file = manager.home().argument("lab.csv");
    for (arguments, question) in [
        (&["call", "DMM", "read"][..], "olga DMM read\n"),
        (&["lock", "DMM"], "olga DMM\n"),
        (&["link", "DMM"], "olga DMM\n"),
        (&["watch", "DMM"], "olga DMM\n"),
        (&["record", &file, "--poll", "DMM.read() every 1s"], "olga DMM\n"),
        (&["doctor", "--service", "DMM"], "olga DMM\n"),
        (
            &["publish", "lab.oven", "1"],
            "olga --permission 'publish lab.oven'\n",
        ),
    ] {
        let done = as_user(&manager, "olga", arguments);
        assert_eq!(done.code, Some(4), "{arguments:?}: {done:?}");
        let told = format!("{}{}", done.output, done.errors);
        let told: String = told.split_inclusive('\n').map(str::trim_start).collect();
        let question = format!("an administrator can look why: labwire may {question}");
        assert!(told.contains(&question), "{arguments:?}: {told}");
        let missing = match arguments[0] {
            "publish" => "the permission 'publish lab.oven' is not granted to the user 'olga'",
            "lock" => "the permission 'lock DMM' is not granted to the user 'olga'",
            _ => "the permission 'link DMM' is not granted to the user 'olga'",
        };
        assert!(told.replace('\n', " ").contains(missing), "{arguments:?}: {told}");
    }
    let listed = as_user(&manager, "olga", &["services"]);
    assert_eq!(
        listed.errors, "no services are connected that you may see\n",
        "{listed:?}"
    );
    let described = as_user(&manager, "olga", &["describe", "DMM"]);
    assert_eq!(described.code, Some(4), "{described:?}");
    let expected = "labwire: no service 'DMM' is connected that you may see\n";
    assert!(described.errors.starts_with(expected), "{described:?}");
}

#[test]
fn a_recording_notes_the_missing_permission_of_one_of_its_sources() {
    let (manager, _dmm) = with_roles();
    let mut echo = logged_in(&manager, "root");
    echo.identify(&json!({ "type": "service", "name": "Echo", "attributes": {} }));
    manager.wait_for_log(" Echo[");
    let file = manager.home().argument("lab.csv");
    let arguments = [
        "record", &file, "--watch", "Echo", "--watch", "Oven", "--topic", "lab.>", "--for", "2",
    ];
    let done = as_user(&manager, "ada", &arguments);
    assert_eq!(done.code, Some(1), "{done:?}");
    let content = fs::read_to_string(&file).unwrap();
    for (service, missing) in [
        (",gap,Oven,", "'link Oven' is not granted to the user 'ada'"),
        (
            ",gap,,lab.>,",
            "'subscribe lab.>' is not granted to the user 'ada'",
        ),
        (",linked,Echo,", ""),
    ] {
        let row = content.lines().find(|row| row.contains(service));
        assert!(
            row.is_some_and(|row| row.contains(missing)),
            "{content}\n{done:?}"
        );
    }
}

#[test]
fn a_recording_of_forbidden_calls_alone_ends_and_one_with_another_source_goes_on() {
    let link = ["role", "add", "linker", "link DMM"];
    let (manager, _dmm) = with_roles_and(&[&link, &["grant", "add", "linker", "--to", "olga"]]);
    let mut echo = logged_in(&manager, "root");
    echo.identify(&json!({ "type": "service", "name": "Echo", "attributes": {} }));
    manager.wait_for_log(" Echo[");
    let file = manager.home().argument("lab.csv");
    let record = ["record", &file, "--poll", "DMM.read() every 100ms"];
    for (others, missing) in [
        (&[][..], &["'call DMM.read'"][..]),
        (
            &["--poll", "DMM.write(1) every 100ms"],
            &["'call DMM.read'", "'call DMM.write'"],
        ),
        (
            &["--watch", "Echo", "--topic", "lab.>"],
            &["'call DMM.read'", "'link Echo'", "'subscribe lab.>'"],
        ),
    ] {
        let done = as_user(&manager, "olga", &[&record, others].concat());
        assert_eq!(done.code, Some(4), "{done:?}");
        for missing in missing {
            let told = format!("the permission {missing} is not granted to the user 'olga'");
            assert!(done.errors.contains(&told), "{done:?}");
        }
        assert!(done.errors.contains("labwire may olga DMM read"), "{done:?}");
        let content = fs::read_to_string(&file).unwrap();
        assert!(content.lines().last().unwrap().contains(",end,"), "{content}");
        fs::remove_file(&file).unwrap();
    }
    // A source that is permitted has given no value yet.
    let others = [
        "--poll",
        "DMM.write(1) every 100ms",
        "--watch",
        "Echo",
        "--for",
        "2",
    ];
    let done = as_user(&manager, "ada", &[&["record", &file], &others[..]].concat());
    assert_eq!(done.code, Some(1), "{done:?}");
    let told = "DMM.write(1): PermissionError: the permission 'call DMM.write'";
    assert!(done.errors.contains(told), "{done:?}");
    let content = fs::read_to_string(&file).unwrap();
    let refused = content.lines().filter(|row| row.contains(",error,DMM,"));
    assert!(refused.count() > 1, "{content}");
}

#[test]
fn a_lock_on_a_service_out_of_sight_is_refused_with_what_is_in_the_way() {
    let (manager, _dmm) = with_roles();
    let mut holder = logged_in(&manager, "root");
    holder.identify(&json!({ "type": "client", "name": "Holder" }));
    let link = json!({ "service": "Manager", "attribute": "link", "args": ["DMM"], "uid": "1" });
    assert_eq!(holder.request(&link)["error"], false);
    let done = as_user(&manager, "ada", &["lock", "DMM"]);
    assert_eq!(done.code, Some(4), "{done:?}");
    let expected = "labwire: 'DMM' cannot be locked now: there are 1 links with it\n";
    assert!(done.errors.starts_with(expected), "{done:?}");
    assert!(done.errors.contains("Holder["), "{done:?}");
}
