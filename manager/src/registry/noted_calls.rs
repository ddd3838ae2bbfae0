//! What is noted of calls for the record, if it is to contain them.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use foldhash::fast::RandomState;
use hashbrown::{Equivalent, HashMap};
use labwire_record::{Call, CallSeries, Caller, Recorder};
use labwire_wire::{Envelope, Member, RecordedArguments, RecordedMethods};

use super::peers::PeerId;
use super::state::Registry;
use super::traffic::Answered;
use crate::principal::Principal;
use crate::refusal::excerpt;

/// The most series that are found by their attribute. Beyond it, sharing begins anew.
const MOST_SERIES: usize = 4_096;

/// The most bytes of arguments that are noted for requests in flight. Those beyond it are left out of the
/// record.
const MOST_NOTED_ARGUMENTS: usize = 8 << 20;

/// The requests in flight of one client at one service for which arguments are noted.
const MOST_WITH_ARGUMENTS: usize = 64;

/// What is recorded of arguments that cannot be noted.
const LEFT_OUT: &str = "…";

/// Takes the calls that are answered.
#[derive(Debug)]
pub(super) struct CallLog {
    recorder: Recorder,
    /// The bytes of the arguments of all requests in flight.
    arguments: Arc<AtomicUsize>,
    /// The series of a client, a service and an attribute: the record sums calls that share one.
    series: HashMap<Key, Arc<CallSeries>, RandomState>,
}

/// The client, the service and the attribute of a series.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Key {
    client: PeerId,
    service: PeerId,
    attribute: Box<str>,
}

/// A [`Key`] for finding a series, without a copy of the attribute. Its fields have the same order, since both
/// must have the same hash.
#[derive(Clone, Copy, Debug, Hash)]
struct Sought<'a> {
    client: PeerId,
    service: PeerId,
    attribute: &'a str,
}

impl Equivalent<Key> for Sought<'_> {
    fn equivalent(&self, key: &Key) -> bool {
        (self.client, self.service, self.attribute) == (key.client, key.service, &*key.attribute)
    }
}

impl From<Sought<'_>> for Key {
    fn from(sought: Sought<'_>) -> Self {
        Self {
            client: sought.client,
            service: sought.service,
            attribute: sought.attribute.into(),
        }
    }
}

/// What is noted of the requests with one uid until their replies. It is small, since each request has
/// room for it, also if calls are not recorded.
#[derive(Debug, Default)]
pub(super) enum Noted {
    #[default]
    Nothing,
    /// What is noted of nearly every call.
    Call { bytes: u32, series: Arc<CallSeries> },
    /// Calls with arguments, and of several requests with one uid, as people at terminals send them, in
    /// their order.
    Calls(Box<NotedCalls>),
}

/// What is noted of some requests, in their order.
#[derive(Debug)]
pub(super) struct NotedCalls(VecDeque<NotedCall>);

/// What is noted of a request until its reply.
#[derive(Debug)]
pub(super) struct NotedCall {
    series: Arc<CallSeries>,
    /// When it was forwarded, in microseconds since the manager started.
    begun: u64,
    /// The size of what was forwarded until now.
    bytes: u64,
    /// Its arguments, if its service wants them to be recorded.
    arguments: Option<NotedArguments>,
}

/// A request that is forwarded.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Forwarded<'a> {
    pub(crate) uid: &'a [u8],
    pub(crate) attribute: &'a str,
    /// The size of what is forwarded now, in bytes.
    pub(crate) bytes: usize,
    /// Its line, with the arguments; `None` if that is still arriving.
    pub(crate) line: Option<(&'a [u8], &'a Envelope)>,
}

impl From<Option<NotedCall>> for Noted {
    fn from(call: Option<NotedCall>) -> Self {
        match call {
            Some(call) => Self::Calls(Box::new(NotedCalls([call].into()))),
            None => Self::Nothing,
        }
    }
}

impl Noted {
    /// Adds what is noted of one more request with this uid. `begun` is that of the request before.
    #[cold]
    pub(super) fn add(&mut self, other: Self, begun: u64, now: u64) {
        if matches!(self, Self::Nothing) {
            *self = other;
            return;
        }
        let mut calls = std::mem::take(self).into_calls(begun);
        calls.0.append(&mut other.into_calls(now).0);
        *self = Self::Calls(Box::new(calls));
    }

    /// Adds to the size of the first call, which is answered next, or of the last one, which is still
    /// arriving.
    pub(super) fn add_bytes(&mut self, added: usize, is_reply: bool, begun: u64) {
        if let Self::Call { bytes, .. } = self {
            if let Some(sum) = u32::try_from(added)
                .ok()
                .and_then(|added| bytes.checked_add(added))
            {
                *bytes = sum;
                return;
            }
            *self = Self::Calls(Box::new(std::mem::take(self).into_calls(begun)));
        }
        if let Self::Calls(calls) = self {
            let call = if is_reply {
                calls.0.front_mut()
            } else {
                calls.0.back_mut()
            };
            if let Some(call) = call {
                call.bytes += added as u64;
            }
        }
    }

