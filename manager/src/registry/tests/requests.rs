//! Requests, their replies, and their uids.

use super::*;
use crate::bounds::{CROWDED_OWED, LEAST_OWED, MOST_OWED, MOST_OWED_OF_ALL};

#[test]
fn a_reply_counts_once_and_only_from_the_service_that_holds_the_request() {
    let mut registry = registry();
    let (s, other) = (service(&mut registry, "S", 0), service(&mut registry, "T", 0));
    let a = client(&mut registry, "a");
    registry.begin_request(a, s, "1");
    assert!(registry.destination(other, "a[h:1]", "1").is_none());
    assert!(registry.destination(s, "a[h:1]", "2").is_none());
    assert!(registry.destination(s, "b[h:1]", "1").is_none());
    assert!(registry.destination(s, "a[h:1]", "1").is_some());
    registry.end_request(s, a, "1");
    assert!(registry.destination(s, "a[h:1]", "1").is_none());
    assert_eq!(registry.in_flight(), 0);
}

#[test]
fn requests_may_share_a_uid_as_terminals_do() {
    let mut registry = registry();
    let (s, t) = (service(&mut registry, "S", 0), service(&mut registry, "T", 0));
    let a = client(&mut registry, "a");
    for service in [s, s, t] {
        registry.begin_request(a, service, "");
    }
    registry.end_request(s, a, "");
    assert!(registry.destination(s, "a[h:1]", "").is_some());
    assert_eq!(
        abandoned(&mut registry, t),
        [("a[h:1]".to_owned(), String::new())]
    );
    registry.end_request(s, a, "");
    assert!(registry.destination(s, "a[h:1]", "").is_none());
    assert_eq!(registry.in_flight(), 0);
}

#[test]
fn a_client_that_asks_again_finds_its_place_and_many_empty_places_are_removed() {
    let mut registry = registry();
    let s = service(&mut registry, "S", 0);
    let places = |registry: &Registry| registry.service(s).unwrap().callers.len();
    let waiting = client(&mut registry, "waiting");
    registry.begin_request(waiting, s, "");
    for number in 0..1_022 {
        let client = client(&mut registry, &number.to_string());
        for uid in ["1", "2"] {
            registry.begin_request(client, s, uid);
            registry.end_request(s, client, uid);
        }
    }
    assert_eq!((places(&registry), registry.empty_places.len()), (1_023, 1_022));
    let last = client(&mut registry, "last");
    for uid in 0..128 {
        registry.begin_request(last, s, &uid.to_string());
    }
    for uid in 0..128 {
        registry.end_request(s, last, &uid.to_string());
    }
    assert_eq!(registry.contradiction(), None);
    assert_eq!(registry.service_for(last, "S", FLAT), Ok(s));
    assert_eq!((places(&registry), registry.empty_places.len()), (1, 0));
    assert_eq!(registry.contradiction(), None);
    registry.end_request(s, waiting, "");
    assert_eq!(registry.in_flight(), 0);
}

#[tokio::test]
async fn a_client_that_has_said_all_is_told_when_its_last_reply_has_come() {
    let mut registry = registry();
    let (s, t) = (service(&mut registry, "S", 0), service(&mut registry, "T", 0));
    let a = client(&mut registry, "a");
    let until = Instant::now();
    assert!(registry.finish(a, until).1.is_none(), "it waits for nothing");
    for (service, uid) in [(s, "1"), (s, "2"), (t, "1")] {
        registry.begin_request(a, service, uid);
    }
    let last_reply = registry.finish(a, until).1.expect("it waits");
    let has_come = || timeout(Duration::ZERO, last_reply.notified());
    registry.end_request(s, a, "1");
    assert!(has_come().await.is_err());
    left(&mut registry, t);
    assert!(has_come().await.is_err());
    registry.end_request(s, a, "2");
    assert!(has_come().await.is_ok());
}

/// Returns the request that a malformed reply of a service is for: its client's name, and its uid
/// as JSON text.
fn identified(
    registry: &mut Registry,
    service: PeerId,
    requester: Option<&str>,
    uid: Option<&str>,
) -> Option<(String, String)> {
    let names = Names {
        requester: requester.map(str::to_owned),
        uid: uid.map(|uid| labwire_wire::Uid::from_json(uid.as_bytes()).unwrap().into_owned()),
        asks: false,
        is_partial: false,
    };
    let awaited = registry.identify(service, &names)?;
    Some((
        awaited.requester.to_string(),
        awaited.uid().to_json().into_owned(),
    ))
}

fn begin(registry: &mut Registry, client: PeerId, service: PeerId, uid: &str) {
    let uid = labwire_wire::Uid::from_json(uid.as_bytes()).unwrap();
    registry.begin(client, service, uid.as_bytes());
}

