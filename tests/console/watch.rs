//! `labwire watch`: notifications in each form of the output, across restarts, and as a plot.

use std::io::Read;
use std::process::Stdio;
use std::time::Instant;

use serde_json::{Value, json};

use super::super::support::manager::{Home, Manager};
use super::super::support::process::{Process, Signal};
use super::super::support::wire::{RawPeer, wait_for_service};
use super::super::support::{DEADLINE, free_port};
use super::pty::Terminal;
use super::{command, json_lines, labwire, run, start};

/// Sends a notification with these arguments, as JSON text.
pub(super) fn notify(service: &mut RawPeer, name: &str, args: &str, kwargs: &str) {
    service.send_line(&format!(
        r#"{{"error": false, "result": [{args}, {kwargs}], "service": "{name}", "uid": "notification"}}"#
    ));
}

/// Starts a command that runs until it is stopped, and waits until it is linked.
pub(super) fn linked(manager: &Manager, arguments: &[&str], services: &[&str]) -> Process {
    let process = Process::spawn("labwire", &mut command(manager, arguments));
    for service in services {
        process.wait_for("that it is linked", |line| {
            line.starts_with(&format!("labwire: linked with '{service}'"))
                .then_some(())
        });
    }
    process
}

fn meter(manager: &Manager) -> RawPeer {
    let service = RawPeer::service(manager, "Meter", &json!({}));
    wait_for_service(manager, "Meter");
    service
}

/// Waits until a line of either stream contains a text.
pub(super) fn wait(process: &Process, text: &str) {
    process.wait_for(text, |line| line.contains(text).then_some(()));
}

/// Stops a command with Ctrl-C, and returns its exit code and its output.
pub(super) fn interrupted(mut process: Process) -> (Option<i32>, String) {
    process.signal(Signal::INT);
    let code = process.wait().code();
    (code, process.output())
}

/// Starts a manager at a port, for one that is started there again.
pub(super) fn start_at(home: Home, port: u16) -> Manager {
    let mut command = home.command(&["start", "--disable-tls", "--port", &port.to_string()]);
    Manager::start_command(home, &mut command)
}

