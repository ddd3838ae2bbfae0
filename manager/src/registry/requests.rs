//! The requests of one client that one service holds.

use std::sync::Arc;

use hashbrown::hash_table::OccupiedEntry;
use labwire_record::CallSeries;

use super::deadlines::Deadlines;
use super::noted_calls::{CallLog, Noted};
use super::peers::PeerId;
use super::tracked::{Tracked, TrackedId};
use super::traffic::Answered;
use super::uids::{IntoIter, Same, Uids};
use crate::buffers;

/// The number of empty places at which they are removed. Below it, a client that has one request in
/// flight at a time reuses its place.
const EMPTY_PLACES: usize = 1_024;

/// The peak number of requests for which a place counts as one more empty place, for its memory.
const REQUESTS_PER_PLACE: usize = 64;

/// The most requests that are freed on this thread: that takes some 50 microseconds.
const KEPT_HERE: usize = 8 * 1_024;

/// The requests of one client that one service holds.
#[derive(Debug, Default)]
pub(super) struct Requests {
    /// The number of requests with each uid: nearly always one. People at terminals send every
    /// request with the empty uid.
    by_uid: Uids,
    count: usize,
    /// The length of all uids in bytes, without quotes.
    bytes: usize,
    /// The largest count since the place was last examined.
    peak: usize,
    /// Its weight in the list of [`EmptyPlaces`]; 0 if it is not in the list.
    listed: usize,
    /// The number of uids that are [tracked](super::tracked).
    tracked: usize,
    /// The series of the last call that was noted for the record.
    last_series: Option<Arc<CallSeries>>,
}

impl Requests {
    /// Returns the number of requests.
    #[inline]
    pub(super) fn count(&self) -> usize {
        self.count
    }

    /// Adds a request, forwarded at `begun`, in microseconds since the manager started, with what is
    /// `noted` of it for the record.
    #[inline]
    pub(super) fn add(&mut self, uid: &[u8], begun: u64, noted: Noted) {
        self.by_uid.add(uid, begun, noted);
        self.count += 1;
        self.bytes += uid.len();
        self.peak = self.peak.max(self.count);
    }

    /// Returns the series of the last call that was noted for the record.
    pub(super) fn last_series(&mut self) -> &mut Option<Arc<CallSeries>> {
        &mut self.last_series
    }

    /// Returns the length of all uids in bytes, without quotes.
    pub(super) fn uid_bytes(&self) -> usize {
        self.bytes
    }

    /// Returns whether there is a request with that uid.
    pub(super) fn contains(&self, uid: &labwire_wire::Uid<'_>) -> bool {
        self.by_uid.contains(uid.as_bytes())
    }

    /// As [`contains`](Self::contains), for the bytes of a uid.
    pub(super) fn holds(&self, uid: &[u8]) -> bool {
        self.by_uid.contains(uid)
    }

    /// Returns the uids.
    pub(super) fn uids(&self) -> impl Iterator<Item = labwire_wire::Uid<'_>> {
        self.by_uid.iter().map(|same| same.uid.get())
    }

    /// Returns the uid of each request.
    pub(super) fn each_uid(&self) -> impl Iterator<Item = labwire_wire::Uid<'_>> {
        let same = self.by_uid.iter();
        same.flat_map(|same| std::iter::repeat_n(same.uid.get(), same.count as usize))
    }

    /// Returns when the oldest of the first `most` requests was forwarded, in microseconds since the
    /// manager started. `None` if there are none.
    pub(super) fn oldest(&self, most: usize) -> Option<u64> {
        self.by_uid.iter().take(most).map(|same| same.begun).min()
    }

    /// Returns the uids, each with its number of requests.
    pub(super) fn into_uids(self) -> IntoIter {
        self.by_uid.into_iter()
    }

    /// Frees them; many of them on another thread.
    pub(super) fn discard(self) {
        if self.by_uid.capacity() > KEPT_HERE {
            buffers::discard(self);
        }
    }

    /// Marks a place that holds requests as no longer listed. Returns whether it holds requests.
    pub(super) fn unlist(&mut self) -> bool {
        if self.count > 0 {
            self.peak = self.count;
            self.listed = 0;
        }
        self.count > 0
    }

    /// Returns how many requests there are with that uid, and the tracking of them.
    pub(super) fn same(&mut self, uid: &[u8]) -> Option<(u32, Option<TrackedId>)> {
        let same = self.by_uid.find(uid)?;
        Some((same.get().count, same.get().tracked))
    }

    /// Records the tracking of the requests with that uid.
    pub(super) fn track(&mut self, uid: &[u8], id: TrackedId) {
        if let Some(mut same) = self.by_uid.find(uid) {
            same.get_mut().tracked = Some(id);
            self.tracked += 1;
        }
    }

    /// Ends the tracking of all. With `forget_cancelled`, forgets the requests that were cancelled.
    pub(super) fn untrack(
        &mut self,
        tracked: &mut Tracked,
        deadlines: &mut Deadlines,
        forget_cancelled: bool,
    ) {
        if self.tracked == 0 {
            return;
        }
        self.tracked = 0;
        for same in self.by_uid.iter_mut() {
            if let Some(id) = same.tracked.take()
                && tracked.remove(id, deadlines)
                && forget_cancelled
            {
                same.count = 0;
            }
        }
    }

    /// Moves a request with that uid to others. Returns whether there was one.
    pub(super) fn move_to(&mut self, others: &mut Self, uid: &[u8]) -> bool {
        let Some(mut found) = self.by_uid.find(uid) else {
            return false;
        };
        let same = found.get_mut();
        let noted = same.noted.take(same.begun);
        others.add(uid, same.begun, Noted::from(noted));
        if same.count > 1 {
            same.count -= 1;
        } else {
            if let Some(id) = same.tracked {
                others.track(uid, id);
                self.tracked -= 1;
            }
            found.remove();
        }
        self.count -= 1;
        self.bytes -= uid.len();
        true
    }

    /// Returns the bytes of the uid of each request.
    pub(super) fn each(&self) -> impl Iterator<Item = &[u8]> {
        let same = self.by_uid.iter();
        same.flat_map(|same| std::iter::repeat_n(same.uid.as_bytes(), same.count as usize))
    }

    /// Finds a request by its uid.
    #[inline]
    pub(super) fn find(&mut self, uid: &[u8]) -> Option<HeldRequest<'_>> {
        Some(HeldRequest {
            same: self.by_uid.find(uid)?,
            count: &mut self.count,
            bytes: &mut self.bytes,
            peak: self.peak,
            listed: &mut self.listed,
            tracked: &mut self.tracked,
        })
    }
}