#[test]
fn a_malformed_reply_is_for_the_only_request_that_fits_its_names() {
    let mut registry = registry();
    let (s, t) = (service(&mut registry, "S", 0), service(&mut registry, "T", 0));
    let (a, b) = (client(&mut registry, "a"), client(&mut registry, "b"));
    let request = |client: &str, uid: &str| Some((format!("{client}[h:1]"), uid.to_owned()));
    begin(&mut registry, a, s, "\"1\"");
    begin(&mut registry, a, t, "\"9\"");
    begin(&mut registry, b, t, "\"9\"");
    let (name, one) = (Some("a[h:1]"), Some("\"1\""));
    for (requester, uid) in [
        (None, None),
        (name, None),
        (None, one),
        (name, one),
        (name, Some("1")),
    ] {
        assert_eq!(
            identified(&mut registry, s, requester, uid),
            request("a", "\"1\""),
            "{requester:?} {uid:?}"
        );
    }
    for (requester, uid) in [
        (Some("b[h:1]"), None),
        (Some("b[h:1]"), one),
        (Some("nobody"), None),
        (None, Some("\"9\"")),
        (name, Some("\"9\"")),
        (name, Some("\"\"")),
        (None, Some("2")),
    ] {
        assert_eq!(
            identified(&mut registry, s, requester, uid),
            None,
            "{requester:?} {uid:?}"
        );
    }
    begin(&mut registry, b, s, "2");
    assert_eq!(identified(&mut registry, s, None, None), None, "there are two");
    assert_eq!(
        identified(&mut registry, s, None, Some("\"\"")),
        None,
        "this says nothing"
    );
    assert_eq!(
        identified(&mut registry, s, Some("b[h:1]"), None),
        request("b", "2")
    );
    assert_eq!(
        identified(&mut registry, s, None, Some("\"2\"")),
        request("b", "2")
    );
    begin(&mut registry, b, s, "\"1\"");
    assert_eq!(
        identified(&mut registry, s, Some("b[h:1]"), None),
        None,
        "there are two"
    );
    assert_eq!(
        identified(&mut registry, s, None, one),
        None,
        "two clients chose it"
    );
    assert_eq!(
        identified(&mut registry, s, Some("b[h:1]"), one),
        request("b", "\"1\"")
    );
}

#[test]
fn a_number_and_a_string_are_two_uids() {
    let mut registry = registry();
    let s = service(&mut registry, "S", 0);
    let a = client(&mut registry, "a");
    for uid in ["5", "\"5\"", "1e2"] {
        begin(&mut registry, a, s, uid);
    }
    let uid = |json: &str| {
        labwire_wire::Uid::from_json(json.as_bytes())
            .unwrap()
            .into_owned()
    };
    let name = Text::from(Cow::from("a[h:1]"));
    let held = |registry: &mut Registry, json: &str| {
        registry
            .awaited(s, &name, &uid(json))
            .map(|held| held.uid().into_owned())
    };
    assert_eq!(held(&mut registry, "5"), Some(uid("5")));
    assert_eq!(held(&mut registry, "\"5\""), Some(uid("\"5\"")));
    assert_eq!(held(&mut registry, "5.0"), None);
    let other = |json: &str| registry.held_in_other_spelling(s, &name, &uid(json));
    assert_eq!(other("5.0"), Some(uid("5")));
    assert_eq!(other("100"), Some(uid("1e2")));
    assert_eq!(other("\"100\""), None);
    assert_eq!(
        registry.held_as_other_type(s, &name, &uid("\"1e2\"")),
        Some(uid("1e2"))
    );
    assert_eq!(registry.held_as_other_type(s, &name, &uid("\"100\"")), None);
    registry
        .awaited(s, &name, &uid("5"))
        .unwrap()
        .end(Answered::with_refusal(0));
    assert_eq!(held(&mut registry, "5"), None);
    assert_eq!(held(&mut registry, "\"5\""), Some(uid("\"5\"")));
}

#[test]
fn a_python_service_gets_nothing_that_ends_it() {
    let mut registry = registry();
    let identity = br#"{"type":"service","name":"P","attributes":{},"language":"Python 3.11.7"}"#;
    let python = registry
        .take_in(&Identity::from_json(identity).unwrap(), "h:2", &Outbox::alone(1))
        .unwrap();
    let other = service(&mut registry, "S", 0);
    let a = client(&mut registry, "a");
    assert_eq!(registry.service_for(a, "P", FLAT), Ok(python));
    for shape in [
        Shape { depth: 1_000, ..FLAT },
        Shape {
            integer_digits: 5_000,
            ..FLAT
        },
    ] {
        assert!(matches!(
            registry.service_for(a, "P", shape),
            Err(Refusal::UnreadableRequest { .. })
        ));
        assert_eq!(registry.service_for(a, "S", shape), Ok(other));
    }
}

#[test]
fn clients_that_give_up_requests_leave_places_for_the_late_replies_of_others() {
    let mut registry = registry();
    let s = service(&mut registry, "S", 0);
    let many = client(&mut registry, "many");
    let greedy: Vec<_> = (0..CROWDED_OWED / MOST_OWED)
        .map(|number| client(&mut registry, &format!("greedy {number}")))
        .collect();
    let note = |registry: &mut Registry, client, count: usize| {
        for uid in 0..count {
            registry.note_owed(client, s, uid.to_string().as_bytes());
        }
    };
    note(&mut registry, many, MOST_OWED + 1);
    assert_eq!(registry.owed(), MOST_OWED, "its oldest has made room");
    for client in &greedy[1..] {
        note(&mut registry, *client, MOST_OWED);
    }
    assert_eq!(registry.owed(), CROWDED_OWED);
    for client in &greedy[1..] {
        note(&mut registry, *client, 2 * MOST_OWED);
    }
    assert_eq!(registry.owed(), CROWDED_OWED, "they take no more places");
    for number in 0..(MOST_OWED_OF_ALL - CROWDED_OWED) / LEAST_OWED {
        let late = client(&mut registry, &format!("late {number}"));
        note(&mut registry, late, 2 * LEAST_OWED);
        let is_owed = |uid: usize| {
            let state = registry.clients.get(late).expect("it is here");
            state.owed.contains(s, uid.to_string().as_bytes())
        };
        assert!(
            (0..LEAST_OWED).all(|uid| !is_owed(uid)),
            "the oldest have made room"
        );
        assert!((LEAST_OWED..2 * LEAST_OWED).all(is_owed), "{number}");
    }
    assert_eq!(registry.owed(), MOST_OWED_OF_ALL);
    assert_eq!(registry.contradiction(), None);
}