    /// Takes the call that is answered next.
    #[inline]
    pub(super) fn take(&mut self, begun: u64) -> Option<NotedCall> {
        match self {
            Self::Nothing => None,
            Self::Call { .. } => std::mem::take(self).into_call(begun),
            Self::Calls(calls) => calls.0.pop_front(),
        }
    }

    fn into_call(self, begun: u64) -> Option<NotedCall> {
        match self {
            Self::Nothing => None,
            Self::Call { bytes, series } => Some(NotedCall {
                series,
                begun,
                bytes: bytes.into(),
                arguments: None,
            }),
            Self::Calls(mut calls) => calls.0.pop_front(),
        }
    }

    fn into_calls(self, begun: u64) -> NotedCalls {
        match self {
            Self::Calls(calls) => *calls,
            other => NotedCalls(other.into_call(begun).into_iter().collect()),
        }
    }
}

/// The arguments of a request in flight. They are counted until they are taken or dropped.
#[derive(Debug)]
struct NotedArguments {
    text: Box<str>,
    noted: Arc<AtomicUsize>,
}

impl NotedArguments {
    fn new(text: String, noted: &Arc<AtomicUsize>) -> Self {
        let text = text.into_boxed_str();
        noted.fetch_add(text.len(), Ordering::Relaxed);
        Self {
            text,
            noted: Arc::clone(noted),
        }
    }

    fn into_text(mut self) -> Box<str> {
        self.noted.fetch_sub(self.text.len(), Ordering::Relaxed);
        std::mem::take(&mut self.text)
    }
}

impl Drop for NotedArguments {
    fn drop(&mut self) {
        self.noted.fetch_sub(self.text.len(), Ordering::Relaxed);
    }
}

/// Who calls which service, as [`CallLog`] needs it.
#[derive(Debug)]
pub(super) struct Calling<'a> {
    pub(super) ids: (PeerId, PeerId),
    pub(super) client: &'a Arc<str>,
    pub(super) principal: &'a Principal,
    /// How the record names the client, once there was a call.
    pub(super) caller: &'a mut Option<Arc<Caller>>,
    pub(super) service: &'a Arc<str>,
    /// The methods whose arguments the service wants to be recorded.
    pub(super) recorded: Option<&'a RecordedMethods>,
    /// The number of requests of the client that the service holds.
    pub(super) in_flight: usize,
    /// The series of the call before from this client to this service.
    pub(super) last: &'a mut Option<Arc<CallSeries>>,
}

impl CallLog {
    /// Notes a call that is forwarded at `now`, in microseconds since the manager started.
    // Kept out of its caller, which each request passes, also in managers that record no calls.
    #[inline(never)]
    pub(super) fn note(&mut self, mut calling: Calling<'_>, forwarded: &Forwarded<'_>, now: u64) -> Noted {
        let attribute = excerpt(forwarded.attribute);
        let series = match (&*calling.last, &*calling.caller) {
            // Hashing would take longer.
            (Some(last), Some(caller))
                if last.attribute() == attribute && Arc::ptr_eq(last.caller(), caller) =>
            {
                Arc::clone(last)
            }
            _ => self.series(&mut calling, attribute),
        };
        let bytes = forwarded.bytes;
        let mut noted = Noted::Call { bytes: 0, series };
        noted.add_bytes(bytes, false, 0);
        match calling
            .recorded
            .and_then(|methods| methods.of(forwarded.attribute))
        {
            Some(recorded) => {
                let are_few = calling.in_flight < MOST_WITH_ARGUMENTS;
                self.note_arguments(noted, (recorded, are_few), forwarded.line, now)
            }
            None => noted,
        }
    }

    /// Returns the series of a call.
    fn series(&mut self, calling: &mut Calling<'_>, attribute: &str) -> Arc<CallSeries> {
        let principal = calling.principal;
        let caller = calling.caller.get_or_insert_with(|| {
            Arc::new(Caller {
                peer: Arc::clone(calling.client),
                user: principal.user().cloned(),
                address: Some(principal.from.ip),
            })
        });
        let (client, service) = calling.ids;
        let sought = Sought {
            client,
            service,
            attribute,
        };
        let known = self.series.get(&sought);
        // A client that has logged in since is another caller.
        let series = if let Some(series) = known.filter(|series| Arc::ptr_eq(series.caller(), caller)) {
            Arc::clone(series)
        } else {
            if self.series.len() >= MOST_SERIES {
                self.series.clear();
            }
            let (caller, service) = (Arc::clone(caller), Arc::clone(calling.service));
            let series = Arc::new(CallSeries::new(caller, service, attribute.into()));
            self.series.insert(sought.into(), Arc::clone(&series));
            series
        };
        *calling.last = Some(Arc::clone(&series));
        series
    }

