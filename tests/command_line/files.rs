//! The files that a start creates and reads, and those with which it refuses to start.

use std::fs;
use std::process::Command;

use super::{Ran, at_terminal, command, mode, run, start};
use crate::support::manager::Home;

#[test]
fn the_first_start_says_what_it_made() {
    let manager = start(Home::new(), "labwire start");
    let certificate = manager.certificate();
    let log = manager.log();
    for made in ["the private key", "the self-signed certificate", "the database"] {
        assert!(log.contains(&format!("created {made} ")), "{log}");
    }
    let mut openssl = Command::new("openssl");
    openssl.args(["x509", "-noout", "-fingerprint", "-sha256", "-in", &certificate]);
    let shown = Ran::from(openssl.output().unwrap()).succeeded().to_lowercase();
    let fingerprint = shown.trim().split_once('=').unwrap().1;
    assert!(log.contains(fingerprint), "{fingerprint} is not in\n{log}");

    let again = start(manager.end(), "labwire start");
    assert!(!again.log().contains("created "), "{}", again.log());
}

#[test]
fn a_start_at_a_terminal_says_there_what_to_type_next_and_last_that_it_runs() {
    let home = Home::new();
    let interrupt = [("Network Manager running on", "\u{3}")];
    let screen = at_terminal(&home, "labwire start --port 0", &interrupt).succeeded();
    let logs = home.path("logs");
    let file = fs::read_dir(logs).unwrap().next().unwrap().unwrap().path();
    let log = fs::read_to_string(file).unwrap();
    let (start, port) = screen
        .split_once("Network Manager running on ")
        .and_then(|(start, rest)| Some((start, rest.split_once(" (TLS ")?.0.rsplit_once(':')?.1)))
        .expect("it runs");
    let hints = [
        "to talk to it by hand: openssl s_client",
        &format!("-connect localhost:{port}"),
        &format!("-CAfile {}", home.argument("certs/localhost.crt")),
        "labwire user add NAME --admin",
    ];
    for hint in hints {
        assert!(
            start.contains(hint),
            "{hint:?} is not there before it runs:\n{screen}"
        );
        assert!(!log.contains(hint), "{hint:?} is in the log:\n{log}");
    }
}

#[test]
fn what_is_made_can_be_read_by_its_owner_only() {
    let manager = start(Home::new(), "labwire start");
    let home = manager.home();
    for folder in ["keys", "certs", "logs"] {
        assert_eq!(mode(&home.path(folder)), 0o700, "{folder}");
    }
    for file in ["manager.sqlite3", "keys/localhost.key"] {
        assert_eq!(mode(&home.path(file)), 0o600, "{file}");
    }
    for entry in fs::read_dir(home.path("logs")).unwrap() {
        assert_eq!(mode(&entry.unwrap().path()), 0o600);
    }
    // The files that SQLite keeps beside an open database contain the same rows.
    for entry in fs::read_dir(home.path("")).unwrap() {
        let path = entry.unwrap().path();
        assert_eq!(mode(&path) & 0o077, 0, "{}", path.display());
    }
}

#[test]
fn the_folder_of_an_existing_installation_is_found_and_ours_comes_first() {
    let (ours, theirs, user) = (Home::new(), Home::new(), Home::new());
    let list = |with_ours: bool, with_theirs: bool| {
        let mut command = ours.command(&["hostname", "add", "bench"]);
        command.env("HOME", user.path("")).env_remove("LABWIRE_HOME");
        if with_ours {
            command.env("LABWIRE_HOME", ours.path(""));
        }
        if with_theirs {
            command.env("MSL_NETWORK_HOME", theirs.path(""));
        }
        let ran = Ran::from(command.output().unwrap());
        assert_eq!(ran.code, 0, "{ran:?}");
        ran.error
    };
    assert!(list(true, true).contains(&ours.argument("manager.sqlite3")));
    assert!(list(false, true).contains(&theirs.argument("manager.sqlite3")));
    assert!(list(false, false).contains(&user.argument(".labwire/manager.sqlite3")));
    assert_eq!(mode(&user.path(".labwire")), 0o700);
}

#[test]
fn a_certificate_of_another_key_is_told_with_both_names_and_the_remedy() {
    let home = Home::new();
    run(&home, "labwire certgen").succeeded();
    run(&home, "labwire keygen ecc --out /path/to/other.pem").succeeded();
    let line = "labwire start --cert-file certs/localhost.crt --key-file /path/to/other.pem";
    run(&home, line).failed(
        1,
        &[
            "'certs/localhost.crt'",
            &home.argument("other.pem"),
            "labwire certgen",
        ],
    );
}

#[test]
fn a_corrupt_database_is_named_and_nothing_starts_on_it() {
    let home = Home::new();
    let noise: Vec<u8> = (0_u32..8192).map(|number| (number * 37 % 251) as u8).collect();
    fs::write(home.path("manager.sqlite3"), &noise).unwrap();
    for line in [
        "labwire start --auth-login",
        "labwire start --auth-hostname",
        "labwire start --auth-password x",
        "labwire start",
        "labwire user list",
        "labwire user add j.doe --password x",
    ] {
        let mut command = command(&home, line);
        let ran = Ran::from(command.env("LABWIRE_PORT", "0").output().unwrap());
        ran.failed(1, &[&home.argument("manager.sqlite3"), "file is not a database"]);
        assert_eq!(fs::read(home.path("manager.sqlite3")).unwrap(), noise);
    }
}
