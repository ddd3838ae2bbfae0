//! Random schedules of requests with progress, items, cancellation and deadlines, against a model:
//! each request ends once, its items come all and in order before its end, and its progress never
//! goes back and never comes after the end.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};

use super::{ABLE, PLAIN, Rig, cancel, partial, request, rig, with};

/// Random numbers that a seed determines.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }
}

/// A request that the client has sent.
#[derive(Debug, Default)]
struct Asked {
    listens: bool,
    /// The deadline in milliseconds, counted from the start.
    deadline: Option<u64>,
    /// What the service has sent.
    items: u64,
    progress: u64,
    is_answered: bool,
    /// What the client has received.
    items_heard: u64,
    progress_heard: u64,
    ends: u32,
}

#[derive(Debug, Default)]
struct Figures {
    requests: usize,
    items: usize,
    progress: usize,
    cancelled: usize,
    deadlines: usize,
    late: u64,
}

/// The peers of a schedule, and what they have done.
struct World {
    rig: Rig,
    is_able: bool,
    random: Random,
    asked: BTreeMap<u64, Asked>,
    /// Milliseconds since the start, by which deadlines are ahead.
    now: u64,
    figures: Figures,
}

impl World {
    fn some(&mut self) -> Option<u64> {
        let open: Vec<u64> = self
            .asked
            .iter()
            .filter(|(_, asked)| !asked.is_answered)
            .map(|(uid, _)| *uid)
            .collect();
        let index = self.random.below(open.len().max(1) as u64);
        open.get(usize::try_from(index).unwrap()).copied()
    }

    fn act(&mut self) {
        match self.random.below(10) {
            0 | 1 => self.ask(),
            2..=5 => self.send_partial(),
            6 | 7 => self.answer(),
            8 => {
                if let Some(uid) = self.some() {
                    self.rig.asks(&cancel(&uid.to_string(), &json!({})));
                }
            }
            _ => {
                self.now += self.random.below(200);
                self.rig.expire(Duration::from_millis(self.now));
            }
        }
    }

    fn ask(&mut self) {
        let uid = self.asked.len() as u64;
        let mut line = request(&uid.to_string());
        let mut asked = Asked {
            listens: self.random.below(2) == 0,
            ..Asked::default()
        };
        if asked.listens {
            line = with(line, "progress", json!(true));
        }
        if self.random.below(3) == 0 {
            // Beyond what the schedule takes in real time.
            let limit = 60_000 + self.random.below(1_000);
            asked.deadline = Some(limit);
            line = with(
                line,
                "deadline",
                json!(f64::from(u32::try_from(limit).unwrap()) / 1e3),
            );
        }
        asked.listens &= self.is_able;
        self.figures.requests += 1;
        self.asked.insert(uid, asked);
        self.rig.asks(&line);
    }

    fn send_partial(&mut self) {
        let Some(uid) = self.some().filter(|_| self.is_able) else {
            return;
        };
        let is_item = self.random.below(2) == 0;
        let asked = self.asked.get_mut(&uid).unwrap();
        let (member, number) = if is_item {
            asked.items += 1;
            ("item", asked.items)
        } else {
            asked.progress += 1;
            ("progress", asked.progress)
        };
        self.rig.serves(&partial(member, json!(number), &uid.to_string()));
    }

    fn answer(&mut self) {
        if let Some(uid) = self.some() {
            self.asked.get_mut(&uid).unwrap().is_answered = true;
            self.rig.serves(&super::reply(&uid.to_string()));
        }
    }

    /// Checks what the client has received since the last time.
    async fn read(&mut self) {
        for frame in self.rig.clients().await {
            let uid = frame["uid"].as_str().unwrap();
            if uid == "cancel" {
                continue;
            }
            let asked = self.asked.get_mut(&uid.parse().unwrap()).unwrap();
            assert_eq!(asked.ends, 0, "{frame} after the end");
            if let Some(item) = frame.get("item") {
                asked.items_heard += 1;
                assert_eq!(item.as_u64(), Some(asked.items_heard), "{frame}");
                assert!(asked.listens);
                self.figures.items += 1;
            } else if let Some(value) = frame.get("progress") {
                let value = value.as_u64().unwrap();
                assert!(value > asked.progress_heard, "{frame} after {asked:?}");
                assert!(asked.listens && value <= asked.progress);
                asked.progress_heard = value;
                self.figures.progress += 1;
            } else {
                asked.ends += 1;
                self.count(&frame);
            }
        }
    }

    fn count(&mut self, end: &Value) {
        match end["ended"].as_str() {
            Some("cancelled") => {
                assert!(!self.is_able, "the service can be asked");
                self.figures.cancelled += 1;
            }
            Some(_) => {
                let uid: u64 = end["uid"].as_str().unwrap().parse().unwrap();
                assert!(self.asked[&uid].deadline.is_some(), "{end}");
                self.figures.deadlines += 1;
            }
            None => {}
        }
    }
}

#[tokio::test]
async fn random_schedules_end_every_request_once_with_all_its_items_before() {
    let mut sum = Figures::default();
    for seed in 1..=60_u64 {
        let is_able = seed % 3 != 0;
        let mut world = World {
            rig: rig(&["origin"], if is_able { ABLE } else { PLAIN }),
            is_able,
            random: Random(u64::wrapping_mul(seed, 0x9e37_79b9_7f4a_7c15)),
            asked: BTreeMap::new(),
            now: 59_900,
            figures: Figures::default(),
        };
        for _ in 0..200 {
            world.act();
            if world.random.below(4) == 0 {
                world.read().await;
            }
            if world.random.below(4) == 0 {
                world.rig.services().await;
            }
        }
        world.rig.check();
        while let Some(uid) = world.some() {
            world.asked.get_mut(&uid).unwrap().is_answered = true;
            world.rig.serves(&super::reply(&uid.to_string()));
        }
        world.read().await;
        world.rig.check();
        for (uid, asked) in &world.asked {
            assert_eq!(asked.ends, 1, "seed {seed}, request {uid}: {asked:?}");
            assert!(asked.items_heard <= asked.items);
        }
        assert_eq!(world.rig.count("unsolicited"), 0, "seed {seed}");
        world.figures.late = world.rig.count("late_replies");
        let Figures {
            requests,
            items,
            progress,
            cancelled,
            deadlines,
            late,
        } = world.figures;
        assert_eq!(usize::try_from(late), Ok(cancelled + deadlines), "seed {seed}");
        sum.requests += requests;
        sum.items += items;
        sum.progress += progress;
        sum.cancelled += cancelled;
        sum.deadlines += deadlines;
        sum.late += late;
    }
    println!("{sum:?}");
    assert!(sum.cancelled > 0 && sum.deadlines > 0 && sum.items > 0 && sum.progress > 0);
}
