//! `labwire approve`, and `labwire call` while it waits for approval.

use super::*;
use crate::support::waiting::wait_until;

/// Starts a manager with the service DMM, the administrators `root` and `boss`, and the user `ada`, who may
/// ask for everything.
fn with_approval() -> (Manager, RawPeer) {
    let home = Home::new();
    for user in [&["root", "--admin"][..], &["boss", "--admin"], &["ada"]] {
        home.prepare(&[&["user", "add"], user, &["--compatible", "--password", "x"]].concat());
    }
    home.prepare(&["role", "add", "asker", "ask call", "see", "link"]);
    home.prepare(&["grant", "add", "asker", "--to", "ada"]);
    let manager = Manager::start_in(home, &["--disable-tls", "--auth-login", "--roles"]);
    let mut dmm = RawPeer::connect(&manager);
    for credential in ["root", "x"] {
        assert_eq!(dmm.read_json()["error"], false);
        dmm.send_line(&json!({ "result": credential }).to_string());
    }
    dmm.identify(&json!({ "type": "service", "name": "DMM", "attributes": { "read": "()" } }));
    manager.wait_for_log(" DMM[");
    (manager, dmm)
}

fn as_user(manager: &Manager, user: &str, arguments: &[&str]) -> Command {
    let mut command = command(manager, arguments);
    command.env("LABWIRE_USERNAME", user).env("LABWIRE_PASSWORD", "x");
    command
}

/// Waits until one call waits for the decision of `boss`, and returns it.
fn waiting(manager: &Manager) -> Value {
    let mut found = Value::Null;
    wait_until("no call waits", || {
        let listed = run(&mut as_user(manager, "boss", &["approve", "--json"]));
        assert_eq!(listed.code, Some(0), "{listed:?}");
        let one = listed.output.lines().next().map(serde_json::from_str::<Value>);
        found = one.map(Result::unwrap).unwrap_or_default();
        !found.is_null()
    });
    found
}

#[test]
fn a_call_that_waits_is_listed_approved_refused_and_followed() {
    let (manager, mut dmm) = with_approval();
    let none = run(&mut as_user(&manager, "boss", &["approve"]));
    assert_eq!(
        (none.code, &*none.output),
        (Some(0), "nothing waits for your approval\n")
    );
    let mut watching = as_user(&manager, "boss", &["approve", "--watch", "--json"]);
    let watching = Process::spawn("approve --watch", &mut watching);
    manager.wait_for_log("logged in as 'boss'");

    let call = || as_user(&manager, "ada", &["call", "DMM", "set_range", "5", "--progress"]);
    let mut calling = Process::spawn("call", &mut call());
    let one = waiting(&manager);
    let id = one["id"].as_str().unwrap();
    for (member, expected) in [("attribute", "set_range"), ("user", "ada"), ("arguments", "[5]")] {
        assert_eq!(one[member], expected, "{one}");
    }
    calling.wait_for("that it waits", |line| {
        line.contains(&format!("waits for approval as {id}"))
            .then_some(())
    });
    let listed = run(&mut as_user(&manager, "boss", &["approve"]));
    let rows: Vec<_> = listed.output.lines().collect();
    assert!(rows.len() == 2 && rows[1].contains("DMM.set_range"), "{listed:?}");
    let status = run(&mut as_user(&manager, "boss", &["status"]));
    assert!(
        status
            .output
            .contains(", 1 request to approve (labwire approve)\n"),
        "{status:?}"
    );
    // Whose it is does not decide.
    let own = run(&mut as_user(&manager, "ada", &["approve", id]));
    assert_eq!(own.code, Some(4), "{own:?}");
    assert!(
        own.errors.contains("nobody decides about a request of their own"),
        "{own:?}"
    );
    let approved = run(&mut as_user(&manager, "boss", &["approve", id]));
    assert_eq!(
        (approved.code, &*approved.output),
        (Some(0), "approved DMM.set_range of ada\n"),
        "{approved:?}"
    );
    let asked = dmm.read_json();
    let answer = json!({
        "requester": asked["requester"], "uid": asked["uid"], "result": 5, "error": false,
    });
    dmm.send_line(&answer.to_string());
    assert!(calling.wait().success());

    let mut calling = Process::spawn("call", &mut call());
    let one = waiting(&manager);
    let id = one["id"].as_str().unwrap().to_owned();
    let refuse = ["approve", &id, "--refuse", "--reason", "the door is open"];
    let refused = run(&mut as_user(&manager, "boss", &refuse));
    assert_eq!(&*refused.output, "refused DMM.set_range of ada\n", "{refused:?}");
    assert_eq!(calling.wait().code(), Some(4));
    assert!(
        calling
            .everything_printed()
            .contains("'boss' has refused the request"),
        "{}",
        calling.everything_printed()
    );
    let gone = run(&mut as_user(&manager, "boss", &["approve", &id]));
    assert_eq!(gone.code, Some(4), "{gone:?}");

    watching.wait_for("the refusal", |line| {
        let told: Value = serde_json::from_str(line).ok()?;
        (told["outcome"] == "refused" && told["reason"] == "the door is open" && told["by"] == "boss")
            .then_some(())
    });
    let told: Vec<Value> = watching
        .output()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let outcomes: Vec<_> = told.iter().map(|one| one["outcome"].as_str().unwrap()).collect();
    assert_eq!(outcomes, ["asked", "approved", "asked", "refused"], "{told:?}");
    let history = run(&mut as_user(&manager, "boss", &["history", "--kind", "approval"]));
    for expected in [
        "asked for approval of DMM.set_range",
        "was permitted DMM.set_range",
        "was refused approval of DMM.set_range",
    ] {
        assert!(history.output.contains(expected), "{history:?}");
    }
}

