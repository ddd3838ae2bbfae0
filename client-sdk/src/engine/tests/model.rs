//! A model of a manager and its services: it takes frames, and queues lines for the client.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use bytes::Bytes;
use fastrand::Rng;
use labwire_wire::Executed;
use serde_json::{Value, json};

use super::manager::{Manager, SERVICES, Said};

#[derive(Debug, Default)]
pub(super) struct Model {
    present: BTreeSet<&'static str>,
    /// The links and locks of the only client.
    linked: BTreeSet<&'static str>,
    locked: BTreeSet<&'static str>,
    /// The patterns of topics that the client has subscribed to.
    subscribed: BTreeSet<String>,
    /// The requests in flight at each service.
    held: BTreeMap<u64, &'static str>,
    said: BTreeMap<u64, Said>,
    /// The lines on their way to the client.
    lines: VecDeque<String>,
    /// Whether the client has sent `__disconnect__`.
    is_closing: bool,
    /// Whether the manager sends errors without a uid, as older managers do.
    is_old: bool,
    /// Whether all requests are answered at once, and links are never refused.
    is_calm: bool,
}

impl Manager for Model {
    fn connect(&mut self) {
        self.linked.clear();
        self.locked.clear();
        self.subscribed.clear();
        self.held.clear();
        self.lines.clear();
        self.is_closing = false;
    }

    fn come(&mut self, service: &'static str) {
        self.present.insert(service);
    }

    fn leave(&mut self, service: &'static str) {
        if !self.present.remove(service) {
            return;
        }
        let held: Vec<u64> = self
            .held
            .iter()
            .filter(|(_, of)| **of == service)
            .map(|(&uid, _)| uid)
            .collect();
        for uid in held {
            self.held.remove(&uid);
            self.refuse(uid, Executed::Maybe);
        }
        self.locked.remove(service);
        if self.linked.remove(service) {
            self.request("unlinked", &[service]);
        }
    }

    fn end_lock(&mut self, service: &'static str) {
        if self.locked.remove(service) {
            self.linked.remove(service);
            self.request("lock_ended", &[service, "expired", "the lock expired"]);
        }
    }

    fn notify(&mut self, service: &'static str, count: u64) {
        self.lines.push_back(
            json!({"error": false, "result": [[count], {}], "service": service, "uid": "notification"})
                .to_string(),
        );
    }

    fn answer_held(&mut self, rng: &mut Rng) {
        let Some(uid) = rng.choice(self.held.keys().copied().collect::<Vec<_>>()) else {
            return;
        };
        self.held.remove(&uid);
        self.reply(uid, rng);
    }

    fn held(&self) -> Vec<u64> {
        self.held.keys().copied().collect()
    }

    fn answer_all(&mut self, rng: &mut Rng) {
        while !self.held.is_empty() {
            self.answer_held(rng);
        }
    }

    fn babble(&mut self, rng: &mut Rng) {
        if self.is_old && rng.bool() {
            let service = rng.choice(SERVICES).unwrap();
            let message = format!("KeyError: the '{service}' Service is not connected to the Manager");
            let line = json!({"error": true, "message": message, "requester": "Ada[h:2]", "uid": ""});
            return self.lines.push_back(line.to_string());
        }
        let known: Vec<u64> = self.said.keys().copied().collect();
        let uid = match rng.choice(known) {
            Some(uid) if rng.bool() => uid.to_string(),
            // The uid of a request that was not made yet.
            _ => (1_000_000 + rng.u64(0..1000)).to_string(),
        };
        let line = match rng.u8(0..3) {
            0 => json!({"error": false, "result": "foreign", "requester": "Ada[h:2]", "uid": uid}),
            1 => json!({"error": true, "message": "KeyError: foreign", "requester": "Ada[h:2]", "uid": uid}),
            _ => json!({"nothing": true}),
        };
        self.lines.push_back(line.to_string());
    }

    fn take(&mut self, frame: &Bytes, rng: &mut Rng) {
        let frame: Value = serde_json::from_slice(frame).unwrap();
        let uid: u64 = frame["uid"].as_str().unwrap().parse().unwrap();
        let attribute = frame["attribute"].as_str().unwrap();
        if attribute == "__disconnect__" {
            self.is_closing = true;
        } else if attribute == "an answer" {
            // The model ignores it.
        } else if frame["service"] == "Manager" && attribute.ends_with("subscribe") {
            let pattern = frame["args"][0].as_str().unwrap().to_owned();
            self.change_subscription(uid, attribute, pattern, rng);
        } else if frame["service"] == "Manager" {
            let service = frame["args"][0].as_str().unwrap_or_default();
            let service = SERVICES.into_iter().find(|name| *name == service);
            let kwargs = &frame["kwargs"];
            let waits = !(kwargs["wait"].is_null() && kwargs["wait_only"].is_null());
            self.administer(uid, (attribute, waits), service, rng);
        } else {
            let service = SERVICES
                .into_iter()
                .find(|name| frame["service"] == **name)
                .unwrap();
            if !self.present.contains(service) {
                self.refuse(uid, Executed::No);
            } else if self.is_calm || rng.bool() {
                self.reply(uid, rng);
            } else {
                self.held.insert(uid, service);
            }
        }
    }

