//! Requests that wait for approval, in random order: the tables agree, and nothing is lost.

use std::sync::atomic::AtomicI64;

use labwire_access::{Grant, Grantee, Policy, Rows};
use labwire_wire::{Frame, Line};
use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::bounds::{MOST_APPROVALS, MOST_APPROVALS_OF_USER};
use crate::clock::{Clock, Present};
use crate::registry::{Approval, ApprovalOutcome, Checked, ToApprove};

#[derive(Clone, Copy, Debug)]
enum Step {
    /// A client asks, with so many bytes and seconds until the deadline.
    Ask(usize, usize, usize, Option<u64>),
    Cancel(usize, usize),
    /// Decide about the request with that number: approve, put back, or refuse.
    Decide(u64, u8),
    Wait(u64),
    /// Another client, or service, comes in the place of this one.
    ReplaceClient(usize),
    ReplaceService(usize),
    Finish(usize),
    /// Calls of the services that match the pattern are permitted from now on, or none.
    Rules(Option<&'static str>),
    Stop,
}

fn step() -> impl Strategy<Value = Step> {
    let deadline = || prop::option::of(1_u64..100);
    prop_oneof![
        10 => (0_usize..3, 0_usize..2, 0_usize..2_000_000, deadline())
            .prop_map(|(client, service, bytes, deadline)| Step::Ask(client, service, bytes, deadline)),
        2 => (0_usize..3, 0_usize..40).prop_map(|(client, uid)| Step::Cancel(client, uid)),
        6 => (1_u64..40, 0_u8..3).prop_map(|(number, how)| Step::Decide(number, how)),
        2 => (1_u64..700).prop_map(Step::Wait),
        1 => (0_usize..3).prop_map(Step::ReplaceClient),
        1 => (0_usize..2).prop_map(Step::ReplaceService),
        1 => (0_usize..3).prop_map(Step::Finish),
        2 => prop::sample::select(&[None, Some("S0"), Some("S*")][..]).prop_map(Step::Rules),
        1 => Just(Step::Stop),
    ]
}

struct World {
    registry: Registry,
    clients: [PeerId; 3],
    services: [PeerId; 2],
    start: Instant,
    now: Duration,
    joined: u32,
    asked: usize,
    ended: usize,
    rules: u64,
}

impl World {
    fn new() -> Self {
        let mut world = Self {
            registry: registry(),
            clients: [PeerId::default(); 3],
            services: [PeerId::default(); 2],
            start: Instant::now(),
            now: Duration::ZERO,
            joined: 0,
            asked: 0,
            ended: 0,
            rules: 0,
        };
        for index in 0..3 {
            world.clients[index] = world.join(r#"{"type":"client","name":"c"}"#);
        }
        for index in 0..2 {
            world.services[index] = world.join(&service(index));
        }
        world
    }

    fn join(&mut self, identity: &str) -> PeerId {
        self.joined += 1;
        let identity = Identity::from_json(identity.as_bytes()).unwrap();
        let (address, outbox) = (format!("h:{}", self.joined), Outbox::alone(100_000_000));
        let joined = self
            .registry
            .join(&identity, &Principal::sample(), &address, &outbox, at(0));
        joined.unwrap().0
    }

    fn leave(&mut self, id: PeerId) {
        if let Some((_, Some(mut leaving))) = self.registry.leave(id) {
            let reason = Refusal::Stopping;
            while self.registry.next_concerned(&mut leaving, &reason).is_some() {}
        }
    }

    fn moment(&self) -> Moment {
        Moment {
            time: at(0),
            instant: self.start + self.now,
        }
    }

    fn count(&mut self, event: Option<Event<'static>>) {
        if let Some(Event::Approval(ended)) = event {
            assert_ne!(ended.outcome, ApprovalOutcome::Asked);
            self.ended += 1;
        }
    }

    fn ask(&mut self, client: usize, service: usize, bytes: usize, deadline: Option<u64>) {
        let request = ToApprove {
            service: self.services[service],
            attribute: "set".into(),
            uid: Uid::from(self.asked.to_string().as_str()).into_owned(),
            frame: Frame::from(Line::new(vec![b'x'; bytes].into())),
            terms: RequestTerms {
                deadline: deadline.map(Duration::from_secs),
                listens: false,
            },
            arguments: String::new(),
            recorded: None,
        };
        let (now, before) = (self.moment(), self.registry.approvals());
        match self.registry.await_approval(self.clients[client], request, now) {
            Ok(asked) => {
                self.asked += 1;
                assert_eq!(asked.unwrap().outcome, ApprovalOutcome::Asked);
            }
            Err(_) => assert_eq!(self.registry.approvals(), before),
        }
    }

    fn decide(&mut self, number: u64, how: u8) {
        let by = "root".into();
        if how == 2 {
            let refused = self.registry.refuse_approval(number, &by, None);
            return self.count(refused.map(Approval::into_event));
        }
        let Some((waiting, approved)) = self.registry.take_approved(number, &by) else {
            return;
        };
        let terms = waiting.terms(self.moment().instant);
        assert!(terms.deadline.is_none_or(|left| left <= Duration::from_secs(100)));
        if how == 1 {
            self.registry.put_back(number, waiting);
        } else {
            self.count(Some(approved.into_event()));
        }
    }

    /// Changes the rules, and checks what waits: only what may be asked for waits on.
    fn change_rules(&mut self, on: Option<&str>) {
        let granted = on.map(|on| Grant {
            id: 1,
            role: "operator".to_owned(),
            to: Grantee::Group("everyone".to_owned()),
            on: on.parse().unwrap(),
            until: None,
        });
        let rows = Rows {
            grants: granted.into_iter().collect(),
            ..Rows::default()
        };
        self.rules += 1;
        let (now, clock, latest) = (self.moment(), Clock::Set(Arc::default()), AtomicI64::default());
        let present = Present {
            clock: &clock,
            start: 0,
            micros: 0,
            latest: &latest,
        };
        let [before, _] = self.registry.approvals();
        let ended_before = self.ended;
        self.registry.set_policy(Policy::new(&rows), self.rules, present);
        while let Some(checked) = self.registry.check_next(now, present) {
            let (Checked::Peer { events, .. } | Checked::Part { events, .. }) = checked;
            for event in events {
                if let Event::Approval(ended) = &event {
                    assert_eq!(ended.outcome.name(), "not permitted");
                    assert!(on != Some("S*") && on != Some(&*ended.service));
                }
                self.count(Some(event));
            }
        }
        let [left, _] = self.registry.approvals();
        assert_eq!(before - left, self.ended - ended_before);
        assert!(on.is_some() || left == 0);
    }

    fn apply(&mut self, step: Step) {
        match step {
            Step::Ask(client, service, bytes, deadline) => self.ask(client, service, bytes, deadline),
            Step::Cancel(client, uid) => {
                let uid = uid.to_string();
                let uid = Uid::from(uid.as_str());
                for event in self.registry.cancel_approvals(self.clients[client], &uid, None) {
                    self.count(Some(event));
                }
            }
            Step::Decide(number, how) => self.decide(number, how),
            Step::Wait(seconds) => {
                self.now += Duration::from_secs(seconds);
                while let Some(event) = self.registry.expire(self.start + self.now) {
                    self.count(Some(event));
                }
            }
            Step::ReplaceClient(index) => {
                self.leave(self.clients[index]);
                self.clients[index] = self.join(r#"{"type":"client","name":"c"}"#);
            }
            Step::ReplaceService(index) => {
                self.leave(self.services[index]);
                self.services[index] = self.join(&service(index));
            }
            Step::Finish(index) => {
                let until = self.start + self.now + Duration::from_secs(4);
                let _ = self.registry.finish(self.clients[index], until);
            }
            Step::Rules(on) => self.change_rules(on),
            Step::Stop => {
                for event in self.registry.refuse_approvals() {
                    self.count(Some(event));
                }
                assert_eq!(self.registry.approvals(), [0, 0]);
            }
        }
        let now = self.moment();
        while let Some(settled) = self.registry.next_settled(now) {
            let Settled::Refused(event) = settled else {
                continue;
            };
            self.count(Some(event));
        }
    }
}

fn service(index: usize) -> String {
    format!(r#"{{"type":"service","name":"S{index}","attributes":{{}}}}"#)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 200, ..ProptestConfig::default() })]

    /// Each request that has waited ends once, and what is counted is what waits.
    #[test]
    fn each_request_that_waits_for_approval_ends_once(steps in vec(step(), 1..120)) {
        let mut world = World::new();
        for step in steps {
            world.apply(step);
            prop_assert_eq!(world.registry.contradiction(), None);
            let [count, bytes] = world.registry.approvals();
            prop_assert_eq!(world.asked, world.ended + count);
            prop_assert!(count <= MOST_APPROVALS_OF_USER.min(3 * MOST_APPROVALS));
            prop_assert!(bytes <= crate::bounds::MOST_APPROVAL_BYTES_OF_ALL);
            let expected = world.clients.map(|client| world.registry.uids_in_flight(client, 100).unwrap().len());
            prop_assert_eq!(expected.iter().sum::<usize>(), count, "they count as in flight for sessions");
        }
    }
}