#[test]
fn notifications_are_text_json_or_csv() {
    let manager = start();
    let mut meter = meter(&manager);
    let follow = |arguments: &[&str]| {
        let arguments = [&["watch", "Meter", "--count", "3"], arguments].concat();
        linked(&manager, &arguments, &["Meter"])
    };
    let mut text = follow(&[]);
    let mut json = follow(&["--json"]);
    let mut csv = follow(&["--csv"]);
    notify(
        &mut meter,
        "Meter",
        "[1.10, \"two words\"]",
        r#"{"unit": "V", "ok": true}"#,
    );
    notify(
        &mut meter,
        "Meter",
        "[NaN, null]",
        r#"{"unit": "a,b", "extra": [1, 2]}"#,
    );
    notify(&mut meter, "Meter", "[]", "{}");
    for process in [&mut text, &mut json, &mut csv] {
        assert_eq!(process.wait().code(), Some(0));
    }
    let printed = text.output();
    let lines: Vec<_> = printed
        .lines()
        .map(|line| line.split_once("  ").unwrap())
        .collect();
    assert_eq!(lines[0].1, r#"1.10 "two words" unit="V" ok=true"#);
    assert_eq!(lines[1].1, r#"NaN null unit="a,b" extra=[1, 2]"#);
    assert_eq!(
        (lines[0].0.len(), lines[2].1),
        ("2026-11-28 12:34:56.789".len(), "")
    );

    let objects = json_lines(&json.output());
    assert_eq!(
        (&objects[0]["event"], &objects[0]["service"]),
        (&json!("notification"), &json!("Meter"))
    );
    assert_eq!(objects[0]["args"], json!([1.1, "two words"]));
    assert_eq!(objects[0]["kwargs"], json!({ "unit": "V", "ok": true }));
    assert!(
        json.output().contains(r#""args":[1.10, "two words"]"#),
        "{}",
        json.output()
    );
    let time = objects[0]["time"].as_str().unwrap();
    assert!(
        time.ends_with('Z') && time.len() == "2026-11-28T12:34:56.123456Z".len(),
        "{time}"
    );
    assert_eq!(
        (&objects[1]["args"], &objects[1]["kwargs"]),
        (&Value::Null, &Value::Null)
    );
    assert!(
        objects[1]["text"]
            .as_str()
            .unwrap()
            .starts_with("[[NaN, null], {")
    );

    let printed = csv.output();
    let rows: Vec<_> = printed.lines().collect();
    assert_eq!(rows[0], "time,event,0,1,unit,ok,more");
    assert!(
        rows[1].ends_with("Z,notification,1.10,two words,V,true,"),
        "{printed}"
    );
    assert!(
        rows[2].ends_with(r#"Z,notification,NaN,,"a,b",,"{""extra"": [1, 2]}""#),
        "{printed}"
    );
    assert!(rows[3].ends_with("Z,notification,,,,,"), "{printed}");
}

#[test]
fn a_key_selects_a_value_and_a_misspelt_one_gets_a_suggestion() {
    let manager = start();
    let mut meter = meter(&manager);
    let follow = |arguments: &[&str]| {
        let arguments = [&["watch", "Meter"], arguments].concat();
        linked(&manager, &arguments, &["Meter"])
    };
    let mut text = follow(&["probe.celsius[1]", "--count", "1"]);
    let mut json = follow(&["0", "--json", "--count", "1"]);
    let mut csv = follow(&["unit", "--csv", "--count", "1"]);
    let mut columns = follow(&["--csv", "--columns", "unit,other", "--count", "2"]);
    let misspelt = follow(&["unti"]);
    notify(&mut meter, "Meter", "[]", r#"{"other": 1}"#);
    wait(&misspelt, "a notification without 'unti'");
    wait(&columns, "a notification without 'unit'");
    notify(
        &mut meter,
        "Meter",
        "[5]",
        r#"{"unit": "V", "probe": {"celsius": [1, 2.50]}}"#,
    );
    for process in [&mut text, &mut json, &mut csv] {
        assert_eq!(process.wait().code(), Some(0));
    }
    assert!(
        text.output().ends_with("  probe.celsius[1]=2.50\n"),
        "{}",
        text.output()
    );
    let object = &json_lines(&json.output())[0];
    assert_eq!(
        (&object["key"], &object["value"], &object["args"]),
        (&json!("0"), &json!(5), &json!([5]))
    );
    let rows = csv.output();
    assert!(
        rows.starts_with("time,event,unit,more\n") && rows.contains(",notification,V,\"{"),
        "{rows}"
    );
    assert_eq!(columns.wait().code(), Some(0));
    let rows = columns.output();
    assert!(rows.starts_with("time,event,unit,other,more\n"), "{rows}");
    assert!(
        rows.contains(",notification,,1,\n") && rows.contains(",notification,V,,\"{"),
        "{rows}"
    );
    assert_eq!(interrupted(misspelt), (Some(0), String::new()));
    let misspelt = follow(&["unti"]);
    notify(&mut meter, "Meter", "[]", r#"{"unit": 1}"#);
    wait(&misspelt, "did you mean 'unit'?");
    let wrong = labwire(&manager, &["watch", "Meter", "a..b"]);
    assert_eq!(wrong.code, Some(2), "{wrong:?}");
}

#[test]
fn a_restart_of_the_service_is_a_gap_in_each_form() {
    let manager = start();
    let mut meter = meter(&manager);
    let forms: [&[&str]; 3] = [&[], &["--json"], &["--csv"]];
    let processes = forms.map(|form| linked(&manager, &[&["watch", "Meter"], form].concat(), &["Meter"]));
    notify(&mut meter, "Meter", "[1]", "{}");
    for process in &processes {
        process.wait_for("the first notification", |line| line.contains('1').then_some(()));
    }
    drop(meter);
    for process in &processes {
        wait(process, "'Meter' is away since ");
    }
    let mut meter = self::meter(&manager);
    for process in &processes {
        wait(process, "'Meter' is back: gap since ");
    }
    notify(&mut meter, "Meter", "[\"again\"]", "{}");
    for process in &processes {
        wait(process, "again");
    }
    let [text, json, csv] = processes.map(interrupted);
    assert_eq!((text.0, json.0, csv.0), (Some(0), Some(0), Some(0)));
    assert_eq!(text.1.lines().count(), 2, "{}", text.1);
    let objects = json_lines(&json.1);
    let events: Vec<_> = objects
        .iter()
        .map(|object| object["event"].as_str().unwrap())
        .collect();
    assert_eq!(events, ["notification", "gap", "notification"]);
    let gap = &objects[1];
    assert!(gap["since"].as_str() < gap["until"].as_str(), "{gap}");
    assert!(gap["seconds"].as_f64().unwrap() > 0.0, "{gap}");
    assert_eq!(gap["reason"], "the service has disconnected");
    let rows: Vec<_> = csv.1.lines().collect();
    assert_eq!(rows.len(), 4, "{}", csv.1);
    assert!(rows[2].contains("Z,gap,,\"{\"\"until\"\": \"\"2"), "{}", csv.1);
}

#[test]
fn a_watcher_is_started_first_and_outlives_its_manager() {
    let port = free_port();
    let home = Home::new();
    let address = format!("localhost:{port}");
    let arguments = ["watch", "Meter", "--json", "--disable-tls", "--host", &address];
    let watcher = Process::spawn("labwire", &mut home.command(&arguments));
    wait(&watcher, "waiting for the manager: ");
    let manager = start_at(Home::new(), port);
    wait(&watcher, "waiting for 'Meter': no service 'Meter' is connected");
    let mut service = meter(&manager);
    wait(&watcher, "linked with 'Meter' at Manager[");
    notify(&mut service, "Meter", "[1]", "{}");
    wait(&watcher, "\"args\":[1]");
    let home = manager.end();
    wait(&watcher, "'Meter' is away since ");
    let manager = start_at(home, port);
    let mut service = meter(&manager);
    wait(&watcher, "'Meter' is back: gap since ");
    notify(&mut service, "Meter", "[2]", "{}");
    wait(&watcher, "\"args\":[2]");
    drop(service);
    wait(&watcher, "the service has disconnected");
    let (code, output) = interrupted(watcher);
    let objects = json_lines(&output);
    assert_eq!((code, objects.len()), (Some(0), 5), "{output}");
    let reason = objects[2]["reason"].as_str().unwrap();
    assert!(
        reason.starts_with("the connection with the manager was lost"),
        "{reason}"
    );
    assert_eq!(objects[4]["event"], "gap", "it was away at the end");
}

#[test]
fn the_reference_manager_does_not_tell_that_a_service_left_but_the_watcher_notices() {
    let manager = Manager::start_reference(Home::new(), &["--disable-tls"]);
    let mut service = RawPeer::service(&manager, "Meter", &json!({}));
    let watcher = linked(&manager, &["watch", "Meter", "--json"], &["Meter"]);
    notify(&mut service, "Meter", "[1]", "{}");
    wait(&watcher, "\"args\":[1]");
    drop(service);
    wait(&watcher, "'Meter' is away since ");
    let mut service = RawPeer::service(&manager, "Meter", &json!({}));
    wait(&watcher, "'Meter' is back: gap since ");
    notify(&mut service, "Meter", "[2]", "{}");
    wait(&watcher, "\"args\":[2]");
    assert_eq!(interrupted(watcher).0, Some(0));
}

#[test]
fn without_reconnecting_there_is_an_exit_code_for_what_is_missing() {
    let manager = start();
    let mut meter = meter(&manager);
    let missing = labwire(&manager, &["watch", "Metre", "--reconnect=false"]);
    assert_eq!((missing.code, &*missing.output), (Some(4), ""), "{missing:?}");
    assert!(missing.errors.contains("did you mean 'Meter'?"), "{missing:?}");
    let waiting = Process::spawn("labwire", &mut command(&manager, &["watch", "Metre"]));
    wait(&waiting, "did you mean 'Meter'?");
    assert_eq!(interrupted(waiting).0, Some(0));
    let misspelt = ["watch", "Meter", "Voltage", "--reconnect=false"];
    let mut misspelt = linked(&manager, &misspelt, &["Meter"]);
    notify(&mut meter, "Meter", "[]", r#"{"voltage": 1.5}"#);
    assert_eq!(misspelt.wait().code(), Some(1));
    wait_until_ended(&misspelt, "did you mean 'voltage'?");
    let mut once = command(&manager, &["watch", "Meter"]);
    let mut once = Process::spawn("labwire", once.env("LABWIRE_RECONNECT", "false"));
    wait(&once, "linked with 'Meter'");
    drop(meter);
    assert_eq!(once.wait().code(), Some(1));
    wait_until_ended(&once, "'Meter' is away: the service has disconnected");
    let port = free_port().to_string();
    let nobody = labwire(
        &manager,
        &[
            "watch",
            "Meter",
            "--reconnect=false",
            "--host",
            "localhost",
            "--port",
            &port,
        ],
    );
    assert_eq!(nobody.code, Some(3), "{nobody:?}");
    let secured = Manager::start(&["--disable-tls", "--auth-password", "radium"]);
    let mut guess = command(&secured, &["watch", "Meter"]);
    let refused = run(guess.env("LABWIRE_MANAGER_PASSWORD", "polonium"));
    assert_eq!(refused.code, Some(4), "{refused:?}");
}

fn wait_until_ended(process: &Process, text: &str) {
    assert!(
        process.everything_printed().contains(text),
        "{}",
        process.everything_printed()
    );
}

#[test]
fn ctrl_c_and_a_closed_pipe_end_a_watcher() {
    let manager = start();
    let mut meter = meter(&manager);
    let counted = linked(&manager, &["watch", "Meter", "--count", "5"], &["Meter"]);
    assert_eq!(interrupted(counted).0, Some(130));
    let mut piped = command(&manager, &["watch", "Meter"]);
    let mut piped = piped
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut told = [0; 8];
    piped.stderr.as_mut().unwrap().read_exact(&mut told).unwrap();
    drop(piped.stdout.take());
    let deadline = Instant::now() + DEADLINE;
    let status = loop {
        notify(&mut meter, "Meter", "[1]", "{}");
        if let Some(status) = piped.try_wait().unwrap() {
            break status;
        }
        assert!(Instant::now() < deadline, "it does not end");
        std::thread::sleep(super::super::support::POLL_INTERVAL);
    };
    assert_eq!(status.code(), Some(0));
}

#[test]
fn a_service_cannot_send_commands_to_the_terminal_of_a_watcher() {
    let manager = start();
    let mut meter = meter(&manager);
    for form in [&[][..], &["--csv"], &["--json"]] {
        let mut screen = Terminal::open(
            &manager,
            &[&["watch", "Meter", "--count", "1"], form].concat(),
            (80, 24),
            &[],
        );
        screen.wait_for("linked with 'Meter'");
        notify(&mut meter, "Meter", r#"["a\u001b]0;title\u0007\u009bb"]"#, "{}");
        assert_eq!(screen.end(), Some(0));
        let shown = &screen.shown;
        assert!(
            !shown.contains("\u{1b}]") && !shown.contains('\u{9b}'),
            "{shown:?}"
        );
    }
}

#[test]
fn a_plot_draws_values_and_gives_the_terminal_back() {
    let manager = start();
    let mut meter = meter(&manager);
    for (columns, rows, environment) in [
        (80, 24, &[("LC_ALL", "C.UTF-8"), ("TERM", "xterm-256color")][..]),
        (
            200,
            50,
            &[("LC_ALL", "C"), ("NO_COLOR", "1"), ("TERM", "xterm")][..],
        ),
    ] {
        let arguments = ["watch", "Meter", "--plot", "voltage", "--window", "5"];
        let mut screen = Terminal::open(&manager, &arguments, (columns, rows), environment);
        screen.wait_for("\u{1b}[?1049h");
        screen.wait_for("linked");
        for value in ["1.25", "\"1.5\"", "1.75"] {
            notify(&mut meter, "Meter", "[]", &format!("{{\"voltage\": {value}}}"));
        }
        let lines = screen.wait_for_screen("last 1.75   min 1.25   max 1.75   mean 1.5   n 3");
        assert!(
            lines[0].starts_with("Meter voltage ") && lines[0].ends_with(" linked"),
            "{lines:#?}"
        );
        assert_eq!(lines[0].chars().count(), usize::from(columns), "{lines:#?}");
        notify(&mut meter, "Meter", "[]", r#"{"voltage": "over\u001b[2J"}"#);
        screen.wait_for("not a number");
        let is_unicode = environment[0].1 == "C.UTF-8";
        assert_eq!(screen.shown.contains('│'), is_unicode);
        assert_eq!(screen.shown.contains("\u{1b}[36m"), is_unicode, "colour");
        assert!(!screen.shown.contains("over\u{1b}"));
        if is_unicode {
            screen.type_keys("q");
        } else {
            screen.signal(Signal::TERM);
        }
        assert_eq!(screen.end(), Some(0));
        screen.expect_restored();
        assert!(
            screen.shown.contains("3 values of voltage: last 1.75"),
            "{}",
            screen.shown
        );
    }
    let mut counted = Terminal::open(
        &manager,
        &["watch", "Meter", "--plot", "voltage", "--count", "1"],
        (80, 24),
        &[],
    );
    counted.wait_for("linked");
    notify(&mut meter, "Meter", "[]", r#"{"voltage": 1}"#);
    assert_eq!(counted.end(), Some(0));
    counted.expect_restored();
    let counted = ["watch", "Meter", "--plot", "0", "--count", "9"];
    let mut unfinished = Terminal::open(&manager, &counted, (80, 24), &[]);
    unfinished.wait_for("[?1049h");
    unfinished.type_keys("\u{3}");
    assert_eq!(unfinished.end(), Some(130), "{}", unfinished.shown);
    let mut interrupted = Terminal::open(&manager, &["watch", "Meter", "--plot", "0"], (80, 24), &[]);
    interrupted.wait_for("linked");
    interrupted.type_keys("\u{3}");
    assert_eq!(interrupted.end(), Some(0));
    interrupted.expect_restored();
    let piped = labwire(&manager, &["watch", "Meter", "--plot", "voltage"]);
    assert_eq!(piped.code, Some(2), "{piped:?}");
    assert!(piped.errors.contains("--plot needs a terminal"), "{piped:?}");
}