    fn ask(&mut self) {
        self.request("username", &[""]);
    }

    fn next_line(&mut self) -> Option<String> {
        self.lines.pop_front()
    }

    fn said(&self, uid: u64) -> Option<Said> {
        self.said.get(&uid).copied()
    }

    fn subscriptions(&self) -> usize {
        self.subscribed.len()
    }

    fn is_linked(&self, service: &'static str) -> bool {
        self.linked.contains(service)
    }

    fn has_lock(&self, service: &'static str) -> bool {
        self.locked.contains(service)
    }

    fn is_closing(&self) -> bool {
        self.is_closing
    }

    fn set_old(&mut self, is_old: bool) {
        self.is_old = is_old;
    }

    fn calm_down(&mut self) {
        self.is_calm = true;
    }
}

impl Model {
    /// Queues a request of the manager.
    fn request(&mut self, attribute: &str, arguments: &[&str]) {
        self.lines.push_back(
            json!({"args": arguments, "attribute": attribute, "error": false, "kwargs": {},
                "requester": "Manager[h:1]", "service": "", "uid": ""})
            .to_string(),
        );
    }

    fn change_subscription(&mut self, uid: u64, attribute: &str, pattern: String, rng: &mut Rng) {
        if attribute == "unsubscribe" {
            self.subscribed.remove(&pattern);
        } else if self.subscribed.contains(&pattern) || self.is_calm || rng.u8(0..4) > 0 {
            let retained = json!({"error": false, "result": [[pattern, 0], {"retained": true, "sender": "a"}],
                "service": "Manager", "uid": "notification"});
            self.lines.push_back(retained.to_string());
            self.subscribed.insert(pattern);
        } else {
            return self.refuse(uid, Executed::No);
        }
        self.say(uid, &json!(true));
    }

    fn administer(
        &mut self,
        uid: u64,
        (attribute, waits): (&str, bool),
        service: Option<&'static str>,
        rng: &mut Rng,
    ) {
        let Some(service) = service else {
            if self.is_calm || rng.u8(0..4) > 0 {
                self.say(uid, &json!(format!("r{uid}")));
            } else {
                self.refuse(uid, Executed::No);
            }
            return;
        };
        let is_linked = self.linked.contains(service);
        match attribute {
            "link" if self.present.contains(service) && (is_linked || self.is_calm || rng.u8(0..4) > 0) => {
                self.linked.insert(service);
                self.say(
                    uid,
                    &json!({"type": "service", "name": service, "attributes": {}}),
                );
            }
            "unlink" if is_linked => {
                self.linked.remove(service);
                self.locked.remove(service);
                self.say(uid, &json!(true));
            }
            "acquire_lock"
                if (is_linked || waits && self.present.contains(service))
                    && (self.is_calm || rng.u8(0..4) > 0) =>
            {
                self.linked.insert(service);
                self.locked.insert(service);
                self.say(uid, &json!(["Ada[h:2]"]));
            }
            "renew_lock" if self.locked.contains(service) => self.say(uid, &json!({})),
            "release_lock" if waits => self.say(uid, &json!([])),
            "release_lock" if self.locked.remove(service) => self.say(uid, &json!([])),
            _ => self.refuse(uid, Executed::No),
        }
    }

    /// Answers a call with a reply that is unique to it.
    fn reply(&mut self, uid: u64, rng: &mut Rng) {
        if !self.is_calm && rng.u8(0..4) == 0 {
            self.said.entry(uid).or_insert(Said::ServiceError);
            let line = json!({"error": true, "message": "ValueError: no", "requester": "Ada[h:2]",
                "result": null, "traceback": [], "uid": uid.to_string()});
            self.lines.push_back(line.to_string());
        } else {
            self.say(uid, &json!(format!("r{uid}")));
        }
    }

    fn say(&mut self, uid: u64, result: &Value) {
        self.said.entry(uid).or_insert(Said::Result);
        let line = json!({"error": false, "result": result, "requester": "Ada[h:2]", "uid": uid.to_string()});
        self.lines.push_back(line.to_string());
    }

    fn refuse(&mut self, uid: u64, executed: Executed) {
        self.said.entry(uid).or_insert(Said::ManagerError(executed));
        let line = json!({"error": true, "executed": executed.name(), "message": "KeyError: not there",
            "origin": "manager", "requester": "Ada[h:2]", "result": null, "traceback": [],
            "uid": uid.to_string()});
        self.lines.push_back(line.to_string());
    }
}
