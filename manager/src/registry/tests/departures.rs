//! Services that leave, and a manager that stops.

use super::*;

#[test]
fn a_service_that_leaves_gives_back_every_request_that_it_held() {
    let mut registry = registry();
    let (s, t) = (service(&mut registry, "S", 0), service(&mut registry, "T", 0));
    let (a, b) = (client(&mut registry, "a"), client(&mut registry, "b"));
    registry.begin_request(a, s, "1");
    registry.begin_request(a, t, "2");
    registry.begin_request(b, s, "1");
    assert_eq!(
        abandoned(&mut registry, s),
        [("a[h:1]".into(), "1".into()), ("b[h:1]".into(), "1".into())]
    );
    assert_eq!(registry.in_flight(), 1);
    registry.leave(a);
    assert_eq!(registry.in_flight(), 0);
    assert!(abandoned(&mut registry, t).is_empty(), "nobody waits any more");
}

/// Returns the shortest time, of some attempts, in which a service leaves that holds one request of
/// each of 50 clients. The clients have `requests_elsewhere` requests at another service.
fn departure(requests_elsewhere: usize) -> Duration {
    let departures = (0..5).map(|_| {
        let mut registry = registry_with(usize::MAX);
        let (s, other) = (service(&mut registry, "S", 0), service(&mut registry, "T", 0));
        for number in 0..50 {
            let client = client(&mut registry, &number.to_string());
            registry.begin_request(client, s, "");
            for uid in 0..requests_elsewhere {
                registry.begin_request(client, other, &uid.to_string());
            }
        }
        let begun = Instant::now();
        let (abandoned, _) = left(&mut registry, s);
        let took = begun.elapsed();
        assert_eq!(abandoned.len(), 50);
        took
    });
    departures.min().expect("there are some")
}

#[test]
fn a_service_that_leaves_is_not_searched_for_among_the_requests_that_others_hold() {
    let alone = departure(0);
    let beside_others = departure(5_000);
    assert!(
        beside_others < 20 * alone + Duration::from_millis(1),
        "{beside_others:?} and {alone:?}"
    );
}

