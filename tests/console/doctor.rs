//! `labwire doctor`: each fault is really there, and the diagnosis names it with its remedy.

mod access;
mod certificates;
mod network;

use std::process::Command;

use serde_json::{Value, json};

use super::{Done, json_lines, labwire, output, run, start};
use crate::support::manager::{Home, Manager};
use crate::support::wire::RawPeer;

/// The result of `labwire doctor --json`.
#[derive(Debug)]
struct Diagnosis {
    code: Option<i32>,
    checks: Vec<Value>,
    errors: String,
}

impl Diagnosis {
    /// Returns the checks with this status, each with its problem.
    fn with(&self, status: &str) -> Vec<(&str, &str)> {
        let those = self.checks.iter().filter(|check| check["status"] == status);
        those
            .map(|check| {
                (
                    check["check"].as_str().unwrap(),
                    check["problem"].as_str().unwrap_or_default(),
                )
            })
            .collect()
    }

    /// Returns the check of that name.
    fn check(&self, name: &str) -> &Value {
        self.checks
            .iter()
            .find(|check| check["check"] == name)
            .unwrap_or_else(|| panic!("no check {name}: {self:?}"))
    }

    /// Returns the commands of that check's remedies.
    fn commands(&self, name: &str) -> Vec<&str> {
        let remedies = self.check(name)["remedies"].as_array().unwrap();
        remedies
            .iter()
            .filter_map(|remedy| remedy["command"].as_str())
            .collect()
    }

    /// Expects one failure, with this exit code, these texts in what is told about it, and the checks
    /// that depend on it left out.
    fn failed(&self, code: i32, check: &str, problem: &str, texts: &[&str]) {
        assert_eq!(self.code, Some(code), "{self:#?}");
        assert_eq!(self.with("failed"), [(check, problem)], "{self:#?}");
        let told = self.check(check).to_string();
        for text in texts {
            assert!(told.contains(text), "{text}: {self:#?}");
        }
        assert!(self.errors.contains(check), "{self:?}");
        if check != "service" {
            assert!(!self.with("not-checked").is_empty(), "{self:#?}");
        }
    }

    /// Expects that nothing failed, and that one check warns with this problem and these texts.
    fn warned(&self, check: &str, problem: &str, texts: &[&str]) {
        assert_eq!(self.code, Some(0), "{self:#?}");
        assert!(self.with("warning").contains(&(check, problem)), "{self:#?}");
        let told = self.check(check).to_string();
        for text in texts {
            assert!(told.contains(text), "{text}: {self:#?}");
        }
    }
}

/// Runs a command with `--json`, which must be one of this one.
fn diagnose(command: &mut Command) -> Diagnosis {
    let Done { code, output, errors } = run(command.arg("--json"));
    Diagnosis {
        code,
        checks: json_lines(&output),
        errors,
    }
}

/// Returns `labwire doctor` with these arguments, on a computer where nothing is saved but in this
/// folder.
fn doctor(home: &Home, arguments: &[&str]) -> Command {
    let mut command = home.command(&[&["doctor"], arguments].concat());
    command.env("MSL_NETWORK_HOME", home.path(""));
    command
}

/// Returns `labwire doctor` for a manager, as a person on its computer runs it.
fn doctor_of(manager: &Manager, arguments: &[&str]) -> Command {
    let mut command = doctor(manager.home(), arguments);
    command.envs(manager.environment());
    command
}

