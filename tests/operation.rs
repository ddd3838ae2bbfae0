//! The operation of a manager: its log, its shutdown, and reloads without a restart.

use std::fs;
use std::net::TcpStream;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::support::manager::{HOST, Home, Manager};
use super::support::process::{Process, Signal};
use super::support::wire::{RawPeer, identity_request, request};

/// The documented time for the requests in flight when a manager stops.
const DRAIN: Duration = Duration::from_secs(10);

/// Tolerance of a stop, on a machine that is busy with other tests.
const A_LITTLE: Duration = Duration::from_secs(8);

/// Answers the manager's next request, whichever it is.
fn answer(peer: &mut RawPeer, credential: &str) {
    let request = peer.read_json();
    assert_eq!(request["error"], false, "{request}");
    peer.send_line(&json!({ "result": credential }).to_string());
}

/// Returns the contents of the log files in the manager's home folder.
fn log_files(home: &Home) -> String {
    let files = fs::read_dir(home.path("logs")).unwrap();
    files.fold(String::new(), |text, file| {
        text + &fs::read_to_string(file.unwrap().path()).unwrap()
    })
}

#[test]
fn the_log_says_what_existing_tools_wait_for_on_standard_output_and_in_the_file() {
    let manager = Manager::start(&[]);
    let certificate = manager.home().argument("certs/localhost.crt");
    let port = manager.port();
    let output = manager.log();
    let log = log_files(&manager.end());
    for text in [&output, &log] {
        let first = text.lines().next().unwrap();
        assert!(
            first.ends_with(&format!("loaded certificate {certificate}")),
            "{first}"
        );
        let running = format!(":{port} (TLS ENABLED)");
        let is_running =
            |line: &str| line.contains("Network Manager running on ") && line.ends_with(&running);
        let start = text.lines().take(output.lines().count());
        assert!(start.last().is_some_and(is_running), "{text}");
    }
    // Standard output and the file have separate timestamps, which may differ slightly.
    let without_time = |text: &str| -> Vec<_> {
        text.lines()
            .map(|line| line.split_once(" [").unwrap().1.to_owned())
            .collect()
    };
    let (output, log) = (without_time(&output), without_time(&log));
    assert_eq!(log[..output.len()], output);
}

