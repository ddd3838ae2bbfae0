//! What is known of some requests in flight beside their uids: of those with a deadline, of those
//! whose clients want their progress, and of those that were cancelled.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::deadlines::{Deadlines, Expiring};
use super::peers::PeerId;
use super::uid::Uid;
use crate::progress::Latest;

/// The index of a tracked request, counted from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct TrackedId(NonZeroU32);

impl TrackedId {
    fn new(place: usize) -> Option<Self> {
        u32::try_from(place + 1).ok().and_then(NonZeroU32::new).map(Self)
    }

    fn place(self) -> usize {
        self.0.get() as usize - 1
    }
}

/// A request in flight of which more is known than its uid.
#[derive(Debug)]
pub(super) struct TrackedRequest {
    pub(super) client: PeerId,
    pub(super) service: PeerId,
    pub(super) uid: Uid,
    /// When it ends, and how long it may take.
    pub(super) deadline: Option<(Instant, Duration)>,
    /// Whether its client wants its progress and its items.
    pub(super) listens: bool,
    /// Whether its service was asked to stop.
    pub(super) is_cancelled: bool,
    pub(super) progress: Option<Arc<Latest>>,
}

impl TrackedRequest {
    pub(super) fn new(client: PeerId, service: PeerId, uid: &[u8]) -> Self {
        Self {
            client,
            service,
            uid: uid.into(),
            deadline: None,
            listens: false,
            is_cancelled: false,
            progress: None,
        }
    }
}

/// All tracked requests.
#[derive(Debug, Default)]
pub(super) struct Tracked {
    places: Vec<Option<TrackedRequest>>,
    /// The free indices.
    free: Vec<TrackedId>,
}

impl Tracked {
    /// Adds a request. Returns `None` if there are more than four billion.
    pub(super) fn insert(&mut self, request: TrackedRequest) -> Option<TrackedId> {
        let id = match self.free.pop() {
            Some(id) => id,
            None => TrackedId::new(self.places.len())?,
        };
        match self.places.get_mut(id.place()) {
            Some(free) => *free = Some(request),
            None => self.places.push(Some(request)),
        }
        Some(id)
    }

    pub(super) fn get(&self, id: TrackedId) -> Option<&TrackedRequest> {
        self.places.get(id.place())?.as_ref()
    }

    pub(super) fn get_mut(&mut self, id: TrackedId) -> Option<&mut TrackedRequest> {
        self.places.get_mut(id.place())?.as_mut()
    }

    /// Removes a request that has ended, and its deadline. Returns whether it was cancelled.
    pub(super) fn remove(&mut self, id: TrackedId, deadlines: &mut Deadlines) -> bool {
        let Some(request) = self.places.get_mut(id.place()).and_then(Option::take) else {
            return false;
        };
        self.free.push(id);
        if let Some((deadline, _)) = request.deadline {
            deadlines.remove(Some(deadline), Expiring::Request(id));
        }
        request.is_cancelled
    }

    #[cfg(any(test, feature = "fuzzing"))]
    pub(super) fn iter(&self) -> impl Iterator<Item = &TrackedRequest> {
        self.places.iter().flatten()
    }
}
