//! Links and locks that a command holds.

use std::time::{Duration, Instant};

use serde_json::json;

use super::*;

/// Starts a command that stays, and waits until it has printed the text.
fn held(manager: &Manager, arguments: &[&str], text: &str) -> Process {
    let process = Process::spawn("labwire", &mut command(manager, arguments));
    process.wait_for(text, |line| line.contains(text).then_some(()));
    process
}

#[test]
fn a_link_is_shown_and_held_across_a_restart_of_its_service() {
    let manager = start();
    let first = RawPeer::service(&manager, "Balance", &json!({"weigh": "()", "tare": "()"}));
    wait_for_service(&manager, "Balance");
    let shown = output(&manager, &["link", "Balance"]);
    assert_eq!(
        shown,
        "Balance is linked: it has 2 attributes\nBalance is not linked any more\n"
    );
    let objects = json_lines(&output(&manager, &["link", "Balance", "--json"]));
    let events: Vec<_> = objects.iter().map(|object| &object["event"]).collect();
    assert_eq!(events, ["linked", "unlinked"]);

    let mut held = held(&manager, &["link", "Balance", "--hold"], "is linked");
    drop(first);
    held.wait_for("away", |line| line.contains("is away").then_some(()));
    let _second = RawPeer::service(&manager, "Balance", &json!({}));
    held.wait_for("again", |line| line.contains("is linked again").then_some(()));
    held.signal(Signal::INT);
    assert_eq!(held.wait().code(), Some(0), "{}", held.everything_printed());
    let done = labwire(&manager, &["link", "Balence"]);
    assert_eq!(done.code, Some(4), "{done:?}");
    assert!(done.errors.contains("did you mean 'Balance'?"), "{done:?}");
}

#[test]
fn a_lock_keeps_others_out_who_are_told_its_holder_until_it_is_unlocked() {
    let manager = start();
    let _balance = RawPeer::service(&manager, "Balance", &json!({"describe": "() -> dict"}));
    wait_for_service(&manager, "Balance");
    let lock = ["lock", "Balance", "--name", "Ada"];
    let mut holder = held(&manager, &lock, "is locked");
    let described = output(&manager, &["describe", "Balance"]);
    assert!(
        described.contains("documentation can be read when it is not locked"),
        "{described}"
    );
    let done = labwire(&manager, &["link", "Balance"]);
    assert_eq!(done.code, Some(4), "{done:?}");
    assert!(done.errors.contains("Ada["), "{done:?}");
    // Another manager's service of the same name is another service.
    let elsewhere = ["unlock", "Balance", "--host", "localhost:1"];
    assert_eq!(run(&mut manager.home().command(&elsewhere)).code, Some(3));
    assert_eq!(output(&manager, &["unlock", "Balance"]), "Balance is released\n");
    assert_eq!(holder.wait().code(), Some(0), "{}", holder.everything_printed());
    assert!(holder.everything_printed().contains("Balance is released"));
    output(&manager, &["link", "Balance"]);

    let done = labwire(&manager, &["unlock", "Balance"]);
    assert_eq!(done.code, Some(4), "{done:?}");
    assert!(done.errors.contains("is not locked"), "{done:?}");
    let mut other = RawPeer::client(&manager, "Bob");
    other.request(&json!({"service": "Manager", "attribute": "link", "args": ["Balance"], "uid": "1"}));
    other.request(
        &json!({"service": "Manager", "attribute": "acquire_lock", "args": ["Balance"], "uid": "2"}),
    );
    let done = labwire(&manager, &["unlock", "Balance"]);
    assert_eq!(done.code, Some(4), "{done:?}");
    assert!(done.errors.contains("Bob["), "{done:?}");
}

#[test]
fn a_lock_waits_for_its_service_and_is_released_by_ctrl_c() {
    let manager = start();
    let _balance = RawPeer::service(&manager, "Balance", &json!({}));
    wait_for_service(&manager, "Balance");
    let mut first = held(&manager, &["lock", "Balance"], "is locked");
    let begun = Instant::now();
    let done = labwire(&manager, &["lock", "Balance", "--wait", "0.6"]);
    assert_eq!(done.code, Some(4), "{done:?}");
    assert!(begun.elapsed() >= Duration::from_millis(600));
    let waiting = ["lock", "Balance", "--wait", "50", "--json"];
    let mut second = held(&manager, &waiting, "waiting for it");
    let released = json_lines(&output(&manager, &["unlock", "Balance", "--json"]));
    assert_eq!(released, [json!({"service": "Balance", "released": 1})]);
    assert_eq!(first.wait().code(), Some(0));
    second.wait_for("locked", |line| line.contains("\"locked\"").then_some(()));
    second.signal(Signal::INT);
    assert_eq!(second.wait().code(), Some(0));
}