#[test]
fn the_log_for_machines_is_one_json_object_a_line() {
    let home = Home::new();
    let manager = Manager::start_in(home, &["--disable-tls", "--log-format", "json", "-G", "debug"]);
    let mut client = RawPeer::client(&manager, "Ada \"the first\"");
    client.request(&identity_request());
    manager.wait_for_log("is a new Client connection");
    let log = log_files(&manager.end());
    assert!(log.lines().count() > 5, "{log}");
    for line in log.lines() {
        let object: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        for member in ["timestamp", "level", "message"] {
            assert!(object[member].is_string(), "{line}");
        }
    }
    assert!(log.contains(r#"Ada \"the first\""#), "{log}");
    let closed: Value = log
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap())
        .find(|line| line["message"].as_str().unwrap().ends_with("connection closed"))
        .expect("the client's connection has ended");
    let span = &closed["span"];
    assert_eq!(
        (&span["name"], &span["kind"]),
        (&json!("connection"), &json!("client")),
        "{closed}"
    );
    assert!(
        span["peer"].as_str().unwrap().starts_with("Ada \"the first\"["),
        "{closed}"
    );
    assert!(span["address"].as_str().unwrap().contains(':'), "{closed}");
}

#[test]
fn an_administrator_changes_how_much_is_logged_while_the_manager_runs() {
    let home = Home::new();
    home.prepare(&["user", "add", "admin", "--admin", "--password", "x"]);
    let manager = Manager::start_in(home, &["--disable-tls", "--auth-login"]);
    let mut admin = RawPeer::connect(&manager);
    answer(&mut admin, "admin");
    answer(&mut admin, "x");
    admin.identify(&json!({ "type": "client", "name": "admin" }));
    let mut set = |level: Value| {
        let mut change = request("Manager", "set_logging_level");
        change["args"] = json!([level]);
        admin.request(&change)
    };
    let requesting = |name: &str| {
        // Each connection gets a request for a username, which is logged at the level DEBUG only.
        let mut peer = RawPeer::connect(&manager);
        answer(&mut peer, name);
        peer.read_line();
    };
    requesting("before");
    assert_eq!(set(json!("DEBUG"))["result"], true);
    requesting("meanwhile");
    assert_eq!(set(json!(20))["result"], true);
    requesting("after");
    assert_eq!(set(json!("LOUD"))["result"], false);
    let log = log_files(&manager.end());
    let debug = log.lines().filter(|line| line.contains("[DEBUG]"));
    let asked = debug
        .filter(|line| line.contains("requesting the username"))
        .count();
    assert_eq!(asked, 1, "{log}");
}

/// A part of everything that must not be logged.
const SECRET: &str = "geheimnis";

#[test]
fn no_level_logs_passwords_or_payloads() {
    let secret = |number: u32| format!("{SECRET}-{number}");
    let home = Home::new();
    home.prepare(&["user", "add", "admin", "--admin", "--password", &secret(1)]);
    let login = ["--disable-tls", "--auth-login", "-G", "TRACE"];
    let manager = Manager::start_in(home, &login);
    for password in [secret(2), secret(1)] {
        let mut peer = RawPeer::connect(&manager);
        answer(&mut peer, "admin");
        answer(&mut peer, &password);
        peer.read_line();
    }
    let mut peer = RawPeer::connect(&manager);
    answer(&mut peer, "nobody");
    answer(&mut peer, &secret(4));
    peer.read_line();
    let connect = |identity: Value| {
        let mut peer = RawPeer::connect(&manager);
        answer(&mut peer, "admin");
        answer(&mut peer, &secret(1));
        peer.identify(&identity);
        peer
    };
    let mut service = connect(json!({ "type": "service", "name": "Echo", "attributes": {} }));
    let mut client = connect(json!({ "type": "client", "name": "Ada" }));
    while client.request(&identity_request())["result"]["services"]
        .get("Echo")
        .is_none()
    {}
    let mut link = request("Manager", "link");
    link["args"] = json!(["Echo"]);
    client.request(&link);

    let mut call = request("Echo", "echo");
    call["args"] = json!([secret(5)]);
    call["kwargs"] = json!({ "x": secret(6), secret(7): 1 });
    for reply in [
        json!({ "error": false, "result": secret(8) }),
        json!({ "error": true, "result": null, "message": secret(9), "traceback": [secret(10)] }),
    ] {
        client.send_line(&call.to_string());
        let received = service.read_json();
        let mut reply = reply;
        reply["requester"] = received["requester"].clone();
        reply["uid"] = received["uid"].clone();
        service.send_line(&reply.to_string());
        client.read_line();
    }
    let told =
        json!({ "error": false, "result": [[secret(11)], {}], "service": "Echo", "uid": "notification" });
    service.send_line(&told.to_string());
    client.read_line();
    for line in [
        format!("Echo echo {}", secret(12)),
        format!(r#"{{"service":"Echo","args":["{}"]"#, secret(13)),
        format!(
            r#"{{"service":"Echo","attribute":"echo","uid":"1","args":"{}","kwargs":{{}}}}"#,
            secret(14)
        ),
        format!(r#"{{"result":"{}","requester":"nobody","uid":"1"}}"#, secret(15)),
    ] {
        client.send_line(&line);
    }
    for (attribute, args, kwargs) in [
        ("users_table.insert", json!(["bob", secret(16), false]), json!({})),
        (
            "users_table.update",
            json!(["bob"]),
            json!({ "password": secret(17) }),
        ),
        (
            "users_table.is_password_valid",
            json!(["bob", secret(18)]),
            json!({}),
        ),
        (
            "users_table.insert",
            json!(["bob", secret(19), false, secret(20), 1]),
            json!({ "y": secret(21) }),
        ),
    ] {
        let mut change = request("Manager", attribute);
        (change["args"], change["kwargs"]) = (args, kwargs);
        change["uid"] = "administration".into();
        client.send_line(&change.to_string());
        while client.read_json()["uid"] != "administration" {}
    }
    drop((client, service));
    let printed = manager.log();
    let home = manager.end();
    let log = log_files(&home);
    assert!(
        log.contains("received an admin request 'users_table.insert'") && log.contains("DEBUG"),
        "{log}"
    );
    for (where_, text) in [("standard output", &printed), ("the log file", &log)] {
        let leaks: Vec<_> = text.lines().filter(|line| line.contains(SECRET)).collect();
        assert!(leaks.is_empty(), "in {where_}: {leaks:#?}");
    }
}

#[test]
fn no_level_logs_the_managers_password_or_its_key() {
    let home = Home::new();
    let password = format!("{SECRET} of the key");
    home.prepare(&["keygen", "ecc", "--out", "k.pem", "--password", &password]);
    home.prepare(&[
        "certgen",
        "c.pem",
        "--key-file",
        "k.pem",
        "--key-file-password",
        &password,
    ]);
    let options = [
        "-G", "TRACE", "-c", "c.pem", "-k", "k.pem", "-D", &password, "-P", SECRET,
    ];
    let manager = Manager::start_in(home, &options);
    manager.signal(Signal::HUP);
    manager.wait_for_log("opened the log file anew");
    for password in [SECRET, "another"] {
        let mut terminal = TlsTerminal::open(&manager);
        terminal.wait_for("\"password\"");
        terminal.enter(password);
        terminal.wait_for(if password == SECRET {
            "\"identity\""
        } else {
            "Wrong Manager password"
        });
    }
    let printed = manager.log();
    let home = manager.end();
    let key = fs::read_to_string(home.path("k.pem")).unwrap();
    let key_lines: Vec<_> = key.lines().filter(|line| line.len() > 40).collect();
    assert!(!key_lines.is_empty());
    for text in [printed, log_files(&home)] {
        assert!(!text.contains(SECRET), "{text}");
        assert!(!key_lines.iter().any(|line| text.contains(line)), "{text}");
    }
}

/// Returns a service, and a client whose request the service has received and not answered.
fn with_a_request_under_way(manager: &Manager) -> (RawPeer, RawPeer) {
    let mut service = RawPeer::service(manager, "Slow", &json!({}));
    let mut client = RawPeer::client(manager, "Ada");
    let mut slow = request("Slow", "measure");
    slow["uid"] = "slow".into();
    client.send_line(&slow.to_string());
    assert_eq!(service.read_json()["uid"], "slow");
    (service, client)
}

/// Expects the error of an unanswered request.
fn expect_abandoned(client: &mut RawPeer) {
    let told = client.read_json();
    assert_eq!(
        (&told["uid"], &told["error"]),
        (&json!("slow"), &json!(true)),
        "{told}"
    );
    let message = told["message"].as_str().unwrap();
    assert!(message.contains("may have been executed"), "{message}");
}

#[test]
fn a_request_under_way_is_answered_before_the_manager_stops_and_new_ones_are_refused() {
    for signal in [Signal::TERM, Signal::INT] {
        let mut manager = Manager::start(&["--disable-tls"]);
        let (mut service, mut client) = with_a_request_under_way(&manager);
        manager.signal(signal);
        manager.wait_for_log("shutting down the Network Manager");

        let refused = client.request(&request("Slow", "measure"));
        let message = refused["message"].as_str().unwrap();
        assert!(
            message.contains("the manager is shutting down, the request was not executed"),
            "{message}"
        );
        assert_eq!(refused["uid"], "request");
        // The listener may close a moment after the line in the log.
        let deadline = Instant::now() + A_LITTLE;
        while TcpStream::connect((HOST, manager.port())).is_ok() {
            assert!(Instant::now() < deadline, "new connections are still taken");
        }

        let reply = json!({ "error": false, "result": 42, "requester": refused["requester"], "uid": "slow" });
        service.send_line(&reply.to_string());
        let answered = client.read_json();
        assert_eq!(
            (&answered["uid"], &answered["result"]),
            (&json!("slow"), &json!(42)),
            "{answered}"
        );
        client.expect_closed();
        assert_eq!(manager.wait_for_end().code(), Some(0));
    }
}

#[test]
fn a_request_that_is_never_answered_ends_with_an_error_and_the_manager_with_success() {
    let mut manager = Manager::start(&["--disable-tls"]);
    let (_service, mut client) = with_a_request_under_way(&manager);
    let asked = Instant::now();
    manager.signal(Signal::TERM);
    expect_abandoned(&mut client);
    let told = asked.elapsed();
    client.expect_closed();
    assert_eq!(manager.wait_for_end().code(), Some(0));
    let took = asked.elapsed();
    assert!(
        told + Duration::from_millis(100) > DRAIN,
        "the drain took only {told:?}"
    );
    assert!(took < DRAIN + A_LITTLE, "it took {took:?}");
}

#[test]
fn a_second_signal_does_not_wait_for_requests_under_way() {
    let mut manager = Manager::start(&["--disable-tls"]);
    let (_service, mut client) = with_a_request_under_way(&manager);
    let asked = Instant::now();
    manager.signal(Signal::TERM);
    manager.wait_for_log("shutting down the Network Manager");
    manager.signal(Signal::TERM);
    expect_abandoned(&mut client);
    assert_eq!(manager.wait_for_end().code(), Some(0));
    let took = asked.elapsed();
    assert!(took < A_LITTLE, "it took {took:?}");
}

/// A person with `openssl s_client`, whose connection stays open.
struct TlsTerminal {
    process: Process,
    lines_read: usize,
}

impl TlsTerminal {
    fn open(manager: &Manager) -> Self {
        let mut command = Command::new("openssl");
        command.args([
            "s_client",
            "-quiet",
            "-connect",
            &format!("{HOST}:{}", manager.port()),
        ]);
        let process = Process::spawn("openssl s_client", &mut command);
        Self {
            process,
            lines_read: 0,
        }
    }

    fn enter(&mut self, line: &str) {
        self.process.type_line(line);
    }

    fn wait_for(&mut self, text: &str) {
        let found = |line: &str| line.contains(text).then_some(());
        (self.lines_read, ()) = self.process.wait_for_line_after(self.lines_read, text, found);
    }

    /// Requests the manager's identity, and expects an answer.
    fn expect_alive(&mut self) {
        self.enter("identity");
        self.wait_for("\"services\"");
    }
}

/// Returns the certificate that a new connection gets, in PEM form.
fn seen_certificate(manager: &Manager) -> String {
    let mut command = Command::new("openssl");
    command.args(["s_client", "-connect", &format!("{HOST}:{}", manager.port())]);
    let output = command.stdin(Stdio::null()).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let start = text
        .find("-----BEGIN")
        .unwrap_or_else(|| panic!("no certificate: {text}"));
    let end = text.find("-----END CERTIFICATE-----").unwrap();
    text[start..end].to_owned()
}

/// Returns the certificate in the file, in PEM form.
fn stored_certificate(manager: &Manager) -> String {
    let text = fs::read_to_string(manager.certificate()).unwrap();
    text[..text.find("-----END CERTIFICATE-----").unwrap()].to_owned()
}

#[test]
fn a_reload_shows_a_new_certificate_to_new_connections_and_keeps_the_old_ones() {
    let manager = Manager::start(&[]);
    let mut old = TlsTerminal::open(&manager);
    old.wait_for("\"identity\"");
    old.enter("client");
    old.expect_alive();
    let before = stored_certificate(&manager);
    assert_eq!(seen_certificate(&manager), before);

    manager.home().prepare(&["keygen", "ecc", "--force"]);
    manager.home().prepare(&["certgen"]);
    let after = stored_certificate(&manager);
    assert_ne!(after, before);
    assert_eq!(seen_certificate(&manager), before);
    manager.signal(Signal::HUP);
    let fingerprints = || manager.log().matches("SHA-256 fingerprint").count();
    manager.wait_for_log("opened the log file anew");
    let deadline = Instant::now() + A_LITTLE;
    while fingerprints() < 2 {
        assert!(
            Instant::now() < deadline,
            "no second fingerprint: {}",
            manager.log()
        );
        std::thread::sleep(super::support::POLL_INTERVAL);
    }
    assert_eq!(seen_certificate(&manager), after);
    old.expect_alive();
}

#[test]
fn a_reload_keeps_the_old_certificate_when_the_new_one_is_broken() {
    let manager = Manager::start(&[]);
    let before = stored_certificate(&manager);
    let kept = "cannot load the certificate, the old one is kept: ";
    // Half a certificate, then a key that does not match.
    let certificate = fs::read_to_string(manager.certificate()).unwrap();
    fs::write(manager.certificate(), &certificate[..200]).unwrap();
    manager.signal(Signal::HUP);
    let line = manager.wait_for_log(kept);
    assert!(
        line.contains("[ERROR]") && line.contains(&manager.certificate()),
        "{line}"
    );
    assert_eq!(seen_certificate(&manager), before);

    fs::write(manager.certificate(), &certificate).unwrap();
    manager.home().prepare(&["keygen", "ecc", "--force"]);
    manager.signal(Signal::HUP);
    let mismatch = manager.wait_for_log("does not belong to the private key");
    assert!(mismatch.contains(kept), "{mismatch}");
    assert_eq!(seen_certificate(&manager), before);
}

#[test]
fn a_reload_takes_up_the_trusted_hostnames() {
    let home = Home::new();
    home.prepare(&["hostname", "add", "balance-7"]);
    let output = home.labwire(&["hostname", "list"]);
    let listed = String::from_utf8(output.stdout).unwrap();
    let own: Vec<_> = listed
        .lines()
        .filter_map(|line| line.strip_prefix("  "))
        .collect();
    let others: Vec<_> = own.into_iter().filter(|name| *name != "balance-7").collect();
    home.prepare(&[&["hostname", "remove"], &others[..]].concat());

    let manager = Manager::start_in(home, &["--disable-tls", "--auth-hostname"]);
    let greeting = |manager: &Manager| RawPeer::connect(manager).read_json();
    let refused = greeting(&manager);
    assert!(
        refused["message"]
            .as_str()
            .unwrap()
            .contains("is not a trusted hostname"),
        "{refused}"
    );
    manager
        .home()
        .prepare(&[&["hostname", "add"], &others[..]].concat());
    manager.signal(Signal::HUP);
    manager.wait_for_log("looked up the trusted hostnames");
    let admitted = greeting(&manager);
    assert_eq!(admitted["attribute"], "identity", "{admitted}");
}

#[test]
fn a_peer_cannot_write_lines_of_its_own_into_the_log() {
    let manager = Manager::start(&["--disable-tls", "-G", "TRACE"]);
    let forged = "x\n2026-01-01 00:00:00.000 [ERROR] labwire - forged \u{1b}[31m";
    let mut client = RawPeer::connect(&manager);
    client.identify(&json!({ "type": "client", "name": forged, "language": forged, "os": forged }));
    let mut client = RawPeer::client(&manager, "Ada");
    client.request(&request(forged, "echo"));
    client.request(&request("Manager", forged));
    let mut stranger = RawPeer::connect(&manager);
    stranger.identify(&json!({ "type": forged, "name": "x" }));
    stranger.read_line();
    let log = log_files(&manager.end());
    for line in log.lines() {
        assert!(
            !line.ends_with("forged \u{1b}[31m") && !line.starts_with("2026-01-01"),
            "{log}"
        );
        assert!(!line.contains('\u{1b}'), "{log}");
    }
}

#[test]
fn what_was_counted_is_logged_at_the_end_without_what_never_happened() {
    let manager = Manager::start(&["--disable-tls"]);
    RawPeer::client(&manager, "Ada").request(&identity_request());
    manager.wait_for_log("is a new Client connection");
    let log = log_files(&manager.end());
    let counted = log
        .lines()
        .find_map(|line| Some(line.split_once("counted since the start: ")?.1))
        .expect("it is logged");
    let counted: Value = serde_json::from_str(counted).unwrap();
    let counted = counted.as_object().unwrap();
    assert!(!counted.is_empty());
    assert!(counted.values().all(|count| *count != json!(0)), "{counted:?}");
}

#[test]
fn a_manager_that_waits_before_it_stops_says_for_what_and_how_to_stop_it_at_once() {
    let mut manager = Manager::start(&["--disable-tls", "--drain", "20s"]);
    let (_service, mut client) = with_a_request_under_way(&manager);
    manager.signal(Signal::INT);
    let line = manager.wait_for_log("waiting up to 20 s ");
    for text in ["1 request(s)", "--drain", "Ctrl-C"] {
        assert!(line.contains(text), "{text}: {line}");
    }
    manager.signal(Signal::INT);
    expect_abandoned(&mut client);
    assert_eq!(manager.wait_for_end().code(), Some(0));
    let log = manager.log();
    assert!(
        log.contains("1 request(s) were not answered, since the wait was cut short after "),
        "{log}"
    );
    assert!(!log.contains("20 s at most"), "{log}");
}

#[test]
fn a_manager_that_has_nothing_to_wait_for_says_nothing_of_waiting() {
    let manager = Manager::start(&["--disable-tls"]);
    let _client = RawPeer::client(&manager, "Ada");
    manager.wait_for_log("is a new Client connection");
    let log = log_files(&manager.end());
    assert!(!log.contains("waiting up to"), "{log}");
}

#[test]
fn a_signal_stops_a_manager_at_once_that_an_administrator_has_asked_to_stop() {
    let home = Home::new();
    home.prepare(&[
        "user",
        "add",
        "admin",
        "--admin",
        "--compatible",
        "--password",
        "x",
    ]);
    let mut manager = Manager::start_in(home, &["--disable-tls", "--drain", "1min"]);
    let (_service, mut client) = with_a_request_under_way(&manager);
    let mut admin = RawPeer::client(&manager, "admin");
    admin.send_line(&request("Manager", "shutdown_manager").to_string());
    answer(&mut admin, "admin");
    answer(&mut admin, "x");
    manager.wait_for_log("waiting up to 60 s ");
    manager.signal(Signal::TERM);
    expect_abandoned(&mut client);
    assert_eq!(manager.wait_for_end().code(), Some(0));
}
