//! Calls that were answered: queued one by one, and summed before they become entries.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use jiff::Timestamp;
use labwire_home::present;

use crate::entry::{Cost, Entry, Kind, Outcome, Repeats};
use crate::shares::computer;

/// The capacity of the queue: calls with an entry of their own, at some 64 bytes each, and sums.
pub(crate) const MOST_CALLS: usize = 65_536;

/// The equal calls of one batch that become an entry each. Further ones are summed in one.
const ONE_BY_ONE: u64 = 10;

/// A peer that calls services.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// Its name on the network, `NAME[HOST:PORT]`.
    pub peer: Arc<str>,
    /// The user that it has logged in as.
    pub user: Option<Arc<str>>,
    /// Its IP address.
    pub address: Option<IpAddr>,
}

/// Equal calls: those of one caller to one attribute of one service. The record sums calls that share
/// one of these.
#[derive(Debug)]
pub struct CallSeries {
    caller: Arc<Caller>,
    service: Arc<str>,
    attribute: Arc<str>,
    /// Where their sum is in the queue, or was: so a call finds it without a hash. Used with the lock of the
    /// queue only.
    place: AtomicUsize,
}

impl CallSeries {
    /// Creates a series without calls, for one [`Recorder`](crate::Recorder).
    pub fn new(caller: Arc<Caller>, service: Arc<str>, attribute: Arc<str>) -> Self {
        Self {
            caller,
            service,
            attribute,
            place: AtomicUsize::new(usize::MAX),
        }
    }

    /// Returns who calls.
    pub fn caller(&self) -> &Arc<Caller> {
        &self.caller
    }

    /// Returns the attribute.
    pub fn attribute(&self) -> &str {
        &self.attribute
    }
}

/// A call that was answered.
#[derive(Clone, Debug)]
pub struct Call {
    /// Who called what.
    pub series: Arc<CallSeries>,
    /// When it was forwarded, in microseconds of any clock.
    pub begun: u64,
    /// When it was answered, by the same clock.
    pub ended: u64,
    /// The size of the request and of its reply in bytes.
    pub bytes: u64,
    /// Whether it was answered with an error.
    pub is_error: bool,
    /// Its arguments, if they are to be recorded.
    pub arguments: Option<Box<str>>,
}

/// What a call with arguments costs besides their bytes: it has an entry of its own.
const OVERHEAD: usize = 256;

/// The most bytes of arguments in the queue, with the [`OVERHEAD`] of each.
const MOST_ARGUMENTS: usize = 1 << 20;

/// The most bytes of arguments in the queue that one computer causes, so that another one has room.
const MOST_ARGUMENTS_OF_ONE: usize = 128 << 10;

/// The queue of calls.
#[derive(Debug, Default)]
pub(crate) struct Calls {
    lists: Lists,
    /// The bytes of arguments in the list, and those of each computer.
    arguments: usize,
    arguments_of: HashMap<Option<IpAddr>, usize>,
    /// The time of the first call by both clocks.
    first: Option<(Timestamp, u64)>,
    /// Calls that did not fit.
    dropped: u64,
}

/// What is queued.
#[derive(Debug, Default)]
pub(crate) struct Lists {
    /// The calls with an entry of their own.
    calls: Vec<Call>,
    sums: Vec<Sum>,
}

impl Lists {
    fn len(&self) -> usize {
        self.calls.len() + self.sums.len()
    }
}

/// The calls of one series.
#[derive(Debug)]
struct Sum {
    series: Arc<CallSeries>,
    succeeded: Equal,
    failed: Equal,
}

/// Equal calls with the same outcome.
#[derive(Debug, Default)]
struct Equal {
    /// The number of those that have an entry of their own.
    alone: u64,
    /// The number of the others, when the first and the last of them have ended, and what they have cost.
    count: u64,
    first: u64,
    last: u64,
    cost: Cost,
}

impl Calls {
    /// Queues a call if there is room. Returns whether the thread of the record must be woken: for the
    /// first one, and when the queue becomes half full.
    pub(crate) fn push(&mut self, mut call: Call) -> bool {
        let before = self.lists.len();
        if let Some(arguments) = call.arguments.take() {
            call.arguments = self.with_room(call.series.caller.address, arguments);
        }
        if call.arguments.is_some() {
            self.push_alone(call);
        } else {
            self.add(call);
        }
        let now = self.lists.len();
        now != before && (before == 0 || self.is_half_full())
    }

    /// Queues a call that has an entry of its own.
    fn push_alone(&mut self, call: Call) {
        if self.lists.len() < MOST_CALLS {
            self.begin(call.ended);
            self.lists.calls.push(call);
        } else {
            self.dropped += 1;
        }
    }

    /// Notes the time of the first call.
    fn begin(&mut self, ended: u64) {
        self.first.get_or_insert_with(|| (present(), ended));
    }

