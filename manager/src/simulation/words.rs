//! Chooses what peers say.

use super::garble::{Garble, number, other_type};
use super::schedule::Schedule;
use super::slots::service_name;
use super::speech::{Administered, Asked, Form, Nonsense, Payload, Say};
use super::state::{InFlight, Key};
use super::topics::{AboutTopics, PATTERNS, TOPICS};

/// The uids that clients reuse, as JSON text. The first is that of typed lines.
const UIDS: [&str; 8] = [
    "\"\"",
    "\"1\"",
    "1",
    "1.0",
    "\"é\\\"\"",
    "\"0f8e2c1a\"",
    "-2.50e1",
    "\"-25\"",
];

impl Schedule<'_, '_> {
    pub(super) fn uid(&mut self) -> String {
        match self.choices.below(2 * UIDS.len()) {
            number if number < UIDS.len() => UIDS[number].to_owned(),
            number => {
                self.last_uid += 1;
                let quote = if number % 4 == 0 { "" } else { "\"" };
                format!("{quote}1{}{quote}", self.last_uid)
            }
        }
    }

    pub(super) fn any_service(&mut self) -> String {
        match self.choices.below(40) {
            0 => "nobody".to_owned(),
            _ => service_name(self.choices.below(self.services.len())),
        }
    }

    fn payload(&mut self) -> Payload {
        match self.choices.below(40) {
            0..13 => Payload::Empty,
            13..25 => Payload::Numbers,
            25..37 => Payload::Tokens,
            37..39 => Payload::Large,
            _ => Payload::Deep,
        }
    }

    fn about_topics(&mut self) -> Say {
        let uid = self.uid();
        let pattern = self.choices.one_of(&PATTERNS);
        Say::AboutTopics(match self.choices.below(10) {
            0..3 => AboutTopics::Subscribe { pattern, uid },
            3 => AboutTopics::Unsubscribe { pattern, uid },
            _ => AboutTopics::Publish {
                topic: self.choices.one_of(&TOPICS),
                payload: self.payload(),
                retain: self.choices.percent(30),
                uid,
            },
        })
    }

    pub(super) fn word_of_client(&mut self, key: Key) -> Say {
        let ask = |asked, schedule: &mut Self| Say::Ask {
            asked,
            service: schedule.any_service(),
            uid: schedule.uid(),
        };
        if self.world.model.peers[&key].login.is_asked() && self.choices.percent(60) {
            return Say::Credential {
                text: self.choices.one_of(&["m.curie", "n.bohr", "radium", "atom", ""]),
                is_typed: self.choices.percent(50),
            };
        }
        if let Some(service) = self.world.model.service_reserved_for(key)
            && self.choices.percent(30)
        {
            let asked = Asked::Lock {
                shared: self.choices.percent(50),
                ttl: self.choices.one_of(&[None, Some(60)]),
                reason: false,
                wait: self.choices.one_of(&[None, Some(0), Some(2), Some(70)]),
            };
            let uid = self.uid();
            return Say::Ask { asked, service, uid };
        }
        match self.choices.below(100) {
            0..14 => ask(Asked::Link, self),
            14..22 => ask(Asked::Unlink, self),
            22..31 => {
                let asked = Asked::Lock {
                    shared: self.choices.percent(50),
                    ttl: self
                        .choices
                        .one_of(&[None, None, Some(1), Some(60), Some(100_000)]),
                    reason: self.choices.percent(20),
                    wait: self
                        .choices
                        .one_of(&[None, None, Some(0), Some(2), Some(70), Some(200_000)]),
                };
                ask(asked, self)
            }
            31..33 => {
                let ttl = self.choices.one_of(&[None, Some(1), Some(60)]);
                ask(Asked::Renew { ttl }, self)
            }
            33..37 => ask(Asked::Release, self),
            37..39 => {
                let service = self.any_service();
                let is_plain = service.chars().all(char::is_alphanumeric);
                Say::TypedLink {
                    service: if is_plain { service } else { "S0".to_owned() },
                }
            }
            // The identity lists all peers, so it takes long to write for a thousand.
            39..41 if self.clients.len() < 100 || self.choices.below(20) == 0 => {
                Say::Identity { uid: self.uid() }
            }
            41 => Say::Administer {
                what: self.choices.one_of(&Administered::ALL),
                uid: self.uid(),
            },
            42 => self.reply(Some(key)),
            43 => Say::Notify {
                service: self.any_service(),
                payload: self.payload(),
            },
            44 => self.anything(),
            45 => Say::Disconnect,
            46..52 => self.about_topics(),
            52..72 => Say::LongCall {
                service: self.any_service(),
                uid: self.uid(),
                payload: self.payload(),
            },
            _ => Say::Call {
                service: self.any_service(),
                uid: self.uid(),
                payload: self.payload(),
            },
        }
    }

