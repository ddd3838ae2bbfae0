//! Decisions and what they leave to peers, after random changes of the rules in time.

use std::sync::atomic::{AtomicI64, Ordering};

use labwire_access::{Access, Action, Grant, Grantee, Policy, Rows, User};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;

use super::*;
use crate::clock::{Clock, Present};
use crate::principal::Proof;

const SERVICES: [&str; 3] = ["DMM1", "DMM2", "Oven"];

/// The users have the numbers 1 and 2, and -1 is no user.
const USERS: [&str; 2] = ["ada", "bob"];

#[derive(Clone, Debug)]
enum Change {
    Grant(Grant),
    Revoke(usize),
    /// Removes a user, and adds another one of the same name.
    Replace(usize),
    Wait(i64),
    /// Sets the clock back.
    Back(i64),
    Link(usize, usize),
    Lock(usize, usize),
    /// A service leaves, and another one of the same name comes.
    Renew(usize),
}

fn grant() -> impl Strategy<Value = Grant> {
    let to = prop_oneof![
        3 => select(&USERS[..]).prop_map(|name| Grantee::User(name.to_owned())),
        1 => Just(Grantee::Group("everyone".to_owned())),
    ];
    let role = select(&["observer", "operator", "owner", "reader"][..]);
    let on = select(&["*", "DMM*", "Oven", "DMM2"][..]);
    (role, to, on, option::of(0_i64..40)).prop_map(|(role, to, on, until)| Grant {
        id: 1,
        role: role.to_owned(),
        to,
        on: on.parse().unwrap(),
        until,
    })
}

fn change() -> impl Strategy<Value = Change> {
    let pair = || (0_usize..2, 0_usize..3);
    prop_oneof![
        4 => grant().prop_map(Change::Grant),
        2 => (0_usize..6).prop_map(Change::Revoke),
        1 => (0_usize..2).prop_map(Change::Replace),
        2 => (1_i64..10).prop_map(Change::Wait),
        1 => (1_i64..20).prop_map(Change::Back),
        4 => pair().prop_map(|(client, service)| Change::Link(client, service)),
        2 => pair().prop_map(|(client, service)| Change::Lock(client, service)),
        1 => (0_usize..3).prop_map(Change::Renew),
    ]
}

/// A registry with two clients and three services, and the rules that it should follow.
struct World {
    registry: Registry,
    rows: Rows,
    version: u64,
    clients: [(PeerId, i64); 2],
    services: [PeerId; 3],
    clock: Arc<AtomicI64>,
    latest: AtomicI64,
    joined: u32,
}

fn principal(user: &str, id: i64) -> Arc<Principal> {
    let from = Arc::clone(&Principal::sample().from);
    let proof = Proof::Login {
        user: user.into(),
        row: labwire_store::LoginUser {
            id,
            ..labwire_store::LoginUser::default()
        },
        is_admin: false,
        token: None,
        second_factor: None,
        certificate: None,
    };
    Arc::new(Principal { proof, from })
}

