//! `labwire start --check` finds the errors of a start, and changes nothing.

use std::collections::BTreeMap;
use std::fs::{self, Permissions};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::{Instant, SystemTime};

use super::{Ran, command, run};
use crate::support::manager::{HOST, Home, Manager};
use crate::support::process::bound_by_modes;
use crate::support::{DEADLINE, POLL_INTERVAL};

/// Returns all files of a folder with their times and contents.
fn everything(folder: &Path) -> BTreeMap<PathBuf, (SystemTime, Vec<u8>)> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let changed = path.metadata().unwrap().modified().unwrap();
        if path.is_dir() {
            found.extend(everything(&path));
            found.insert(path, (changed, Vec::new()));
        } else {
            let contents = fs::read(&path).unwrap_or_default();
            found.insert(path, (changed, contents));
        }
    }
    found
}

/// Runs the check, and expects no change in the home folder.
fn check(home: &Home, options: &str) -> Ran {
    let before = everything(&home.path(""));
    let ran = run(home, &format!("labwire start --check{options}"));
    assert_eq!(everything(&home.path("")), before, "{options}: {ran:?}");
    ran
}

/// Expects that a check reports this error, once.
fn finds_wrong(home: &Home, options: &str, about: &str, texts: &[&str]) {
    expect_wrong(&check(home, options), 1, about, texts);
}

/// The same for an option that is typed wrongly.
fn finds_mistyped(home: &Home, options: &str, about: &str, texts: &[&str]) {
    expect_wrong(&check(home, options), 2, about, texts);
}

fn expect_wrong(ran: &Ran, code: i32, about: &str, texts: &[&str]) {
    assert_eq!(ran.code, code, "{ran:?}");
    let wrong: Vec<_> = ran
        .output
        .lines()
        .filter(|line| line.starts_with("WRONG"))
        .collect();
    assert!(wrong.len() == 1 && wrong[0].contains(about), "{ran:?}");
    for text in texts {
        assert!(ran.output.contains(text), "{text:?} is not said: {}", ran.output);
    }
    assert!(
        ran.error
            .contains("the manager cannot be started like this, 1 thing is wrong"),
        "{ran:?}"
    );
}

#[test]
fn in_a_new_home_all_is_well_and_nothing_is_made() {
    let home = Home::new();
    let output = check(&home, " --port 0").succeeded();
    for text in [
        "keys/localhost.key would be made",
        "certs/localhost.crt would be made",
        "manager.sqlite3 would be made",
        "ok        log ",
        "ok        port ",
        "this computer only",
        "The manager would start.",
    ] {
        assert!(output.contains(text), "{text}: {output}");
    }
    assert!(everything(&home.path("")).is_empty());

    let nowhere = Home::new();
    let mut command = command(&nowhere, "labwire start --check --port 0");
    let ran = Ran::from(command.env("LABWIRE_HOME", nowhere.path("a/b")).output().unwrap());
    ran.succeeded();
    assert!(everything(&nowhere.path("")).is_empty());
}

#[test]
fn what_a_manager_has_made_is_well_also_while_it_runs() {
    let home = Home::new();
    home.prepare(&["user", "add", "ada", "--admin", "--compatible", "--password", "x"]);
    let manager = Manager::start_in(home, &["--auth-login"]);
    let home = manager.end();
    let output = check(&home, " --port 0 --auth-login").succeeded();
    for text in [
        "certs/localhost.crt fits its key and is valid until ",
        "1 user(s), 1 of them administrators",
        "everyone must log in as one of 1 user(s)",
    ] {
        assert!(output.contains(text), "{text}: {output}");
    }
    let manager = Manager::start_in(home, &[]);
    let ran = run(
        manager.home(),
        &format!("labwire start --check --port {}", manager.port()),
    );
    expect_wrong(
        &ran,
        1,
        "port",
        &[
            "another manager ('labwire', process ",
            ") listens there: stop it, or choose another port with --port (or LABWIRE_PORT); with --port 0 the system",
        ],
    );
}

#[test]
fn a_configuration_that_is_wrong_is_found() {
    let home = Home::new();
    fs::write(home.path("c.toml"), "port = 0\nline = \"1\"\n").unwrap();
    finds_mistyped(
        &home,
        " --config c.toml",
        "configuration",
        &["--line can be 1KiB to 16GiB"],
    );
    fs::write(home.path("c.toml"), "port = 0\nprot = 1\n").unwrap();
    finds_mistyped(
        &home,
        " --config c.toml",
        "configuration",
        &["c.toml, line 2 is wrong"],
    );
    finds_wrong(
        &home,
        " --config none.toml",
        "configuration",
        &["cannot read the configuration none.toml"],
    );
    finds_mistyped(
        &home,
        " -p 0 -G LOUD",
        "configuration",
        &["Cannot set logging level to 'LOUD'"],
    );
    fs::write(home.path("c.toml"), "port = 0\n").unwrap();
    let output = check(&home, " --config c.toml").succeeded();
    assert!(output.contains("c.toml is in order"), "{output}");
}