#[test]
fn a_connection_that_works_passes_every_check_in_both_forms() {
    for options in [&["--disable-tls"][..], &[]] {
        let manager = Manager::start(options);
        let diagnosis = diagnose(&mut doctor_of(&manager, &[]));
        assert_eq!(
            (diagnosis.code, &*diagnosis.errors),
            (Some(0), ""),
            "{diagnosis:#?}"
        );
        let mut expected = vec!["settings", "home", "name", "port", "tls"];
        if options.is_empty() {
            expected.extend(["certificate", "python", "clock"]);
        }
        expected.extend(["login", "manager"]);
        let passed: Vec<_> = diagnosis.with("ok").iter().map(|(check, _)| *check).collect();
        assert_eq!(passed, expected, "{diagnosis:#?}");
        assert!(
            diagnosis.checks[0]["message"]
                .as_str()
                .unwrap()
                .contains("LABWIRE_MANAGER")
        );

        let done = run(&mut doctor_of(&manager, &[]));
        assert_eq!((done.code, &*done.errors), (Some(0), ""));
        assert_eq!(done.output.lines().count(), expected.len(), "{done:?}");
        assert!(
            done.output.starts_with("ok           settings     localhost:"),
            "{done:?}"
        );
    }
}

#[test]
fn it_is_said_which_login_the_manager_has_checked() {
    let login = |manager: &Manager, variables: &[(&str, &str)], arguments: &[&str]| {
        let mut command = doctor_of(manager, arguments);
        let diagnosis = diagnose(command.envs(variables.iter().copied()));
        assert_eq!(diagnosis.code, Some(0), "{diagnosis:#?}");
        diagnosis.check("login")["message"].as_str().unwrap().to_owned()
    };
    let password = ("LABWIRE_PASSWORD", "engine");
    let open = start();
    assert!(login(&open, &[], &[]).ends_with("asks for no login, so no user was checked"));
    let text = login(&open, &[password], &["--username", "ada"]);
    assert!(
        text.ends_with("so the user from --username and the password were not checked"),
        "{text}"
    );
    let own = ("LABWIRE_MANAGER_PASSWORD", "abc");
    let with_password = Manager::start(&["--disable-tls", "--auth-password", "abc"]);
    assert!(login(&with_password, &[own], &[]).ends_with("has checked its own password"));
    let text = login(&with_password, &[own, ("LABWIRE_USERNAME", "ada")], &[]);
    assert!(
        text.ends_with("own password, but not the user from LABWIRE_USERNAME"),
        "{text}"
    );
    let home = Home::new();
    home.prepare(&["user", "add", "ada", "--password", "engine"]);
    let with_logins = Manager::start_in(home, &["--disable-tls", "--auth-login"]);
    let text = login(&with_logins, &[password], &["--username", "ada"]);
    assert!(
        text.ends_with("has checked the user 'ada' and the password"),
        "{text}"
    );
}

#[test]
fn a_failure_is_told_with_a_command_to_paste_and_what_was_not_checked() {
    let home = Home::new();
    let done = run(&mut doctor(&home, &["no-such-computer.invalid"]));
    assert_eq!(done.code, Some(3), "{done:?}");
    assert!(
        done.errors.contains("no-such-computer.invalid:1875: name"),
        "{done:?}"
    );
    let lines: Vec<_> = done.output.lines().collect();
    assert!(
        lines[2].starts_with("failed       name         no computer is known as"),
        "{done:?}"
    );
    assert!(
        lines
            .iter()
            .any(|line| line.starts_with("not checked  certificate")),
        "{done:?}"
    );
}

