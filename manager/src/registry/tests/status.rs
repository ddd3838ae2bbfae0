//! The status of clients and services.

use serde_json::{Value, json};

use super::*;

fn page(registry: &Registry, kind: PageKind, after: &str, now: u64) -> Value {
    let after = after.to_owned();
    serde_json::from_str(&registry.status(&Page { kind, after }, &Sight::All, now, |_| 3)).unwrap()
}

#[test]
fn the_status_has_links_locks_requests_and_latencies() {
    let mut registry = registry();
    let (s, a) = (service(&mut registry, "S", 0), client(&mut registry, "a"));
    registry.linked(a, "S").unwrap();
    registry.locked(a, "S", true, at(5)).unwrap();
    let name = registry.client_name(a);
    let mut ask = |uid: &str, bytes, now| {
        let service = Text::from(Cow::from("S"));
        let shape = Shape {
            depth: 1,
            integer_digits: 1,
        };
        let asking = registry.ask(a, &service, shape).unwrap().unwrap();
        asking.begin(&forwarded(uid.as_bytes(), bytes), now);
    };
    ask("1", 100, 1_000_000);
    ask("2", 100, 2_000_000);
    ask("3", 100, 2_500_000);
    let requester = Text::from(Cow::from(name.clone()));
    let mut answer = |uid: &str, is_error| {
        let awaited = registry.awaited(s, &requester, &uid.into()).unwrap();
        awaited.answer(Answered {
            now: 3_000_000,
            bytes: 50,
            is_error,
        });
    };
    answer("1", false);
    answer("3", true);
    let status = page(&registry, PageKind::Services, "", 3_250_000);
    assert_eq!(
        (&status["uptime_seconds"], &status["next"]),
        (&json!(3.25), &Value::Null)
    );
    assert_eq!(
        (&status["clients"], &status["services"], &status["in_flight"]),
        (&json!(1), &json!(1), &json!(1))
    );
    let expected = json!({
        "name": "S",
        "lock_count": 1,
        "lock_wait_count": 0, "lock_waits": [], "locks": [{
            "client": name, "since": "1970-01-01T00:00:05Z", "until": null, "shared": true, "reason": null,
        }],
        "in_flight": 1,
        "oldest_seconds": 1.25,
        "queued_bytes": 0,
        "subscriptions": 3,
        "requests": 3,
        "replies": 2,
        "errors": 1,
        "request_bytes": 300,
        "reply_bytes": 100,
        "notifications": 0,
        "latencies": [[458_752, 1], [1_835_008, 1]],
        "link_count": 1,
        "links": [name],
    });
    assert_eq!(status["page"], json!([expected]));
    let status = page(&registry, PageKind::Clients, "", 3_250_000);
    let client = &status["page"][0];
    assert_eq!((&client["name"], &client["links"]), (&json!(name), &json!(["S"])));
    assert_eq!((&client["in_flight"], &client["replies"]), (&json!(1), &json!(2)));
}

#[test]
fn a_page_of_long_names_is_short() {
    let mut registry = registry();
    let name = |number: usize| format!("{}{number:03}", "\\\"".repeat(100));
    for number in 0..100 {
        service(&mut registry, &name(number), 0);
    }
    for number in 0..40 {
        let client = client(&mut registry, &format!("{}{number:03}", "y".repeat(200)));
        for service in 0..100 {
            let service = format!("{}{service:03}", "\"".repeat(100));
            registry.linked(client, &service).unwrap();
        }
    }
    for kind in [PageKind::Services, PageKind::Clients] {
        let (mut count, mut after) = (0, String::new());
        loop {
            let text = registry.status(&Page { kind, after }, &Sight::All, 0, |_| 3);
            assert!(text.len() < 100_000, "{}", text.len());
            let status: Value = serde_json::from_str(&text).unwrap();
            count += status["page"].as_array().unwrap().len();
            match status["next"].as_str() {
                Some(next) => after = next.to_owned(),
                None => break,
            }
        }
        assert_eq!(count, if kind == PageKind::Services { 100 } else { 40 });
    }
}

#[test]
fn the_pages_of_a_long_list_have_every_peer_once() {
    let mut registry = registry();
    let mut expected: Vec<_> = (0..150).map(|number| format!("S{number}")).collect();
    for name in &expected {
        service(&mut registry, name, 0);
    }
    expected.sort_unstable();
    let (mut names, mut after) = (Vec::new(), String::new());
    loop {
        let status = page(&registry, PageKind::Services, &after, 0);
        let entries = status["page"].as_array().unwrap();
        assert!(entries.len() <= 64);
        names.extend(
            entries
                .iter()
                .map(|entry| entry["name"].as_str().unwrap().to_owned()),
        );
        match status["next"].as_str() {
            Some(next) => after = next.to_owned(),
            None => break,
        }
    }
    assert_eq!(names, expected);
}