    /// Adds a call to the sum of its series, or queues it alone if it is one of the first.
    fn add(&mut self, call: Call) {
        let place = call.series.place.load(Ordering::Relaxed);
        let is_known = |sum: &Sum| Arc::ptr_eq(&sum.series, &call.series);
        let place = if self.lists.sums.get(place).is_some_and(is_known) {
            place
        } else if self.lists.len() < MOST_CALLS {
            let place = self.lists.sums.len();
            call.series.place.store(place, Ordering::Relaxed);
            self.begin(call.ended);
            self.lists.sums.push(Sum {
                series: Arc::clone(&call.series),
                succeeded: Equal::default(),
                failed: Equal::default(),
            });
            place
        } else {
            self.dropped += 1;
            return;
        };
        let sum = &mut self.lists.sums[place];
        let equal = if call.is_error {
            &mut sum.failed
        } else {
            &mut sum.succeeded
        };
        if equal.alone < ONE_BY_ONE {
            equal.alone += 1;
            self.push_alone(call);
        } else {
            equal.add(&call);
        }
    }

    /// Returns the arguments of a call from an address if there is room for them.
    fn with_room(&mut self, address: Option<IpAddr>, arguments: Box<str>) -> Option<Box<str>> {
        let of_one = self.arguments_of.entry(address.map(computer)).or_default();
        let bytes = arguments.len() + OVERHEAD;
        if self.arguments + bytes > MOST_ARGUMENTS || *of_one + bytes > MOST_ARGUMENTS_OF_ONE {
            return None;
        }
        self.arguments += bytes;
        *of_one += bytes;
        Some(arguments)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.lists.len() == 0
    }

    /// Whether it is half full, or fuller.
    pub(crate) fn is_half_full(&self) -> bool {
        self.lists.len() >= MOST_CALLS / 2
    }

    /// Returns the number of calls that did not fit since the last call of this.
    pub(crate) fn take_dropped(&mut self) -> u64 {
        std::mem::take(&mut self.dropped)
    }

    /// Takes what is queued, in exchange for empty lists whose memory is used again.
    pub(crate) fn take(&mut self, empty: Lists) -> Batch {
        self.arguments = 0;
        self.arguments_of.clear();
        Batch {
            lists: std::mem::replace(&mut self.lists, empty),
            first: self.first.take(),
        }
    }
}

impl Equal {
    fn add(&mut self, call: &Call) {
        if self.count == 0 {
            self.first = call.ended;
        }
        self.count += 1;
        self.last = call.ended;
        self.cost = self.cost.plus(cost(call));
    }
}

/// Calls that were queued in a fifth of a second.
#[derive(Debug)]
pub(crate) struct Batch {
    lists: Lists,
    first: Option<(Timestamp, u64)>,
}

impl Batch {
    /// Returns the entries, and the empty lists.
    pub(crate) fn into_entries(self) -> (Vec<Entry>, Lists) {
        let Self { mut lists, first } = self;
        let (first_at, first_ended) = first.unwrap_or_else(|| (present(), 0));
        let at = |ended: u64| {
            let later = Duration::from_micros(ended.saturating_sub(first_ended));
            first_at.checked_add(later).unwrap_or(first_at)
        };
        let mut entries = Vec::with_capacity(lists.len());
        for mut call in lists.calls.drain(..) {
            entries.push(Entry {
                arguments: call.arguments.take(),
                cost: Some(cost(&call)),
                ..entry(&call.series, at(call.ended), call.is_error)
            });
        }
        for sum in lists.sums.drain(..) {
            for (equal, is_error) in [(sum.succeeded, false), (sum.failed, true)] {
                let Equal {
                    count,
                    first,
                    last,
                    cost,
                    ..
                } = equal;
                if count == 0 {
                    continue;
                }
                let since = at(first);
                entries.push(Entry {
                    repeats: (count > 1).then_some(Repeats { count, since }),
                    cost: Some(cost),
                    ..entry(&sum.series, at(last), is_error)
                });
            }
        }
        (entries, lists)
    }
}

fn cost(call: &Call) -> Cost {
    let micros = call.ended.saturating_sub(call.begun);
    Cost {
        micros,
        longest: micros,
        bytes: call.bytes,
    }
}