#[test]
fn two_home_folders_are_told() {
    let manager = start();
    let users = Home::new();
    let with_homes = |variables: &[(&str, &str)]| {
        let mut command = doctor_of(&manager, &[]);
        command.env_remove("LABWIRE_HOME").env_remove("MSL_NETWORK_HOME");
        command
            .env("HOME", users.path(""))
            .envs(variables.iter().copied());
        diagnose(&mut command)
    };
    let diagnosis = with_homes(&[]);
    assert_eq!(diagnosis.with("warning"), [], "{diagnosis:#?}");

    // Each kind of program has been told to use another folder.
    let diagnosis = with_homes(&[("LABWIRE_HOME", "/one"), ("MSL_NETWORK_HOME", "/other")]);
    diagnosis.warned(
        "home",
        "two-home-folders",
        &[
            "/one (from LABWIRE_HOME; it does not exist)",
            "/other (from MSL_NETWORK_HOME; it does not exist)",
            "unset LABWIRE_HOME",
        ],
    );

    // One variable alone names a folder that does not exist.
    for variable in ["LABWIRE_HOME", "MSL_NETWORK_HOME"] {
        let mistyped = users.argument("mistyped");
        let diagnosis = with_homes(&[(variable, &mistyped)]);
        let message = format!("{mistyped} (from {variable}; it does not exist)");
        diagnosis.warned("home", "missing-home-folder", &[&message, "unset it"]);
        let diagnosis = with_homes(&[(variable, &users.argument(""))]);
        assert_eq!(diagnosis.check("home")["status"], "ok", "{diagnosis:#?}");
    }

    // An installation of MSL-Network that labwire does not use.
    let theirs = users.path(".msl/network");
    std::fs::create_dir_all(&theirs).unwrap();
    std::fs::write(theirs.join("manager.sqlite3"), "").unwrap();
    let diagnosis = with_homes(&[]);
    let remedy = format!("MSL_NETWORK_HOME={} labwire start", theirs.display());
    diagnosis.warned("home", "two-home-folders", &[&remedy]);

    // Both are in use.
    std::fs::create_dir_all(users.path(".labwire")).unwrap();
    std::fs::write(users.path(".labwire/manager.sqlite3"), "").unwrap();
    with_homes(&[]).warned(
        "home",
        "two-home-folders",
        &[".labwire", ".msl/network", "are in use"],
    );
}

#[test]
fn a_home_folder_with_a_blank_in_its_name_can_be_pasted() {
    let manager = start();
    let users = Home::new();
    let user = users.path("Ada Lovelace");
    let theirs = user.join(".msl/network");
    std::fs::create_dir_all(&theirs).unwrap();
    std::fs::write(theirs.join("manager.sqlite3"), "").unwrap();
    let mut command = doctor_of(&manager, &[]);
    command.env_remove("LABWIRE_HOME").env_remove("MSL_NETWORK_HOME");
    let diagnosis = diagnose(command.env("HOME", &user));
    let remedy = format!("MSL_NETWORK_HOME='{}' labwire start", theirs.display());
    diagnosis.warned("home", "two-home-folders", &[&remedy]);
}

#[test]
fn a_home_folder_that_is_a_file_is_told_with_its_variable() {
    let manager = start();
    let home = Home::new();
    let file = home.argument("notes.txt");
    std::fs::write(&file, "").unwrap();
    let texts = [&*file, "is a file, not a folder", "LABWIRE_HOME"];
    for environment in [manager.environment(), vec![("LABWIRE_MANAGER", String::new())]] {
        let mut command = doctor(&home, &["--disable-tls"]);
        command.envs(environment).env("LABWIRE_HOME", &file);
        let diagnosis = diagnose(&mut command);
        assert_eq!(diagnosis.code, Some(1), "{diagnosis:#?}");
        let check = diagnosis.check("home");
        assert_eq!(check["problem"], "unusable-home-folder", "{diagnosis:#?}");
        for text in texts {
            assert!(check.to_string().contains(text), "{text}: {diagnosis:#?}");
        }
    }
    // Python programs have a folder of their own.
    let mut command = doctor_of(&manager, &[]);
    command.env("MSL_NETWORK_HOME", &file);
    diagnose(&mut command).warned("home", "unusable-home-folder", &[&file, "Python"]);
}

