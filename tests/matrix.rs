//! Every kind of service with every kind of client, over every kind of connection: the results are
//! the same.
//!
//! The steps of the clients are in `python/matrix_client.py`, in `programs/matrix_client.rs` and,
//! for a person at a terminal, below; all of them print their results. The services are
//! `python/matrix_service.py` and `programs/matrix_service.rs`.

use std::process::Command;
use std::time::Instant;

use serde_json::{Value, json};

use super::support::manager::{Home, Manager};
use super::support::process::Process;
use super::support::python::{self, Connection};
use super::support::terminal::Terminal;
use super::support::{DEADLINE, program};

/// The output of every client with every service.
const SEEN: &str = r#"add 3
power 4 16
echo [[1,"x"],{"y":[1.5,null]}]
check refused
notified 7 V
lock 1 refused
release 0
limit refused
exclusive refused
shared 2
end bye
gone refused
"#;

const PASSWORD: &str = "radium and polonium";

#[derive(Clone, Copy, PartialEq, Eq)]
enum Authentication {
    None,
    Password,
    Login,
}

/// A manager, and the settings that its peers need to connect.
struct Place {
    manager: Manager,
    tls: bool,
    authentication: Authentication,
}

impl Place {
    fn start(tls: bool, authentication: Authentication) -> Self {
        let home = Home::new();
        let mut arguments = match authentication {
            Authentication::None => vec![],
            Authentication::Password => vec!["--auth-password", PASSWORD],
            Authentication::Login => {
                home.prepare(&["user", "add", "curie", "--password", PASSWORD]);
                vec!["--auth-login"]
            }
        };
        if !tls {
            arguments.push("--disable-tls");
        }
        Self {
            manager: Manager::start_in(home, &arguments),
            tls,
            authentication,
        }
    }

    /// Starts the Python package's own manager, for which peers with the SDKs behave like older
    /// peers.
    fn reference(tls: bool) -> Self {
        let arguments: &[&str] = if tls { &[] } else { &["--disable-tls"] };
        Self {
            manager: Manager::start_reference(Home::new(), arguments),
            tls,
            authentication: Authentication::None,
        }
    }

    fn python(&self) -> Connection {
        let connection = self.manager.connection();
        match self.authentication {
            Authentication::None => connection,
            Authentication::Password => connection.with("password_manager", PASSWORD),
            Authentication::Login => connection.with("username", "curie").with("password", PASSWORD),
        }
    }

    fn rust(&self, name: &str) -> Command {
        let mut command = program(name);
        command.envs(self.manager.environment());
        match self.authentication {
            Authentication::None => &mut command,
            Authentication::Password => command.env("LABWIRE_MANAGER_PASSWORD", PASSWORD),
            Authentication::Login => command
                .env("LABWIRE_USERNAME", "curie")
                .env("LABWIRE_PASSWORD", PASSWORD),
        };
        command
    }

    fn terminal(&self, name: &str) -> Terminal {
        let mut terminal = if self.tls {
            Terminal::openssl(&self.manager)
        } else {
            Terminal::netcat(&self.manager)
        };
        if self.authentication == Authentication::Login {
            terminal.expect_request("username");
            terminal.enter("curie");
        }
        if self.authentication != Authentication::None {
            terminal.expect_request("password");
            terminal.enter(PASSWORD);
        }
        terminal.identified(&format!("client {name}"))
    }
}

/// A service under test, which one of its clients ends.
struct Service {
    // Declared first: the process ends before its folder is removed.
    process: Process,
    _home: Option<tempfile::TempDir>,
}

impl Service {
    fn start(place: &Place, language: &str, name: &str) -> Self {
        if language == "Python" {
            let (home, process) = python::start(
                name,
                "matrix_service.py",
                &place.python(),
                &json!({ "service": name }),
            );
            return Self {
                process,
                _home: Some(home),
            };
        }
        Self {
            process: Process::spawn(name, place.rust("matrix_service").arg(name)),
            _home: None,
        }
    }

    fn wait_for_end(mut self) {
        let status = self.process.wait();
        assert!(status.success(), "the service ended with {status}");
    }
}

/// Runs a client of a service, and returns its output.
type Run = fn(&Place, &str) -> String;

/// Runs every service with every client at one manager.
fn all_see_the_same(tls: bool, authentication: Authentication) {
    let place = Place::start(tls, authentication);
    for language in ["Rust", "Python"] {
        let clients: [(&str, Run); 4] = [
            ("asynchronous", |place, service| {
                rust_client(place, "asynchronous", service)
            }),
            ("blocking", |place, service| {
                rust_client(place, "blocking", service)
            }),
            ("Python", |place, service| {
                python::run_script(
                    "matrix_client.py",
                    &place.python(),
                    &json!({ "service": service }),
                )
            }),
            ("terminal", terminal_client),
        ];
        for (client, run) in clients {
            let name = format!("{language} for {client}");
            let service = Service::start(&place, language, &name);
            assert_eq!(
                run(&place, &name),
                SEEN,
                "a {client} client of a {language} service"
            );
            service.wait_for_end();
        }
    }
}

