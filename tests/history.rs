//! The record: who did what and when, and `labwire history`, which shows it.

mod arguments;
mod commands;
mod logins;

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use serde_json::{Value, json};

use super::support::DEADLINE;
use super::support::manager::{Home, Manager, RECORDED};
use super::support::process::Signal;
use super::support::python::{Service, run_script};
use super::support::wire::{RawPeer, request};

const PASSWORD: &str = "difference engine";

/// Returns a folder with the administrator `ada` and the user `bob`.
fn home() -> Home {
    let home = Home::new();
    home.prepare(&[
        "user",
        "add",
        "ada",
        "--admin",
        "--compatible",
        "--password",
        PASSWORD,
    ]);
    home.prepare(&["user", "add", "bob", "--compatible", "--password", "bob's own"]);
    home
}

/// Runs a command as the administrator. Returns its exit code, output and errors.
fn run(manager: &Manager, arguments: &[&str]) -> (Option<i32>, String, String) {
    let mut command = manager.home().command(arguments);
    command
        .envs(manager.environment())
        .env("LABWIRE_USERNAME", "ada")
        .env("LABWIRE_PASSWORD", PASSWORD);
    finished(&mut command)
}

fn finished(command: &mut Command) -> (Option<i32>, String, String) {
    let output = command.stdin(std::process::Stdio::null()).output().unwrap();
    (
        output.status.code(),
        String::from_utf8(output.stdout).unwrap(),
        String::from_utf8(output.stderr).unwrap(),
    )
}

/// Returns the output of `labwire history` with these options.
fn history(manager: &Manager, options: &[&str]) -> String {
    let (code, output, errors) = run(manager, &[&["history"], options].concat());
    assert_eq!((code, errors.as_str()), (Some(0), ""), "{options:?}: {output}");
    output
}

