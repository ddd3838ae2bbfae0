//! `labwire status`.

use super::super::support::waiting::wait_until;
use super::*;

#[test]
fn the_status_shows_links_locks_requests_and_who_holds_what() {
    let manager = start();
    let _math = service(&manager, "BasicMath");
    let mut silent = RawPeer::service(&manager, "Silent", &json!({}));
    wait_for_service(&manager, "Silent");
    let mut ada = RawPeer::client(&manager, "Ada");
    for (attribute, uid) in [("link", "1"), ("acquire_lock", "2")] {
        ada.request(&json!({"service": "Manager", "attribute": attribute, "args": ["Silent"], "uid": uid}));
    }
    ada.send_line(r#"{"service":"Silent","attribute":"read","uid":"3"}"#);
    silent.read_json();
    ada.request(&json!({"service": "BasicMath", "attribute": "add", "args": [1, 2], "uid": "4"}));
    ada.request(&json!({"service": "BasicMath", "attribute": "nothing", "uid": "5"}));

    let objects = json_lines(&output(&manager, &["status", "--json"]));
    let named = |kind: &str, name: &str| {
        let is_it =
            |object: &&Value| object["kind"] == kind && object["name"].as_str().unwrap().starts_with(name);
        objects.iter().find(is_it).unwrap().clone()
    };
    let summary = named("manager", "Manager[");
    assert_eq!(
        (&summary["services"], &summary["in_flight"]),
        (&json!(2), &json!(1))
    );
    let math = named("service", "BasicMath");
    assert_eq!(
        (&math["requests"], &math["replies"], &math["errors"]),
        (&json!(2), &json!(2), &json!(1))
    );
    assert_eq!(
        math["latencies"]
            .as_array()
            .unwrap()
            .iter()
            .map(|bucket| bucket[1].as_u64().unwrap())
            .sum::<u64>(),
        2
    );
    assert!(
        math["request_bytes"].as_u64() > Some(100) && math["reply_bytes"].as_u64() > Some(50),
        "{math}"
    );
    let locked = named("service", "Silent");
    assert!(locked["oldest_seconds"].as_f64() > Some(0.0), "{locked}");
    assert!(
        locked["locks"][0]["client"].as_str().unwrap().starts_with("Ada["),
        "{locked}"
    );
    assert_eq!(named("client", "Ada[")["links"], json!(["Silent"]));

    let text = output(&manager, &["status"]);
    let line = |name: &str| text.lines().find(|line| line.starts_with(name)).unwrap();
    assert!(
        text.starts_with("Manager[") && text.contains("1 request in flight"),
        "{text}"
    );
    assert!(
        line("Silent").contains("Ada[") && line("Silent").contains(" since "),
        "{text}"
    );
    assert!(line("Ada[").ends_with("Silent"), "{text}");

    let described = output(&manager, &["describe", "Silent"]);
    assert!(described.contains("linked with Ada["), "{described}");
    assert!(described.contains("locked by Ada["), "{described}");
    let described = &json_lines(&output(&manager, &["describe", "Silent", "--json"]))[0];
    assert_eq!(
        (
            &described["link_count"],
            described["links"].as_array().unwrap().len()
        ),
        (&json!(1), 1)
    );
    assert!(
        described["locks"][0]["client"]
            .as_str()
            .unwrap()
            .starts_with("Ada["),
        "{described}"
    );
}

#[test]
fn the_users_are_shown_to_an_administrator() {
    let home = Home::new();
    home.prepare(&[
        "user",
        "insert",
        "ada",
        "--password",
        "difference engine",
        "--admin",
    ]);
    let manager = Manager::start_in(home, &["--disable-tls"]);
    let with_users = ["status", "--users", "--username", "ada"];
    let mut asked = command(&manager, &with_users);
    let done = run(asked.env("LABWIRE_PASSWORD", "difference engine"));
    assert_eq!(done.code, Some(0), "{done:?}");
    assert!(done.output.contains("USER"), "{done:?}");
    let done = run(command(&manager, &with_users).env("LABWIRE_PASSWORD", "analytical engine"));
    assert_eq!(done.code, Some(4), "{done:?}");
}

#[test]
fn the_status_of_the_reference_manager_has_names_only() {
    let manager = Manager::start_reference(Home::new(), &[]);
    let _math = service(&manager, "BasicMath");
    let text = output(&manager, &["status"]);
    assert!(
        text.contains("1 service, ") && text.contains("\nBasicMath"),
        "{text}"
    );
    let objects = json_lines(&output(&manager, &["status", "--json"]));
    assert_eq!(objects[0]["uptime_seconds"], Value::Null);
    assert_eq!(objects[1], json!({"kind": "service", "name": "BasicMath"}));
}

/// Starts a service whose connection is broken, and whose place the manager keeps for an hour.
pub(super) fn service_that_is_away(manager: &Manager, name: &str) {
    let mut away = RawPeer::connect(manager);
    away.identify(&json!({
        "type": "service", "name": name, "language": "LabVIEW", "os": "Windows", "features": ["sessions"],
        "attributes": { "read": "()", "describe": "() -> dict" }, "session": { "grace": 3600 },
    }));
    wait_for_service(manager, name);
    away.break_off();
    wait_until("the service is not away", || {
        output(manager, &["status", "--json"]).contains("\"away\":{")
    });
}

#[test]
fn a_service_that_is_away_is_shown_as_away_until_its_place_is_given_up() {
    let manager = start();
    let _here = RawPeer::service(&manager, "Here", &json!({}));
    wait_for_service(&manager, "Here");
    for arguments in [&["services"][..], &["status"], &["describe", "Here"]] {
        let shown = output(&manager, arguments);
        assert!(!shown.contains("STATE") && !shown.contains("away"), "{shown}");
    }
    service_that_is_away(&manager, "Meter");
    let statuses = json_lines(&output(&manager, &["status", "--json"]));
    let status = statuses.iter().find(|object| object["name"] == "Meter").unwrap();
    let text = format!("away until {}", time_in_zone(&status["away"]["until"]));
    let in_zone = |arguments: &[&str]| {
        let done = run(command(&manager, arguments).env("TZ", zone()));
        assert_eq!(done.code, Some(0), "{done:?}");
        done.output
    };
    for arguments in [&["services"][..], &["status"]] {
        let shown = in_zone(arguments);
        let lines: Vec<_> = shown.lines().filter(|line| line.contains("Meter")).collect();
        assert!(lines.len() == 1 && lines[0].ends_with(&text), "{shown}");
        let here = shown.lines().find(|line| line.starts_with("Here ")).unwrap();
        assert!(shown.contains("STATE") && !here.contains("away"), "{shown}");
    }
    let mut shell = command(&manager, &["shell"]);
    let mut shell = Process::spawn("labwire shell", shell.env("TZ", zone()));
    shell.type_line("services");
    shell.close_input();
    assert_eq!(shell.wait().code(), Some(0));
    assert!(shell.output().contains(&text), "{}", shell.everything_printed());
    let described = in_zone(&["describe", "Meter"]);
    for part in [
        &*format!("{text}: its connection broke at "),
        "documentation can be read when it is not away",
    ] {
        assert!(described.contains(part), "{described}");
    }
    for arguments in [
        &["services", "M*", "--json"][..],
        &["describe", "Meter", "--json"],
    ] {
        let object = &json_lines(&output(&manager, arguments))[0];
        assert_eq!(object["away"], status["away"], "{object}");
    }
    let here = &json_lines(&output(&manager, &["services", "Here", "--json"]))[0];
    assert_eq!(here.get("away"), None, "{here}");
}

#[test]
fn a_watched_status_follows_and_restores_the_terminal() {
    let manager = start();
    let mut watched = Process::spawn(
        "labwire",
        &mut command(&manager, &["status", "--watch", "--every", "50ms", "--json"]),
    );
    let _silent = RawPeer::service(&manager, "Silent", &json!({}));
    watched.wait_for("the service", |line| line.contains("\"Silent\"").then_some(()));
    watched.signal(Signal::INT);
    assert_eq!(watched.wait().code(), Some(0));
}