#[test]
fn a_key_or_certificate_that_is_wrong_is_found() {
    let home = Home::new();
    home.prepare(&["keygen", "ecc", "--out", "k.pem", "--password", "right"]);
    home.prepare(&[
        "certgen",
        "c.pem",
        "--key-file",
        "k.pem",
        "--key-file-password",
        "right",
    ]);
    home.prepare(&["keygen", "ecc", "--out", "other.pem"]);
    let pair = " -p 0 -c c.pem -k k.pem";
    check(&home, &format!("{pair} -D right")).succeeded();
    finds_wrong(
        &home,
        &format!("{pair} -D wrong"),
        "certificate",
        &["wrong password for the private key"],
    );
    finds_wrong(
        &home,
        pair,
        "certificate",
        &["is encrypted; give its password with --key-file-password"],
    );
    finds_wrong(
        &home,
        " -p 0 -c c.pem -k other.pem",
        "certificate",
        &["does not belong to the private key"],
    );
    finds_wrong(
        &home,
        " -p 0 -c none.pem",
        "certificate",
        &["create one with: labwire certgen"],
    );
    finds_wrong(
        &home,
        " -p 0 -k none.pem",
        "certificate",
        &["create one with: labwire keygen"],
    );
    let output = check(&home, " -p 0 -k other.pem").succeeded();
    assert!(output.contains("certs/localhost.crt would be made"), "{output}");
    let output = check(&home, &format!("{pair} -D right -H 127.0.0.9")).succeeded();
    assert!(
        output.contains("doubtful  certificate    the certificate is not for 127.0.0.9"),
        "{output}"
    );
    let output = check(&home, " -p 0 --disable-tls").succeeded();
    assert!(output.contains("connections are not encrypted"), "{output}");
}

#[test]
fn a_certificate_that_expires_is_found_and_told_by_a_start() {
    let home = Home::new();
    home.prepare(&["keygen", "ecc", "--out", "k.pem"]);
    let certgen = ["certgen", "c.pem", "--key-file", "k.pem", "--years-valid"];
    home.prepare(&[&certgen[..], &["0.05"]].concat());
    let files = ["--cert-file", "c.pem", "--key-file", "k.pem"];
    let output = check(&home, " -p 0 -c c.pem -k k.pem").succeeded();
    assert!(
        output.contains("doubtful  certificate    the certificate expires on "),
        "{output}"
    );
    let manager = Manager::start_in(home, &files);
    let line = manager.wait_for_log("the certificate expires on ");
    assert!(
        line.contains("[WARNING]") && line.contains("labwire certgen"),
        "{line}"
    );

    let home = manager.end();
    // A few seconds, in years.
    home.prepare(&[&certgen[..], &["0.0000001"]].concat());
    let deadline = Instant::now() + DEADLINE;
    let expired = loop {
        let ran = check(&home, " -p 0 -c c.pem -k k.pem");
        if ran.code != 0 {
            break ran;
        }
        assert!(Instant::now() < deadline, "it never expires");
        std::thread::sleep(POLL_INTERVAL);
    };
    expect_wrong(
        &expired,
        1,
        "certificate",
        &["the certificate has expired on ", "labwire certgen"],
    );
    let manager = Manager::start_in(home, &files);
    let line = manager.wait_for_log("the certificate has expired on ");
    assert!(line.contains("[WARNING]"), "{line}");
}

#[test]
fn the_tables_that_a_database_lacks_are_named() {
    const MISSING: &str = "labwire_password_rounds, labwire_accounts, labwire_grants, labwire_groups, \
                           labwire_leases, labwire_members, labwire_permissions, labwire_pruning, \
                           labwire_record, labwire_roles, \
                           labwire_schema, labwire_set_members, labwire_sets, labwire_tokens, labwire_totp, \
                           labwire_totp_codes, labwire_users";
    let home = Home::new();
    let fixture = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../tests/fixtures/msl-network-1.0.0.sqlite3"
    );
    fs::copy(fixture, home.path("theirs")).unwrap();
    let output = check(&home, " -p 0 -d theirs").succeeded();
    let expected = format!("tables that would be made: {MISSING}");
    assert!(output.contains(&expected), "{output}");
    home.prepare(&[
        "user",
        "add",
        "ada",
        "--compatible",
        "--password",
        "x",
        "--database",
        "theirs",
    ]);
    let output = check(&home, " -p 0 -d theirs").succeeded();
    assert!(!output.contains("labwire_password_rounds"), "{output}");

    fs::copy(fixture, home.path("theirs")).unwrap();
    fs::set_permissions(home.path("theirs"), Permissions::from_mode(0o400)).unwrap();
    let command = command(&home, "labwire start --check -p 0 --disable-tls -d theirs");
    if let Some(mut command) = bound_by_modes(command) {
        let ran = Ran::from(command.output().unwrap());
        expect_wrong(&ran, 1, "database", &[&format!("lacks the tables {MISSING}")]);
    }
}

