//! Client certificates: who is admitted by one, as whom, and how that ends.

mod peer;
mod refused;
mod revoked;
mod tools;

use serde_json::json;

use super::support::clock;
use super::support::manager::{HOST, Manager};
use super::support::process::{Process, Signal};
use super::support::program;
use super::support::python::{Service, run_script};
use super::support::waiting::wait_until;
use super::support::way::Way;
use super::support::wire::request;

use peer::{ASKING, Peer, home, issue, labwire, labwire_as, start, to_manager};

const PASSWORD: &str = "difference engine";

#[test]
fn a_certificate_logs_its_user_in_without_a_password() {
    let home = home();
    issue(&home, "ada");
    let manager = start(home, &["--auth-certificate"]);
    let status = labwire_as(&manager, "ada", &["status", "--json"]);
    assert!(status.status.success(), "{status:?}");
    // Key and certificate in one file, from the environment.
    let home = manager.home();
    let both = ["ada.crt", "ada.key"].map(|name| std::fs::read_to_string(home.path(name)).unwrap());
    std::fs::write(home.path("ada.key"), both.concat()).unwrap();
    let mut command = home.command(&["status"]);
    command
        .envs(manager.environment())
        .env("LABWIRE_CLIENT_CERT", "ada.key");
    let status = command.output().unwrap();
    assert!(status.status.success(), "{status:?}");
    Peer::with_certificate(&manager, "ada").client();
}

#[test]
fn services_and_clients_log_in_by_certificate_and_return_after_a_broken_connection() {
    let home = home();
    issue(&home, "ada");
    let manager = start(home, &["--auth-certificate"]);
    let way = Way::to(manager.port());
    let mut command = program("matrix_service");
    command
        .arg("Bench")
        .env("LABWIRE_MANAGER", format!("{HOST}:{}", way.port()))
        .env("LABWIRE_CERT_FILE", manager.certificate())
        .env("LABWIRE_CLIENT_CERT", manager.home().path("ada.crt"))
        .env("LABWIRE_CLIENT_KEY", manager.home().path("ada.key"));
    let _service = Process::spawn("Bench", &mut command);
    manager.wait_for_log("] is a new Service connection");
    let add = || {
        let called = labwire_as(&manager, "ada", &["call", "Bench", "add", "1", "2"]);
        String::from_utf8_lossy(&called.stdout).trim().to_owned()
    };
    assert_eq!(add(), "3.0");
    way.cut();
    way.repair();
    wait_until("the service never returned", || add() == "3.0");
}

#[test]
fn the_python_package_goes_on_with_passwords_beside_certificates() {
    let home = home();
    issue(&home, "ada");
    let manager = start(home, &["--auth-login"]);
    let connection = manager
        .connection()
        .with("username", "ada")
        .with("password", PASSWORD);
    let _echo = Service::start("Echo", &connection);
    manager.wait_for_log("] is a new Service connection");
    let called = labwire_as(&manager, "ada", &["call", "Echo", "echo", "hello"]);
    assert!(called.status.success(), "{called:?}");
    assert!(
        String::from_utf8_lossy(&called.stdout).contains("hello"),
        "{called:?}"
    );
    // Without a certificate, a person is asked for a name.
    let mut peer = Peer::without_certificate(&manager);
    assert_eq!(peer.frame()["attribute"], "username");
}

#[test]
fn peers_without_a_certificate_are_told_that_they_need_one() {
    let manager = start(home(), &["--auth-certificate"]);
    let expected = "serves only peers with a client certificate";
    let refusal = json!({ "credentials": {}, "expected": [expected] });
    run_script("refused.py", &manager.connection(), &refusal);
    let mut peer = Peer::without_certificate(&manager);
    let refused = peer.frame();
    assert_eq!(refused["error"], true, "{refused}");
    let status = labwire(&manager, &["status"]);
    assert_eq!(status.status.code(), Some(4), "{status:?}");
    assert!(
        String::from_utf8_lossy(&status.stderr).contains(expected),
        "{status:?}"
    );
}

