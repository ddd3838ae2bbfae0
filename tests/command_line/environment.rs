//! Empty environment variables.

use super::{Ran, command, run, start};
use crate::support::manager::{Home, Manager};

/// Returns the environment variables on a help page.
fn variables(home: &Home, line: &str) -> Vec<String> {
    let page = run(home, &format!("{line} --help")).succeeded();
    let found = page
        .match_indices("[env: LABWIRE_")
        .map(|(start, _)| &page[start + "[env: ".len()..]);
    found
        .map(|rest| rest.split(['=', ']']).next().unwrap().to_owned())
        .collect()
}

#[test]
fn a_variable_that_is_set_to_nothing_counts_as_not_set() {
    let home = Home::new();
    let names = variables(&home, "labwire start");
    assert!(
        names.len() > 25 && names.contains(&"LABWIRE_AUTH_LOGIN".to_owned()),
        "{names:?}"
    );
    // `--port`, since the default port may be in use.
    let mut started = command(&home, "labwire start --port 0 --disable-tls");
    for name in names.iter().map(String::as_str).chain(["MSL_NETWORK_HOME"]) {
        started.env(name, "");
    }
    let manager = Manager::start_command(home, &mut started);
    manager.wait_for_log("not using authentication, serving this computer only");
    let line = manager.wait_for_log("is set to nothing, which counts as not set");
    assert!(
        line.contains("[WARNING]") && line.contains("LABWIRE_AUTH_PASSWORD"),
        "{line}"
    );
    let home = manager.end();

    let user = Home::new();
    let mut added = command(&home, "labwire user add ada --compatible --password x");
    for name in variables(&home, "labwire user") {
        added.env(name, "");
    }
    added
        .env("HOME", user.path(""))
        .env("LABWIRE_HOME", "")
        .env("MSL_NETWORK_HOME", "");
    Ran::from(added.output().unwrap()).succeeded();
    assert!(user.path(".labwire/manager.sqlite3").exists());

    let mut check = command(&home, "labwire start --check --port 0");
    check.env("LABWIRE_AUTH_PASSWORD", "");
    let found = Ran::from(check.output().unwrap()).succeeded();
    assert!(
        found.contains("doubtful  authentication LABWIRE_AUTH_PASSWORD is set to nothing"),
        "{found}"
    );
}

#[test]
fn peers_take_a_variable_that_is_set_to_nothing_as_not_set() {
    let manager = start(Home::new(), "labwire start --disable-tls");
    let mut peer = crate::support::program("matrix_service");
    peer.arg("Bench");
    for name in [
        "LABWIRE_CERT_FILE",
        "LABWIRE_FIRST_USE",
        "LABWIRE_USERNAME",
        "LABWIRE_PASSWORD",
        "LABWIRE_MANAGER_PASSWORD",
        "LABWIRE_RECONNECT",
        "MSL_NETWORK_HOME",
    ] {
        peer.env(name, "");
    }
    for (name, value) in manager.environment() {
        peer.env(name, value);
    }
    let _peer = crate::support::process::Process::spawn("a service", &mut peer);
    manager.wait_for_log("is a new Service connection");
}

#[test]
fn a_misspelt_variable_is_told_with_the_one_that_is_meant() {
    let home = Home::new();
    let mut listed = command(&home, "labwire profile list");
    listed
        .env("LABWIRE_MANGER", "lab-pc")
        .env("LABWIRE_LOG_LEVL", "DEBUG")
        .env("LABWIRE_RACK_NUMBER", "7");
    let ran = Ran::from(listed.output().unwrap());
    for (name, meant) in [
        ("LABWIRE_MANGER", "LABWIRE_MANAGER"),
        ("LABWIRE_LOG_LEVL", "LABWIRE_LOG_LEVEL"),
    ] {
        let text = format!("labwire: the environment variable {name} is not known: did you mean {meant}?\n");
        assert!(ran.error.contains(&text), "{}", ran.error);
    }
    assert!(!ran.error.contains("RACK"), "{}", ran.error);
    ran.succeeded();
}
