//! The routing of the real manager, with services that answer at random.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use bytes::Bytes;
use fastrand::Rng;
use labwire_manager::{Lab, LabPeer};
use labwire_wire::Executed;
use serde_json::{Value, json};

use super::manager::{Manager, SERVICES, Said};

/// The identity of the client, with the features of the SDK that matter here.
const CLIENT: &[u8] =
    br#"{"type":"client","name":"Ada","language":"Rust","os":"Linux","features":["unlinked","origin","leases"]}"#;

/// A request at a service.
#[derive(Debug)]
struct Held {
    service: &'static str,
    requester: String,
    uid: String,
}

pub(super) struct Real {
    lab: Lab,
    client: LabPeer,
    services: BTreeMap<&'static str, LabPeer>,
    /// The requests in flight, also those of connections that are lost.
    held: Vec<Held>,
    /// The uids of the requests for the manager itself that have a result of its own.
    own: BTreeSet<u64>,
    said: BTreeMap<u64, Said>,
    /// The uids of the requests that a service has received.
    received: BTreeSet<String>,
    lines: VecDeque<String>,
    is_closing: bool,
    is_calm: bool,
}

impl Default for Real {
    fn default() -> Self {
        let mut lab = Lab::default();
        Self {
            client: lab.join(CLIENT).expect("the name is free"),
            lab,
            services: BTreeMap::new(),
            held: Vec::new(),
            own: BTreeSet::new(),
            said: BTreeMap::new(),
            received: BTreeSet::new(),
            lines: VecDeque::new(),
            is_closing: false,
            is_calm: false,
        }
    }
}

fn frames(bytes: &[u8]) -> Vec<Value> {
    let lines = bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    lines.map(|line| serde_json::from_slice(line).unwrap()).collect()
}

impl Real {
    /// Moves what the manager has queued for the client onto its way.
    fn collect(&mut self) {
        for mut frame in frames(&self.client.take()) {
            if let Ok(uid) = frame["uid"].as_str().unwrap().parse::<u64>() {
                let said = match (&frame["error"], frame["executed"].as_str()) {
                    (Value::Bool(false), _) => Said::Result,
                    (_, Some("no")) => Said::ManagerError(Executed::No),
                    (_, Some(_)) => Said::ManagerError(Executed::Maybe),
                    (_, None) => Said::ServiceError,
                };
                if said == Said::ManagerError(Executed::No) {
                    assert!(!self.received.contains(&uid.to_string()), "{uid} was received");
                }
                if said == Said::Result && self.own.contains(&uid) {
                    frame["result"] = json!(format!("r{uid}"));
                }
                self.said.entry(uid).or_insert(said);
            }
            self.lines.push_back(frame.to_string());
        }
    }

    /// Lets the services take their requests: some are answered at once.
    fn serve(&mut self, rng: &mut Rng) {
        for (&service, peer) in &self.services {
            for request in frames(&peer.take()) {
                let text = |member: &str| request[member].as_str().unwrap().to_owned();
                self.received.insert(text("uid"));
                self.held.push(Held {
                    service,
                    requester: text("requester"),
                    uid: text("uid"),
                });
            }
        }
        if self.is_calm || rng.bool() {
            self.answer_all(rng);
        }
        self.collect();
    }

    fn answer(&mut self, place: usize, rng: &mut Rng) {
        let Held {
            service,
            requester,
            uid,
        } = self.held.swap_remove(place);
        let reply = if !self.is_calm && rng.u8(0..4) == 0 {
            json!({"error": true, "message": "ValueError: no", "requester": requester, "result": null,
                "traceback": [], "uid": uid})
        } else {
            json!({"error": false, "requester": requester, "result": format!("r{uid}"), "uid": uid})
        };
        self.say(service, &reply);
    }

    fn say(&mut self, service: &'static str, frame: &Value) {
        if let Some(peer) = self.services.get(service) {
            assert!(peer.send(format!("{frame}\r\n").as_bytes()));
        }
        self.collect();
    }

    fn link_and_lock(&self, service: &'static str) -> (bool, bool) {
        let peer = self.services.get(service);
        peer.map_or((false, false), |peer| self.lab.link_and_lock(&self.client, peer))
    }
}

impl Manager for Real {
    fn connect(&mut self) {
        self.client = self.lab.join(CLIENT).expect("the address is another one");
        self.client.take();
        self.lines.clear();
        self.is_closing = false;
    }

    fn come(&mut self, service: &'static str) {
        if !self.services.contains_key(service) {
            let identity = json!({"type": "service", "name": service, "attributes": {}});
            let peer = self.lab.join(identity.to_string().as_bytes());
            self.services.insert(service, peer.expect("the name is free"));
        }
    }

    fn leave(&mut self, service: &'static str) {
        self.services.remove(service);
        self.held.retain(|held| held.service != service);
        self.collect();
    }

    fn subscriptions(&self) -> usize {
        self.lab.subscriptions()
    }

    fn end_lock(&mut self, service: &'static str) {
        self.lab.break_locks(service);
        self.collect();
    }

    fn ask(&mut self) {}

    fn notify(&mut self, service: &'static str, count: u64) {
        let frame =
            json!({"error": false, "result": [[count], {}], "service": service, "uid": "notification"});
        self.say(service, &frame);
    }

    fn answer_held(&mut self, rng: &mut Rng) {
        if !self.held.is_empty() {
            let place = rng.usize(0..self.held.len());
            self.answer(place, rng);
        }
    }

    fn held(&self) -> Vec<u64> {
        let own = self
            .held
            .iter()
            .filter(|held| held.requester == self.client.name());
        own.filter_map(|held| held.uid.parse().ok()).collect()
    }

    fn answer_all(&mut self, rng: &mut Rng) {
        while !self.held.is_empty() {
            self.answer_held(rng);
        }
    }

    fn babble(&mut self, rng: &mut Rng) {
        let service = *rng.choice(&SERVICES).unwrap();
        let uid = rng.u64(0..1_000).to_string();
        let name = self.client.name().to_owned();
        if self.held.iter().all(|held| held.uid != uid) {
            self.say(
                service,
                &json!({"error": false, "requester": name, "result": "foreign", "uid": uid}),
            );
        }
    }

    fn take(&mut self, frame: &Bytes, rng: &mut Rng) {
        let parsed: Value = serde_json::from_slice(frame).unwrap();
        if parsed["service"] == "Manager" && parsed["attribute"] == "identity" {
            self.own.insert(parsed["uid"].as_str().unwrap().parse().unwrap());
        }
        self.is_closing |= !self.client.send(frame);
        self.serve(rng);
    }

    fn next_line(&mut self) -> Option<String> {
        self.lines.pop_front()
    }

    fn said(&self, uid: u64) -> Option<Said> {
        self.said.get(&uid).copied()
    }

    fn is_linked(&self, service: &'static str) -> bool {
        self.link_and_lock(service).0
    }

    fn has_lock(&self, service: &'static str) -> bool {
        self.link_and_lock(service).1
    }

    fn is_closing(&self) -> bool {
        self.is_closing
    }

    fn set_old(&mut self, _is_old: bool) {}

    fn calm_down(&mut self) {
        self.is_calm = true;
    }
}