#[test]
fn a_wrong_address_is_blamed_on_the_argument_that_was_typed() {
    let home = Home::new();
    for (arguments, text) in [
        (&["localhost:99999"][..], "localhost:99999: HOST, HOST:PORT"),
        (
            &["localhost:1", "--port", "2"],
            "labwire: localhost:1 and --port 2",
        ),
        (&["--host", "localhost:99999"], "--host localhost:99999"),
    ] {
        let wrong = run(&mut doctor(&home, arguments));
        assert_eq!(wrong.code, Some(2), "{wrong:?}");
        assert!(wrong.errors.contains(text), "{text}: {wrong:?}");
        let is_option = arguments[0] == "--host";
        assert_eq!(wrong.errors.contains("--host"), is_option, "{wrong:?}");
    }
    std::fs::write(
        home.path("config.toml"),
        "[profiles.lab]\nhost = \"lab-pc:99999\"\n",
    )
    .unwrap();
    let wrong = run(&mut doctor(&home, &["--profile", "lab"]));
    assert!(wrong.errors.contains("the profile 'lab'"), "{wrong:?}");
}

#[test]
fn the_host_and_the_port_are_told_with_the_sources_of_both() {
    let manager = start();
    let port = manager.port();
    let home = Home::new();
    let host = format!("localhost:{port}");
    home.prepare(&["profile", "add", "lab", "--host", &host]);
    let settings = |variable: &str, arguments: &[&str]| {
        let mut command = doctor(&home, &[arguments, &["--disable-tls"]].concat());
        let diagnosis = diagnose(command.env("LABWIRE_MANAGER", variable));
        let message = diagnosis.check("settings")["message"].as_str().unwrap();
        (diagnosis.code, message.to_owned())
    };
    let at = |host: &str, origins: &str| {
        let text = format!("{host}:{port} ({origins}), without TLS (--disable-tls)");
        (Some(0), text)
    };
    assert_eq!(
        settings(&host, &["127.0.0.1"]),
        at(
            "127.0.0.1",
            "the host is from the command line, the port is from LABWIRE_MANAGER"
        )
    );
    assert_eq!(
        settings("", &["--profile", "lab", "127.0.0.1"]),
        at(
            "127.0.0.1",
            "the host is from the command line, the port is from the profile 'lab'"
        )
    );
    let given = port.to_string();
    assert_eq!(
        settings("localhost", &["--port", &given]),
        at(
            "localhost",
            "the host is from LABWIRE_MANAGER, the port is from the command line"
        )
    );
    assert_eq!(
        settings("", &["--port", &given]),
        at(
            "localhost",
            "the host is the default, the port is from the command line"
        )
    );
    assert_eq!(
        settings("lab-pc:1", &[&host]),
        at("localhost", "the command line")
    );
    assert_eq!(settings(&host, &[]), at("localhost", "LABWIRE_MANAGER"));
    assert_eq!(
        settings("", &["--profile", "lab"]),
        at("localhost", "the profile 'lab'")
    );
    let (_, default) = settings("", &["no-such-computer.invalid"]);
    assert!(
        default.contains("1875 (the host is from the command line, the port is the default)"),
        "{default}"
    );
    // Remedies name the source of the part that they are about.
    let mut command = doctor(&home, &["no-such-computer.invalid"]);
    let unknown = diagnose(command.env("LABWIRE_MANAGER", &host));
    let texts = ["the name, which is from the command line"];
    unknown.failed(3, "name", "unknown-name", &texts);
}

#[test]
fn recommended_commands_repeat_the_options_of_the_connection() {
    let manager = start();
    let _meter = RawPeer::service(&manager, "-Meter", &json!({}));
    let port = manager.port();
    let arguments = [
        &*format!("localhost:{port}"),
        "--disable-tls",
        "--connect-timeout",
        "9",
        "--service=-Metre",
    ];
    let diagnosis = diagnose(&mut doctor(&Home::new(), &arguments));
    let again = format!("labwire doctor localhost:{port} --disable-tls --connect-timeout 9 --service=-Meter");
    diagnosis.failed(4, "service", "misspelt", &[&again]);
    // The recommended command works.
    let words: Vec<_> = again.split(' ').skip(2).collect();
    let repaired = diagnose(&mut doctor(&Home::new(), &words));
    assert_eq!(repaired.code, Some(0), "{repaired:#?}");

    // The settings of a profile: the default one counts only where no manager is named.
    let home = Home::new();
    let host = format!("localhost:{port}");
    home.prepare(&["profile", "add", "lab", "--host", &host, "--disable-tls"]);
    home.prepare(&["profile", "default", "lab"]);
    let again = format!("labwire doctor localhost:{port} --disable-tls --service=-Meter");
    let diagnosis = diagnose(&mut doctor(&home, &["--service=-Metre"]));
    diagnosis.failed(4, "service", "misspelt", &[&again]);
    let again = format!("labwire doctor localhost:{port} --profile lab --service=-Meter");
    let diagnosis = diagnose(&mut doctor(&home, &["--profile", "lab", "--service=-Metre"]));
    diagnosis.failed(4, "service", "misspelt", &[&again]);
}

