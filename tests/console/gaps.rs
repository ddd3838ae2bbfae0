//! The time of what is missing: in a recording and in the output for programs, a gap begins when the
//! connection broke, and a break without a gap is there, too.

use std::thread::sleep;

use super::super::support::free_port;
use super::super::support::manager::Home;
use super::super::support::waiting::wait_until;
use super::super::support::way::Way;
use super::record::wait_for_text;
use super::watch::{interrupted, notify, start_at, wait};
use super::*;

/// How long the manager or the way to it is gone.
const GONE: Duration = Duration::from_millis(1_500);

/// Those who write what happens to the connection for programs, and what shows that they have begun.
const WRITERS: [(&[&str], &str); 4] = [
    (
        &["record", "lab.csv", "--watch", "Meter", "--topic", "lab.volts"],
        "linked with 'Meter'",
    ),
    (&["watch", "Meter", "volts", "--csv"], "linked with 'Meter'"),
    (&["watch", "Meter", "--json"], "linked with 'Meter'"),
    (&["subscribe", "lab.volts", "--json"], "lab.volts"),
];

/// Starts all of them. They use this port of the manager, or of a way to it.
fn writers(manager: &Manager, folder: &Home, port: u16) -> [Process; 4] {
    let done = labwire(manager, &["publish", "lab.volts", "1", "--retain"]);
    assert_eq!(done.code, Some(0), "{done:?}");
    WRITERS.map(|(arguments, begun)| {
        let mut command = folder.command(arguments);
        command.envs(manager.environment());
        command.env("LABWIRE_MANAGER", format!("127.0.0.1:{port}"));
        let process = Process::spawn("labwire", &mut command);
        wait(&process, begun);
        process
    })
}

fn meter(manager: &Manager) -> RawPeer {
    let meter = RawPeer::service(manager, "Meter", &json!({}));
    wait_for_service(manager, "Meter");
    meter
}

/// Returns the cells of the lines of an event.
fn rows<'a>(text: &'a str, event: &str) -> Vec<Vec<&'a str>> {
    let rows = text.lines().map(|line| line.split(',').collect::<Vec<_>>());
    rows.filter(|row| row.get(1) == Some(&event)).collect()
}

/// Returns the objects of an event.
fn objects(text: &str, event: &str) -> Vec<Value> {
    let mut objects = json_lines(text);
    objects.retain(|object| object["event"] == event);
    objects
}

/// Returns the member `seconds` in the cell of a row that has further values.
fn seconds_in(row: &[&str]) -> f64 {
    let row = row.join(",").replace("\"\"", "\"");
    let (_, rest) = row.split_once("\"seconds\": ").expect("it has a length");
    let end = rest.find([',', '}']).unwrap();
    rest[..end].parse().unwrap()
}

