use std::borrow::Cow;
use std::time::Duration;

use jiff::Timestamp;
use labwire_access::{EVERYONE, Grantee, Scope};
use labwire_store::{AccessChange, StoreOptions};
use labwire_wire::{Features, Identity, Shape, Text};
use tokio::task::yield_now;

use super::routing::DEPARTURE_WORK;
use super::*;
use crate::outbox::Outbox;
use crate::principal::Principal;
use crate::record::Recording;
use crate::registry::{Forwarded, Sight};

const CLIENTS: usize = 3_000;

fn routing() -> Arc<Routing> {
    Arc::new(Routing::new(
        ManagerIdentity::sample(),
        Limits::default(),
        Pace::default(),
        None,
        Recording::Nothing,
    ))
}

#[tokio::test]
async fn others_are_served_while_thousands_are_told_that_a_service_has_left() {
    let routing = routing();
    let identity = br#"{"type":"service","name":"S","attributes":{}}"#;
    let identity = Identity::from_json(identity).unwrap();
    let join = |identity: &Identity, address: &str| {
        let outbox = Outbox::alone(1_000_000);
        let joined = routing.registry().join(
            identity,
            &Principal::sample(),
            address,
            &outbox,
            Timestamp::UNIX_EPOCH,
        );
        let (id, event) = joined.unwrap();
        routing.events.publish(event, None);
        (id, outbox)
    };
    let (service, _) = join(&identity, "h:1");
    let mut clients = Vec::new();
    for number in 0..CLIENTS {
        let identity = Identity {
            features: Features::from_names(["unlinked"]),
            ..Identity::client("c").unwrap()
        };
        let (id, outbox) = join(&identity, &format!("h:{number}"));
        let mut registry = routing.registry();
        let (_, event) = registry.link(id, "S").unwrap();
        routing.events.publish(event, None);
        let name = Text::from(Cow::from("S"));
        let shape = Shape {
            depth: 1,
            integer_digits: 1,
        };
        let forwarded = Forwarded {
            uid: b"1",
            attribute: "",
            bytes: 0,
            line: None,
        };
        registry
            .ask(id, &name, shape)
            .unwrap()
            .unwrap()
            .begin(&forwarded, 0);
        clients.push(outbox);
    }
    assert_eq!(routing.leave(service, None), CLIENTS);
    assert!(!routing.registry().has_service("S"));
    let mut turns = 0;
    while routing.registry().is_leaving("S") {
        turns += 1;
        yield_now().await;
    }
    assert!(turns >= CLIENTS / DEPARTURE_WORK, "{turns}");
    assert_eq!(routing.registry().in_flight(), 0);
    for outbox in clients {
        let told = outbox.close_and_read().await;
        let lines: Vec<_> = told.lines().collect();
        assert!(lines.len() == 2 && lines[0].contains("left before it replied"));
        assert!(lines[1].contains(r#""attribute":"unlinked""#), "{told}");
    }
}

/// The connection of the peer that made it may break before the answer.
#[tokio::test]
async fn a_change_of_the_rules_that_nobody_waits_for_applies_all_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("manager.sqlite3");
    let store = Store::open(&path, &StoreOptions::default()).unwrap();
    let hub = Hub::new(
        &ManagerIdentity::sample(),
        Authentication::None { open: false },
        Limits::default(),
        Pace::default(),
        (store.clone(), Recording::Nothing),
        LogControl::none(),
    );
    let following = tokio::spawn(hub.enforce_rules().await.unwrap().follow());
    let sees = || {
        let (mut registry, present) = (hub.routing.registry(), hub.routing.present());
        let sight = registry.sight_of_stranger(&Principal::sample(), present);
        matches!(sight, Some(Sight::All))
    };
    assert!(!sees());
    let changing = hub.begin_change();
    let change = AccessChange::Grant {
        role: "observer".to_owned(),
        to: Grantee::Group(EVERYONE.to_owned()),
        on: Scope::everything(),
        until: None,
    };
    store.change_access(change).await.unwrap();
    drop(changing);
    let applied = async {
        while !sees() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), applied)
        .await
        .unwrap();
    following.abort();
    store.close().await;
}