impl World {
    fn new() -> Self {
        let mut world = Self {
            registry: registry(),
            rows: Rows::default(),
            version: 0,
            clients: [(PeerId::default(), 1), (PeerId::default(), 2)],
            services: [PeerId::default(); 3],
            clock: Arc::default(),
            latest: AtomicI64::default(),
            joined: 0,
        };
        for (index, name) in USERS.iter().enumerate() {
            let id = world.clients[index].1;
            let user = principal(name, id);
            world.rows.users.push(User {
                id,
                name: (*name).to_owned(),
                is_admin: false,
            });
            world.clients[index].0 = world.join(&format!(r#"{{"type":"client","name":"{name}"}}"#), &user);
        }
        for index in 0..SERVICES.len() {
            world.renew(index);
        }
        world
    }

    fn join(&mut self, identity: &str, principal: &Arc<Principal>) -> PeerId {
        self.joined += 1;
        let identity = Identity::from_json(identity.as_bytes()).unwrap();
        let (address, outbox) = (format!("h:{}", self.joined), Outbox::alone(1_000_000));
        let joined = self.registry.join(&identity, principal, &address, &outbox, at(0));
        joined.unwrap().0
    }

    fn renew(&mut self, index: usize) {
        if let Some((_, Some(mut leaving))) = self.registry.leave(self.services[index]) {
            let reason = Refusal::Stopping;
            while self.registry.next_concerned(&mut leaving, &reason).is_some() {}
        }
        let identity = format!(
            r#"{{"type":"service","name":"{}","attributes":{{}}}}"#,
            SERVICES[index]
        );
        self.services[index] = self.join(&identity, &Principal::sample());
    }

    /// Calls `act` with the registry and the present.
    fn with<T>(&mut self, act: impl FnOnce(&mut Registry, Present<'_>) -> T) -> T {
        let clock = Clock::Set(Arc::clone(&self.clock));
        let present = Present {
            clock: &clock,
            start: 0,
            micros: 0,
            latest: &self.latest,
        };
        act(&mut self.registry, present)
    }

    fn load(&mut self) {
        self.version += 1;
        let (policy, version) = (Policy::new(&self.rows), self.version);
        self.with(|registry, present| registry.set_policy(policy, version, present));
    }

    /// Ends what is not permitted, as the manager does once a second and after each change.
    fn revoke(&mut self) {
        let now = Moment {
            time: at(0),
            instant: Instant::now(),
        };
        self.with(|registry, present| {
            registry.notice_ends(present);
            while registry.check_next(now, present).is_some() {
                while registry.next_settled(now).is_some() {}
            }
        });
    }

    fn apply(&mut self, change: Change) {
        match change {
            Change::Grant(grant) => self.rows.grants.push(grant),
            Change::Revoke(index) if index < self.rows.grants.len() => {
                self.rows.grants.remove(index);
            }
            Change::Revoke(_) => {}
            Change::Replace(index) => {
                let own = Grantee::User(USERS[index].to_owned());
                self.rows.grants.retain(|grant| grant.to != own);
                self.rows.users[index].id += 10;
            }
            Change::Wait(seconds) => {
                self.clock.fetch_add(seconds, Ordering::Relaxed);
                return;
            }
            Change::Back(seconds) => {
                self.clock.fetch_sub(seconds, Ordering::Relaxed);
                return;
            }
            Change::Link(client, service) => {
                let client = self.clients[client].0;
                if self.permits(client, Action::Link, SERVICES[service]) {
                    let _ = self.registry.link(client, SERVICES[service]);
                }
                return;
            }
            Change::Lock(client, service) => {
                let (client, name) = (self.clients[client].0, SERVICES[service]);
                if self.permits(client, Action::Link, name) && self.permits(client, Action::Lock, name) {
                    let terms = Terms::default();
                    let (wait, uid) = (Some(Duration::from_mins(1)), Uid::EMPTY);
                    let now = Moment {
                        time: at(0),
                        instant: Instant::now(),
                    };
                    let _ = self.registry.acquire_lock(client, name, terms, wait, &uid, now);
                }
                return;
            }
            Change::Renew(index) => return self.renew(index),
        }
        self.load();
    }

    fn permits(&mut self, client: PeerId, action: Action, object: &str) -> bool {
        self.with(|registry, present| {
            registry
                .permit(client, &Access::to(action, object), present)
                .is_ok()
        })
    }

    /// Notes that a client has asked a service, if that is connected.
    fn ask_last(&mut self, client: PeerId, name: &str) {
        if let Some(&service) = self.registry.service_names.get(name) {
            self.registry.clients.get_mut(client).unwrap().asked_last = service;
        }
    }

    /// Compares all decisions with rules that were never used before.
    fn check(&mut self) {
        let policy = Policy::new(&self.rows);
        let now = self.with(|_, present| present.seconds());
        for (client, user) in self.clients {
            let rights = policy.rights(Some(user));
            let sight = self
                .with(|registry, present| registry.sight(client, present))
                .expect("there is little to decide");
            for name in SERVICES.into_iter().chain(["Absent"]) {
                for action in [
                    Action::See,
                    Action::Link,
                    Action::Lock,
                    Action::Register,
                    Action::Subscribe,
                ] {
                    let expected = rights.allows(&Access::to(action, name), now);
                    assert_eq!(
                        self.permits(client, action, name),
                        expected,
                        "{user} {action} {name}"
                    );
                }
                let is_seen = rights.allows(&Access::to(Action::See, name), now);
                assert_eq!(sight.has_service(name), is_seen);
                for attribute in ["read", "write"] {
                    let expected = rights.effect(&Access::call(name, attribute), now);
                    let texts = [name, attribute].map(|text| Text::from(Cow::from(text)));
                    // Also as the service that was asked last, of which the calls that are allowed are kept.
                    for _ in 0..2 {
                        let called = self.with(|registry, present| {
                            registry
                                .permit_call(client, (&texts[0], &texts[1]), present)
                                .1
                                .ok()
                        });
                        assert_eq!(called, expected, "{user} call {name}.{attribute}");
                        self.ask_last(client, name);
                    }
                    let expected = rights.allows(&Access::approve(name, attribute), now);
                    let view = self.registry.view_of(client).unwrap();
                    assert_eq!(view.approves(&name.into(), attribute, now), expected);
                }
            }
        }
    }

    /// Checks that peers have nothing any more that they may not have.
    fn check_remains(&mut self) {
        for (client, _) in self.clients {
            for (index, name) in SERVICES.iter().enumerate() {
                let service = self.registry.service(self.services[index]).unwrap();
                let (is_linked, has_lock) = (
                    service.links.contains_key(&client),
                    service.locks.contains(client),
                );
                let waits = self.registry.awaits_lock(client, self.services[index]);
                let may = [Action::Link, Action::Lock].map(|action| self.permits(client, action, name));
                assert!(!is_linked || may[0], "{name}");
                assert!(!(has_lock || waits) || may[0] && may[1], "{name}");
            }
        }
        assert_eq!(self.registry.contradiction(), None);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn each_decision_is_that_of_new_rules_and_nothing_stays_that_is_not_permitted(
        changes in vec((change(), any::<bool>()), 1..30),
    ) {
        let mut world = World::new();
        let role = |text: &str| ("reader".to_owned(), text.parse().unwrap());
        let permissions = ["call *.read*", "ask call DMM*", "approve Oven.w*", "see DMM*", "link Oven"];
        world.rows.roles = permissions.map(role).into();
        world.load();
        for (change, is_checked) in changes {
            world.apply(change);
            world.check();
            if is_checked {
                world.revoke();
                world.check_remains();
            }
        }
    }
}

#[test]
fn what_is_compared_with_patterns_is_counted_also_if_it_is_allowed() {
    let mut world = World::new();
    let role = |text: &str| ("reader".to_owned(), text.parse().unwrap());
    world.rows.roles = ["call DMM1.r*", "call DMM1.w*", "call A*"].map(role).into();
    world.rows.grants = vec![Grant {
        id: 1,
        role: "reader".to_owned(),
        to: Grantee::User("ada".to_owned()),
        on: "*".parse().unwrap(),
        until: None,
    }];
    world.load();
    let client = world.clients[0].0;
    let call = |world: &mut World, name: &str, attribute: &str| {
        let texts = [name, attribute].map(|text| Text::from(Cow::from(text.to_owned())));
        let (comparisons, decided) =
            world.with(|registry, present| registry.permit_call(client, (&texts[0], &texts[1]), present));
        world.ask_last(client, name);
        (comparisons > 0, decided.is_ok())
    };
    // A service that is connected: once, until the attribute is not known any more, or too long.
    assert_eq!(call(&mut world, "DMM1", "read"), (true, true));
    assert_eq!(call(&mut world, "DMM1", "read"), (false, true));
    let long = format!("read{}", "x".repeat(40));
    for _ in 0..2 {
        assert_eq!(call(&mut world, "DMM1", &long), (true, true));
        assert_eq!(call(&mut world, "DMM1", "set"), (true, false));
        // One that is not connected.
        assert_eq!(call(&mut world, "Absent", "read"), (true, true));
    }
}
