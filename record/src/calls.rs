//! Calls that were answered: queued one by one, and summed before they become entries.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use labwire_home::present;

use crate::entry::{Cost, Entry, Kind, Outcome, Repeats};
use crate::shares::computer;

/// The capacity of the queue, at some 90 bytes each: a fifth of a second of 300,000 calls per second.
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

/// A call that was answered.
///
/// It is made of shared parts, so that queuing one costs little. Equal calls should share them: calls of
/// one caller, service and attribute are summed if they do.
#[derive(Clone, Debug)]
pub struct Call {
    /// Who called.
    pub caller: Arc<Caller>,
    /// The name of the service.
    pub service: Arc<str>,
    /// The attribute.
    pub attribute: Arc<str>,
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
    list: Vec<Call>,
    /// The bytes of arguments in the list, and those of each computer.
    arguments: usize,
    arguments_of: HashMap<Option<IpAddr>, usize>,
    /// The time of the first call by both clocks.
    first: Option<(Timestamp, u64)>,
    /// Calls that did not fit.
    dropped: u64,
}

impl Calls {
    /// Queues a call if there is room. Returns whether the thread of the record must be woken: for the
    /// first one, and when the queue is half full.
    pub(crate) fn push(&mut self, mut call: Call) -> bool {
        if self.list.len() >= MOST_CALLS {
            self.dropped += 1;
            return false;
        }
        if let Some(arguments) = call.arguments.take() {
            call.arguments = self.with_room(call.caller.address, arguments);
        }
        self.first.get_or_insert_with(|| (present(), call.ended));
        self.list.push(call);
        self.list.len() == 1 || self.is_half_full()
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
        self.list.is_empty()
    }

    /// Whether it has just become half full, or is fuller.
    pub(crate) fn is_half_full(&self) -> bool {
        self.list.len() >= MOST_CALLS / 2
    }

    /// Returns the number of calls that did not fit since the last call of this.
    pub(crate) fn take_dropped(&mut self) -> u64 {
        std::mem::take(&mut self.dropped)
    }

    /// Takes what is queued, in exchange for an empty list whose memory is used again.
    pub(crate) fn take(&mut self, empty: Vec<Call>) -> Batch {
        self.arguments = 0;
        self.arguments_of.clear();
        Batch {
            list: std::mem::replace(&mut self.list, empty),
            first: self.first.take(),
        }
    }
}

/// Calls that were queued in a fifth of a second.
#[derive(Debug)]
pub(crate) struct Batch {
    list: Vec<Call>,
    first: Option<(Timestamp, u64)>,
}

/// Equal calls of a batch.
#[derive(Default)]
struct Sum<'a> {
    seen: u64,
    /// The last of those behind the first ones, and the sum of them.
    summed: Option<(&'a Call, Repeats, Cost)>,
}

