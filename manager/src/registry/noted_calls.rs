//! What is noted of calls for the record, if it is to contain them.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use foldhash::fast::RandomState;
use labwire_record::{Call, Caller, Recorder};
use labwire_wire::{Envelope, Member, RecordedArguments, Uid};

use super::peers::PeerId;
use super::state::Registry;
use super::traffic::Answered;
use crate::principal::Principal;
use crate::refusal::excerpt;

/// The most attributes whose texts are shared. Beyond it, sharing begins anew.
const MOST_ATTRIBUTES: usize = 1_024;

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
    /// Equal calls share the text of their attribute: the record sums them by its address.
    attributes: HashSet<Arc<str>, RandomState>,
}

/// What is noted of a request until its reply.
#[derive(Debug)]
pub(super) struct NotedCall {
    attribute: Arc<str>,
    /// The size of what was forwarded until now.
    pub(super) bytes: u64,
    /// Its arguments, if its service wants them to be recorded.
    arguments: Option<Box<NotedArguments>>,
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

/// The client of a request, as the record names it.
#[derive(Debug)]
pub(super) struct NotedCaller<'a> {
    pub(super) principal: &'a Principal,
    /// What its calls share, once there was one.
    pub(super) shared: &'a mut Option<Arc<Caller>>,
}

impl CallLog {
    fn attribute(&mut self, attribute: &str) -> Arc<str> {
        if let Some(known) = self.attributes.get(attribute) {
            return Arc::clone(known);
        }
        if self.attributes.len() >= MOST_ATTRIBUTES {
            self.attributes.clear();
        }
        let attribute: Arc<str> = attribute.into();
        self.attributes.insert(Arc::clone(&attribute));
        attribute
    }

    /// Returns the arguments in a line as they are recorded.
    #[cold]
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

    /// Records a call that was forwarded at `begun`, in microseconds since the manager started.
    pub(super) fn answered(
        &self,
        noted: NotedCall,
        (requester, caller): (&Arc<str>, NotedCaller<'_>),
        service: &Arc<str>,
        begun: u64,
        answered: Answered,
    ) {
        let NotedCaller { principal, shared } = caller;
        let caller = shared.get_or_insert_with(|| {
            Arc::new(Caller {
                peer: Arc::clone(requester),
                user: principal.user().cloned(),
                address: Some(principal.from.ip),
            })
        });
        self.recorder.record_call(Call {
            caller: Arc::clone(caller),
            service: Arc::clone(service),
            attribute: noted.attribute,
            begun,
            ended: answered.now,
            bytes: noted.bytes + answered.bytes as u64,
            is_error: answered.is_error,
            arguments: noted.arguments.map(|arguments| arguments.into_text()),
        });
    }
}

impl Registry {
    /// Records the calls that are answered from now on.
    pub(crate) fn record_calls(&mut self, recorder: Recorder) {
        self.calls = Some(CallLog {
            recorder,
            arguments: Arc::default(),
            attributes: HashSet::default(),
        });
    }

    /// Notes a request of `bytes` bytes that has just [begun](super::Asking::begin), if calls are
    /// recorded. `line` is its line, with the arguments; `None` if that is still arriving.
    #[inline]
    pub(crate) fn note_call(
        &mut self,
        client: PeerId,
        service: PeerId,
        uid: &Uid<'_>,
        attribute: &str,
        bytes: usize,
        line: Option<(&[u8], &Envelope)>,
    ) {
        let Some(calls) = &mut self.calls else { return };
        let Some(service) = self.services.get_mut(service) else {
            return;
        };
        let recorded = service
            .recorded
            .as_deref()
            .and_then(|methods| methods.of(attribute));
        let attribute = calls.attribute(excerpt(attribute));
        let Some(requests) = service.callers.get_mut(&client) else {
            return;
        };
        let are_few = requests.count() <= MOST_WITH_ARGUMENTS;
        if let Some(mut held) = requests.find(uid.as_bytes()) {
            held.note(NotedCall {
                attribute,
                bytes: bytes as u64,
                arguments: recorded
                    .map(|recorded| Box::new(calls.arguments(recorded, line.filter(|_| are_few)))),
            });
        }
    }
}
