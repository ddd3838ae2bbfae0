//! Bounds what is written: equal entries are counted in one, and each computer has a share.
//!
//! Anybody can be refused, connect and disconnect as often as they like. What they cause must neither
//! fill the file, nor remove what others did from it, nor keep the disk busy. Three bounds:
//!
//! - *Equal entries* (of the same computer, name, user, kind, outcome, service, attribute and arguments, and
//!   with the same text if only somebody with a password can cause them) are written one by one at first, [`AT_ONCE`]. Further ones are counted, and written as one entry when
//!   a window of time is over: a minute, then two, four, and so on up to [`LONGEST`], as long as they
//!   come.
//! - *Each computer* has shares, [`OF_ONE`]: of peers that come and go, of other changes, of refusals and of calls.
//!   What exceeds one is counted, and one entry tells how many were left out, and of whom. What only somebody with a password can cause
//!   has a larger share of its own for each user, [`PROVED`].
//! - *All computers together* have such shares, [`OF_ALL`]. When one is used up, each still has some entries
//!   per hour, [`RESERVED`]. So many computers that cause much do not hide what the others do.
//!
//! No clock is read here.

use std::collections::HashMap;
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::net::{IpAddr, Ipv6Addr};
use std::time::{Duration, Instant};

use jiff::Timestamp;

use crate::entry::{Class, Cost, Entry, Kind, Outcome, Repeats, own_name};

/// The equal entries in one window that are written one by one, for each class. A refusal is not
/// written one by one again as long as it is repeated.
const AT_ONCE: [u32; Class::ALL.len()] = [20, 5, 10];

/// The entries that have a share of their own. A script that connects in a loop uses up the one of those that
/// come and go: what its computer is refused and what an administrator at it changes is recorded all the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Share {
    /// Peers that come and go, and their links.
    Coming,
    /// All other changes.
    Change,
    Refusal,
    Call,
}

impl Share {
    /// The number of shares.
    const COUNT: usize = 4;

    fn of(kind: Kind, class: Class) -> Self {
        match class {
            Class::Change => match kind {
                Kind::Join | Kind::Leave | Kind::Away | Kind::Back | Kind::Link | Kind::Unlink => {
                    Self::Coming
                }
                _ => Self::Change,
            },
            Class::Refusal => Self::Refusal,
            Class::Call => Self::Call,
        }
    }

    /// Returns its place in arrays.
    fn index(self) -> usize {
        self as usize
    }
}

/// What one computer may cause, for each share.
const OF_ONE: [Rate; Share::COUNT] = [
    Rate::per_minute(2_000.0, 20.0),
    Rate::per_minute(2_000.0, 20.0),
    Rate::per_minute(100.0, 10.0),
    Rate::per_minute(1_000.0, 100.0),
];

/// What all computers together may cause, for each share. Together they fit into the queue.
const OF_ALL: [Rate; Share::COUNT] = [
    Rate::per_minute(4_000.0, 300.0),
    Rate::per_minute(4_000.0, 300.0),
    Rate::per_minute(1_000.0, 60.0),
    Rate::per_minute(5_000.0, 600.0),
];

/// The entries of each share that one computer may cause when that of all is used up.
const RESERVED: Rate = Rate {
    most: 5.0,
    per_second: 5.0 / 3_600.0,
};

/// The entries of one user at one computer that only somebody with a password can cause. A script of an
/// administrator may cause thousands at once.
const PROVED: Rate = Rate::per_minute(5_000.0, 60.0);

/// The bytes of arguments that are part of the one place of an entry. With more, it takes two.
const ARGUMENTS_PER_PLACE: usize = 128;

/// The first window of time.
const WINDOW: Duration = Duration::from_mins(1);

/// The longest window: who is counted waits no longer for the entry that tells so.
const LONGEST: Duration = Duration::from_mins(10);

/// The least pause between two searches for windows that are over.
const PACE: Duration = Duration::from_secs(1);

