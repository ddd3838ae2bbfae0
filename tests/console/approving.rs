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
