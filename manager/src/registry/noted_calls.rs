//! What is noted of calls for the record, if it is to contain them.

use std::collections::HashSet;
use std::sync::Arc;

use foldhash::fast::RandomState;
use labwire_record::{Call, Caller, Recorder};
use labwire_wire::Uid;

use super::peers::PeerId;
use super::state::Registry;
use super::traffic::Answered;
use crate::principal::Principal;
use crate::refusal::excerpt;

/// The most attributes whose texts are shared. Beyond it, sharing begins anew.
const MOST_ATTRIBUTES: usize = 1_024;

/// Takes the calls that are answered.
#[derive(Debug)]
pub(super) struct CallLog {
    recorder: Recorder,
    /// Equal calls share the text of their attribute: the record sums them by its address.
    attributes: HashSet<Arc<str>, RandomState>,
}

/// What is noted of a request until its reply.
#[derive(Debug)]
pub(super) struct NotedCall {
    attribute: Arc<str>,
    /// The size of what was forwarded until now.
    pub(super) bytes: u64,
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
        });
    }
}

impl Registry {
    /// Records the calls that are answered from now on.
    pub(crate) fn record_calls(&mut self, recorder: Recorder) {
        self.calls = Some(CallLog {
            recorder,
            attributes: HashSet::default(),
        });
    }

    /// Notes a request of `bytes` bytes that has just [begun](super::Asking::begin), if calls are
    /// recorded.
    #[inline]
    pub(crate) fn note_call(
        &mut self,
        client: PeerId,
        service: PeerId,
        uid: &Uid<'_>,
        attribute: &str,
        bytes: usize,
    ) {
        let Some(calls) = &mut self.calls else { return };
        let attribute = calls.attribute(excerpt(attribute));
        let service = self.services.get_mut(service);
        let requests = service.and_then(|service| service.callers.get_mut(&client));
        if let Some(mut held) = requests.and_then(|requests| requests.find(uid.as_bytes())) {
            held.note(NotedCall {
                attribute,
                bytes: bytes as u64,
            });
        }
    }
}