#[test]
fn may_tells_what_needs_approval() {
    let home = Home::new();
    home.prepare(&["user", "add", "ada", "--compatible", "--password", "x"]);
    home.prepare(&["role", "add", "asker", "ask call DMM", "link DMM"]);
    home.prepare(&["grant", "add", "asker", "--to", "ada"]);
    let may = || {
        let done = run(&mut home.command(&["may", "ada", "DMM", "set_range"]));
        assert_eq!(done.code, Some(0), "{done:?}");
        done.output
    };
    let told = may();
    assert!(told.contains("ada may ask call DMM.set_range\n"), "{told}");
    assert!(
        told.contains("allows it with approval: grant 1, role asker to the user ada: ask call DMM\n"),
        "{told}"
    );
    home.prepare(&["grant", "add", "operator", "--to", "ada"]);
    let told = may();
    assert!(told.contains("ada may call DMM.set_range\n"), "{told}");
    assert!(told.contains("allows it with approval: grant 1"), "{told}");
    let lock = run(&mut home.command(&["role", "add", "asker", "ask lock DMM"]));
    assert_eq!(lock.code, Some(1), "{lock:?}");
    assert!(
        lock.errors.contains("only requests to services can be asked for"),
        "{lock:?}"
    );
}

/// Answers the next request to the service with 5.
fn answer(dmm: &mut RawPeer) {
    let asked = dmm.read_json();
    let answer = json!({
        "requester": asked["requester"], "uid": asked["uid"], "result": 5, "error": false,
    });
    dmm.send_line(&answer.to_string());
}

/// Waits until a command says that its call waits.
fn wait_until_told(calling: &Process, id: &str) {
    let text = format!("labwire: DMM.set_range waits for approval as {id} until ");
    calling.wait_for("that it waits", |line| line.contains(&text).then_some(()));
}