fn entry(series: &CallSeries, at: Timestamp, is_error: bool) -> Entry {
    Entry {
        outcome: if is_error { Outcome::Error } else { Outcome::Ok },
        user: series.caller.user.clone(),
        peer: Some(Arc::clone(&series.caller.peer)),
        address: series.caller.address,
        service: Some(Arc::clone(&series.service)),
        attribute: Some((*series.attribute).into()),
        ..Entry::at(at, Kind::Call)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(series: &Arc<CallSeries>, begun: u64, is_error: bool) -> Call {
        Call {
            series: Arc::clone(series),
            begun,
            ended: begun + 10,
            bytes: 64,
            is_error,
            arguments: None,
        }
    }

    fn series_from(address: Option<IpAddr>, attribute: &str) -> Arc<CallSeries> {
        let caller = Arc::new(Caller {
            peer: "Ada[pc:1]".into(),
            user: None,
            address,
        });
        Arc::new(CallSeries::new(caller, "DMM".into(), attribute.into()))
    }

    /// Returns how many calls entries stand for.
    fn calls_of(entries: &[Entry]) -> u64 {
        let count = |entry: &Entry| entry.repeats.map_or(1, |repeats| repeats.count);
        entries.iter().map(count).sum()
    }

    #[test]
    fn equal_calls_are_summed_behind_the_first_ones() {
        let mut calls = Calls::default();
        let [read, write] = ["read", "write"].map(|attribute| series_from(None, attribute));
        let mut lists = Lists::default();
        for _ in 0..2 {
            let mut woken = 0;
            for number in 0..1_000 {
                let series = if number % 100 == 0 { &write } else { &read };
                woken += u32::from(calls.push(call(series, number, number == 501)));
            }
            assert_eq!(woken, 1);
            let (entries, empty) = calls.take(std::mem::take(&mut lists)).into_entries();
            assert!(empty.len() == 0 && calls.is_empty());
            lists = empty;
            // 10 and a sum of read, 10 of write, and the error.
            assert_eq!((entries.len(), calls_of(&entries)), (22, 1_000));
            let sum = entries.iter().find(|entry| entry.repeats.is_some()).unwrap();
            let cost = sum.cost.unwrap();
            assert_eq!((cost.micros, cost.longest, cost.bytes), (9_790, 10, 979 * 64));
            let span = sum.at.duration_since(sum.repeats.unwrap().since);
            assert_eq!(span.as_micros(), 999 - 11);
            let errors = entries.iter().filter(|entry| entry.outcome == Outcome::Error);
            assert_eq!(errors.count(), 1);
        }
    }

    #[test]
    fn the_place_of_another_series_is_not_taken_for_its_own() {
        let (mut calls, mut others) = (Calls::default(), Calls::default());
        let [read, write] = ["read", "write"].map(|attribute| series_from(None, attribute));
        for number in 0..100 {
            calls.push(call(&read, number, false));
            others.push(call(&write, number, false));
            others.push(call(&read, number, false));
        }
        for (queue, expected) in [(calls, 100), (others, 200)] {
            let mut queue = queue;
            let (entries, _) = queue.take(Lists::default()).into_entries();
            assert_eq!(calls_of(&entries), expected);
            let reads = entries
                .iter()
                .filter(|entry| entry.attribute.as_deref() == Some("read"));
            assert_eq!(calls_of(&reads.cloned().collect::<Vec<_>>()), 100);
        }
    }

    #[test]
    fn calls_with_arguments_have_entries_of_their_own_as_far_as_there_is_room() {
        let mut calls = Calls::default();
        let from = |address: [u8; 4]| series_from(Some(address.into()), "set");
        let arguments = |bytes: usize| Some("1".repeat(bytes).into_boxed_str());
        let with_arguments = |batch: Batch| {
            let (entries, lists) = batch.into_entries();
            assert_eq!(lists.len(), 0);
            let with = entries.iter().filter(|entry| entry.arguments.is_some()).count();
            (calls_of(&entries), with)
        };
        for _ in 0..2 {
            // One computer takes no more than its share, whatever the number of its connections.
            for number in 0..1_000 {
                calls.push(Call {
                    arguments: arguments(512),
                    ..call(&from([10, 0, 0, 1]), number, false)
                });
            }
            calls.push(Call {
                arguments: arguments(512),
                ..call(&from([10, 0, 0, 2]), 1_000, false)
            });
            let share = MOST_ARGUMENTS_OF_ONE / (512 + OVERHEAD);
            let batch = calls.take(Lists::default());
            assert_eq!(with_arguments(batch), (1_001, share + 1));
        }
        for number in 0..30_000_u32 {
            calls.push(Call {
                arguments: arguments(512),
                ..call(&from(number.to_be_bytes()), number.into(), false)
            });
        }
        let batch = calls.take(Lists::default());
        assert_eq!(with_arguments(batch), (30_000, MOST_ARGUMENTS / (512 + OVERHEAD)));
    }

    #[test]
    fn what_does_not_fit_is_dropped_and_counted() {
        let mut calls = Calls::default();
        let known = series_from(None, "read");
        for number in 0..100 {
            calls.push(call(&known, number, false));
        }
        // A sum and an entry for each.
        let others = (MOST_CALLS - 11) / 2;
        for number in 0..others as u64 + 7 {
            calls.push(call(&series_from(None, "read"), number, false));
        }
        assert!(calls.is_half_full());
        assert_eq!(calls.take_dropped(), 7);
        // What has a sum is counted further.
        calls.push(call(&known, 100, false));
        assert_eq!(calls.take_dropped(), 0);
        let (entries, _) = calls.take(Lists::default()).into_entries();
        assert_eq!(calls_of(&entries), 101 + others as u64);
    }
}