fn rust_client(place: &Place, face: &str, service: &str) -> String {
    let mut command = place.rust("matrix_client");
    let mut process = Process::spawn(&format!("{face} client"), command.args([face, service]));
    let status = process.wait_within(DEADLINE);
    assert!(status.success(), "the {face} client ended with {status}");
    process.output()
}

/// The same steps, typed by a person.
fn terminal_client(place: &Place, service: &str) -> String {
    let [mut ada, mut bob, mut cid] = ["Ada", "Bob", "Cid"].map(|name| place.terminal(name));
    let on = |rest: &str| format!("\"{service}\" {rest}");
    let manager = |rest: &str| format!("Manager {rest} \"{service}\"");
    let refused = |message: String, text: &str| {
        if message.contains(text) {
            "refused".to_owned()
        } else {
            message
        }
    };
    let length = |value: Value| value.as_array().unwrap().len();
    while ada.ask("identity")["services"][service].is_null() {}
    ada.ask(&format!("link \"{service}\""));

    let mut seen = Vec::new();
    seen.push(format!("add {}", ada.ask(&on("add 1 2")).as_f64().unwrap()));
    let [square, fourth] = ["power 2", "power 2 n=4"].map(|line| ada.ask(&on(line)).as_f64().unwrap());
    seen.push(format!("power {square} {fourth}"));
    seen.push(format!("echo {}", ada.ask(&on("echo 1 x y=[1.5,null]"))));
    let message = ada.ask_in_vain(&on("check -1"));
    seen.push(format!(
        "check {}",
        refused(message, "ValueError: the value is < 0")
    ));

    // The notification and the reply can come in either order.
    ada.enter(&on("emit 7 unit=V"));
    let frames = [ada.frame(), ada.frame()];
    let notification = frames
        .iter()
        .find(|frame| frame["uid"] == "notification")
        .unwrap();
    let [value, unit] = [&notification["result"][0][0], &notification["result"][1]["unit"]];
    seen.push(format!(
        "notified {} {}",
        value.as_f64().unwrap(),
        unit.as_str().unwrap()
    ));

    let holders = length(ada.ask(&manager("acquire_lock")));
    let message = bob.ask_in_vain(&format!("link \"{service}\""));
    seen.push(format!(
        "lock {holders} {}",
        refused(message, "service is locked")
    ));
    seen.push(format!("release {}", length(ada.ask(&manager("release_lock")))));
    bob.ask(&format!("link \"{service}\""));
    let message = cid.ask_in_vain(&format!("link \"{service}\""));
    let text = "The maximum number of Clients are already linked";
    seen.push(format!("limit {}", refused(message, text)));
    let message = ada.ask_in_vain(&manager("acquire_lock"));
    seen.push(format!(
        "exclusive {}",
        refused(message, "cannot acquire an exclusive lock")
    ));
    let holders = length(bob.ask(&format!("{} shared=true", manager("acquire_lock"))));
    seen.push(format!("shared {holders}"));

    seen.push(format!(
        "end {}",
        ada.ask(&on("shutdown_service")).as_str().unwrap()
    ));
    let deadline = Instant::now() + DEADLINE;
    while !ada.ask("identity")["services"][service].is_null() {
        assert!(Instant::now() < deadline, "the service never leaves");
    }
    let message = bob.ask_in_vain(&on("add 1 2"));
    seen.push(format!("gone {}", refused(message, "is not connected")));
    for mut terminal in [ada, bob, cid] {
        terminal.enter("exit");
        terminal.expect_closed();
    }
    seen.join("\n") + "\n"
}

#[test]
fn all_see_the_same_with_tls() {
    all_see_the_same(true, Authentication::None);
}

#[test]
fn all_see_the_same_with_tls_and_a_password() {
    all_see_the_same(true, Authentication::Password);
}

#[test]
fn all_see_the_same_with_tls_and_a_login() {
    all_see_the_same(true, Authentication::Login);
}

#[test]
fn all_see_the_same_without_tls() {
    all_see_the_same(false, Authentication::None);
}

#[test]
fn all_see_the_same_without_tls_and_with_a_password() {
    all_see_the_same(false, Authentication::Password);
}

#[test]
fn all_see_the_same_without_tls_and_with_a_login() {
    all_see_the_same(false, Authentication::Login);
}

#[test]
fn the_sdks_work_with_the_reference_manager_too() {
    for tls in [true, false] {
        let place = Place::reference(tls);
        for face in ["asynchronous", "blocking"] {
            let name = format!("Rust for {face}");
            let service = Service::start(&place, "Rust", &name);
            assert_eq!(
                rust_client(&place, face, &name),
                SEEN,
                "a {face} client at the reference manager"
            );
            service.wait_for_end();
        }
    }
}