#[test]
fn a_call_says_that_it_waits_until_when_and_who_has_approved_it() {
    let (manager, mut dmm) = with_approval();
    let mut shell = as_user(&manager, "ada", &["shell"]);
    let mut shell = Process::spawn("shell", shell.env("TZ", zone()));
    for (arguments, prefix) in [
        (Some(&["call", "DMM", "set_range", "5"][..]), ""),
        (Some(&["call", "DMM", "set_range", "5", "--progress"]), ""),
        (Some(&["call", "DMM", "set_range", "5", "--json"]), ""),
        (
            Some(&["call", "DMM", "set_range", "5", "--cancel-on-interrupt"]),
            "",
        ),
        (Some(&["call", "--batch", "-"]), "line 1: "),
        (None, ""),
    ] {
        let mut process = arguments.map(|arguments| {
            let mut calling = as_user(&manager, "ada", arguments);
            Process::spawn("call", calling.env("TZ", zone()))
        });
        let calling = process.as_mut().unwrap_or(&mut shell);
        if arguments.is_none_or(|arguments| arguments.contains(&"--batch")) {
            calling.type_line("DMM set_range 5");
        }
        let one = waiting(&manager);
        let id = one["id"].as_str().unwrap();
        let (until, call) = (time_in_zone(&one["until"]), "DMM.set_range");
        let expected = format!(
            "labwire: {prefix}{call} waits for approval as {id} until {until}; somebody else lets it go on with: labwire \
             approve {id}"
        );
        calling.wait_for("that it waits", |line| (line == expected).then_some(()));
        let approved = run(&mut as_user(&manager, "boss", &["approve", id]));
        assert_eq!(approved.code, Some(0), "{approved:?}");
        let expected = format!("labwire: {prefix}{call} was approved by boss");
        calling.wait_for("that it was approved", |line| (line == expected).then_some(()));
        answer(&mut dmm);
        if process.is_none() {
            continue;
        }
        let calling = process.as_mut().unwrap();
        calling.close_input();
        assert_eq!(calling.wait().code(), Some(0));
        let printed = calling.everything_printed();
        assert_eq!(printed.matches(" waits for approval").count(), 1, "{printed}");
        assert!(!printed.contains("progress: "), "{printed}");
        // What the manager tells is no progress of the service.
        let is_followed = arguments.unwrap().contains(&"--progress");
        assert_eq!(printed.contains("has sent no progress"), is_followed, "{printed}");
        let output = calling.output();
        assert!(
            output == "5\n" || output.contains("\"result\":5"),
            "only the result is on standard output: {output}"
        );
    }
    shell.close_input();
    assert_eq!(shell.wait().code(), Some(0));
}

#[test]
fn a_call_that_is_given_up_while_it_waits_says_that_it_was_not_executed() {
    let (manager, mut dmm) = with_approval();
    let withdrawn =
        "the request to the 'DMM' Service was cancelled while it waited for approval, it was not executed";
    for (options, signal, code, text) in [
        (&[][..], Some(Signal::INT), 130, withdrawn),
        (&["--progress"], Some(Signal::INT), 130, withdrawn),
        (&["--cancel-on-interrupt"], Some(Signal::INT), 130, withdrawn),
        (&[], Some(Signal::TERM), 143, withdrawn),
        (
            &["--timeout", "1"],
            None,
            124,
            "no reply to 'DMM'.set_range within 1 s, it was not executed",
        ),
        (
            &["--deadline", "1"],
            None,
            124,
            "nobody has approved the request to the 'DMM' Service within 1 s, it was not executed",
        ),
    ] {
        let arguments = [&["call", "DMM", "set_range", "5"], options].concat();
        let mut calling = Process::spawn("call", &mut as_user(&manager, "ada", &arguments));
        if let Some(signal) = signal {
            let one = waiting(&manager);
            wait_until_told(&calling, one["id"].as_str().unwrap());
            calling.signal(signal);
        }
        assert_eq!(calling.wait().code(), Some(code), "{options:?}");
        let printed = calling.everything_printed();
        assert!(printed.contains(text), "{options:?}: {printed}");
        assert!(!printed.contains("may still"), "{options:?}: {printed}");
        let listed = run(&mut as_user(&manager, "boss", &["approve"]));
        assert_eq!(&*listed.output, "nothing waits for your approval\n");
    }
    // Once it was approved, it is with its service.
    let mut calling = as_user(&manager, "ada", &["call", "DMM", "set_range", "5"]);
    let mut calling = Process::spawn("call", &mut calling);
    let one = waiting(&manager);
    let id = one["id"].as_str().unwrap();
    assert_eq!(
        run(&mut as_user(&manager, "boss", &["approve", id])).code,
        Some(0)
    );
    assert_eq!(dmm.read_json()["attribute"], "set_range", "nothing came before");
    calling.wait_for("that it was approved", |line| {
        line.contains("was approved by boss").then_some(())
    });
    calling.signal(Signal::INT);
    assert_eq!(calling.wait().code(), Some(130));
    let printed = calling.everything_printed();
    assert!(printed.contains("may still be executed"), "{printed}");
}

/// After a call that has waited, Ctrl-C ends the command between two calls.
#[test]
fn ctrl_c_ends_a_repeated_call_between_two_that_wait() {
    let (manager, mut dmm) = with_approval();
    let arguments = ["call", "DMM", "set_range", "5", "--every", "1h"];
    let mut calling = Process::spawn("call", &mut as_user(&manager, "ada", &arguments));
    let one = waiting(&manager);
    run(&mut as_user(
        &manager,
        "boss",
        &["approve", one["id"].as_str().unwrap()],
    ));
    answer(&mut dmm);
    calling.wait_for("the result", |line| (line == "5").then_some(()));
    calling.signal(Signal::INT);
    assert_eq!(calling.wait().code(), Some(130));
    let printed = calling.everything_printed();
    assert!(printed.trim_end().ends_with("labwire: interrupted"), "{printed}");
}