#[test]
fn a_lock_is_found_by_another_spelling_of_the_managers_address() {
    let manager = start();
    let _balance = RawPeer::service(&manager, "Balance", &json!({}));
    wait_for_service(&manager, "Balance");
    let hostname = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let hosts = ["127.0.0.1", "[::1]", hostname.trim()];
    for host in hosts.into_iter().filter(|host| !host.is_empty()) {
        let mut holder = held(&manager, &["lock", "Balance"], "is locked");
        let address = format!("{host}:{}", manager.port());
        assert_eq!(
            output(&manager, &["unlock", "Balance", "--host", &address]),
            "Balance is released\n"
        );
        assert_eq!(holder.wait().code(), Some(0));
    }
}

#[test]
fn who_is_hindered_by_a_lock_or_a_link_learns_what_to_do() {
    let manager = start();
    let _balance = RawPeer::service(&manager, "Balance", &json!({ "weigh": "()" }));
    wait_for_service(&manager, "Balance");
    let mut holder = held(&manager, &["lock", "Balance", "--name", "Ada"], "is locked");
    let waiting = ["lock", "Balance", "--wait", "0.6"];
    let calling = ["call", "Balance", "weigh"];
    for arguments in [&calling[..], &["link", "Balance"], &["lock", "Balance"], &waiting] {
        let done = labwire(&manager, arguments);
        assert_eq!(done.code, Some(4), "{done:?}");
        for text in ["'Balance' is locked by Ada[", "--wait", "labwire unlock Balance"] {
            assert!(done.errors.contains(text), "{text}: {done:?}");
        }
        assert!(
            !done.errors.contains("PermissionError") && !done.errors.contains('Z'),
            "{done:?}"
        );
    }
    let done = labwire(&manager, &waiting);
    let lines: Vec<_> = done.errors.lines().collect();
    assert!(lines[0].ends_with("; waiting for it"), "{done:?}");
    assert!(lines[1].ends_with("; it was waited for 0.6 s"), "{done:?}");
    assert_eq!(lines.len(), 3, "{done:?}");
    let mut shell = command(&manager, &["shell"]);
    let mut shell = Process::spawn("labwire shell", &mut shell);
    shell.type_line("Balance weigh");
    assert_eq!(shell.wait().code(), Some(4));
    assert!(shell.everything_printed().contains("is locked by Ada["));
    holder.signal(Signal::INT);
    holder.wait();

    let mut linked = held(&manager, &["link", "Balance", "--hold"], "is linked");
    let done = labwire(&manager, &["lock", "Balance"]);
    assert_eq!(done.code, Some(4), "{done:?}");
    for text in ["'Balance' is linked with labwire link (", "--shared", "--wait"] {
        assert!(done.errors.contains(text), "{text}: {done:?}");
    }
    let mut shell = Process::spawn("labwire shell", &mut command(&manager, &["shell"]));
    shell.type_line("lock Balance");
    assert_eq!(shell.wait().code(), Some(4));
    assert!(shell.everything_printed().contains("lock Balance shared"));
    linked.signal(Signal::INT);
    linked.wait();
}

#[test]
fn others_are_told_which_command_of_whom_holds_a_lock() {
    let manager = start();
    let _balance = RawPeer::service(&manager, "Balance", &json!({}));
    wait_for_service(&manager, "Balance");
    for (user, name) in [
        ("ada", "labwire lock (ada)["),
        ("LAB\\ada", "labwire lock["),
        ("a\u{308}da", "labwire lock["),
    ] {
        let mut lock = command(&manager, &["lock", "Balance"]);
        let mut holder = Process::spawn("labwire", lock.env("USER", user));
        holder.wait_for("the lock", |line| line.contains("is locked").then_some(()));
        let status = output(&manager, &["status", "--json"]);
        assert!(status.contains(&format!("\"client\":\"{name}")), "{status}");
        let refused = labwire(&manager, &["link", "Balance"]);
        let text = format!("'Balance' is locked by {name}");
        assert!(refused.errors.contains(&text), "{refused:?}");
        holder.signal(Signal::INT);
        holder.wait();
    }
}

#[test]
fn a_lock_that_is_lost_is_an_error() {
    let manager = start();
    let balance = RawPeer::service(&manager, "Balance", &json!({}));
    wait_for_service(&manager, "Balance");
    let mut holder = held(&manager, &["lock", "Balance", "--json"], "locked");
    drop(balance);
    assert_eq!(holder.wait().code(), Some(3));
    let printed = holder.everything_printed();
    assert!(
        printed.contains("\"lost\"") && printed.contains("the lock on 'Balance' is lost"),
        "{printed}"
    );
}

