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
    for process in [&record, &csv, &json, &topic] {
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