#[test]
fn the_status_says_how_many_calls_of_a_client_wait_and_the_history_what_was_to_be_approved() {
    let (manager, _plain) = with_approval();
    let mut laser = RawPeer::connect(&manager);
    for credential in ["root", "x"] {
        laser.read_json();
        laser.send_line(&json!({ "result": credential }).to_string());
    }
    laser.identify(&json!({
        "type": "service", "name": "Laser", "attributes": {}, "record_arguments": { "set_power": {} },
    }));
    manager.wait_for_log(" Laser[");
    let mut arguments = as_user(&manager, "ada", &["call", "Laser", "set_power", "5"]);
    let _calling = Process::spawn("call", &mut arguments);
    let id = waiting(&manager)["id"].as_str().unwrap().to_owned();
    let status = run(&mut as_user(&manager, "boss", &["status"]));
    let client = status.output.lines().find(|line| line.contains("labwire call"));
    let client = client.unwrap_or_else(|| panic!("{status:?}"));
    assert!(
        client.ends_with("  waits for approval of 1 request"),
        "{status:?}"
    );
    let status = run(&mut as_user(&manager, "boss", &["status", "--json"]));
    let waiting: Vec<_> = json_lines(&status.output)
        .iter()
        .filter_map(|peer| peer["waiting_for_approval"].as_u64())
        .collect();
    assert_eq!(waiting, [1], "{status:?}");
    let refused = run(&mut as_user(&manager, "boss", &["approve", &id, "--refuse"]));
    assert_eq!(refused.code, Some(0), "{refused:?}");
    let history = || {
        let done = run(&mut as_user(&manager, "boss", &["history", "--kind", "approval"]));
        assert_eq!(done.code, Some(0), "{done:?}");
        done.output
    };
    for expected in [
        format!("asked for approval of Laser.set_power [5]: request {id}, until "),
        format!("was refused approval of Laser.set_power [5]: request {id}, by 'boss' after "),
    ] {
        wait_until("the record lacks what was decided", || {
            history().contains(&expected)
        });
    }
}

/// Without this, a person sees only that nothing comes.
#[test]
fn a_recording_and_a_bench_say_that_their_calls_wait() {
    let (manager, mut dmm) = with_approval();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("lab.csv");
    let poll = [
        "record",
        file.to_str().unwrap(),
        "--poll",
        "DMM.read every 1h timeout 1",
    ];
    let mut recording = Process::spawn("record", &mut as_user(&manager, "ada", &poll));
    let one = waiting(&manager);
    let id = one["id"].as_str().unwrap();
    let expected = format!(
        "no reply within 1 s; it waits for approval as {id}; somebody else lets it go on with: labwire \
         approve {id}; the next calls wait for it"
    );
    recording.wait_for("that it waits", |line| line.contains(&expected).then_some(()));
    let approve = |id: &str| {
        assert_eq!(
            run(&mut as_user(&manager, "boss", &["approve", id])).code,
            Some(0)
        );
    };
    approve(id);
    answer(&mut dmm);
    recording.wait_for("the result", |line| {
        line.ends_with("DMM.read works again").then_some(())
    });
    recording.signal(Signal::INT);
    assert_eq!(recording.wait().code(), Some(0));
    let recorded = std::fs::read_to_string(&file).unwrap();
    assert_eq!(recorded.matches(&expected).count(), 1, "{recorded}");

    let bench = ["bench", "DMM", "read", "--calls", "2", "--in-flight", "2"];
    let mut bench = Process::spawn("bench", &mut as_user(&manager, "ada", &bench));
    bench.wait_for("that its calls wait", |line| {
        line.starts_with("labwire: DMM.read waits for approval as ")
            .then_some(())
    });
    for _ in 0..2 {
        approve(waiting(&manager)["id"].as_str().unwrap());
        answer(&mut dmm);
    }
    assert_eq!(bench.wait().code(), Some(0));
    let printed = bench.everything_printed();
    assert_eq!(printed.matches("waits for approval").count(), 1, "{printed}");
}