#[test]
fn a_manager_of_msl_network_is_told_from_labwire() {
    let manager = Manager::start_reference(Home::new(), &[]);
    let diagnosis = diagnose(&mut doctor_of(&manager, &[]));
    let texts = [
        "MSL-Network",
        "waits for ever",
        "MSL_NETWORK_HOME=~/.msl/network labwire start",
    ];
    diagnosis.warned("manager", "msl-network", &texts);
}

#[test]
fn a_service_that_cannot_be_used_is_told_with_the_reason() {
    let manager = start();
    let attributes = json!({ "read": "()" });
    let _meter = RawPeer::service(&manager, "Multimeter", &attributes);
    let service = |name: &str| diagnose(&mut doctor_of(&manager, &["--service", name]));
    let fine = service("Multimeter");
    assert_eq!(fine.code, Some(0), "{fine:#?}");
    assert_eq!(fine.check("service")["status"], "ok");
    let again = "--service Multimeter";
    service("multimeter").failed(4, "service", "other-case", &["upper and lower case", again]);
    service("Mutlimeter").failed(4, "service", "misspelt", &["did you mean 'Multimeter'", again]);
    service("Spectrograph").failed(4, "service", "not-connected", &["connected are Multimeter"]);

    let mut scope = RawPeer::connect(&manager);
    scope.identify(&json!({
        "type": "service", "name": "Scope", "attributes": attributes, "max_clients": 1,
    }));
    crate::support::wire::wait_for_service(&manager, "Scope");
    let mut ada = RawPeer::client(&manager, "Ada");
    let ask = |peer: &mut RawPeer, attribute: &str, service: &str| {
        let request = json!({
            "args": [service], "attribute": attribute, "error": false, "kwargs": { "shared": false },
            "service": "Manager", "uid": "1",
        });
        let reply = peer.request(&request);
        assert_eq!(reply["error"], false, "{reply}");
    };
    let link = |peer: &mut RawPeer, service: &str| {
        let request = json!({
            "args": [service], "attribute": "link", "error": false, "kwargs": {}, "service": "Manager", "uid": "1",
        });
        assert_eq!(peer.request(&request)["error"], false);
    };
    link(&mut ada, "Scope");
    let full = service("Scope");
    full.failed(
        4,
        "service",
        "limit-reached",
        &[
            "as many clients are linked with it as it allows: Ada[",
            "max_clients",
        ],
    );
    let told = full.check("service")["message"].as_str().unwrap();
    assert!(!told.contains("The linked Clients are"), "{told}");
    link(&mut ada, "Multimeter");
    ask(&mut ada, "acquire_lock", "Multimeter");
    service("Multimeter").failed(4, "service", "locked", &["locked", "released"]);
    // The check has taken no place for longer than it needed.
    drop(ada);
    crate::support::wire::wait_for_service(&manager, "Scope");
    let listed = output(&manager, &["services"]);
    assert!(listed.contains("Scope"), "{listed}");
    let wrong = labwire(&manager, &["doctor", "a", "--host", "b"]);
    assert_eq!(wrong.code, Some(2), "{wrong:?}");
}