#[test]
fn a_lock_has_a_reason_and_a_time_to_live_and_an_administrator_breaks_it() {
    let home = Home::new();
    home.prepare(&["user", "add", "ada", "--admin", "--compatible", "--password", "x"]);
    let manager = Manager::start_in(home, &["--disable-tls"]);
    let _balance = RawPeer::service(&manager, "Balance", &json!({}));
    wait_for_service(&manager, "Balance");
    let lock = [
        "lock",
        "Balance",
        "--name",
        "Ada",
        "--ttl",
        "1.5",
        "--reason",
        "a long night",
    ];
    let mut holder = held(&manager, &lock, "is locked");
    // It is renewed: whoever waits for twice its time does not get it.
    let done = labwire(&manager, &["lock", "Balance", "--wait", "3"]);
    assert_eq!(done.code, Some(4), "{done:?}");
    assert!(done.errors.contains(": a long night"), "{done:?}");
    let status = output(&manager, &["status", "--json"]);
    assert!(status.contains("\"reason\":\"a long night\""), "{status}");
    let mut waiting = held(&manager, &["lock", "Balance", "--wait", "60"], "waiting for it");
    let third = ["lock", "Balance", "--wait", "0.1"];
    let done = labwire(&manager, &third);
    assert!(done.errors.contains("as number 2 in the queue"), "{done:?}");

    let broken = run(
        command(&manager, &["admin", "break_lock", "Balance", "reason=enough"])
            .env("LABWIRE_USERNAME", "ada")
            .env("LABWIRE_PASSWORD", "x"),
    );
    assert_eq!(broken.code, Some(0), "{broken:?}");
    for process in [&mut holder, &mut waiting] {
        assert_eq!(process.wait().code(), Some(4), "{}", process.everything_printed());
        let printed = process.everything_printed();
        assert!(printed.contains("broken by 'ada'"), "{printed}");
        // It did not wait for as long as it wanted, and waiting longer would not have helped.
        assert!(
            !printed.contains("it was waited for") && !printed.contains("higher --wait"),
            "{printed}"
        );
    }
}

#[test]
fn a_service_that_is_not_connected_is_not_waited_for_at_a_manager_without_a_queue() {
    let manager = Manager::start_reference(Home::new(), &[]);
    let begun = Instant::now();
    let done = labwire(&manager, &["lock", "Nothing", "--wait", "60"]);
    assert_eq!(done.code, Some(4), "{done:?}");
    assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
}

#[test]
fn a_lock_goes_on_over_a_restart_of_the_manager_and_says_so() {
    let mut manager = start();
    let balance = RawPeer::service(&manager, "Balance", &json!({}));
    wait_for_service(&manager, "Balance");
    let lock = ["lock", "Balance", "--name", "Ada", "--reason", "a long night"];
    let mut holder = held(&manager, &lock, "is locked");
    let port = manager.port().to_string();
    manager.signal(Signal::TERM);
    manager.wait_for_end();
    drop(balance);
    holder.wait_for("the break", |line| {
        line.contains("disconnected; returning").then_some(())
    });
    let home = manager.take_home();
    let mut again = home.command(&["start", "--disable-tls", "--port", &port]);
    let manager = Manager::start_command(home, &mut again);
    // A rival asks at once, and until the holder has its lock again.
    let mut rival = RawPeer::client(&manager, "Bob");
    let _balance = RawPeer::service(&manager, "Balance", &json!({}));
    wait_for_service(&manager, "Balance");
    let link = json!({"service": "Manager", "attribute": "link", "args": ["Balance"], "uid": "1"});
    let begun = Instant::now();
    loop {
        let refused = rival.request(&link);
        let message = refused["message"].as_str().expect("it is refused");
        assert!(message.contains("is locked by Ada["), "{refused}");
        if !message.contains("since the manager was restarted") {
            break;
        }
        assert!(begun.elapsed() < crate::support::DEADLINE, "{refused}");
    }
    holder.wait_for("again", |line| {
        line.contains("the manager was restarted, 'Balance' is locked again")
            .then_some(())
    });
    let unlock = run(&mut manager.home().command(&[
        "unlock",
        "Balance",
        "--host",
        &format!("localhost:{port}"),
        "--disable-tls",
    ]));
    assert_eq!(unlock.code, Some(0), "{unlock:?}");
    assert_eq!(holder.wait().code(), Some(0), "{}", holder.everything_printed());
    assert_eq!(rival.request(&link)["error"], false);
}