#[test]
fn a_gap_of_a_restarted_manager_begins_when_the_connection_broke() {
    let (port, folder) = (free_port(), Home::new());
    let manager = start_at(Home::new(), port);
    let service = meter(&manager);
    let [record, csv, json, topic] = writers(&manager, &folder, port);
    let home = manager.end();
    drop(service);
    for process in [&record, &csv, &json, &topic] {
        wait(process, "returning to the session");
    }
    sleep(GONE);
    let manager = start_at(home, port);
    let mut service = meter(&manager);
    // The recording tells it of each of its sources, in the order in which they come back.
    for source in ["'Meter' is back: gap since ", "'lab.volts' is back: gap since "] {
        wait(&record, source);
    }
    for process in [&csv, &json, &topic] {
        wait(process, "is back: gap since ");
    }
    notify(&mut service, "Meter", "[]", r#"{"volts": 7}"#);
    let done = labwire(&manager, &["publish", "lab.volts", "2"]);
    assert_eq!(done.code, Some(0), "{done:?}");
    let path = folder.path("lab.csv");
    wait_for_text(&path, ",notification,Meter,,volts,7,");
    let recorded = wait_for_text(&path, ",published,,lab.volts,,2,");
    wait(&csv, ",notification,7");
    wait_until("the value after the gap is not printed", || {
        json.output().contains("volts")
    });
    let gone = GONE.as_secs_f64();
    let again: Vec<_> = rows(&recorded, "linked").split_off(2);
    let [first, second] = &again[..] else {
        panic!("both are linked again: {recorded}");
    };
    for row in [first, second] {
        assert!(row[6].parse::<f64>().unwrap() > gone, "{recorded}");
    }
    // The gap begins with the break.
    let away = rows(&recorded, "away")[0][0].to_owned();
    assert!(
        rows(&recorded, "gap").iter().filter(|row| row[0] == away).count() == 2,
        "{recorded}"
    );
    interrupted(record);
    let (_, shown) = interrupted(csv);
    let gap = rows(&shown, "gap").remove(0);
    assert!(seconds_in(&gap) > gone, "{shown}");
    for process in [json, topic] {
        let (_, shown) = interrupted(process);
        let gap = objects(&shown, "gap").remove(0);
        assert!(gap["seconds"].as_f64().unwrap() > gone, "{shown}");
        assert_eq!(objects(&shown, "away")[0]["time"], gap["since"], "{shown}");
    }
}

#[test]
fn a_break_without_a_gap_is_in_the_output_for_programs() {
    let (manager, folder) = (start(), Home::new());
    let mut service = meter(&manager);
    let way = Way::to(manager.port());
    let [record, csv, json, topic] = writers(&manager, &folder, way.port());
    way.cut();
    for process in [&record, &csv, &json, &topic] {
        wait(process, "returning to the session");
    }
    notify(&mut service, "Meter", "[]", r#"{"volts": 7}"#);
    sleep(GONE);
    way.repair();
    for process in [&record, &csv, &json, &topic] {
        wait(process, "labwire: back after ");
    }
    let path = folder.path("lab.csv");
    let recorded = wait_for_text(&path, ",notification,Meter,,volts,7,");
    wait(&csv, ",notification,7");
    wait_until("the kept value is not printed", || {
        json.output().contains("volts")
    });
    interrupted(record);
    let (away, back) = (rows(&recorded, "away"), rows(&recorded, "back"));
    assert_eq!((away.len(), back.len()), (1, 1), "{recorded}");
    assert!(
        away[0][7].contains("have the time of their arrival"),
        "{recorded}"
    );
    let seconds = back[0][6].parse::<f64>().unwrap();
    assert!(seconds > GONE.as_secs_f64(), "{recorded}");
    assert!(
        rows(&recorded, "notification")[0][0] > away[0][0] && rows(&recorded, "gap").is_empty(),
        "{recorded}"
    );
    let (_, shown) = interrupted(csv);
    assert_eq!(rows(&shown, "away").len(), 1, "{shown}");
    assert!(
        seconds_in(&rows(&shown, "back")[0]) > GONE.as_secs_f64(),
        "{shown}"
    );
    for process in [json, topic] {
        let (_, shown) = interrupted(process);
        assert_eq!(objects(&shown, "away").len(), 1, "{shown}");
        let seconds = objects(&shown, "back")[0]["seconds"].as_f64().unwrap();
        assert!(seconds > GONE.as_secs_f64(), "{shown}");
    }
}

#[test]
fn a_lock_is_waited_for_over_a_restart_of_the_manager() {
    let (port, folder) = (free_port(), Home::new());
    let manager = start_at(Home::new(), port);
    let service = meter(&manager);
    let lock = |name: &str| {
        let mut command = folder.command(&["lock", "Meter", "--wait", "60", "--name", name]);
        command.envs(manager.environment());
        Process::spawn("labwire", &mut command)
    };
    let holder = lock("Ada");
    wait(&holder, "is locked");
    let mut waiter = lock("Bob");
    wait(&waiter, "waiting for it");
    let home = manager.end();
    drop(service);
    wait(&waiter, "the wait for 'Meter' goes on");
    let manager = start_at(home, port);
    let _service = meter(&manager);
    wait(&holder, "'Meter' is locked again");
    assert_eq!(waiter.output(), "", "{}", waiter.everything_printed());
    interrupted(holder);
    wait(&waiter, "Meter is locked");
    waiter.signal(Signal::INT);
    assert_eq!(waiter.wait().code(), Some(0), "{}", waiter.everything_printed());
    // One line at the beginning of the wait, one at the restart, and those of the lock.
    let printed = waiter.everything_printed();
    let told: Vec<_> = printed
        .lines()
        .filter(|line| line.contains("labwire: "))
        .collect();
    assert_eq!(told.len(), 2, "{printed}");
}

#[test]
fn a_lock_is_waited_for_over_a_crash_of_the_manager() {
    let (port, folder) = (free_port(), Home::new());
    let mut manager = start_at(Home::new(), port);
    let service = meter(&manager);
    let mut user = RawPeer::client(&manager, "Ada");
    let link = json!({"service": "Manager", "attribute": "link", "args": ["Meter"], "uid": "1"});
    assert_eq!(user.request(&link)["error"], false);
    let mut command = folder.command(&["lock", "Meter", "--wait", "60"]);
    command.envs(manager.environment());
    let mut waiter = Process::spawn("labwire", &mut command);
    wait(&waiter, "waiting for it");
    manager.signal(Signal::KILL);
    manager.wait_for_end();
    let home = manager.take_home();
    drop((service, user));
    wait(&waiter, "the wait for 'Meter' goes on");
    let manager = start_at(home, port);
    let _service = meter(&manager);
    wait(&waiter, "Meter is locked");
    waiter.signal(Signal::INT);
    assert_eq!(waiter.wait().code(), Some(0), "{}", waiter.everything_printed());
}

#[test]
fn people_are_told_in_their_words_that_a_manager_was_restarted() {
    let port = free_port();
    let mut manager = start_at(Home::new(), port);
    let mut service = RawPeer::service(&manager, "Meter", &json!({}));
    let mut call = Process::spawn("labwire", &mut command(&manager, &["call", "Meter", "read"]));
    service.read_json();
    // It does not answer what it has in flight.
    manager.signal(Signal::KILL);
    manager.wait_for_end();
    let home = manager.take_home();
    let _manager = start_at(home, port);
    assert_eq!(call.wait().code(), Some(3), "{}", call.everything_printed());
    let told = call.everything_printed();
    assert!(
        told.contains("the manager was restarted, or the time of the session is over"),
        "{told}"
    );
    for jargon in ["http", "close_notify", "secret", "KeyError", "register"] {
        assert!(!told.contains(jargon), "{told}");
    }
}

#[test]
fn a_call_that_timed_out_names_the_time_of_its_option() {
    let manager = start();
    let _silent = meter(&manager);
    let done = labwire(&manager, &["call", "Meter", "read", "--timeout", "0.25"]);
    assert_eq!(done.code, Some(124), "{done:?}");
    assert!(
        done.errors.contains("no reply to 'Meter'.read within 0.25 s"),
        "{done:?}"
    );
}

#[test]
fn a_lock_whose_holder_was_killed_is_said_to_end_by_itself() {
    let manager = start();
    let _service = meter(&manager);
    let mut holder = Process::spawn("labwire", &mut command(&manager, &["lock", "Meter"]));
    wait(&holder, "is locked");
    holder.signal(Signal::KILL);
    holder.wait();
    wait_until("the holder is not said to be away", || {
        let done = labwire(&manager, &["unlock", "Meter"]);
        assert_eq!(done.code, Some(4), "{done:?}");
        assert!(!done.errors.contains("labwire unlock"), "{done:?}");
        done.errors
            .contains("its holder is away; the lock ends by itself at ")
            && done.errors.contains("labwire admin break_lock Meter")
    });
}