/// The most kinds of equal entries that are counted. Each was written once, and took a place of the
/// shares for that.
const MOST_EQUALS: usize = 16_384;

/// The most computers with a share of their own. Further ones share [`GROUPS`] others.
const MOST_COMPUTERS: usize = 4_096;

/// The number of shares of further computers, so that some of them do not use up those of all others.
const GROUPS: u64 = 256;

/// The most computers at one time with an entry of their own about what was left out.
const MOST_TOLD: usize = 16;

/// A number of entries, and how fast it fills again.
#[derive(Clone, Copy, Debug)]
struct Rate {
    most: f64,
    per_second: f64,
}

impl Rate {
    const fn per_minute(most: f64, per_minute: f64) -> Self {
        Self {
            most,
            per_second: per_minute / 60.0,
        }
    }
}

/// What is left of a share.
#[derive(Clone, Copy, Debug)]
struct Bucket {
    left: f64,
    at: Instant,
}

impl Bucket {
    fn full(rate: Rate, now: Instant) -> Self {
        Self {
            left: rate.most,
            at: now,
        }
    }

    /// Takes places if there is one. What is missing is taken from those that come.
    fn take(&mut self, places: f64, rate: Rate, now: Instant) -> bool {
        self.refill(rate, now);
        let has_place = self.left >= 1.0;
        if has_place {
            self.left -= places;
        }
        has_place
    }

    fn refill(&mut self, rate: Rate, now: Instant) {
        let passed = now.saturating_duration_since(self.at).as_secs_f64();
        self.left = (self.left + passed * rate.per_second).min(rate.most);
        self.at = self.at.max(now);
    }
}

/// Entries that were counted and not written.
#[derive(Debug)]
struct Counted {
    count: u64,
    since: Timestamp,
    /// What calls have cost.
    cost: Option<Cost>,
    last: Entry,
}

impl Counted {
    fn add(counted: &mut Option<Self>, entry: Entry, count: u64) {
        let since = entry.repeats.map_or(entry.at, |repeats| repeats.since);
        match counted {
            Some(counted) => {
                counted.count = counted.count.saturating_add(count);
                counted.cost = match (counted.cost, entry.cost) {
                    (Some(sum), Some(cost)) => Some(sum.plus(cost)),
                    (sum, cost) => sum.or(cost),
                };
                counted.last = entry;
            }
            None => {
                *counted = Some(Self {
                    count,
                    since,
                    cost: entry.cost,
                    last: entry,
                });
            }
        }
    }

    /// Returns one entry for all of them.
    fn into_entry(self) -> Entry {
        let Self {
            count,
            since,
            cost,
            last,
        } = self;
        Entry {
            repeats: (count > 1).then_some(Repeats { count, since }),
            cost,
            ..last
        }
    }
}

/// A window of time.
#[derive(Clone, Copy, Debug)]
struct Window {
    end: Instant,
    length: Duration,
}

impl Window {
    fn first(now: Instant) -> Self {
        Self {
            end: now + WINDOW,
            length: WINDOW,
        }
    }

    fn next(self, now: Instant) -> Self {
        let length = (self.length * 2).min(LONGEST);
        Self {
            end: now + length,
            length,
        }
    }
}

/// Entries that are equal except for their time, their text and the port of their peer.
#[derive(Debug)]
struct Equals {
    class: Class,
    window: Window,
    written: u32,
    /// Whether there were any in this window.
    is_active: bool,
    counted: Option<Counted>,
}

impl Equals {
    /// Returns those of an entry that is written.
    fn first(class: Class, now: Instant) -> Self {
        Self {
            class,
            window: Window::first(now),
            written: 1,
            is_active: false,
            counted: None,
        }
    }
}

/// What has a share.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Computer {
    /// Entries without an address.
    Unknown,
    /// An address, or the half of an IPv6 address that names a network.
    One(IpAddr),
    /// Some of the computers behind the first [`MOST_COMPUTERS`], by the group's number.
    Group(u64),
}

