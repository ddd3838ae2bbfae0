//! The requests that a service has not answered yet.

use std::collections::HashMap;

use labwire_wire::{Envelope, Line, Member, RawString, Uid, array_elements, as_string};
use tracing::info;

use crate::cancellation::CancelCause;
use crate::request::Request;

/// The attribute by which the manager asks to stop a request.
const CANCEL: &str = "cancel";

/// The keyword arguments of the manager's request to stop.
#[derive(Default, serde::Deserialize)]
struct Why {
    cause: Option<String>,
    reason: Option<String>,
}

/// The requests that a service has not answered yet, by their numbers. They are found by client and
/// uid only when one is to be stopped.
#[derive(Default)]
pub(crate) struct Held(HashMap<usize, Request>);

impl Held {
    pub(crate) fn add(&mut self, request: &Request) {
        self.0.insert(request.number(), request.clone());
    }

    /// Removes a request that is answered.
    pub(crate) fn remove(&mut self, request: &Request) {
        self.0.remove(&request.number());
    }

    /// Asks all methods to stop: the connection is lost.
    pub(crate) fn cancel_all(&self) {
        for request in self.0.values() {
            request.stop().set(CancelCause::Disconnected);
        }
    }

    /// Handles a frame of the manager that asks to stop a request. Returns `false` if it is another
    /// one.
    pub(crate) fn cancel(&self, line: &Line, envelope: &Envelope) -> bool {
        let content = line.content();
        if !envelope.is_string(content, Member::Attribute, CANCEL)
            || !envelope.is_string(content, Member::Uid, "")
        {
            return false;
        }
        let arguments = envelope
            .raw(content, Member::Args)
            .and_then(|args| array_elements(args).ok());
        let Some([requester, uid]) = arguments.as_deref() else {
            return false;
        };
        let requester = as_string(requester).and_then(RawString::decode);
        let (Some(requester), Some(uid)) = (requester, Uid::from_json(uid)) else {
            return false;
        };
        let why = envelope.raw(content, Member::Kwargs);
        let why: Why = why
            .and_then(|why| serde_json::from_slice(why).ok())
            .unwrap_or_default();
        let cause = match why.cause.as_deref() {
            Some("deadline") => CancelCause::Deadline,
            Some("disconnected") => CancelCause::Disconnected,
            _ => CancelCause::Client(why.reason.map(Into::into)),
        };
        let is_meant = |request: &&Request| *request.typed_uid() == uid && request.requester() == requester;
        for request in self.0.values().filter(is_meant) {
            info!("stop {} of {}, {cause}", request.attribute(), request.requester());
            request.stop().set(cause.clone());
        }
        true
    }
}