/// A request that a service holds.
#[derive(Debug)]
pub(super) struct HeldRequest<'a> {
    /// The entry of its uid.
    same: OccupiedEntry<'a, Same>,
    count: &'a mut usize,
    bytes: &'a mut usize,
    peak: usize,
    listed: &'a mut usize,
    tracked: &'a mut usize,
}

impl HeldRequest<'_> {
    /// Returns the request's uid.
    pub(super) fn uid(&self) -> labwire_wire::Uid<'_> {
        self.same.get().uid.get()
    }

    /// Returns when the request was forwarded, in microseconds since the manager started.
    #[inline]
    pub(super) fn begun(&self) -> u64 {
        self.same.get().begun
    }

    /// Adds to the size of what is noted of it, in bytes: those of its reply, or of the request itself.
    pub(super) fn add_noted_bytes(&mut self, bytes: usize, is_reply: bool) {
        let same = self.same.get_mut();
        same.noted.add_bytes(bytes, is_reply, same.begun);
    }

    /// Records that it was answered.
    // Kept out of its caller, which each reply passes, also in managers that record no calls.
    #[inline(never)]
    pub(super) fn record(&mut self, calls: &CallLog, answered: Answered) {
        let same = self.same.get_mut();
        if let Some(noted) = same.noted.take(same.begun) {
            calls.answered(noted, answered);
        }
    }

    /// Returns the tracking of the requests with this uid.
    #[inline]
    pub(super) fn tracked(&self) -> Option<TrackedId> {
        self.same.get().tracked
    }

    /// Removes the request. `place` is its service and its client. Returns the tracking that ends
    /// with it.
    #[inline]
    pub(super) fn end(mut self, place: (PeerId, PeerId), empty: &mut EmptyPlaces) -> Option<TrackedId> {
        let mut ended = None;
        let same = self.same.get_mut();
        *self.bytes -= same.uid.as_bytes().len();
        if same.count > 1 {
            same.count -= 1;
        } else {
            ended = same.tracked;
            *self.tracked -= usize::from(ended.is_some());
            self.same.remove();
        }
        *self.count -= 1;
        if *self.count == 0 {
            empty.add(place, self.peak, self.listed);
        }
        ended
    }
}

/// Places that held no request when they were added, by service and client.
///
/// A client that sends its next request after the last reply reuses its place. All empty places are
/// removed once there are many.
#[derive(Debug, Default)]
pub(super) struct EmptyPlaces {
    places: Vec<(PeerId, PeerId)>,
    /// The number of places, weighted by the memory that each may have.
    weight: usize,
}

impl EmptyPlaces {
    #[inline]
    fn add(&mut self, place: (PeerId, PeerId), peak: usize, listed: &mut usize) {
        let weight = 1 + peak / REQUESTS_PER_PLACE;
        if weight > *listed {
            if *listed == 0 {
                self.places.push(place);
            }
            self.weight += weight - *listed;
            *listed = weight;
        }
    }

    /// Takes all places.
    pub(super) fn take(&mut self) -> Vec<(PeerId, PeerId)> {
        self.weight = 0;
        std::mem::take(&mut self.places)
    }

    /// Returns whether to [remove](super::Registry::remove_empty_places) them.
    #[inline]
    pub(super) fn are_many(&self) -> bool {
        self.weight >= EMPTY_PLACES
    }
}

#[cfg(any(test, feature = "fuzzing"))]
impl Requests {
    /// Returns an inconsistency, if there is one.
    pub(super) fn contradiction(&self) -> Option<String> {
        let counted: usize = self.by_uid.iter().map(|same| same.count as usize).sum();
        (counted != self.count || self.by_uid.iter().any(|same| same.count == 0))
            .then(|| format!("{counted} requests by uid, and {} counted", self.count))
    }
}

#[cfg(test)]
impl EmptyPlaces {
    /// Returns the number of listed places.
    pub(super) fn len(&self) -> usize {
        self.places.len()
    }
}
