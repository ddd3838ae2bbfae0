//! Locks that are kept for their holders over a restart of the manager.

use labwire_store::{Lease, LeaseChange, LeaseKey};
use labwire_wire::{ResumeRequest, SessionRequest};

use super::*;
use crate::bounds::{FREE_LEASES, MOST_CLAIMED, MOST_LEASES};
use crate::refusal::LockCause;
use crate::sessions::SecretHash;

const GRACE: Duration = Duration::from_secs(30);

fn moment() -> Moment {
    Moment {
        time: at(0),
        instant: Instant::now(),
    }
}

fn later(now: Moment, seconds: u64) -> Moment {
    now.after(Duration::from_secs(seconds))
}

fn lease(service: &str, secret: &str, shared: bool) -> Lease {
    Lease {
        key: LeaseKey {
            service: service.into(),
            secret_hash: SecretHash::of(secret).bytes(),
        },
        holder: format!("{secret}[h:1]").into(),
        name: secret.into(),
        user: None,
        ip: "192.0.2.1".into(),
        shared,
        reason: None,
        ttl: None,
        until: None,
        since: at(-60),
        grace: GRACE,
    }
}

fn identity(name: &str, secret: Option<&str>) -> Identity {
    let mut identity =
        Identity::from_json(format!(r#"{{"type":"client","name":"{name}"}}"#).as_bytes()).unwrap();
    identity.session = Some(SessionRequest {
        resume: secret.map(|secret| ResumeRequest {
            secret: secret.to_owned(),
            received: 0,
        }),
        ..SessionRequest::default()
    });
    identity
}

impl Registry {
    /// Adds a client with a session that presents a secret, and returns the services of the locks
    /// that it has claimed.
    fn returns(
        &mut self,
        name: &str,
        secret: Option<&str>,
        address: &str,
        now: Moment,
    ) -> (PeerId, Vec<Arc<str>>) {
        let identity = identity(name, secret);
        let id = self.take_in(&identity, address, &Outbox::alone(1_000)).unwrap();
        let new = SecretHash::of(address);
        let claimed = self.begin_session(id, &identity, new, GRACE, now);
        (id, claimed)
    }

    fn acquires(
        &mut self,
        client: PeerId,
        service: &str,
        shared: bool,
        now: Moment,
    ) -> Result<bool, Refusal> {
        let terms = Terms {
            shared,
            ..Terms::default()
        };
        let wait = Some(Duration::ZERO);
        let acquired = self.acquire_lock(client, service, terms, wait, &Uid::EMPTY, now)?;
        Ok(matches!(acquired, Acquired::Granted(..)))
    }

    fn joins(&mut self, name: &str, now: Moment) -> PeerId {
        let id = service(self, name, -1);
        self.place_reservations(id, now);
        id
    }

    fn sound(&self) {
        assert_eq!(self.contradiction(), None);
    }
}

#[test]
fn a_reservation_keeps_others_out_and_becomes_the_lock_of_its_holder() {
    let mut registry = registry();
    let now = moment();
    registry.reserve(vec![lease("S", "a", false)], GRACE, now);
    registry.sound();
    registry.joins("S", now);
    let rival = client(&mut registry, "b");
    let refused = registry.linked(rival, "S").unwrap_err().to_string();
    assert!(refused.contains("locked by a[h:1] since "), "{refused}");
    let (holder, claimed) = registry.returns("a", Some("a"), "h:9", now);
    assert_eq!(claimed, ["S".into()]);
    registry.sound();
    // It does not hold it yet.
    assert!(registry.renew_lock(holder, "S", None, now).is_err());
    assert!(registry.linked(rival, "S").is_err());
    assert_eq!(registry.acquires(holder, "S", false, now), Ok(true));
    registry.sound();
    assert_eq!(registry.reservations(), 0);
    let (changes, _) = registry.take_lease_changes();
    let last = changes.last().unwrap();
    assert!(
        matches!(last, LeaseChange::Held(lease) if lease.since == at(-60) && &*lease.holder == "a[h:9]"),
        "{changes:?}"
    );
    registry.unlinked(holder, "S").unwrap();
    registry.linked(rival, "S").unwrap();
    registry.sound();
}

#[test]
fn a_lock_is_noted_for_the_user_of_the_handshake_and_not_for_the_administrator_of_a_later_login() {
    let mut registry = registry();
    let now = moment();
    registry.joins("S", now);
    let (holder, _) = registry.returns("a", None, "h:9", now);
    let principal = Principal {
        proof: crate::principal::Proof::Login {
            user: "ada".into(),
            row: labwire_store::LoginUser::default(),
            is_admin: true,
            token: None,
            second_factor: None,
            certificate: None,
        },
        from: Arc::clone(&Principal::sample().from),
    };
    drop(registry.set_principal(holder, Arc::new(principal)));
    assert_eq!(registry.acquires(holder, "S", false, now), Ok(true));
    let (changes, _) = registry.take_lease_changes();
    let [LeaseChange::Held(lease)] = &*changes else {
        panic!("{changes:?}");
    };
    assert_eq!((lease.user.as_ref(), &*lease.name), (None, "a"));
}

#[test]
fn reservations_end_in_time_and_a_claimed_one_waits_for_its_service() {
    let mut registry = registry();
    let now = moment();
    let mut expired = lease("Old", "a", false);
    (expired.ttl, expired.until) = (Some(GRACE), Some(at(-1)));
    let mut short = lease("Short", "a", false);
    (short.ttl, short.until) = (Some(GRACE), Some(at(5)));
    let leases = vec![expired, short, lease("S", "a", false), lease("T", "b", false)];
    registry.reserve(leases, Duration::from_secs(20), now);
    assert_eq!(registry.reservations(), 3);
    assert!(registry.expire(later(now, 6).instant).is_some());
    assert_eq!(registry.reservations(), 2, "a lock keeps its time to live");
    let (holder, claimed) = registry.returns("a", Some("a"), "h:9", later(now, 10));
    assert_eq!(claimed, ["S".into()]);
    while registry.expire(later(now, 100).instant).is_some() {}
    assert_eq!(
        registry.reservations(),
        1,
        "the grace period of the other is over"
    );
    registry.sound();
    let service = registry.joins("S", later(now, 100));
    registry.sound();
    assert!(registry.expire(later(now, 115).instant).is_none());
    // The service is restarted once more.
    left(&mut registry, service);
    registry.sound();
    assert!(registry.expire(later(now, 300).instant).is_none());
    registry.joins("S", later(now, 300));
    assert!(registry.expire(later(now, 331).instant).is_some());
    registry.sound();
    assert_eq!((registry.reservations(), holder), (0, holder));
}

#[test]
fn what_a_client_leaves_behind_is_released_at_once() {
    for leaves in [true, false] {
        let mut registry = registry();
        let now = moment();
        registry.reserve(vec![lease("S", "a", false), lease("T", "a", false)], GRACE, now);
        registry.joins("S", now);
        let (holder, claimed) = registry.returns("a", Some("a"), "h:9", now);
        assert_eq!(claimed.len(), 2);
        if leaves {
            drop(registry.leave(holder));
        } else {
            assert!(
                registry.release_lock(holder, "T", false).is_err(),
                "it is not registered"
            );
            drop(registry.release_lock(holder, "S", false).unwrap());
        }
        assert_eq!(registry.reservations(), 0);
        registry.sound();
        let rival = client(&mut registry, "b");
        registry.linked(rival, "S").unwrap();
    }
}

#[test]
fn only_the_holder_claims_and_only_so_many() {
    let mut registry = registry();
    let now = moment();
    let many = (0..MOST_CLAIMED + 5).map(|number| lease(&format!("S{number}"), "a", false));
    registry.reserve(many.collect(), GRACE, now);
    for (name, secret) in [("b", "a"), ("a", "b")] {
        let (_, claimed) = registry.returns(name, Some(secret), &format!("{name}:1"), now);
        assert!(claimed.is_empty());
        assert!(!registry.held_before(
            SecretHash::of(secret),
            &identity(name, None),
            &Principal::sample()
        ));
    }
    assert_eq!(registry.reservations(), MOST_CLAIMED + 5);
    let (_, claimed) = registry.returns("a", Some("a"), "h:9", now);
    assert_eq!(
        (claimed.len(), registry.reservations()),
        (MOST_CLAIMED, MOST_CLAIMED)
    );
    registry.sound();
}

#[test]
fn a_reservation_is_broken_as_any_lock_is() {
    let mut registry = registry();
    let now = moment();
    registry.reserve(vec![lease("S", "a", true), lease("S", "b", true)], GRACE, now);
    registry.joins("S", now);
    let cause = LockCause::Broken {
        by: "ada".into(),
        reason: None,
    };
    let newest = registry.newest_lock();
    let named = registry
        .break_lock("S", Some("a[h:1]"), newest, &cause, at(0))
        .unwrap();
    assert_eq!(named.clients, ["a[h:1]".into()]);
    registry.sound();
    let all = registry.break_lock("S", None, newest, &cause, at(0)).unwrap();
    assert_eq!((all.clients, all.events.len()), (vec!["b[h:1]".into()], 1));
    registry.sound();
    assert_eq!(registry.reservations(), 0);
}

#[test]
fn the_wait_of_a_holder_ends_beside_the_lock_that_is_kept_for_it() {
    let mut registry = registry();
    let now = moment();
    registry.reserve(vec![lease("S", "a", true), lease("S", "b", true)], GRACE, now);
    registry.joins("S", now);
    let (holder, _) = registry.returns("a", Some("a"), "h:9", now);
    let (exclusive, wait) = (Terms::default(), Some(GRACE));
    let waits = registry.acquire_lock(holder, "S", exclusive, wait, &Uid::EMPTY, now);
    assert!(matches!(waits, Ok(Acquired::Waits)), "{waits:?}");
    let newest = registry.newest_lock();
    let broken = registry
        .break_lock("S", None, newest, &broken_by_ada(), at(9))
        .unwrap();
    assert_eq!(
        broken.clients,
        ["a[h:9]".into(), "b[h:1]".into(), "a[h:9]".into()]
    );
    assert_eq!((broken.events.len(), registry.reservations()), (2, 0));
    assert!(
        matches!(registry.next_settled(now), Some(Settled::Refused(_))),
        "the lock is not granted to who is told that its wait was broken"
    );
    assert!(registry.next_settled(now).is_none());
    registry.sound();
}

#[test]
fn no_client_takes_all_places_of_locks_that_are_noted() {
    let mut registry = registry();
    let now = moment();
    let (greedy, _) = registry.returns("a", None, "h:1", now);
    let (other, _) = registry.returns("b", None, "h:2", now);
    for number in 0..MOST_LEASES {
        let name = format!("S{number}");
        registry.joins(&name, now);
        assert_eq!(registry.acquires(greedy, &name, false, now), Ok(true));
    }
    let (_, left_out) = registry.take_lease_changes();
    assert!(left_out > MOST_LEASES / 8, "{left_out}");
    for number in 0..FREE_LEASES + 100 {
        let name = format!("T{number}");
        registry.joins(&name, now);
        assert_eq!(registry.acquires(other, &name, false, now), Ok(true));
    }
    assert_eq!(registry.take_lease_changes().1, 0, "the other has a share");
    for client in [greedy, other] {
        drop(registry.leave(client));
    }
    assert_eq!(registry.kept_leases(), 0);
    registry.sound();
}

#[test]
fn a_claimed_lock_that_ends_is_told_and_its_holder_is_refused_until_it_links_again() {
    for is_broken in [false, true] {
        let mut registry = registry();
        let now = moment();
        registry.reserve(vec![lease("S", "a", false)], GRACE, now);
        let service = registry.joins("S", now);
        let (holder, _) = registry.returns("a", Some("a"), "h:9", now);
        let asked = |registry: &mut Registry| {
            let asked = registry.ask(holder, &Text::from(std::borrow::Cow::from("S")), Shape::default());
            asked.map(|_| ()).map_err(|refusal| refusal.to_string())
        };
        let refused = asked(&mut registry).unwrap_err();
        assert!(refused.contains("acquire it again"), "{refused}");
        let event = if is_broken {
            let cause = broken_by_ada();
            let newest = registry.newest_lock();
            let mut broken = registry.break_lock("S", None, newest, &cause, at(9)).unwrap();
            assert_eq!(broken.clients, ["a[h:9]".into()]);
            broken.events.remove(0)
        } else {
            let over = later(now, GRACE.as_secs() + 1);
            registry.expire(over.instant).unwrap()
        };
        assert!(
            matches!(&event, Event::LockEnded(ended) if &*ended.client == "a[h:9]"),
            "{event:?}"
        );
        registry.sound();
        let other = client(&mut registry, "b");
        registry.linked(other, "S").unwrap();
        let refused = asked(&mut registry).unwrap_err();
        assert!(refused.contains("link with it again"), "{refused}");
        registry.linked(holder, "S").unwrap();
        asked(&mut registry).unwrap();
        assert!(registry.services.get(service).is_some());
    }
}

#[test]
fn a_lock_that_is_kept_is_broken_although_its_service_is_not_there() {
    let mut registry = registry();
    let now = moment();
    let leases = ["a", "b", "c"].map(|holder| lease("S", holder, true));
    registry.reserve(leases.to_vec(), GRACE, now);
    registry.returns("a", Some("a"), "h:9", now);
    let newest = registry.newest_lock();
    let cause = broken_by_ada();
    let broken = registry
        .break_lock("S", Some("b[h:1]"), newest, &cause, at(9))
        .unwrap();
    assert_eq!(broken.clients, ["b[h:1]".into()]);
    registry.sound();
    let broken = registry.break_lock("S", None, newest, &cause, at(9)).unwrap();
    assert_eq!((broken.clients.len(), broken.has_more), (2, false));
    assert!(matches!(broken.events[0], Event::LockEnded(_)), "{broken:?}");
    assert!(
        matches!(broken.events[1], Event::ReservationEnded(_)),
        "{broken:?}"
    );
    assert_eq!(registry.reservations(), 0);
    let refused = registry.break_lock("S", None, newest, &cause, at(9)).unwrap_err();
    assert!(refused.to_string().contains("does not exist"), "{refused}");
    registry.sound();
}

fn broken_by_ada() -> LockCause {
    LockCause::Broken {
        by: "ada".into(),
        reason: None,
    }
}
