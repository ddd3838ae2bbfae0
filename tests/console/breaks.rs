//! Commands whose connection breaks for a while: they return to their session.

use std::thread::sleep;

use super::super::support::waiting::wait_until;
use super::super::support::way::Way;
use super::watch::{notify, wait};
use super::*;

/// How long the way is cut: long enough that attempts to return are refused.
const CUT: Duration = Duration::from_millis(1_500);

const RETURNING: &str = "labwire: disconnected; returning to the session";

/// Starts a command that uses the way.
fn through_way(manager: &Manager, way: &Way, arguments: &[&str]) -> Process {
    let mut command = command(manager, arguments);
    command.env("LABWIRE_MANAGER", format!("127.0.0.1:{}", way.port()));
    Process::spawn("labwire", &mut command)
}

fn meter(manager: &Manager) -> RawPeer {
    let meter = RawPeer::service(manager, "Meter", &json!({ "read": "()" }));
    wait_for_service(manager, "Meter");
    meter
}

/// Answers a request.
fn answer(service: &mut RawPeer, request: &Value, result: &Value) {
    let reply = json!({
        "error": false, "result": result, "uid": request["uid"], "requester": request["requester"],
    });
    service.send_line(&reply.to_string());
}

/// Cuts the way of processes that have told so before it is repaired.
fn break_for_a_while(way: &Way, processes: &[&Process]) {
    way.cut();
    for process in processes {
        wait(process, RETURNING);
    }
    sleep(CUT);
    way.repair();
    for process in processes {
        wait(process, "labwire: back after ");
    }
}

#[test]
fn a_lock_outlives_a_broken_connection_and_the_person_is_told() {
    let manager = start();
    let _meter = meter(&manager);
    let way = Way::to(manager.port());
    let mut lock = through_way(&manager, &way, &["lock", "Meter", "--name", "Ada"]);
    wait(&lock, "is locked");
    way.cut();
    wait(&lock, RETURNING);
    wait_until("others are not told that the holder is away", || {
        let refused = labwire(&manager, &["lock", "Meter"]);
        assert_eq!(refused.code, Some(4), "{refused:?}");
        refused.errors.contains("'Meter' is locked by Ada[")
            && refused.errors.contains("away since")
            && refused.errors.contains("and its place is kept until")
    });
    sleep(CUT);
    way.repair();
    let told = lock.wait_for("that it is back", |line| {
        line.starts_with("labwire: back after ").then(|| line.to_owned())
    });
    assert!(told.ends_with(" s, the lock is still held"), "{told}");
    assert_eq!(labwire(&manager, &["lock", "Meter"]).code, Some(4));
    lock.signal(Signal::INT);
    assert_eq!(lock.wait().code(), Some(0), "{}", lock.everything_printed());
    assert_eq!(labwire(&manager, &["link", "Meter"]).code, Some(0));
}

/// Returns the event and the cause of each object that a command has printed.
fn events(process: &Process) -> Vec<(String, Option<String>)> {
    let text = |value: &Value| value.as_str().map(str::to_owned);
    json_lines(&process.output())
        .iter()
        .map(|object| {
            assert_eq!(object["service"], "Meter");
            assert_eq!(object["event"] == "back", object["seconds"].as_f64() > Some(0.0));
            (text(&object["event"]).unwrap(), text(&object["cause"]))
        })
        .collect()
}

#[test]
fn a_break_of_a_lock_and_of_a_link_is_an_object_of_json() {
    let manager = start();
    let _meter = meter(&manager);
    let way = Way::to(manager.port());
    for (arguments, first, last) in [
        (&["lock", "Meter", "--json"][..], "locked", "released"),
        (&["link", "Meter", "--hold", "--json"], "linked", "unlinked"),
    ] {
        let mut held = through_way(&manager, &way, arguments);
        wait(&held, first);
        break_for_a_while(&way, &[&held]);
        wait(&held, "\"back\"");
        held.signal(Signal::INT);
        assert_eq!(held.wait().code(), Some(0), "{}", held.everything_printed());
        let connection = Some("connection".to_owned());
        let expected = [
            (first.to_owned(), None),
            ("away".to_owned(), connection.clone()),
            ("back".to_owned(), connection),
            (last.to_owned(), None),
        ];
        assert_eq!(events(&held), expected);
    }
}