#[test]
fn a_service_is_gone_at_once_and_its_name_is_free_when_all_know() {
    let mut registry = registry();
    let s = service(&mut registry, "S", 0);
    let clients = ["a", "b", "c"].map(|name| client(&mut registry, name));
    for client in clients {
        registry.linked(client, "S").unwrap();
        registry.begin_request(client, s, "1");
    }
    let mut leaving = gone(&mut registry, s);
    assert_eq!((leaving.name(), leaving.requests()), ("S", 3));
    assert!(registry.destination(s, "a[h:1]", "1").is_none());
    assert!(matches!(
        registry.service_for(clients[0], "S", FLAT),
        Err(Refusal::NoSuchService { .. })
    ));
    assert!(matches!(
        registry.linked(clients[0], "S"),
        Err(Refusal::CannotLink { .. })
    ));
    let again = Identity::from_json(br#"{"type":"service","name":"S","attributes":{}}"#).unwrap();
    assert!(
        registry
            .next_concerned(&mut leaving, &Refusal::Stopping)
            .is_some()
    );
    assert!(registry.is_leaving("S"));
    let refused = registry.take_in(&again, "h:3", &Outbox::alone(1));
    assert_eq!(refused, Err(Refusal::NameTaken("S".into())));
    // Clients that leave meanwhile need no notification.
    registry.leave(clients[0]);
    registry.leave(clients[1]);
    while registry
        .next_concerned(&mut leaving, &Refusal::Stopping)
        .is_some()
    {}
    assert!(!registry.is_leaving("S"));
    assert_eq!((registry.in_flight(), registry.contradiction()), (0, None));
    assert!(registry.take_in(&again, "h:3", &Outbox::alone(1)).is_ok());
}

#[test]
fn a_manager_that_stops_gives_back_every_request() {
    let mut registry = registry();
    let (s, t) = (service(&mut registry, "S", 0), service(&mut registry, "T", 0));
    let a = client(&mut registry, "a");
    registry.begin_request(a, s, "1");
    registry.begin_request(a, t, "1");
    let mut services: Vec<_> = registry
        .abandon_all()
        .into_iter()
        .map(|(name, _)| name.to_string())
        .collect();
    services.sort();
    assert_eq!(services, ["S", "T"]);
    assert_eq!(registry.in_flight(), 0);
    assert!(
        registry.destination(s, "a[h:1]", "1").is_none(),
        "a reply comes too late now"
    );
    assert!(abandoned(&mut registry, s).is_empty());
}

/// Adds a client with all features. Returns its id and its queue.
fn curious_client(registry: &mut Registry, name: &str) -> (PeerId, Arc<Outbox>) {
    let identity = Identity {
        features: Features::ALL,
        ..Identity::client(name).unwrap()
    };
    let outbox = Outbox::alone(1_000);
    let id = registry.take_in(&identity, "h:1", &outbox).unwrap();
    (id, outbox)
}

#[test]
fn a_service_that_leaves_names_the_linked_clients_that_asked_to_be_told() {
    let mut registry = registry();
    let s = service(&mut registry, "S", 0);
    let (asked, outbox) = curious_client(&mut registry, "asked");
    let (unlinked, _) = curious_client(&mut registry, "unlinked");
    curious_client(&mut registry, "never linked");
    let silent = client(&mut registry, "silent");
    for client in [asked, unlinked, silent] {
        registry.linked(client, "S").unwrap();
    }
    registry.unlinked(unlinked, "S").unwrap();
    let (_, linked) = left(&mut registry, s);
    assert_eq!(linked.len(), 1);
    assert!(Arc::ptr_eq(&linked[0], &outbox));
}

#[tokio::test]
async fn errors_for_thousands_of_requests_keep_their_place_among_what_a_client_is_told() {
    let mut registry = registry_with(usize::MAX);
    let s = service(&mut registry, "S", 0);
    let outbox = Outbox::alone(1 << 30);
    let identity = Identity::client("a").unwrap();
    let a = registry.take_in(&identity, "h:1", &outbox).unwrap();
    for uid in 0..3_000 {
        registry.begin_request(a, s, &uid.to_string());
    }
    registry.begin_request(a, s, "7");
    outbox.push_always(|frame| frame.copied(b"before\r\n"));
    for abandoned in left(&mut registry, s).0 {
        abandoned.tell(&Refusal::ServiceLeft { service: "S".into() });
    }
    outbox.push_always(|frame| frame.copied(b"after\r\n"));
    let counted = outbox.queued();
    let told = outbox.close_and_read().await;
    assert_eq!(counted, told.len(), "they count before they are put together");
    let lines: Vec<_> = told.lines().collect();
    assert_eq!((lines[0], lines[3_002]), ("before", "after"));
    let uid = |line: &&str| {
        let error: serde_json::Value = serde_json::from_str(line).unwrap();
        error["uid"].as_str().unwrap().parse::<usize>().unwrap()
    };
    let mut uids: Vec<_> = lines[1..3_002].iter().map(uid).collect();
    uids.sort_unstable();
    let mut expected: Vec<_> = (0..3_000).collect();
    expected.insert(7, 7);
    assert_eq!(uids, expected);
}

#[tokio::test]
async fn a_client_is_told_of_each_request_that_will_not_be_answered() {
    let refusal = Refusal::ServiceLeft { service: "S".into() };
    for (features, executed, origin) in [
        (Features::default(), "", ""),
        (
            Features {
                origin: true,
                ..Features::default()
            },
            r#","executed":"maybe""#,
            r#","origin":"manager""#,
        ),
    ] {
        let mut registry = registry();
        let s = service(&mut registry, "S", 0);
        let identity = Identity {
            features,
            ..Identity::client("a").unwrap()
        };
        let outbox = Outbox::alone(1_000);
        let a = registry.take_in(&identity, "h:1", &outbox).unwrap();
        for uid in ["\"", "\""] {
            registry.begin_request(a, s, uid);
        }
        for abandoned in left(&mut registry, s).0 {
            assert_eq!(abandoned.count(), 2);
            abandoned.tell(&refusal);
        }
        let expected = format!(
            r#"{{"error":true{executed},"message":"{refusal}"{origin},"requester":"a[h:1]","result":null,"traceback":[],"uid":"\""}}"#
        );
        assert_eq!(outbox.close_and_read().await, format!("{expected}\r\n").repeat(2));
    }
}