/// The shares of a computer.
#[derive(Debug)]
struct Shares {
    buckets: [Bucket; Share::COUNT],
    reserved: [Bucket; Share::COUNT],
    left_out: [Option<Counted>; Class::ALL.len()],
    window: Window,
}

impl Shares {
    fn new(now: Instant) -> Self {
        Self {
            buckets: OF_ONE.map(|rate| Bucket::full(rate, now)),
            reserved: [Bucket::full(RESERVED, now); Share::COUNT],
            left_out: [const { None }; Class::ALL.len()],
            window: Window::first(now),
        }
    }
}

/// What decides which entries are written.
#[derive(Debug)]
pub(crate) struct Bounds {
    hashes: RandomState,
    equals: HashMap<u64, Equals>,
    computers: HashMap<Computer, Shares>,
    /// The shares of users, by the hash of computer and user.
    proved: HashMap<u64, Bucket>,
    all: [Bucket; Share::COUNT],
    /// The time of the next search for windows that are over.
    search_at: Option<Instant>,
    left_out: u64,
}

impl Bounds {
    pub(crate) fn new(now: Instant) -> Self {
        Self {
            hashes: RandomState::new(),
            equals: HashMap::new(),
            computers: HashMap::new(),
            proved: HashMap::new(),
            all: OF_ALL.map(|rate| Bucket::full(rate, now)),
            search_at: None,
            left_out: 0,
        }
    }

    /// Returns the number of entries that were left out.
    pub(crate) fn left_out(&self) -> u64 {
        self.left_out
    }

    /// Returns the time of the next [`search`](Self::search); `None` if nothing is counted.
    pub(crate) fn search_at(&self) -> Option<Instant> {
        self.search_at
    }

    /// Returns the entry if it is to be written. Counts it otherwise.
    ///
    /// Calls with different arguments are not equal. If there is no place for the entry of one, it is
    /// counted as a call without arguments.
    pub(crate) fn take(&mut self, mut entry: Entry, now: Instant) -> Option<Entry> {
        if entry.is_managers() {
            return Some(entry);
        }
        self.search_at.get_or_insert(now + WINDOW);
        let class = entry.class();
        if entry.arguments.is_some() {
            let equal = self.hash(&entry);
            if !self.equals.contains_key(&equal) {
                if self.equals.len() < MOST_EQUALS && self.takes_place(&entry, class, now) {
                    self.equals.insert(equal, Equals::first(class, now));
                    return Some(entry);
                }
                entry.arguments = None;
            }
        }
        let count = entry.repeats.map_or(1, |repeats| repeats.count);
        let equal = self.hash(&entry);
        let written = self.equals.get(&equal).map(|equals| equals.written);
        let is_one_by_one = written.is_none_or(|written| written < AT_ONCE[class.index()]);
        let is_written = is_one_by_one && self.takes_place(&entry, class, now);
        if let Some(equals) = self.equals.get_mut(&equal) {
            equals.is_active = true;
            if is_written {
                equals.written += 1;
                return Some(entry);
            }
            Counted::add(&mut equals.counted, entry, count);
            return None;
        }
        if !is_written {
            self.leave_out(entry, class, count, now);
            return None;
        }
        if self.equals.len() < MOST_EQUALS {
            self.equals.insert(equal, Equals::first(class, now));
        }
        Some(entry)
    }

    /// Ends the windows that are over. Appends the entries that tell what was counted in them.
    pub(crate) fn search(&mut self, now: Instant, entries: &mut Vec<Entry>) {
        self.end_windows(Some(now), now, entries);
        let windows = self.equals.values().map(|equals| equals.window.end);
        let of_computers = self.computers.values().map(|shares| shares.window.end);
        let next = windows.chain(of_computers).min();
        self.search_at = next.map(|next| next.max(now + PACE));
    }