    pub(super) fn word_of_service(&mut self, key: Key, number: usize) -> Say {
        match self.choices.below(100) {
            0..52 => self.reply(Some(key)),
            52..60 => self.garbled(Some(key)),
            60..63 => self.reply(None),
            63 => self.garbled(None),
            64..70 => match &self.last_reply {
                Some(reply) => reply.clone(),
                None => Say::Blank,
            },
            70..76 => self.about_topics(),
            76..93 => Say::Notify {
                service: service_name(number),
                payload: self.payload(),
            },
            93 => Say::Notify {
                service: self.any_service(),
                payload: self.payload(),
            },
            94 => Say::Identity { uid: self.uid() },
            95 => Say::Call {
                service: self.any_service(),
                uid: self.uid(),
                payload: Payload::Empty,
            },
            96 => Say::Administer {
                what: Administered::Port,
                uid: self.uid(),
            },
            97 if self.choices.percent(30) => Say::Disconnect,
            _ => self.anything_of_service(),
        }
    }

    /// Returns requester and uid for a reply: usually of a request that the service holds, or of
    /// any request without a service.
    fn names(&mut self, service: Option<Key>) -> (String, String) {
        let in_flight = &self.world.model.in_flight;
        let held: Vec<&InFlight> = in_flight
            .iter()
            .filter(|request| service.is_none_or(|service| request.service == service))
            .take(64)
            .collect();
        let (requester, uid) = match held.len() {
            0 => ("c0[h:0]".to_owned(), "\"1\"".to_owned()),
            count => {
                let request = held[self.choices.below(count)];
                let client = &self.world.model.peers[&request.client];
                (client.full_name(), request.uid.clone())
            }
        };
        match self.choices.below(30) {
            0 => ("nobody[h:1]".to_owned(), uid),
            1 => (requester, self.uid()),
            // The same uid as another type, or the same number in another spelling.
            2 => {
                let other = other_type(&uid).unwrap_or(uid);
                (requester, other)
            }
            3 => {
                let value = number(&uid).map(|number| format!("{number:.1}"));
                (requester, value.unwrap_or(uid))
            }
            _ => (requester, uid),
        }
    }

    /// Returns a malformed reply.
    fn garbled(&mut self, service: Option<Key>) -> Say {
        let (requester, uid) = self.names(service);
        Say::Garbled(self.choices.one_of(&Garble::ALL).reply(&requester, &uid))
    }

    /// Returns a reply.
    fn reply(&mut self, service: Option<Key>) -> Say {
        let (requester, uid) = self.names(service);
        let form = match self.choices.below(20) {
            0..5 => Form::Result,
            5..12 => Form::ResultLast,
            12..14 => Form::ResultOnly,
            14..17 => Form::Error,
            17 => Form::PartialError,
            18 => Form::WithoutResult,
            _ => Form::Malformed,
        };
        let payload = self.payload();
        let reply = Say::Reply {
            requester,
            uid,
            form,
            payload,
        };
        if service.is_some() {
            self.last_reply = Some(reply.clone());
        }
        reply
    }

    fn anything(&mut self) -> Say {
        match self.choices.below(4) {
            0 => Say::Blank,
            _ => Say::Nonsense(self.choices.one_of(&Nonsense::ALL)),
        }
    }

    /// As [`anything`](Self::anything), for a service: a line that the manager would take for a
    /// malformed reply is replaced by one.
    fn anything_of_service(&mut self) -> Say {
        match self.anything() {
            Say::Nonsense(Nonsense::Array | Nonsense::EmptyObject | Nonsense::ResultForNobody) => {
                self.garbled(None)
            }
            say => say,
        }
    }
}
