//! What a service with the feature `caller` is told of whoever calls it.

use labwire_service::{Caller, ConnectOptions, Runner, service};
use serde_json::{Value, json};

use super::support::manager::{Home, Manager};
use super::support::wire::{RawPeer, request, wait_for_service};

fn log_in(manager: &Manager, user: &str) -> RawPeer {
    let mut peer = RawPeer::connect(manager);
    for credential in [user, "x"] {
        assert_eq!(peer.read_json()["error"], false);
        peer.send_line(&json!({ "result": credential }).to_string());
    }
    peer
}

fn client(manager: &Manager, user: &str) -> RawPeer {
    let mut peer = log_in(manager, user);
    peer.identify(&json!({ "type": "client", "name": user }));
    peer
}

/// Sends a request and returns what the service receives as its sender.
fn caller(client: &mut RawPeer, service: &mut RawPeer, asked: &Value) -> Value {
    client.send_line(&asked.to_string());
    let received = service.read_json();
    assert_eq!(received["attribute"], asked["attribute"], "{received}");
    let answer = json!({
        "requester": received["requester"], "uid": received["uid"], "result": null, "error": false,
    });
    service.send_line(&answer.to_string());
    assert_eq!(client.read_json()["error"], false);
    received["caller"].clone()
}

#[test]
fn a_service_that_asks_is_told_and_a_client_cannot_say_it_is_somebody_else() {
    let manager = Manager::start(&["--disable-tls"]);
    let with = json!({ "type": "service", "name": "Door", "attributes": {}, "features": ["caller"] });
    let mut door = RawPeer::connect(&manager);
    door.identify(&with);
    let mut other = RawPeer::service(&manager, "Other", &json!({}));
    for name in ["Door", "Other"] {
        wait_for_service(&manager, name);
    }
    let mut ada = RawPeer::client(&manager, "Ada");
    let mut forged = request("Door", "open");
    forged["caller"] = json!({ "user": "root", "roles": ["administrator"], "address": "::", "tls": true });
    let expected = json!({
        "address": "127.0.0.1", "certificate": false, "groups": [], "roles": [], "tls": false, "token": false, "user": null,
    });
    assert_eq!(caller(&mut ada, &mut door, &forged), expected);
    forged["service"] = json!("Other");
    assert_eq!(caller(&mut ada, &mut other, &forged), Value::Null);
    // A key that is written with an escape is the same member.
    let escaped = r#"{"service":"Door","attribute":"open","\u0063aller":{"user":"root"},"uid":"7"}"#;
    ada.send_line(escaped);
    assert_eq!(door.read_json()["caller"], expected);
}

#[test]
fn the_user_with_groups_and_roles_is_told_as_of_the_last_change() {
    let home = Home::with_users(&["ada", "owner"]);
    for command in [
        "group add students",
        "group join students ada",
        "grant add owner --to owner",
        "grant add observer --to ada --on Other",
        "grant add operator --to-group students --on Do*",
    ] {
        home.prepare(&command.split(' ').collect::<Vec<_>>());
    }
    let manager = Manager::start_in(home, &["--disable-tls", "--auth-login", "--roles"]);
    let mut door = log_in(&manager, "owner");
    let with = json!({
        "type": "service", "name": "Door", "attributes": {}, "features": ["registered", "caller"],
    });
    door.identify(&with);
    assert_eq!(door.read_json()["attribute"], "registered");
    let (mut ada, mut root) = (client(&manager, "ada"), client(&manager, "root"));
    let open = request("Door", "open");
    let mut expected = json!({
        "address": "127.0.0.1", "certificate": false, "groups": ["students"], "roles": ["operator"], "tls": false, "token": false,
        "user": "ada",
    });
    for _ in 0..2 {
        assert_eq!(caller(&mut ada, &mut door, &open), expected);
    }
    let told = caller(&mut root, &mut door, &open);
    assert_eq!(
        (&told["user"], &told["roles"]),
        (&json!("root"), &json!(["administrator"]))
    );
    // With a token, an administrator is none for the service.
    let mut add = request("Manager", "access.add_token");
    add["kwargs"] = json!({ "user": "root", "may": ["Door.open"] });
    let token = root.request(&add)["result"]["secret"].clone();
    let mut script = RawPeer::connect(&manager);
    for credential in [json!("root"), token] {
        assert_eq!(script.read_json()["error"], false);
        script.send_line(&json!({ "result": credential }).to_string());
    }
    script.identify(&json!({ "type": "client", "name": "script" }));
    let told = caller(&mut script, &mut door, &open);
    assert_eq!(
        (&told["user"], &told["roles"], &told["token"]),
        (&json!("root"), &json!([]), &json!(true))
    );
    let mut grant = request("Manager", "access.grant");
    grant["kwargs"] = json!({ "role": "owner", "user": "ada", "on": "Door" });
    let granted = root.request(&grant);
    assert_eq!(granted["error"], false, "{granted}");
    expected["roles"] = json!(["operator", "owner"]);
    assert_eq!(caller(&mut ada, &mut door, &open), expected);
}

struct Safe;

#[service]
impl Safe {
    /// Says who asks.
    pub fn who(&self, caller: &Caller) -> String {
        let user = caller.user().unwrap_or("nobody");
        let roles = caller.roles().join(",");
        format!("{user} {roles} {} {}", caller.address(), caller.is_encrypted())
    }

    /// Opens it.
    #[requires("owner")]
    pub fn open(&self) -> bool {
        true
    }
}

#[tokio::test]
async fn a_method_in_rust_requires_a_role_and_learns_who_calls_it() {
    let home = Home::with_users(&["ada", "bob"]);
    for command in ["grant add operator --to ada", "grant add owner --to bob"] {
        home.prepare(&command.split(' ').collect::<Vec<_>>());
    }
    let manager = Manager::start_in(home, &["--auth-login", "--roles"]);
    let options = ConnectOptions::new()
        .port(manager.port())
        .certificate_file(manager.certificate());
    let as_user = |user: &str| options.clone().username(user).password("x");
    let running = Runner::new(Safe).options(as_user("bob")).connect().await.unwrap();
    let link = async |user: &str| {
        let client = labwire_client::Client::connect(user, as_user(user))
            .await
            .unwrap();
        let safe = client.link("Safe").await.unwrap();
        (client, safe)
    };
    let (_ada, safe) = link("ada").await;
    let who: String = safe.call("who", ()).await.unwrap();
    assert_eq!(who, "ada operator 127.0.0.1 true");
    let refused = safe.call::<bool>("open", ()).await.unwrap_err().to_string();
    assert!(
        refused.contains(
            "PermissionError: this method requires the role 'owner' for this service, which the user 'ada'"
        ),
        "{refused}"
    );
    let (_bob, safe) = link("bob").await;
    assert!(safe.call::<bool>("open", ()).await.unwrap());
    running.shut_down().await.unwrap();
}