    /// Ends all windows. Appends the entries that tell what was counted in them.
    pub(crate) fn end(&mut self, now: Instant, entries: &mut Vec<Entry>) {
        self.end_windows(None, now, entries);
        self.search_at = None;
    }

    /// Ends the windows that end until then; `None` for all.
    fn end_windows(&mut self, until: Option<Instant>, now: Instant, entries: &mut Vec<Entry>) {
        let is_over = |window: &Window| until.is_none_or(|until| window.end <= until);
        let mut counted = Vec::new();
        self.equals.retain(|_, equals| {
            if !is_over(&equals.window) {
                return true;
            }
            let is_refusal = equals.class == Class::Refusal;
            equals.window = if is_refusal || equals.counted.is_some() {
                equals.window.next(now)
            } else {
                Window::first(now)
            };
            if !is_refusal {
                equals.written = 0;
            }
            counted.extend(equals.counted.take());
            std::mem::take(&mut equals.is_active)
        });
        for counted in counted {
            let count = counted.count;
            let entry = counted.into_entry();
            let class = entry.class();
            if self.takes_place(&entry, class, now) {
                entries.push(entry);
            } else {
                self.leave_out(entry, class, count, now);
            }
        }
        self.tell_left_out(is_over, now, entries);
    }

    /// Takes a place of the shares of an entry's computer and of all. Returns whether there was one.
    fn takes_place(&mut self, entry: &Entry, class: Class, now: Instant) -> bool {
        if entry.is_proved() && self.takes_proved_place(entry, now) {
            return true;
        }
        let share = Share::of(entry.kind, class).index();
        let all = &mut self.all[share];
        all.refill(OF_ALL[share], now);
        let is_used_up = all.left < 1.0;
        let places = places(entry);
        let one = self.shares(entry.address, now);
        let has_place = one.buckets[share].take(places, OF_ONE[share], now)
            && (!is_used_up || one.reserved[share].take(places, RESERVED, now));
        if has_place && !is_used_up {
            self.all[share].left -= places;
        }
        has_place
    }

    fn takes_proved_place(&mut self, entry: &Entry, now: Instant) -> bool {
        let owner = self.hashes.hash_one((entry.address.map(computer), &entry.user));
        if !self.proved.contains_key(&owner) && self.proved.len() >= MOST_COMPUTERS {
            return false;
        }
        let share = self.proved.entry(owner);
        share
            .or_insert_with(|| Bucket::full(PROVED, now))
            .take(1.0, PROVED, now)
    }

    fn shares(&mut self, address: Option<IpAddr>, now: Instant) -> &mut Shares {
        let computer = match address.map(computer) {
            None => Computer::Unknown,
            Some(address) => {
                let one = Computer::One(address);
                if self.computers.contains_key(&one) || self.computers.len() < MOST_COMPUTERS {
                    one
                } else {
                    Computer::Group(self.hashes.hash_one(address) % GROUPS)
                }
            }
        };
        self.computers.entry(computer).or_insert_with(|| Shares::new(now))
    }

    fn leave_out(&mut self, entry: Entry, class: Class, count: u64, now: Instant) {
        self.left_out = self.left_out.saturating_add(count);
        let left_out = &mut self.shares(entry.address, now).left_out[class.index()];
        // The details are those of one of many.
        let entry = Entry {
            kind: Kind::Gap,
            service: None,
            attribute: None,
            arguments: None,
            text: None,
            cost: None,
            ..entry
        };
        Counted::add(left_out, entry, count);
    }