impl Batch {
    /// Returns the entries, and the empty list.
    pub(crate) fn into_entries(self) -> (Vec<Entry>, Vec<Call>) {
        let Self { mut list, first } = self;
        let (first_at, first_ended) = first.unwrap_or_else(|| (present(), 0));
        let at = |call: &Call| {
            let later = Duration::from_micros(call.ended.saturating_sub(first_ended));
            first_at.checked_add(later).unwrap_or(first_at)
        };
        let mut entries = Vec::new();
        let mut sums: HashMap<_, Sum<'_>> = HashMap::new();
        for call in &mut list {
            if let Some(arguments) = call.arguments.take() {
                entries.push(Entry {
                    arguments: Some(arguments),
                    ..entry(call, at(call), None, cost(call))
                });
                continue;
            }
            // The list keeps the parts alive, so that equal addresses are equal parts.
            let parts = (
                Arc::as_ptr(&call.caller),
                Arc::as_ptr(&call.service).cast::<u8>(),
                Arc::as_ptr(&call.attribute).cast::<u8>(),
                call.is_error,
            );
            let sum = sums.entry(parts).or_default();
            sum.seen += 1;
            let cost = cost(call);
            if sum.seen <= ONE_BY_ONE {
                entries.push(entry(call, at(call), None, cost));
                continue;
            }
            if let Some((last, repeats, costs)) = &mut sum.summed {
                repeats.count += 1;
                *costs = costs.plus(cost);
                *last = call;
            } else {
                let repeats = Repeats {
                    count: 1,
                    since: at(call),
                };
                sum.summed = Some((call, repeats, cost));
            }
        }
        entries.extend(sums.into_values().filter_map(|sum| {
            let (last, repeats, cost) = sum.summed?;
            let repeats = (repeats.count > 1).then_some(repeats);
            Some(entry(last, at(last), repeats, cost))
        }));
        list.clear();
        (entries, list)
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

fn entry(call: &Call, at: Timestamp, repeats: Option<Repeats>, cost: Cost) -> Entry {
    Entry {
        outcome: if call.is_error {
            Outcome::Error
        } else {
            Outcome::Ok
        },
        user: call.caller.user.clone(),
        peer: Some(Arc::clone(&call.caller.peer)),
        address: call.caller.address,
        service: Some(Arc::clone(&call.service)),
        attribute: Some((*call.attribute).into()),
        repeats,
        cost: Some(cost),
        ..Entry::at(at, Kind::Call)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(caller: &Arc<Caller>, attribute: &Arc<str>, begun: u64, is_error: bool) -> Call {
        Call {
            caller: Arc::clone(caller),
            service: "DMM".into(),
            attribute: Arc::clone(attribute),
            begun,
            ended: begun + 10,
            bytes: 64,
            is_error,
            arguments: None,
        }
    }

    fn caller() -> Arc<Caller> {
        Arc::new(Caller {
            peer: "Ada[pc:1]".into(),
            user: None,
            address: None,
        })
    }

    #[test]
    fn equal_calls_are_summed_behind_the_first_ones() {
        let mut calls = Calls::default();
        let (caller, service): (_, Arc<str>) = (caller(), "DMM".into());
        let [read, write]: [Arc<str>; 2] = ["read".into(), "write".into()];
        let mut woken = 0;
        for number in 0..1_000 {
            let attribute = if number % 100 == 0 { &write } else { &read };
            woken += u32::from(calls.push(Call {
                service: Arc::clone(&service),
                ..call(&caller, attribute, number, number == 500)
            }));
        }
        assert_eq!(woken, 1);
        let (entries, list) = calls.take(Vec::new()).into_entries();
        assert!(list.is_empty() && calls.is_empty());
        // 10 and a sum of read, 9 of write, and the error.
        assert_eq!(entries.len(), 21);
        let counts = entries
            .iter()
            .map(|entry| entry.repeats.map_or(1, |repeats| repeats.count));
        assert_eq!(counts.sum::<u64>(), 1_000);
        let sum = entries.iter().find(|entry| entry.repeats.is_some()).unwrap();
        let cost = sum.cost.unwrap();
        assert_eq!((cost.micros, cost.longest, cost.bytes), (9_800, 10, 980 * 64));
        let span = sum.at.duration_since(sum.repeats.unwrap().since);
        assert_eq!(span.as_micros(), 999 - 11);
        let errors = entries.iter().filter(|entry| entry.outcome == Outcome::Error);
        assert_eq!(errors.count(), 1);
    }

    #[test]
    fn calls_with_arguments_have_entries_of_their_own_as_far_as_there_is_room() {
        let mut calls = Calls::default();
        let attribute = "set".into();
        let from = |address: [u8; 4]| {
            let address = Some(address.into());
            Arc::new(Caller {
                address,
                ..(*caller()).clone()
            })
        };
        let arguments = |bytes: usize| Some("1".repeat(bytes).into_boxed_str());
        let with_arguments = |batch: Batch| {
            let (entries, list) = batch.into_entries();
            assert!(list.is_empty());
            let all: u64 = entries
                .iter()
                .map(|entry| entry.repeats.map_or(1, |repeats| repeats.count))
                .sum();
            let with = entries.iter().filter(|entry| entry.arguments.is_some()).count();
            (all, with)
        };
        for _ in 0..2 {
            // One computer takes no more than its share, whatever the number of its connections.
            for number in 0..1_000 {
                let caller = from([10, 0, 0, 1]);
                calls.push(Call {
                    arguments: arguments(512),
                    ..call(&caller, &attribute, number, false)
                });
            }
            calls.push(Call {
                arguments: arguments(512),
                ..call(&from([10, 0, 0, 2]), &attribute, 1_000, false)
            });
            let share = MOST_ARGUMENTS_OF_ONE / (512 + OVERHEAD);
            assert_eq!(with_arguments(calls.take(Vec::new())), (1_001, share + 1));
        }
        for number in 0..64_000_u32 {
            let caller = from(number.to_be_bytes());
            calls.push(Call {
                arguments: arguments(512),
                ..call(&caller, &attribute, number.into(), false)
            });
        }
        assert_eq!(
            with_arguments(calls.take(Vec::new())),
            (64_000, MOST_ARGUMENTS / (512 + OVERHEAD))
        );
    }

    #[test]
    fn what_does_not_fit_is_dropped_and_counted() {
        let mut calls = Calls::default();
        let (caller, attribute) = (caller(), "read".into());
        for number in 0..MOST_CALLS as u64 + 7 {
            calls.push(call(&caller, &attribute, number, false));
        }
        assert!(calls.is_half_full());
        assert_eq!((calls.take_dropped(), calls.take_dropped()), (7, 0));
    }
}