#[test]
fn a_lock_that_cannot_be_returned_to_ends_with_a_clear_failure() {
    let manager = start();
    let _meter = meter(&manager);
    let way = Way::to(manager.port());
    let mut lock = command(&manager, &["lock", "Meter"]);
    lock.env("LABWIRE_MANAGER", format!("127.0.0.1:{}", way.port()))
        .env("LABWIRE_SESSION_GRACE", "1");
    let mut lock = Process::spawn("labwire", &mut lock);
    wait(&lock, "is locked");
    way.cut();
    // The manager may be restarting: then it keeps the lock.
    wait(
        &lock,
        "the lock on 'Meter' is lost unless the manager is being restarted",
    );
    way.repair();
    assert_eq!(lock.wait().code(), Some(3), "{}", lock.everything_printed());
    let printed = lock.everything_printed();
    assert!(printed.contains("the lock on 'Meter' is lost: "), "{printed}");
}

#[test]
fn commands_go_on_after_a_broken_connection() {
    let manager = start();
    let mut meter = meter(&manager);
    let way = Way::to(manager.port());
    let mut call = through_way(&manager, &way, &["call", "Meter", "read"]);
    let called = meter.read_json();
    let start = |arguments: &[&str], begun: &str| {
        let process = through_way(&manager, &way, arguments);
        wait(&process, begun);
        process
    };
    let hold = start(&["link", "Meter", "--hold"], "is linked");
    let watch = start(&["watch", "Meter"], "linked with 'Meter'");
    let record = start(&["record", "lab.csv", "--watch", "Meter"], "linked with 'Meter'");
    let ping = start(
        &["ping", "--count", "1000", "--every", "0.2", "--timeout", "30"],
        "Manager",
    );
    let status = start(&["status", "--watch", "--json", "--every", "0.2"], "\"kind\"");
    let top = start(&["top", "--json", "--every", "0.2"], "\"kind\"");
    let subscribe = through_way(&manager, &way, &["subscribe", "lab.volts"]);
    let publish = ["publish", "lab.volts", "1", "--retain"];
    let published = labwire(&manager, &publish);
    assert_eq!(published.code, Some(0), "{published:?}");
    wait(&subscribe, "lab.volts");
    let mut shell = through_way(&manager, &way, &["shell"]);
    shell.type_line("Meter read");
    let typed = meter.read_json();

    way.cut();
    // What comes meanwhile is kept.
    wait(&watch, RETURNING);
    notify(&mut meter, "Meter", "[]", r#"{"volts": 7}"#);
    answer(&mut meter, &called, &json!("one result"));
    answer(&mut meter, &typed, &json!("another result"));
    let all = [&hold, &watch, &record, &ping, &status, &top, &subscribe, &call];
    for process in all {
        wait(process, RETURNING);
    }
    sleep(CUT);
    way.repair();
    for process in all {
        let told = process.wait_for("that it is back", |line| {
            line.starts_with("labwire: back after ").then(|| line.to_owned())
        });
        assert!(told.ends_with(" s, session kept"), "{told}");
    }
    assert_eq!(call.wait().code(), Some(0), "{}", call.everything_printed());
    assert_eq!(call.output(), "one result\n");
    wait(&shell, "another result");
    shell.close_input();
    assert_eq!(shell.wait().code(), Some(0), "{}", shell.everything_printed());
    wait(&watch, "volts=7");
    // It would fail without a value.
    let recorded = manager.home().path("lab.csv");
    wait_until("the value is not recorded", || {
        fs::read_to_string(&recorded).unwrap().contains(",volts,7,")
    });
    assert_eq!(labwire(&manager, &["publish", "lab.volts", "2"]).code, Some(0));
    wait(&subscribe, "lab.volts  2");
    for mut process in [hold, watch, record, status, top, subscribe, ping] {
        let begun = process.output().lines().count();
        // Each goes on until it is stopped.
        if process.everything_printed().contains("\"kind\"") {
            process.wait_for_line_after(begun, "more", |_| Some(()));
        }
        process.signal(Signal::INT);
        assert_eq!(process.wait().code(), Some(0), "{}", process.everything_printed());
        let printed = process.everything_printed();
        assert!(!printed.contains(" is away"), "{printed}");
        assert!(!printed.contains("no answer"), "{printed}");
    }
    let recorded = fs::read_to_string(manager.home().path("lab.csv")).unwrap();
    assert!(
        recorded.contains("volts") && !recorded.contains(",gap,"),
        "{recorded}"
    );
}

#[test]
fn a_bench_goes_on_after_a_broken_connection() {
    let manager = start();
    let mut meter = meter(&manager);
    let way = Way::to(manager.port());
    let mut bench = through_way(
        &manager,
        &way,
        &[
            "bench",
            "Meter",
            "read",
            "--calls",
            "200",
            "--in-flight",
            "4",
            "--seconds",
            "60",
        ],
    );
    for number in 0..200 {
        let request = meter.read_json();
        if number == 100 {
            break_for_a_while(&way, &[&bench]);
        }
        answer(&mut meter, &request, &json!(1));
    }
    assert_eq!(bench.wait().code(), Some(0), "{}", bench.everything_printed());
    assert!(bench.output().contains("200 calls"), "{}", bench.output());
}

#[test]
fn items_of_a_call_are_printed_once_each_across_a_broken_connection() {
    let manager = start();
    let mut meter = RawPeer::connect(&manager);
    meter.identify(&json!({
        "type": "service", "name": "Meter", "attributes": { "read": "()" }, "features": ["progress"],
    }));
    wait_for_service(&manager, "Meter");
    let way = Way::to(manager.port());
    let mut call = through_way(&manager, &way, &["call", "Meter", "read", "--progress"]);
    let called = meter.read_json();
    let item =
        |number: u32| json!({ "item": number, "uid": called["uid"], "requester": called["requester"] });
    meter.send_line(&item(1).to_string());
    wait(&call, "1");
    way.cut();
    wait(&call, RETURNING);
    meter.send_line(&item(2).to_string());
    sleep(CUT);
    way.repair();
    wait(&call, "labwire: back after ");
    meter.send_line(&item(3).to_string());
    answer(&mut meter, &called, &json!("done"));
    assert_eq!(call.wait().code(), Some(0), "{}", call.everything_printed());
    assert_eq!(call.output(), "1\n2\n3\ndone\n");
}

#[test]
fn nothing_is_told_if_the_network_only_stands_still() {
    let manager = start();
    let mut meter = meter(&manager);
    let way = Way::to(manager.port());
    let mut call = through_way(&manager, &way, &["call", "Meter", "read"]);
    let called = meter.read_json();
    way.set_stuck(true);
    answer(&mut meter, &called, &json!("late"));
    sleep(CUT);
    way.set_stuck(false);
    assert_eq!(call.wait().code(), Some(0), "{}", call.everything_printed());
    assert_eq!(call.everything_printed(), "late\n");
}

#[test]
fn a_service_that_is_away_and_back_is_told_to_those_that_are_linked() {
    let manager = start();
    let identity = json!({
        "type": "service", "name": "Meter", "attributes": { "read": "()" }, "features": ["sessions"],
    });
    let mut meter = RawPeer::connect(&manager);
    meter.identify(&identity);
    let registered = meter.read_json();
    wait_for_service(&manager, "Meter");
    let mut watch = Process::spawn("labwire", &mut command(&manager, &["watch", "Meter", "--json"]));
    wait(&watch, "linked with 'Meter'");
    let hold = ["link", "Meter", "--hold", "--json"];
    let mut hold = Process::spawn("labwire", &mut command(&manager, &hold));
    wait(&hold, "linked");
    let mut shell = Process::spawn("labwire", &mut command(&manager, &["shell"]));
    shell.type_line("link Meter");
    wait(&shell, "linked with");
    meter.break_off();
    wait(&watch, "'Meter' is away since ");
    wait(&hold, "\"away\"");
    wait(&shell, "'Meter' is away: its connection broke; its place is kept");
    let mut identity = identity;
    identity["session"] = json!({
        "secret": registered["kwargs"]["session"]["secret"], "received": 0,
    });
    let mut meter = RawPeer::connect(&manager);
    meter.identify(&identity);
    wait(&watch, "'Meter' is back: gap since ");
    wait(&shell, "'Meter' is back");
    wait(&hold, "\"back\"");
    hold.signal(Signal::INT);
    assert_eq!(hold.wait().code(), Some(0), "{}", hold.everything_printed());
    let told = events(&hold);
    for (place, event) in [(1, "away"), (2, "back")] {
        assert_eq!(told[place], (event.to_owned(), Some("service".to_owned())));
    }
    notify(&mut meter, "Meter", "[]", r#"{"volts": 7}"#);
    wait(&watch, "volts");
    watch.signal(Signal::INT);
    assert_eq!(watch.wait().code(), Some(0), "{}", watch.everything_printed());
    let shown = watch.output();
    assert!(shown.contains("its connection broke"), "{shown}");
    assert_eq!(shown.matches("\"gap\"").count(), 1, "{shown}");
    shell.close_input();
    assert_eq!(shell.wait().code(), Some(0), "{}", shell.everything_printed());
}