#[test]
fn a_database_that_is_wrong_is_found() {
    let home = Home::new();
    fs::write(home.path("noise"), [7; 8_192]).unwrap();
    finds_wrong(
        &home,
        " -p 0 -d noise",
        "database",
        &["noise: the database: file is not a database"],
    );
    rusqlite::Connection::open(home.path("foreign"))
        .unwrap()
        .execute_batch("CREATE TABLE auth_users (name TEXT)")
        .unwrap();
    finds_wrong(
        &home,
        " -p 0 -d foreign",
        "database",
        &["auth_users has other columns", "choose another file"],
    );
    home.prepare(&[
        "user",
        "add",
        "ada",
        "--compatible",
        "--password",
        "x",
        "--create",
        "--database",
        "damaged",
    ]);
    let mut bytes = fs::read(home.path("damaged")).unwrap();
    bytes[4_096..].fill(0xa5);
    fs::write(home.path("damaged"), bytes).unwrap();
    finds_wrong(&home, " -p 0 -d damaged", "database", &["cannot use damaged"]);
    let ran = check(&home, " -p 0 -d damaged --auth-login");
    expect_wrong(&ran, 1, "database", &["once the database is in order"]);
    finds_wrong(&home, " -p 0 -d noise/db", "database", &["noise/db"]);
}

#[test]
fn authentication_that_admits_nobody_or_everybody_is_found() {
    let home = Home::new();
    finds_wrong(
        &home,
        " -p 0 --auth-login",
        "authentication",
        &["no one could log in", "labwire user"],
    );
    finds_mistyped(
        &home,
        " -p 0 --auth-login --auth-hostname",
        "authentication",
        &["Cannot specify multiple authentication methods"],
    );
    fs::write(home.path("empty"), "").unwrap();
    finds_wrong(
        &home,
        " -p 0 --auth-password empty",
        "authentication",
        &["the password is empty"],
    );
    let output = check(&home, " -p 0 --open").succeeded();
    assert!(output.contains("doubtful  authentication EVERYONE"), "{output}");
    let output = check(&home, " -p 0 --roles").succeeded();
    assert!(
        output.contains("doubtful  roles          nobody has a user without --auth-login")
            && output.contains("labwire grant add operator --to-group everyone")
            && output.matches("doubtful  roles").count() == 1,
        "{output}"
    );
    let output = check(&home, " -p 0 -P open sesame").succeeded();
    assert!(
        output.contains("know the password") && !output.contains("sesame"),
        "{output}"
    );
}

#[test]
fn a_port_or_a_log_that_cannot_be_had_is_found() {
    let home = Home::new();
    let taken = TcpListener::bind((HOST, 0)).unwrap();
    let port = taken.local_addr().unwrap().port();
    finds_wrong(
        &home,
        &format!(" -p {port}"),
        "port",
        &["choose another port with --port"],
    );
    finds_wrong(
        &home,
        " -p 0 -H no-such-host.invalid",
        "port",
        &["cannot listen on no-such-host.invalid"],
    );
    fs::create_dir(home.path("folder")).unwrap();
    finds_wrong(&home, " -p 0 -l folder", "log", &["name a file with --log-file"]);
    fs::write(home.path("file"), "").unwrap();
    finds_wrong(&home, " -p 0 -l file/a.log", "log", &["file is no folder"]);
}

#[test]
fn what_may_not_be_read_or_written_is_found() {
    let home = Home::new();
    home.prepare(&["user", "add", "ada", "--compatible", "--password", "x"]);
    fs::create_dir(home.path("closed")).unwrap();
    fs::write(home.path("a.log"), "").unwrap();
    let set = |name: &str, mode| fs::set_permissions(home.path(name), Permissions::from_mode(mode)).unwrap();
    set("closed", 0o500);
    set("a.log", 0o400);
    for (mode, options, about, texts) in [
        (
            0o600,
            "-d closed/new/db",
            "database",
            &["closed/new/db cannot be made in", "Permission denied"][..],
        ),
        (
            0o600,
            "-l closed/a.log",
            "log",
            &["cannot be made in", "choose another place"],
        ),
        (
            0o600,
            "-l a.log",
            "log",
            &["a.log cannot be written", "chmod u+w"],
        ),
        (
            0o000,
            "",
            "database",
            &["manager.sqlite3 cannot be read", "chmod u+rw"],
        ),
    ] {
        set("manager.sqlite3", mode);
        let line = format!("labwire start --check -p 0 --disable-tls {options}");
        let Some(mut command) = bound_by_modes(command(&home, line.trim())) else {
            return;
        };
        expect_wrong(&Ran::from(command.output().unwrap()), 1, about, texts);
    }
    set("manager.sqlite3", 0o400);
    let mut command =
        bound_by_modes(command(&home, "labwire start --check -p 0")).expect("it was there before");
    let output = Ran::from(command.output().unwrap()).succeeded();
    assert!(output.contains("doubtful  database"), "{output}");
}