#[test]
fn a_certificate_replaces_what_the_manager_asks_for_in_every_mode() {
    for mode in [
        &[][..],
        &["--open"],
        &["--auth-hostname"],
        &["--auth-login"],
        &["--auth-password", "abc"],
    ] {
        let home = home();
        issue(&home, "ada");
        let manager = start(home, mode);
        Peer::with_certificate(&manager, "ada").client();
    }
}

#[test]
fn the_user_of_a_certificate_has_its_roles_and_services_and_the_record_know_how_it_logged_in() {
    let home = home();
    let serial = issue(&home, "ada");
    issue(&home, "root");
    home.prepare(&["grant", "add", "operator", "--to", "ada", "--on", "Door"]);
    let manager = start(home, &["--auth-login", "--roles"]);
    let mut door = Peer::with_certificate(&manager, "root");
    door.identify(&json!({
        "type": "service", "name": "Door", "attributes": {}, "features": ["registered", "caller"],
    }));
    assert_eq!(door.frame()["attribute"], "registered");
    let mut ada = Peer::with_certificate(&manager, "ada").client();
    ada.send(&request("Door", "open"));
    let received = door.frame();
    let caller = &received["caller"];
    assert_eq!(
        [
            &caller["user"],
            &caller["certificate"],
            &caller["token"],
            &caller["tls"]
        ],
        [&json!("ada"), &json!(true), &json!(false), &json!(true)],
        "{received}"
    );
    assert_eq!(caller["roles"], json!(["operator"]));
    // What is not granted is refused, and the certificate of an administrator makes one.
    let refused = ada.ask(&to_manager("users_table.usernames"));
    assert_eq!(refused["error"], true, "{refused}");
    let mut root = Peer::with_certificate(&manager, "root").client();
    let users = root.ask(&to_manager("users_table.usernames"));
    assert_eq!(users["result"], json!(["root", "ada"]), "{users}");
    let home = manager.end();
    let history = home.labwire(&[
        "history",
        "--file",
        "manager.record.sqlite3",
        "--json",
        "--user",
        "ada",
        "--kind",
        "login",
    ]);
    let told = String::from_utf8_lossy(&history.stdout).into_owned();
    assert!(
        told.contains(&format!("with the certificate {serial}")),
        "{history:?}"
    );
}

/// Changes the user ada, and expects that the connection of its certificate ends for that reason.
fn end_of_user(change: &[&str], reason: &str) {
    let home = home();
    issue(&home, "ada");
    let manager = start(home, &["--auth-certificate"]);
    let ada = Peer::with_certificate(&manager, "ada").client();
    manager.home().prepare(change);
    ada.wait_for_end();
    manager.wait_for_log(reason);
    let status = labwire_as(&manager, "ada", &["status"]);
    assert_eq!(status.status.code(), Some(4), "{status:?}");
    let told = String::from_utf8_lossy(&status.stderr).into_owned();
    assert!(
        told.contains("who is no user of this manager, or is disabled"),
        "{told}"
    );
}

#[test]
fn a_user_who_is_disabled_or_removed_is_out_with_a_certificate_too() {
    end_of_user(
        &["user", "disable", "ada", "--reason", "left"],
        "the user was disabled",
    );
    end_of_user(&["user", "remove", "ada"], "the user was removed");
}

#[test]
fn a_peer_whose_certificate_ends_while_it_is_connected_is_disconnected() {
    let home = home();
    issue(&home, "ada");
    let mut command = home.command(&["start", "--port", "0", "--auth-certificate"]);
    command.args(ASKING);
    let clock = clock::follow_file(&mut command);
    let manager = Manager::start_command(home, &mut command);
    let ada = Peer::with_certificate(&manager, "ada").client();
    clock.set(366 * 86_400);
    ada.wait_for_end();
    manager.wait_for_log("the client certificate has expired");
}

