//! Who waits for approval: people, Python clients, sessions and tokens; and what the record tells.

use super::*;

/// What a person types, and what a person approves.
#[test]
fn a_person_at_a_terminal_waits_for_approval_and_may_approve() {
    let manager = start();
    let mut laser = service(&manager, "olga", "Laser");
    let mut ada = client(&manager, "ada");
    ada.send_line("Laser set_power 5");
    let progress = ada.read_json();
    let id = progress["progress"]["id"].as_str().unwrap();
    let mut olga = client(&manager, "olga");
    olga.send_line("Manager approvals");
    assert_eq!(olga.read_json()["result"]["approvals"][0]["id"], id);
    olga.send_line(&format!("Manager approve {id}"));
    assert_eq!(olga.read_json()["result"]["id"], id);
    assert_eq!(answer_next(&mut laser)["args"], json!([5]));
    assert_eq!(ada.read_json()["result"], "done");
}

/// Without a decision nothing is sent, and the default is ten minutes: the wait goes on.
#[test]
fn the_python_client_waits_for_approval_and_gets_the_answer_or_the_refusal() {
    let manager = start();
    let connection = manager.connection();
    let as_root = connection.clone().with("username", "root").with("password", "x");
    let _echo = Service::start("Echo", &as_root);
    manager.wait_for_log(" Echo[");
    let (_home, mut script) = python::start("approvals.py", "approvals.py", &connection, &json!({}));
    let mut root = client(&manager, "olga");
    assert!(waiting(&mut root).is_empty(), "she owns Laser only");
    let mut root = client(&manager, "root");
    let ids = wait_for(&mut root, 1);
    assert_eq!(approve(&mut root, &ids[0])["error"], false);
    let begun = Instant::now();
    let next = loop {
        match &waiting(&mut root)[..] {
            [one] if one["id"] != ids[0] => break one.clone(),
            _ => assert!(begun.elapsed() < DEADLINE, "the next request never waited"),
        }
    };
    assert_eq!(next["arguments"], r#"[2] {"x":3}"#, "{next}");
    refuse(&mut root, next["id"].as_str().unwrap(), "not today");
    let status = script.wait();
    assert!(status.success(), "{status}");
}

/// Its session is away when somebody approves it: it gets the answer when it returns.
#[test]
fn a_client_that_is_away_keeps_its_request_waiting() {
    let manager = start();
    let mut laser = service(&manager, "olga", "Laser");
    let mut olga = client(&manager, "olga");
    let identity = json!({
        "type": "client", "name": "ada", "features": ["sessions", "registered"], "session": { "grace": 60 },
    });
    let mut ada = log_in(&manager, "ada");
    ada.identify(&identity);
    let secret = loop {
        let frame = ada.read_json();
        if let Some(secret) = frame["kwargs"]["session"]["secret"].as_str() {
            break secret.to_owned();
        }
    };
    ada.send_line(&asking("Laser", "set_power", "1").to_string());
    let ids = wait_for(&mut olga, 1);
    ada.break_off();
    manager.wait_for_log("is away");
    assert_eq!(wait_for(&mut olga, 1), ids);
    assert_eq!(approve(&mut olga, &ids[0])["error"], false);
    answer_next(&mut laser);
    let mut back = log_in(&manager, "ada");
    let mut resumed = identity;
    resumed["session"] = json!({ "secret": secret, "received": 0, "grace": 60 });
    back.identify(&resumed);
    let begun = Instant::now();
    while back.read_json()["result"] != "done" {
        assert!(begun.elapsed() < DEADLINE);
    }
}

#[test]
fn what_is_asked_for_and_decided_is_in_the_record() {
    let manager = start();
    let mut laser = service(&manager, "olga", "Laser");
    let (mut ada, mut olga) = (client(&manager, "ada"), client(&manager, "olga"));
    for (uid, approves) in [("1", true), ("2", false)] {
        ada.send_line(&asking("Laser", "set_power", uid).to_string());
        let ids = wait_for(&mut olga, 1);
        if approves {
            approve(&mut olga, &ids[0]);
            answer_next(&mut laser);
        } else {
            refuse(&mut olga, &ids[0], "the door is open");
        }
        ada.read_json();
    }
    let mut asked = asking("Laser", "set_power", "3");
    asked["deadline"] = json!(0.05);
    ada.request(&asked);
    let mut root = client(&manager, "root");
    let page = to_manager("history", json!([]), json!({ "kind": "approval" }));
    let mut entries = Vec::new();
    wait_until("the record lacks entries", || {
        entries = root.request(&page)["result"]["entries"]
            .as_array()
            .unwrap()
            .clone();
        entries.len() == 6
    });
    entries.sort_by_key(|entry| entry["id"].as_u64());
    let outcomes: Vec<_> = entries
        .iter()
        .map(|entry| entry["outcome"].as_str().unwrap())
        .collect();
    assert_eq!(
        outcomes,
        ["asked", "ok", "asked", "refused", "asked", "expired"],
        "{entries:?}"
    );
    for (entry, expected) in entries.iter().zip([
        "until ",
        "approved by 'olga' after ",
        "until ",
        ", reason: 'the door is open'",
        "until ",
        "nobody has decided within 0.05 s",
    ]) {
        let text = entry["text"].as_str().unwrap();
        assert!(text.contains(expected), "{entry}");
        assert_eq!(
            (&entry["user"], &entry["attribute"]),
            (&json!("ada"), &json!("set_power"))
        );
    }
}

/// A token may ask where its user may not even need to, and approves nothing unless it says so.
#[test]
fn a_token_asks_for_approval_also_without_roles() {
    let home = home();
    let may = "ask call Laser.set_power";
    let added = home.labwire(&["token", "add", "--json", "--user", "otto", "--may", may]);
    let added: Value = serde_json::from_slice(&added.stdout).unwrap_or_else(|_| panic!("{added:?}"));
    let secret = added["secret"].as_str().unwrap();
    let manager = Manager::start_in(home, &["--disable-tls", "--auth-login"]);
    let mut laser = service(&manager, "olga", "Laser");
    let mut token = RawPeer::connect(&manager);
    for credential in ["otto", secret] {
        token.read_json();
        token.send_line(&json!({ "result": credential }).to_string());
    }
    token.identify(&json!({ "type": "client", "name": "program" }));
    token.send_line(&asking("Laser", "set_power", "1").to_string());
    // The same user with the password may do everything, and still decides about nothing of its own.
    let (mut otto, mut olga) = (client(&manager, "otto"), client(&manager, "olga"));
    let ids = wait_for(&mut olga, 1);
    expect_error(&approve(&mut otto, &ids[0]), "PermissionError: nobody decides");
    approve(&mut olga, &ids[0]);
    answer_next(&mut laser);
    assert_eq!(token.read_json()["result"], "done");
    expect_error(&token.request(&asking("Laser", "read", "2")), "PermissionError: ");
}
