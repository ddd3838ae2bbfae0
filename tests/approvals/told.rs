//! What clients with the feature `approval` are told, what the status tells of those that wait, and what
//! becomes of them when the rules change.

use super::*;

/// Returns what the manager says about the approval of a request.
#[track_caller]
fn news(peer: &mut RawPeer, uid: &str) -> Value {
    let frame = peer.read_json();
    assert_eq!(
        (&frame["origin"], &frame["uid"]),
        (&json!("manager"), &json!(uid)),
        "{frame}"
    );
    frame["progress"].clone()
}

#[test]
fn a_client_with_the_feature_is_told_that_it_waits_and_who_has_approved_it() {
    let manager = start();
    let mut laser = log_in(&manager, "olga");
    laser.identify(&json!({
        "type": "service", "name": "Laser", "attributes": {}, "features": ["registered", "progress"],
    }));
    laser.read_json();
    let mut olga = client(&manager, "olga");
    let mut ada = client_with(&manager, "ada", &["approval"]);
    ada.send_line(&asking("Laser", "set_power", "1").to_string());
    let told = news(&mut ada, "1");
    let ids = wait_for(&mut olga, 1);
    assert_eq!(
        (&told["waits_for"], &told["id"]),
        (&json!("approval"), &json!(ids[0])),
        "{told}"
    );
    assert_eq!(told["until"], waiting(&mut olga)[0]["until"]);
    assert_eq!(approve(&mut olga, &ids[0])["error"], false);
    let told = news(&mut ada, "1");
    assert_eq!(
        (&told["approved_by"], &told["id"]),
        (&json!("olga"), &json!(ids[0])),
        "{told}"
    );
    let asked = answer_next(&mut laser);
    assert!(asked.get("progress").is_none(), "nobody asks for it: {asked}");
    assert_eq!(ada.read_json()["result"], "done");
    // What a service sends is not the manager's word.
    let mut asked = asking("Laser", "read", "2");
    asked["progress"] = json!(true);
    ada.send_line(&asked.to_string());
    let asked = laser.read_json();
    let forged = json!({
        "origin": "manager", "progress": { "waits_for": "approval", "id": "x", "until": "y" },
        "requester": asked["requester"], "uid": asked["uid"],
    });
    laser.send_line(&forged.to_string());
    let seen = ada.read_json();
    assert_eq!(seen["progress"]["id"], "x", "{seen}");
    assert!(seen.get("origin").is_none(), "{seen}");
}

/// Who asks for progress without the feature sees what it has always seen.
#[test]
fn a_client_without_the_feature_sees_nothing_new() {
    let manager = start();
    let mut laser = service(&manager, "olga", "Laser");
    let mut olga = client(&manager, "olga");
    for (features, is_told) in [(&["progress"][..], true), (&["origin"], false)] {
        let mut ada = client_with(&manager, "ada", features);
        ada.send_line(&asking("Laser", "set_power", "1").to_string());
        let ids = wait_for(&mut olga, 1);
        assert_eq!(approve(&mut olga, &ids[0])["error"], false);
        answer_next(&mut laser);
        if is_told {
            let told = ada.read_json();
            assert_eq!(told["progress"]["waits_for"], "approval", "{told}");
            assert!(told.get("origin").is_none(), "{told}");
        }
        assert_eq!(ada.read_json()["result"], "done");
    }
}

#[test]
fn a_client_that_returns_to_its_session_is_still_told() {
    let manager = start();
    let _laser = service(&manager, "olga", "Laser");
    let mut identity = json!({
        "type": "client", "name": "ada", "features": ["sessions", "approval"], "session": { "grace": 60 },
    });
    let mut ada = log_in(&manager, "ada");
    ada.identify(&identity);
    let secret = ada.read_json()["kwargs"]["session"]["secret"].clone();
    ada.break_off();
    manager.wait_for_log("is away");
    identity["session"] = json!({ "secret": secret, "received": 0, "grace": 60 });
    let mut ada = log_in(&manager, "ada");
    ada.identify(&identity);
    ada.send_line(&asking("Laser", "set_power", "1").to_string());
    let begun = Instant::now();
    while ada.read_json()["progress"]["waits_for"] != "approval" {
        assert!(begun.elapsed() < DEADLINE);
    }
}

/// Returns the status of a client, by the beginning of its name.
fn status_of(reader: &mut RawPeer, name: &str) -> Value {
    let status = reader.request(&to_manager("status", json!(["clients"]), json!({})));
    let page = status["result"]["page"].as_array().unwrap();
    let mut found = page
        .iter()
        .filter(|client| client["name"].as_str().unwrap().starts_with(&format!("{name}[")));
    let client = found.next().unwrap_or_else(|| panic!("{status}"));
    client.clone()
}