    /// Notes the arguments of a call, of which something is noted already and that was forwarded at `now`.
    #[cold]
    fn note_arguments(
        &self,
        noted: Noted,
        (recorded, are_few): (&RecordedArguments, bool),
        line: Option<(&[u8], &Envelope)>,
        now: u64,
    ) -> Noted {
        let mut calls = noted.into_calls(now);
        if let Some(call) = calls.0.back_mut() {
            call.arguments = Some(self.arguments(recorded, line.filter(|_| are_few)));
        }
        Noted::Calls(Box::new(calls))
    }

    /// Returns the arguments in a line as they are recorded.
    fn arguments(&self, recorded: &RecordedArguments, line: Option<(&[u8], &Envelope)>) -> NotedArguments {
        let has_room = self.arguments.load(Ordering::Relaxed) < MOST_NOTED_ARGUMENTS;
        let text = match line.filter(|_| has_room) {
            Some((line, envelope)) => {
                let raw = |member| envelope.raw(line, member).unwrap_or(b"null");
                recorded.write(raw(Member::Args), raw(Member::Kwargs))
            }
            None => LEFT_OUT.to_owned(),
        };
        NotedArguments::new(text, &self.arguments)
    }

    /// Records a call that was answered.
    pub(super) fn answered(&self, noted: NotedCall, answered: Answered) {
        self.recorder.record_call(Call {
            series: noted.series,
            begun: noted.begun,
            ended: answered.now,
            bytes: noted.bytes + answered.bytes as u64,
            is_error: answered.is_error,
            arguments: noted.arguments.map(NotedArguments::into_text),
        });
    }
}

impl Registry {
    /// Records the calls that are answered from now on.
    pub(crate) fn record_calls(&mut self, recorder: Recorder) {
        self.calls = Some(CallLog {
            recorder,
            arguments: Arc::default(),
            series: HashMap::default(),
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn series(attribute: &str) -> Arc<CallSeries> {
        let caller = Arc::new(Caller {
            peer: "Ada[pc:1]".into(),
            user: None,
            address: None,
        });
        Arc::new(CallSeries::new(caller, "DMM".into(), attribute.into()))
    }

    fn call(attribute: &str, bytes: u32) -> Noted {
        let series = series(attribute);
        Noted::Call { bytes, series }
    }

    fn taken(noted: &mut Noted, begun: u64) -> Option<(String, u64, u64)> {
        let call = noted.take(begun)?;
        Some((call.series.attribute().to_owned(), call.begun, call.bytes))
    }

    #[test]
    fn calls_with_the_same_uid_are_noted_each() {
        let mut noted = Noted::Nothing;
        noted.add(call("read", 10), 0, 1);
        noted.add(call("write", 20), 1, 2);
        noted.add(call("read", 30), 2, 3);
        // The last one is still arriving, and the first one is answered in parts.
        noted.add_bytes(5, false, 3);
        noted.add_bytes(7, true, 3);
        assert_eq!(taken(&mut noted, 3), Some(("read".to_owned(), 1, 17)));
        assert_eq!(taken(&mut noted, 3), Some(("write".to_owned(), 2, 20)));
        assert_eq!(taken(&mut noted, 3), Some(("read".to_owned(), 3, 35)));
        assert_eq!(taken(&mut noted, 3), None);
        noted.add(call("again", 1), 3, 4);
        assert_eq!(taken(&mut noted, 4), Some(("again".to_owned(), 4, 1)));
    }

    #[test]
    fn a_series_is_found_without_a_copy_of_its_attribute() {
        let mut numbers: HashMap<Key, usize, RandomState> = HashMap::default();
        let [client, service] = [1, 2].map(PeerId::sample);
        let sought = |attribute| Sought {
            client,
            service,
            attribute,
        };
        for (number, attribute) in ["read", "write"].into_iter().enumerate() {
            numbers.insert(sought(attribute).into(), number);
        }
        let found = ["read", "write", "rea"].map(|attribute| numbers.get(&sought(attribute)).copied());
        assert_eq!(found, [Some(0), Some(1), None]);
        let other = Sought {
            client: service,
            ..sought("read")
        };
        assert_eq!(numbers.get(&other), None);
    }

    #[test]
    fn the_size_of_a_call_may_be_more_than_four_gigabytes() {
        let mut noted = call("read", 10);
        for _ in 0..3 {
            noted.add_bytes(2 << 30, true, 1);
        }
        assert_eq!(taken(&mut noted, 1), Some(("read".to_owned(), 1, 10 + (6 << 30))));
    }

    #[test]
    fn what_is_noted_of_a_call_is_small() {
        assert_eq!(size_of::<Noted>(), 16);
    }
}