    /// Appends the entries about what was left out in the windows that are over.
    fn tell_left_out(&mut self, is_over: impl Fn(&Window) -> bool, now: Instant, entries: &mut Vec<Entry>) {
        let mut told: Vec<(Class, Counted)> = Vec::new();
        self.computers.retain(|_, shares| {
            if !is_over(&shares.window) {
                return true;
            }
            let before = told.len();
            for (class, left_out) in Class::ALL.into_iter().zip(&mut shares.left_out) {
                told.extend(left_out.take().map(|counted| (class, counted)));
            }
            let is_quiet = told.len() == before;
            shares.window = if is_quiet {
                Window::first(now)
            } else {
                shares.window.next(now)
            };
            let reserved = shares.reserved.iter_mut().map(|bucket| (bucket, RESERVED));
            let buckets = shares.buckets.iter_mut().zip(OF_ONE);
            let mut buckets = buckets.chain(reserved);
            let is_full = buckets.all(|(bucket, rate)| {
                bucket.refill(rate, now);
                bucket.left >= rate.most
            });
            !(is_quiet && is_full)
        });
        self.proved.retain(|_, share| {
            share.refill(PROVED, now);
            share.left < PROVED.most
        });
        told.sort_by_key(|(_, counted)| std::cmp::Reverse(counted.count));
        let others = told.split_off(told.len().min(MOST_TOLD));
        entries.extend(told.into_iter().map(|(class, counted)| {
            let text = left_out_text(class, counted.count, None);
            gap(class, counted, text)
        }));
        for class in Class::ALL {
            let mut sum: Option<Counted> = None;
            let mut computers = 0;
            for (_, counted) in others.iter().filter(|(of, _)| *of == class) {
                computers += 1;
                let entry = Entry {
                    user: None,
                    peer: None,
                    address: None,
                    repeats: Some(Repeats {
                        count: counted.count,
                        since: counted.since,
                    }),
                    ..counted.last.clone()
                };
                Counted::add(&mut sum, entry, counted.count);
            }
            entries.extend(sum.map(|sum| {
                let text = left_out_text(class, sum.count, Some(computers));
                gap(class, sum, text)
            }));
        }
    }

    fn hash(&self, entry: &Entry) -> u64 {
        // A peer chooses its name, but not its user.
        let peer = entry.peer.as_deref().filter(|_| entry.kind != Kind::Login);
        // What an administrator has requested, and with what somebody has logged in.
        let text = entry.text.as_deref().filter(|_| entry.is_proved());
        self.hashes.hash_one((
            entry.address,
            peer.map(own_name),
            &entry.user,
            entry.kind,
            entry.outcome,
            &entry.service,
            &entry.attribute,
            &entry.arguments,
            text,
        ))
    }
}

/// Returns the number of places that an entry takes.
fn places(entry: &Entry) -> f64 {
    let arguments = entry.arguments.as_ref().map_or(0, |arguments| arguments.len());
    match arguments {
        0..=ARGUMENTS_PER_PLACE => 1.0,
        _ => 2.0,
    }
}

/// Returns the computer of an address.
pub(crate) fn computer(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            let network = address.to_bits() >> 64 << 64;
            IpAddr::V6(Ipv6Addr::from_bits(network))
        }
        address @ IpAddr::V4(_) => address,
    }
}

/// Returns the entry about what was left out.
fn gap(class: Class, counted: Counted, text: String) -> Entry {
    let Counted {
        count, since, last, ..
    } = counted;
    Entry {
        outcome: match class {
            Class::Refusal => Outcome::Refused,
            Class::Change | Class::Call => Outcome::Ok,
        },
        text: Some(text.into()),
        repeats: Some(Repeats { count, since }),
        ..last
    }
}

/// Returns the text of the entry about what was left out; `computers` if it is that of several.
fn left_out_text(class: Class, count: u64, computers: Option<usize>) -> String {
    let what = match class {
        Class::Change => "entries",
        Class::Refusal => "refusals",
        Class::Call => "calls",
    };
    match computers {
        None => format!(
            "{count} {what} of this computer were left out, since it causes too many; the last was of this peer"
        ),
        Some(computers) => {
            format!("{count} {what} of {computers} other computers were left out, since they cause too many")
        }
    }
}

#[cfg(test)]
mod tests;