#[test]
fn the_status_tells_how_many_requests_of_each_client_wait() {
    let manager = start();
    let _laser = service(&manager, "olga", "Laser");
    let [mut olga, mut ada, mut root] = ["olga", "ada", "root"].map(|user| client(&manager, user));
    for uid in ["1", "2"] {
        ada.send_line(&asking("Laser", "set_power", uid).to_string());
    }
    let ids = wait_for(&mut olga, 2);
    for (left, id) in [json!(2), json!(1)].into_iter().zip(&ids) {
        for reader in [&mut root, &mut ada] {
            let status = status_of(reader, "ada");
            assert_eq!(
                (&status["waiting_for_approval"], &status["in_flight"]),
                (&left, &json!(0)),
                "{status}"
            );
        }
        assert!(status_of(&mut root, "root").get("waiting_for_approval").is_none());
        assert_eq!(refuse(&mut olga, id, "no")["error"], false);
        ada.read_json();
    }
    assert!(status_of(&mut root, "ada").get("waiting_for_approval").is_none());
}

/// Returns the numbers of a user's grants.
fn grants_of(root: &mut RawPeer, user: &str) -> Vec<Value> {
    let grants = root.request(&request("Manager", "access.grants"))["result"].clone();
    let own = grants.as_array().unwrap().iter();
    own.filter(|grant| grant["user"] == user)
        .map(|grant| grant["id"].clone())
        .collect()
}

#[test]
fn a_request_whose_permission_is_taken_away_ends_at_once_and_others_wait_on() {
    let manager = start();
    let mut laser = service(&manager, "olga", "Laser");
    let [mut root, mut eve] = ["root", "eve"].map(|user| client(&manager, user));
    let mut ada = client_with(&manager, "ada", &["origin"]);
    for uid in ["1", "2"] {
        ada.send_line(&asking("Laser", "set_power", uid).to_string());
    }
    eve.send_line(&asking("Laser", "set_power", "1").to_string());
    wait_for(&mut root, 3);
    let subscribed = root.request(&to_manager("subscribe", json!(["manager.approval"]), json!({})));
    assert_eq!(subscribed["error"], false);
    // What permits the same without asking changes nothing for those that wait.
    let more = to_manager("access.grant", json!(["operator"]), json!({ "user": "eve" }));
    assert_eq!(root.request(&more)["error"], false);
    let grants = grants_of(&mut root, "ada");
    assert_eq!(grants.len(), 1, "{grants:?}");
    root.send_line(&to_manager("access.revoke", json!([grants[0]]), json!({})).to_string());
    // Nobody has decided. The client learns it before who has taken the permission away.
    let mut left = vec!["1", "2"];
    while !left.is_empty() {
        let refused = ada.read_json();
        expect_error(
            &refused,
            "PermissionError: the permission 'call Laser.set_power' is not granted to the user 'ada'",
        );
        assert_eq!(refused["executed"], "no", "{refused}");
        left.retain(|uid| refused["uid"] != *uid);
    }
    for _ in 0..2 {
        let told = root.read_json()["result"][0][1].clone();
        assert_eq!(
            (&told["outcome"], &told["user"]),
            (&json!("not permitted"), &json!("ada")),
            "{told}"
        );
    }
    assert_eq!(root.read_json()["error"], false, "the answer to access.revoke");
    let mut root = client(&manager, "root");
    let ids = wait_for(&mut root, 1);
    assert_eq!(approve(&mut root, &ids[0])["error"], false);
    assert_eq!(answer_next(&mut laser)["uid"], "1");
    assert_eq!(eve.read_json()["result"], "done");
    let page = to_manager(
        "history",
        json!([]),
        json!({ "kind": "approval", "outcome": "refused" }),
    );
    wait_until("the record lacks what was ended", || {
        let entries = root.request(&page)["result"]["entries"].clone();
        let entries = entries.as_array().unwrap().clone();
        let texts = entries.iter().filter_map(|entry| entry["text"].as_str());
        texts
            .filter(|text| text.contains("its permission was taken away after "))
            .count()
            == 2
    });
}

#[test]
fn the_record_has_the_arguments_of_what_was_approved_only_if_the_service_asks_for_that() {
    let manager = start();
    let mut laser = log_in(&manager, "olga");
    laser.identify(&json!({
        "type": "service", "name": "Laser", "attributes": {}, "features": ["registered"],
        "record_arguments": { "unlock": { "parameters": ["door", "code"], "secret": ["code"] } },
    }));
    laser.read_json();
    let [mut ada, mut olga, mut root] = ["ada", "olga", "root"].map(|user| client(&manager, user));
    for attribute in ["unlock", "set_power"] {
        let mut asked = asking("Laser", attribute, attribute);
        asked["args"] = json!([3, "s3cr3t"]);
        ada.send_line(&asked.to_string());
        let ids = wait_for(&mut olga, 1);
        assert_eq!(approve(&mut olga, &ids[0])["error"], false);
        answer_next(&mut laser);
        ada.read_json();
    }
    let page = to_manager("history", json!([]), json!({ "kind": "approval" }));
    let mut entries = Vec::new();
    wait_until("the record lacks entries", || {
        let answer = root.request(&page);
        entries = answer["result"]["entries"].as_array().unwrap().clone();
        entries.len() == 4
    });
    for entry in &entries {
        let expected = match entry["attribute"].as_str() {
            Some("unlock") => json!(r#"[3,"<secret>"]"#),
            _ => Value::Null,
        };
        assert_eq!(entry["arguments"], expected, "{entry}");
        assert!(!entry.to_string().contains("s3cr3t"), "{entry}");
    }
}