/// Returns the entries that `labwire history` shows with these options.
fn entries(manager: &Manager, options: &[&str]) -> Vec<Value> {
    let output = history(manager, &[&["--json", "--limit", "0"], options].concat());
    output
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

/// Returns entries in the form `kind outcome peer service`, with the part of the peer before the bracket.
fn in_short(entries: &[Value]) -> Vec<String> {
    let text = |entry: &Value, name: &str| entry[name].as_str().unwrap_or("-").to_owned();
    entries
        .iter()
        .map(|entry| {
            let peer = text(entry, "peer");
            let peer = peer.split('[').next().unwrap_or_default().to_owned();
            let [kind, outcome, service] = ["kind", "outcome", "service"].map(|name| text(entry, name));
            format!("{kind} {outcome} {peer} {service}")
        })
        .collect()
}

/// Waits until some entries are there: an entry about a login that failed comes after the answer.
fn wait_for_entries(manager: &Manager, options: &[&str], count: usize) -> Vec<Value> {
    let begun = Instant::now();
    loop {
        let found = entries(manager, options);
        if found.len() >= count {
            return found;
        }
        assert!(begun.elapsed() < DEADLINE, "{found:?}");
    }
}

fn about_dmm(attribute: &str, kwargs: Value) -> Value {
    let mut request = request("Manager", attribute);
    request["args"] = json!(["DMM"]);
    request["kwargs"] = kwargs;
    request
}

/// Answers the manager's questions for a username and a password.
fn log_in_as(peer: &mut RawPeer, user: &str, password: &str) {
    for answer in [user, password] {
        assert_eq!(peer.read_json()["error"], false);
        peer.send_line(&json!({ "result": answer }).to_string());
    }
    assert_eq!(peer.read_json()["attribute"], "identity");
}

/// Logs in for administrators' requests with the first of them. Returns the answer.
fn log_in(peer: &mut RawPeer, request: &Value) -> Value {
    assert_eq!(peer.request(request)["attribute"], "username");
    peer.send_line("ada");
    assert_eq!(peer.read_json()["attribute"], "password");
    peer.send_line(PASSWORD);
    peer.read_json()
}

#[test]
fn what_python_peers_do_is_in_the_record_and_no_secret_is() {
    const SECRETS: [&str; 5] = [
        "the newcomer's secret",
        "a wrong guess",
        "a payload",
        PASSWORD,
        "bob's own",
    ];
    let manager = Manager::start_in(home(), &["--disable-tls", "--auth-login"]);
    let connection = manager
        .connection()
        .with("username", "ada")
        .with("password", PASSWORD);
    let bob = manager
        .connection()
        .with("username", "bob")
        .with("password", "bob's own");
    let _laboratory = Service::start("Laboratory", &bob);
    let parameters = json!({ "secret": SECRETS[0], "guess": SECRETS[1] });
    run_script("recorded.py", &connection, &parameters);

    let about = in_short(&entries(&manager, &["--service", "Laboratory"]));
    assert_eq!(
        about,
        [
            "join ok Laboratory Laboratory",
            "link ok Holder Laboratory",
            "lock ok Holder Laboratory",
            "link refused Rival Laboratory",
            "unlock ok Holder Laboratory",
            "unlink ok Holder Laboratory",
        ]
    );
    let logins = wait_for_entries(&manager, &["--kind", "login", "--outcome", "refused"], 2);
    let users: Vec<_> = logins.iter().map(|entry| entry["user"].as_str()).collect();
    assert!(
        users.contains(&Some("ada")) && users.contains(&None),
        "{logins:?}"
    );
    let logins = entries(&manager, &["--kind", "login", "--outcome", "ok", "--user", "bob"]);
    assert_eq!(in_short(&logins), ["login ok Laboratory -"]);
    let changes = entries(&manager, &["--kind", "admin", "--peer", "Holder"]);
    assert_eq!(changes.len(), 1, "{changes:?}");
    assert_eq!(changes[0]["attribute"], "users_table.insert");
    assert_eq!(changes[0]["text"], r#"username="newcomer" is_admin=false"#);
    assert_eq!(changes[0]["user"], "ada");

    let home = manager.end();
    let folder = home.argument("");
    for file in ["manager.record.sqlite3", "manager.record.sqlite3-wal"] {
        let bytes = fs::read(home.path(file)).unwrap_or_default();
        let text = String::from_utf8_lossy(&bytes);
        for secret in SECRETS.into_iter().chain([folder.trim_end_matches('/')]) {
            assert!(!text.contains(secret), "{file} contains {secret:?}");
        }
    }
    let file = ["history", "--file", "manager.record.sqlite3"];
    let read = |options: &[&str]| finished(&mut home.command(&[&file, options].concat()));
    let (code, verified, errors) = read(&["--verify"]);
    assert_eq!((code, errors.as_str()), (Some(0), ""));
    assert!(
        verified.contains(" entries are as they were written: 1 to "),
        "{verified}"
    );
    let (_, ends, _) = read(&["--kind", "start,stop", "--json"]);
    let ends: Vec<Value> = ends
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(in_short(&ends), ["start ok - -", "stop ok - -"]);
    let text = ends[0]["text"].as_str().unwrap();
    assert!(text.contains("with logins, without TLS"), "{text}");
}

#[test]
fn a_lock_that_an_administrator_breaks_is_recorded_with_who_did_so() {
    let manager = Manager::start_in(home(), &["--disable-tls"]);
    let mut dmm = RawPeer::service(&manager, "DMM", &json!({ "read": "() -> float" }));
    let mut holder = RawPeer::client(&manager, "Holder");
    holder.request(&about_dmm("link", json!({})));
    let lock = about_dmm("acquire_lock", json!({ "reason": "calibration", "ttl": 600 }));
    assert_eq!(holder.request(&lock)["error"], false);
    let mut other = RawPeer::client(&manager, "Other");
    assert_eq!(other.request(&request("DMM", "read"))["error"], true);

    let mut admin = RawPeer::client(&manager, "Admin");
    let answer = log_in(
        &mut admin,
        &about_dmm("break_lock", json!({ "reason": "it was left" })),
    );
    assert_eq!(answer["error"], false, "{answer}");
    let found = entries(&manager, &["--service", "DMM", "--kind", "lock,unlock,call"]);
    assert_eq!(
        in_short(&found),
        [
            "lock ok Holder DMM",
            "call refused Other DMM",
            "unlock broken Holder DMM"
        ]
    );
    let texts: Vec<_> = found
        .iter()
        .map(|entry| entry["text"].as_str().unwrap())
        .collect();
    assert_eq!(texts[0], "for 600 s unless renewed, reason: 'calibration'");
    assert!(texts[1].starts_with("PermissionError: the 'DMM' Service is locked by Holder["));
    assert_eq!(texts[2], "by 'ada', reason: 'it was left'");
    assert_eq!(found[1]["attribute"], "read");
    let changes = entries(&manager, &["--kind", "admin", "--peer", "Admin"]);
    assert_eq!(
        (&changes[0]["attribute"], &changes[0]["user"]),
        (&json!("break_lock"), &json!("ada"))
    );
    assert_eq!(changes[0]["service"], "DMM");

    // A client and a service that leave.
    holder.request(&about_dmm("link", json!({})));
    holder.request(&about_dmm("acquire_lock", json!({})));
    holder.break_off();
    dmm.break_off();
    let left = wait_for_entries(&manager, &["--kind", "leave", "--peer", "DMM"], 1);
    assert_eq!(in_short(&left), ["leave ok DMM DMM"]);
    wait_for_entries(&manager, &["--kind", "leave", "--peer", "Holder"], 1);
    let found = entries(&manager, &["--peer", "Holder", "--kind", "unlock,leave"]);
    let last = in_short(&found[1..]);
    assert!(
        last == ["unlock ok Holder DMM", "leave ok Holder -"] || last == ["leave ok Holder -"],
        "{found:?}"
    );
}

#[test]
fn a_history_is_read_in_pages_by_an_administrator_alone_also_at_a_terminal() {
    let manager = Manager::start_in(home(), &["--disable-tls"]);
    let mut typed = RawPeer::connect(&manager);
    typed.read_json();
    typed.send_line("client Typist");
    typed.send_line("Manager history kind=join limit=1");
    assert_eq!(typed.read_json()["attribute"], "username");
    typed.send_line("ada");
    typed.read_json();
    typed.send_line(PASSWORD);
    let answer = typed.read_json();
    let page = &answer["result"];
    assert_eq!(page["entries"].as_array().map(Vec::len), Some(1), "{answer}");
    assert!(
        page["entries"][0]["peer"]
            .as_str()
            .unwrap()
            .starts_with("Typist["),
        "{page}"
    );

    let mut asked = request("Manager", "history");
    let mut ids = Vec::new();
    loop {
        let answer = typed.request(&asked);
        let page = &answer["result"];
        let entries = page["entries"].as_array().unwrap();
        ids.extend(entries.iter().map(|entry| entry["id"].as_i64().unwrap()));
        let Some(next) = page["next"].as_i64() else { break };
        asked["kwargs"] = json!({ "before": next, "limit": 2 });
    }
    assert!(ids.windows(2).all(|pair| pair[0] > pair[1]), "{ids:?}");
    assert_eq!(ids.last(), Some(&1));

    for (kwargs, message) in [
        (
            json!({ "kind": "lok" }),
            "ValueError: 'lok' is no kind of entries, use start, ",
        ),
        (json!({ "since": "soon" }), "ValueError: 'soon' is no time"),
        (
            json!({ "since": "2026-11-29T10:00:00Z", "until": "2026-11-29T10:00:00Z" }),
            "ValueError: since 2026-11-29T10:00:00Z is not before until 2026-11-29T10:00:00Z",
        ),
        (
            json!({ "peer": "*".repeat(60_000) }),
            "ValueError: peer has 60000 bytes, it may have 1024",
        ),
        (json!({ "before": 1, "after": 1 }), "TypeError: history() takes "),
        (json!({ "limit": "all" }), "TypeError: history() takes "),
        (json!({ "limit": 0 }), "TypeError: history() takes "),
        (json!({ "limit": -1 }), "TypeError: history() takes "),
    ] {
        asked["kwargs"] = kwargs;
        let answer = typed.request(&asked);
        assert!(
            answer["message"].as_str().unwrap().starts_with(message),
            "{answer}"
        );
    }
    // Who asks again and again is recorded once, and each failure.
    let found = entries(&manager, &["--kind", "admin", "--peer", "Typist"]);
    let outcomes: Vec<_> = found
        .iter()
        .map(|entry| entry["outcome"].as_str().unwrap())
        .collect();
    assert_eq!(outcomes[0], "ok");
    assert_eq!(outcomes[1..], ["refused"; 8]);

    let mut command = manager.home().command(&["history"]);
    command
        .envs(manager.environment())
        .env("LABWIRE_USERNAME", "bob")
        .env("LABWIRE_PASSWORD", "bob's own");
    let (code, output, errors) = finished(&mut command);
    assert_eq!((code, output.as_str()), (Some(4), ""), "{errors}");
}

#[test]
fn the_text_has_a_line_per_entry_and_the_csv_no_formula() {
    let manager = Manager::start_in(home(), &["--disable-tls"]);
    let mut client = RawPeer::client(&manager, "=cmd");
    assert_eq!(client.request(&about_dmm("link", json!({})))["error"], true);
    let text = history(&manager, &["--peer", "=cmd"]);
    let lines: Vec<_> = text.lines().collect();
    assert_eq!(lines.len(), 3, "{text}");
    assert!(
        lines[1].contains("  =cmd[") && lines[1].ends_with("  connected as a client"),
        "{text}"
    );
    assert!(
        lines[2].contains("  was refused a link with DMM: KeyError: "),
        "{text}"
    );
    let csv = history(&manager, &["--peer", "=cmd", "--csv", "--newest-first"]);
    let lines: Vec<_> = csv.lines().collect();
    assert!(lines[0].starts_with("id,time,kind,outcome,user,peer,"), "{csv}");
    assert!(lines[1].contains(",link,refused,,'=cmd["), "{csv}");
    assert_eq!(history(&manager, &["--service", "nothing"]), "no entries\n");
    let (code, _, errors) = run(&manager, &["history", "--kind", "lok"]);
    assert_eq!(code, Some(2));
    assert!(errors.contains("did you mean lock?"), "{errors}");
}

#[test]
fn a_computer_that_connects_again_and_again_does_not_hide_what_others_did() {
    const TIMES: u64 = 400;
    let manager = Manager::start_in(home(), &["--disable-tls"]);
    let _dmm = RawPeer::service(&manager, "DMM", &json!({ "read": "() -> float" }));
    let mut holder = RawPeer::client(&manager, "Holder");
    holder.request(&about_dmm("link", json!({})));
    assert_eq!(
        holder.request(&about_dmm("acquire_lock", json!({})))["error"],
        false
    );
    let mut admin = RawPeer::client(&manager, "Admin");
    assert_eq!(log_in(&mut admin, &request("Manager", "stats"))["error"], false);
    for number in 0..TIMES {
        // One name in turn with a new one.
        let name = format!("Crowd{}", number / 2 * (number % 2));
        let mut client = RawPeer::client(&manager, &name);
        for service in ["DMM", "nothing"] {
            assert_eq!(client.request(&request(service, "read"))["error"], true);
        }
    }
    assert_eq!(
        holder.request(&about_dmm("release_lock", json!({})))["error"],
        false
    );
    let stats = admin.request(&request("Manager", "stats"));
    assert!(
        stats["result"]["record_left_out"].as_u64().unwrap() > 100,
        "{stats}"
    );
    let locks = entries(&manager, &["--peer", "Holder", "--kind", "lock,unlock"]);
    assert_eq!(in_short(&locks), ["lock ok Holder DMM", "unlock ok Holder DMM"]);

    let home = manager.end();
    let read = |options: &[&str]| -> Vec<Value> {
        let (code, output, errors) = finished(&mut home.command(&[&RECORDED, options].concat()));
        assert_eq!((code, errors.as_str()), (Some(0), ""));
        output
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    };
    // Each refusal is written, counted, or told to be left out.
    let refused = read(&["--outcome", "refused"]);
    assert!(refused.len() < 130, "{} entries", refused.len());
    let counts = refused.iter().map(|entry| entry["count"].as_u64().unwrap_or(1));
    assert_eq!(counts.sum::<u64>(), 2 * TIMES);
    let gap = refused.last().unwrap();
    assert_eq!(
        (&gap["kind"], &gap["address"]),
        (&json!("gap"), &json!("127.0.0.1"))
    );
    let text = gap["text"].as_str().unwrap();
    assert!(
        text.contains(" refusals of this computer were left out"),
        "{text}"
    );
    let counted = refused.iter().find(|entry| entry["count"].as_u64() > Some(1));
    let counted = counted.expect("the equal ones are counted");
    assert!(
        counted["peer"].as_str().unwrap().starts_with("Crowd0["),
        "{counted}"
    );
    assert!(counted["since"].as_str() <= counted["time"].as_str());
    let logins = read(&["--kind", "login", "--peer", "Admin"]);
    assert_eq!(in_short(&logins), ["login ok Admin -"]);

    // Whoever was connected when the manager stopped left with it.
    let ends = read(&["--kind", "leave,unlock,stop", "--peer", "Holder"]);
    assert_eq!(in_short(&ends), ["unlock ok Holder DMM"]);
    let stop = read(&["--kind", "stop"]);
    let text = stop[0]["text"].as_str().unwrap();
    assert!(
        text.ends_with(" client(s) and 1 service(s) were connected"),
        "{text}"
    );
    let verified = finished(&mut home.command(&["history", "--file", "manager.record.sqlite3", "--verify"]));
    assert_eq!(verified.0, Some(0), "{verified:?}");
}

#[test]
fn calls_are_recorded_on_demand_with_how_long_they_took_and_without_what_they_carry() {
    const CALLS: u64 = 200;
    let manager = Manager::start_in(home(), &["--disable-tls", "--record", "calls"]);
    let mut dmm = RawPeer::service(&manager, "DMM", &json!({ "read": "(secret) -> str" }));
    let mut client = RawPeer::client(&manager, "Caller");
    let mut read = request("DMM", "read");
    for number in 0..CALLS {
        read["args"] = json!(["a secret argument"]);
        read["uid"] = json!(number.to_string());
        client.send_line(&read.to_string());
        let asked = dmm.read_json();
        let is_error = number == 7;
        let reply = json!({
            "result": "a secret result", "requester": asked["requester"], "uid": asked["uid"], "error": is_error,
            "message": "a secret message",
        });
        dmm.send_line(&reply.to_string());
        assert_eq!(client.read_json()["error"], is_error);
    }
    // What is asked for is written; the sum of the others is written at the end.
    let first = entries(&manager, &["--kind", "call", "--peer", "Caller"]);
    let expected = ["call ok Caller DMM"; 7];
    assert_eq!(in_short(&first)[..7], expected);
    assert!(
        first.iter().all(|entry| entry["attribute"] == "read"),
        "{first:?}"
    );
    assert!(first[0]["microseconds"].as_u64() > Some(0), "{first:?}");
    assert!(first[0]["bytes"].as_u64() > Some(100), "{first:?}");
    let home = manager.end();
    let (code, output, _) = finished(&mut home.command(&[
        "history",
        "--file",
        "manager.record.sqlite3",
        "--kind",
        "call",
        "--json",
    ]));
    assert_eq!(code, Some(0));
    assert!(!output.contains("secret"), "{output}");
    let calls: Vec<Value> = output
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert!(calls.len() < 40, "{} entries", calls.len());
    let counts = calls.iter().map(|entry| entry["count"].as_u64().unwrap_or(1));
    assert_eq!(counts.sum::<u64>(), CALLS);
    let failed: Vec<_> = calls.iter().filter(|entry| entry["outcome"] == "error").collect();
    assert_eq!(failed.len(), 1, "{calls:?}");
}

#[test]
fn a_history_that_the_default_limit_cuts_says_so() {
    let manager = Manager::start_in(home(), &["--disable-tls"]);
    for number in 0..101 {
        RawPeer::client(&manager, &format!("Guest{number}"));
    }
    wait_for_entries(&manager, &["--kind", "join", "--peer", "Guest*"], 101);
    for form in [&["--csv"][..], &["--json"], &["--json", "--newest-first"]] {
        let all = [&["history", "--kind", "join", "--peer", "Guest*"], form].concat();
        let (code, output, errors) = run(&manager, &all);
        assert_eq!(
            (code, output.matches("Guest").count(), &*errors),
            (Some(0), 101, ""),
            "{form:?}"
        );
    }
    for form in [&[][..], &["--newest-first"]] {
        let cut = [&["history", "--kind", "join", "--peer", "Guest*"], form].concat();
        let (code, output, errors) = run(&manager, &cut);
        assert_eq!(code, Some(0));
        assert_eq!(output.matches("Guest").count(), 100, "{form:?}: {output}");
        assert!(
            errors.starts_with("labwire: these are the newest 100 entries, and there are more: "),
            "{form:?}: {errors}"
        );
        for whole in [["--limit", "100"], ["--peer", "Guest1*"], ["--limit", "0"]] {
            let whole = [&["history", "--kind", "join", "--since", "15m"], form, &whole].concat();
            assert_eq!(run(&manager, &whole).2, "", "{whole:?}");
        }
    }
}

#[test]
fn a_row_of_csv_is_one_line_whatever_a_peer_asks_for() {
    let manager = Manager::start_in(home(), &["--disable-tls"]);
    let mut client = RawPeer::client(&manager, "Asker");
    let mut link = request("Manager", "link");
    link["args"] = json!(["a\u{1b}[2J\n=1\t"]);
    assert_eq!(client.request(&link)["error"], true);
    let csv = history(&manager, &["--kind", "link", "--csv"]);
    assert_eq!(csv.lines().count(), 2, "{csv:?}");
    assert!(!csv.replace('\n', "").contains(char::is_control), "{csv:?}");
    assert!(csv.contains(r",a\u001b[2J\n=1\t,"), "{csv:?}");
}

#[test]
fn another_program_that_opens_the_record_takes_nothing_from_a_manager_that_was_asked_for_it() {
    let manager = Manager::start_in(home(), &["--disable-tls", "--auth-login"]);
    // The manager itself reads the file.
    assert!(!entries(&manager, &["--kind", "start"]).is_empty());
    let path = manager.home().path("manager.record.sqlite3");
    let log = manager.home().path("manager.record.sqlite3-wal");
    assert!(log.exists(), "the manager writes it");
    let count = || {
        let other = rusqlite::Connection::open(&path).unwrap();
        other.query_row("SELECT count(*) FROM entries", [], |row| row.get::<_, i64>(0))
    };
    let before = count().unwrap();
    assert!(
        log.exists(),
        "the log of the manager was removed although the manager uses it"
    );
    let mut bob = RawPeer::connect(&manager);
    log_in_as(&mut bob, "bob", "bob's own");
    let begun = Instant::now();
    while count().unwrap() == before {
        assert!(begun.elapsed() < DEADLINE, "the login is not in the file");
        std::thread::sleep(super::support::POLL_INTERVAL);
    }
}

#[test]
fn a_kill_loses_no_more_than_the_last_second() {
    let manager = Manager::start_in(home(), &["--disable-tls"]);
    let _early = RawPeer::client(&manager, "Early");
    // What is asked for is written.
    assert_eq!(entries(&manager, &["--peer", "Early"]).len(), 1);
    let mut last = RawPeer::client(&manager, "Last");
    last.request(&about_dmm("link", json!({})));
    let begun = Instant::now();
    let file = manager.home().path("manager.record.sqlite3");
    let count = || -> i64 {
        let record = rusqlite::Connection::open(&file).unwrap();
        record.busy_timeout(DEADLINE).unwrap();
        let counted = "SELECT count(*) FROM entries WHERE peer LIKE 'Last[%'";
        record.query_row(counted, [], |row| row.get(0)).unwrap()
    };
    while count() < 2 {
        assert!(begun.elapsed() < DEADLINE, "it is not written");
        std::thread::sleep(super::support::POLL_INTERVAL);
    }
    let mut manager = manager;
    manager.signal(Signal::KILL);
    manager.wait_for_end();
    let home = manager.take_home();
    let line = ["history", "--file", "manager.record.sqlite3"];
    let verified = finished(&mut home.command(&[&line[..], &["--verify"]].concat()));
    assert_eq!(verified.0, Some(0), "{verified:?}");
    let manager = Manager::start_in(home, &["--disable-tls"]);
    assert_eq!(
        in_short(&entries(&manager, &["--kind", "start,stop"])),
        ["start ok - -"; 2]
    );
}

#[test]
fn nothing_is_recorded_if_that_is_wanted_or_cannot_be_helped() {
    let home = home();
    // It tells of the users that were added.
    fs::remove_file(home.path("manager.record.sqlite3")).unwrap();
    let manager = Manager::start_in(home, &["--disable-tls", "--record", "nothing"]);
    let mut admin = RawPeer::client(&manager, "Admin");
    let answer = log_in(&mut admin, &request("Manager", "history"));
    let message = answer["message"].as_str().unwrap();
    assert!(
        message.starts_with("RuntimeError: this manager keeps no record"),
        "{message}"
    );
    let home = manager.end();
    assert!(!home.path("manager.record.sqlite3").exists());

    // A file that is something else is left alone.
    fs::write(home.path("manager.record.sqlite3"), "a text").unwrap();
    let manager = Manager::start_in(home, &["--disable-tls"]);
    let line = manager.wait_for_log("nothing is recorded, since the record ");
    assert!(line.contains("--record-file"), "{line}");
    let home = manager.end();
    assert_eq!(fs::read(home.path("manager.record.sqlite3")).unwrap(), b"a text");
    let refused = Manager::start_expecting_failure(&home, &["--disable-tls", "--record", "except-calls"]);
    assert!(
        refused.printed.contains("cannot use the record "),
        "{}",
        refused.printed
    );
    let check = home
        .command(&["start", "--check", "--port", "0", "--record", "except-calls"])
        .output();
    let check = String::from_utf8(check.unwrap().stdout).unwrap();
    assert!(check.contains("WRONG     record "), "{check}");
    let manager = Manager::start_in(home, &["--disable-tls", "--record-file", "other.sqlite3"]);
    assert!(manager.home().path("other.sqlite3").exists());
}
