//! Authentication and limits: managers that refuse this computer's programs.

use super::{diagnose, doctor_of, run};
use crate::support::manager::{Home, Manager};
use crate::support::wire::RawPeer;

#[test]
fn a_login_that_is_needed_or_wrong_is_told() {
    let home = Home::new();
    home.prepare(&["user", "add", "ada", "--password", "engine"]);
    let manager = Manager::start_in(home, &["--disable-tls", "--auth-login"]);
    let with = |user: &str, password: &str| {
        let mut command = doctor_of(&manager, &[]);
        command
            .env("LABWIRE_USERNAME", user)
            .env("LABWIRE_PASSWORD", password);
        diagnose(&mut command)
    };
    with("", "").failed(4, "login", "login-needed", &["--username", "LABWIRE_PASSWORD"]);
    with("ada", "").failed(4, "login", "login-needed", &["'ada'", "LABWIRE_PASSWORD"]);
    with("ada", "wheel").failed(4, "login", "wrong-login", &["labwire user list"]);
    with("bob", "engine").failed(
        4,
        "login",
        "wrong-login",
        &["labwire user update NAME --password"],
    );
    assert_eq!(with("ada", "engine").code, Some(0));
}

#[test]
fn the_managers_password_that_is_needed_or_wrong_is_told() {
    let manager = Manager::start(&["--disable-tls", "--auth-password", "radium"]);
    let with = |password: &str| {
        let mut command = doctor_of(&manager, &[]);
        diagnose(command.env("LABWIRE_MANAGER_PASSWORD", password))
    };
    let variable = "LABWIRE_MANAGER_PASSWORD";
    with("").failed(
        4,
        "login",
        "manager-password-needed",
        &[variable, "--auth-password"],
    );
    with("polonium").failed(
        4,
        "login",
        "wrong-manager-password",
        &[variable, "--auth-password"],
    );
    assert_eq!(with("radium").code, Some(0));
}

#[test]
fn a_password_in_the_variable_of_another_question_is_told() {
    let manager = Manager::start(&["--disable-tls", "--auth-password", "radium"]);
    let text = "LABWIRE_PASSWORD is set, but this manager asks for LABWIRE_MANAGER_PASSWORD";
    let mut command = doctor_of(&manager, &[]);
    let diagnosis = diagnose(command.env("LABWIRE_PASSWORD", "radium"));
    diagnosis.failed(4, "login", "manager-password-needed", &[text]);
    let mut command = manager.home().command(&["services"]);
    command
        .envs(manager.environment())
        .env("LABWIRE_PASSWORD", "radium");
    let refused = run(&mut command);
    assert_eq!(refused.code, Some(4), "{refused:?}");
    assert!(refused.errors.contains(text), "{refused:?}");
    // Without it, there is no mistake to tell.
    let diagnosis = diagnose(&mut doctor_of(&manager, &[]));
    let told = diagnosis.check("login").to_string();
    assert!(!told.contains("LABWIRE_PASSWORD"), "{diagnosis:#?}");

    let home = Home::new();
    home.prepare(&["user", "add", "ada", "--password", "engine"]);
    let manager = Manager::start_in(home, &["--disable-tls", "--auth-login"]);
    let text = "LABWIRE_MANAGER_PASSWORD is set, but this manager asks for a user's LABWIRE_PASSWORD";
    for arguments in [&[][..], &["--username", "ada"]] {
        let mut command = doctor_of(&manager, arguments);
        let diagnosis = diagnose(command.env("LABWIRE_MANAGER_PASSWORD", "engine"));
        diagnosis.failed(4, "login", "login-needed", &[text]);
    }
}

#[test]
fn the_managers_of_msl_network_refuse_in_words_that_are_understood_too() {
    let home = Home::new();
    home.prepare(&["user", "add", "ada", "--password", "engine", "--compatible"]);
    let manager = Manager::start_reference(home, &["--disable-tls", "--auth-login"]);
    let mut command = doctor_of(&manager, &["--username", "ada"]);
    let wrong = diagnose(command.env("LABWIRE_PASSWORD", "wheel"));
    wrong.failed(4, "login", "wrong-login", &["labwire user list"]);
    let mut command = doctor_of(&manager, &["--username", "bob"]);
    let unknown = diagnose(command.env("LABWIRE_PASSWORD", "engine"));
    unknown.failed(4, "login", "wrong-login", &["labwire user list"]);
}

#[test]
fn a_hostname_that_is_not_trusted_is_told_as_the_manager_knows_it() {
    let home = Home::new();
    home.prepare(&["hostname", "add", "bench"]);
    let listed = home.labwire(&["hostname", "list"]);
    for name in String::from_utf8(listed.stdout).unwrap().lines() {
        let name = name.trim();
        if name == "localhost" || name.starts_with("127.") || name.contains("::1") {
            home.prepare(&["hostname", "remove", name]);
        }
    }
    let manager = Manager::start_in(home, &["--disable-tls", "--auth-hostname"]);
    let diagnosis = diagnose(&mut doctor_of(&manager, &[]));
    diagnosis.failed(
        4,
        "login",
        "hostname-not-trusted",
        &["labwire hostname add localhost", "HUP"],
    );
}

#[test]
fn a_limit_that_is_reached_is_told_with_its_option() {
    let manager = Manager::start(&["--disable-tls", "--connections", "1"]);
    let mut ada = RawPeer::client(&manager, "Ada");
    ada.request(&crate::support::wire::identity_request());
    let diagnosis = diagnose(&mut doctor_of(&manager, &[]));
    diagnosis.failed(
        4,
        "login",
        "too-many-connections",
        &["--connections N", "1 connections"],
    );

    let manager = Manager::start(&["--disable-tls", "--unidentified-per-address", "1"]);
    let _idle = RawPeer::connect(&manager);
    let diagnosis = diagnose(&mut doctor_of(&manager, &[]));
    let option = "--unidentified-per-address N";
    diagnosis.failed(4, "login", "too-many-connections", &[option, "from this address"]);
}

#[test]
fn an_address_that_must_wait_after_failed_logins_is_told() {
    let options = [
        "--disable-tls",
        "--auth-password",
        "radium",
        "--login-failures",
        "1",
        "--login-penalty",
        "1min",
    ];
    let manager = Manager::start(&options);
    let guess = || {
        let mut command = doctor_of(&manager, &[]);
        diagnose(command.env("LABWIRE_MANAGER_PASSWORD", "polonium"))
    };
    let mut diagnosis = guess();
    for _ in 0..3 {
        if diagnosis.check("login")["problem"] == "too-many-logins" {
            break;
        }
        diagnosis = guess();
    }
    diagnosis.failed(4, "login", "too-many-logins", &["try again in", "wait as long"]);
}