#[test]
fn the_settings_of_certificates_are_checked_before_a_start() {
    let home = home();
    home.prepare(&["certgen"]);
    let own = home.argument("certs/localhost.crt");
    for (arguments, expected) in [
        (
            &["--auth-certificate"][..],
            "--auth-certificate needs the authorities",
        ),
        (&["--client-crl", "x"], "--client-ca, which is missing"),
        (
            &["--client-ca", "ca.crt", "--disable-tls"],
            "--client-ca needs TLS",
        ),
        (&["--client-ca", &own], "is no authority"),
        (&["--client-ca", "nowhere.crt"], "cannot read 'nowhere.crt'"),
        (
            &["--client-ca", "ca.crt", "--client-crl", "ca.crt"],
            "holds no complete list of revoked certificates",
        ),
        (
            &["--auth-certificate", "--client-ca", "ca.crt", "--auth-login"],
            "multiple authentication methods",
        ),
    ] {
        let failure = Manager::start_expecting_failure(&home, arguments);
        let one_line = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
        let printed = one_line(&failure.printed);
        assert!(printed.contains(expected), "{arguments:?}: {printed}");
        let check = home.labwire(&[&["start", "--check", "--port", "0"], arguments].concat());
        assert!(!check.status.success(), "{check:?}");
        let printed = one_line(&String::from_utf8_lossy(&check.stdout));
        assert!(printed.contains(expected), "{arguments:?}: {printed}");
    }
    let check = ["start", "--check", "--port", "0", "--auth-certificate"];
    let check = home.labwire(&[&check[..], &ASKING].concat());
    let printed = String::from_utf8_lossy(&check.stdout).into_owned();
    assert!(check.status.success(), "{printed}");
    for expected in [
        "client certificates of 'CN=Labwire authority ",
        "0 revoked in ca.crl",
        "everyone must have a certificate of one of 2 user(s)",
    ] {
        assert!(printed.contains(expected), "{printed}");
    }
}

#[test]
fn authorities_and_lists_that_cannot_be_read_at_hup_leave_the_old_ones() {
    let home = home();
    issue(&home, "ada");
    let manager = start(home, &["--auth-certificate"]);
    for file in ["ca.crl", "ca.crt"] {
        let path = manager.home().path(file);
        let content = std::fs::read(&path).unwrap();
        std::fs::write(&path, "-----BEGIN X509 CRL-----\nAAAA").unwrap();
        manager.signal(Signal::HUP);
        manager.wait_for_log(&format!("the old ones are kept: '{file}'"));
        let status = labwire_as(&manager, "ada", &["status"]);
        assert!(status.status.success(), "{status:?}");
        std::fs::write(&path, content).unwrap();
    }
}

#[test]
fn a_certificate_of_another_user_than_the_one_that_is_named_is_told() {
    let home = home();
    issue(&home, "ada");
    let manager = start(home, &["--auth-login"]);
    let told = |arguments: &[&str]| {
        let ran = labwire_as(&manager, "ada", arguments);
        assert!(ran.status.success(), "{ran:?}");
        String::from_utf8(ran.stderr).unwrap()
    };
    let warning = told(&["status", "--username", "root"]);
    assert!(
        warning.contains("ada.crt is for the user 'ada'") && warning.contains("not as 'root' (--username)"),
        "{warning}"
    );
    assert!(!told(&["status", "--username", "ada"]).contains("certificate"));
    assert!(!told(&["status"]).contains("certificate"));
    // Whoever asks for the login of an administrator is told of it, too.
    let _ada = Peer::with_certificate(&manager, "ada").client();
    let mut console = manager
        .home()
        .command(&["status", "--users", "--json", "--username", "root"]);
    let listed = console
        .envs(manager.environment())
        .env("LABWIRE_PASSWORD", PASSWORD)
        .output()
        .unwrap();
    let listed = String::from_utf8(listed.stdout).unwrap();
    let peers = listed
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    let of_ada = peers.into_iter().find(|peer| peer["user"] == "ada");
    let with = of_ada.unwrap_or_else(|| panic!("{listed}"))["login_with"].clone();
    assert!(
        with.as_str()
            .is_some_and(|with| with.starts_with("the certificate ")),
        "{with}"
    );
}
