//! Links and locks.

use super::*;

#[test]
fn a_link_is_granted_once_per_place_and_comes_back_with_its_client() {
    let mut registry = registry();
    service(&mut registry, "S", 1);
    let (a, b) = (client(&mut registry, "a"), client(&mut registry, "b"));
    assert!(registry.linked(a, "S").is_ok());
    assert!(registry.linked(a, "S").is_ok(), "linking again succeeds");
    assert_eq!(
        registry.linked(b, "S"),
        Err(Refusal::Limit {
            service: "S".into(),
            linked: LinkedClients::new(["a[h:1]"], 1),
        })
    );
    assert!(registry.leave(a).is_some_and(|(_, leaving)| leaving.is_none()));
    assert!(registry.linked(b, "S").is_ok());
}

#[test]
fn a_limited_or_locked_service_serves_linked_clients_only() {
    let mut registry = registry();
    let limited = service(&mut registry, "limited", 2);
    let open = service(&mut registry, "open", 0);
    let (a, b) = (client(&mut registry, "a"), client(&mut registry, "b"));
    assert!(matches!(
        registry.service_for(a, "limited", FLAT),
        Err(Refusal::LinkBecauseLimited { is_full: false, .. })
    ));
    registry.linked(a, "limited").unwrap();
    assert_eq!(registry.service_for(a, "limited", FLAT), Ok(limited));

    assert_eq!(registry.service_for(b, "open", FLAT), Ok(open));
    registry.linked(a, "open").unwrap();
    registry.locked(a, "open", false, at(5)).unwrap();
    let held = || {
        Box::new(HeldLock {
            holder: "a[h:1]".into(),
            since: at(5),
            until: None,
            is_reserved: false,
            reason: None,
            shared: false,
            waiting: 0,
            others: 0,
        })
    };
    assert_eq!(
        registry.service_for(b, "open", FLAT),
        Err(Refusal::CallLocked {
            service: "open".into(),
            client: "b[h:1]".into(),
            held: held(),
        })
    );
    assert_eq!(
        registry.linked(b, "open"),
        Err(Refusal::Locked {
            service: "open".into(),
            held: held(),
        })
    );
    registry.leave(a);
    assert_eq!(registry.service_for(b, "open", FLAT), Ok(open));
}

#[test]
fn an_exclusive_lock_needs_the_only_link_and_a_shared_one_does_not() {
    let mut registry = registry();
    service(&mut registry, "S", 0);
    let (a, b) = (client(&mut registry, "a"), client(&mut registry, "b"));
    assert!(matches!(
        registry.locked(a, "S", true, at(0)),
        Err(Refusal::LockWithoutLink { .. })
    ));
    registry.linked(a, "S").unwrap();
    registry.linked(b, "S").unwrap();
    assert!(matches!(
        registry.locked(a, "S", false, at(0)),
        Err(Refusal::NotAlone { .. })
    ));
    for client in [a, b] {
        let linked = registry.locked(client, "S", true, at(0)).unwrap();
        assert_eq!(registry.text(linked), r#"["a[h:1]","b[h:1]"]"#);
    }
    let locking = registry.released(a, "S").unwrap();
    assert_eq!(registry.text(locking), r#"["b[h:1]"]"#);
    registry.unlinked(b, "S").unwrap();
    assert_eq!(
        registry.text(Listing::Locks),
        r#"{"S":[]}"#,
        "unlinking releases the lock"
    );
}

#[test]
fn the_client_that_has_held_its_lock_longest_is_named() {
    let mut registry = registry();
    service(&mut registry, "S", 0);
    let [a, b, c, late] = ["a", "b", "c", "late"].map(|name| client(&mut registry, name));
    for client in [a, b, c] {
        registry.linked(client, "S").unwrap();
    }
    let mut held = |locks: &[(PeerId, i64)], released: &[PeerId]| {
        for &(client, second) in locks {
            registry.locked(client, "S", true, at(second)).unwrap();
        }
        for &client in released {
            registry.released(client, "S").unwrap();
        }
        match registry.linked(late, "S") {
            Err(Refusal::Locked { held, .. }) => (held.holder, held.since, held.others),
            other => panic!("{other:?}"),
        }
    };
    let named = |holder: &str, second, others| (holder.to_owned(), at(second), others);
    assert_eq!(held(&[(c, 10), (b, 20), (a, 30)], &[]), named("c[h:1]", 10, 2));
    // Acquiring a lock again keeps its time.
    assert_eq!(held(&[(c, 40)], &[a]), named("c[h:1]", 10, 1));
    assert_eq!(held(&[], &[c]), named("b[h:1]", 20, 0));
    assert_eq!(held(&[(c, 50)], &[b]), named("c[h:1]", 50, 0));
}

#[tokio::test]
async fn a_client_that_has_said_all_gives_its_links_and_locks_back_and_keeps_its_requests() {
    let mut registry = registry();
    let limited = service(&mut registry, "limited", 1);
    let (a, b) = (client(&mut registry, "a"), client(&mut registry, "b"));
    registry.linked(a, "limited").unwrap();
    registry.locked(a, "limited", false, at(0)).unwrap();
    registry.begin_request(a, limited, "1");
    let just_before = Instant::now() + Duration::from_secs(4);
    let until = just_before + Duration::from_millis(1);
    let (event, told) = registry.finish(a, until);
    let told = told.expect("it waits");
    assert!(
        matches!(&event, Some(Event::LinksEnded { services, .. }) if services.len() == 1 && *services[0].service == *"limited" && services[0].had_lock),
        "{event:?}"
    );
    assert!(registry.linked(b, "limited").is_ok());
    assert!(registry.destination(limited, "a[h:1]", "1").is_some());
    assert_eq!(registry.next_deadline(), Some(until));
    assert!(registry.expire(just_before).is_none());
    let event = registry.expire(until);
    assert!(
        matches!(event, Some(Event::WaitedInVain { requests: 1, .. })),
        "{event:?}"
    );
    timeout(Duration::ZERO, told.notified())
        .await
        .expect("it is told");
    assert_eq!(registry.next_deadline(), None);
    assert_eq!(registry.contradiction(), None);
}
