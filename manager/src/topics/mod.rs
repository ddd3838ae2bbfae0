//! Topics: who has subscribed to which, and the values that are kept for later subscribers.
//!
//! It has a lock of its own, which is taken after the registry's. Peers appear only by id and
//! queue, so that services and clients subscribe in the same way.

mod departed;
mod frame;
mod retained;
mod subscribers;

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use labwire_wire::{MANAGERS_TOPICS, Topic, TopicPattern};
use serde_json::Value;

use crate::counters::Counters;
use crate::outbox::{Deferred, FrameWriter, Outbox};
use crate::refusal::Refusal;
use crate::registry::{Eyes, PeerId, Subject};
use crate::work::{BYTES_PER_WORK, COMPARED_PER_WORK, EVENT_WORK, QUEUES_PER_WORK};

pub(crate) use frame::topic_frame;
pub(crate) use subscribers::Receivers;

use retained::Retained;
use subscribers::Subscribers;

/// The pattern of the topics that a link with the manager subscribes to.
pub(crate) const MANAGERS_EVENTS: &str = "manager.>";

/// The topic of requests that need approval.
pub(crate) const APPROVALS: &str = "manager.approval";

/// How many kept values are written at once; more of them when the queue of the subscriber comes to them.
const WRITTEN_AT_ONCE: usize = 64;

/// Kept values on their way to a subscriber, of which there may be thousands.
#[derive(Debug)]
struct KeptFrames(std::vec::IntoIter<Bytes>);

impl Deferred for KeptFrames {
    fn write(&mut self, writer: &mut FrameWriter<'_>) -> bool {
        for frame in self.0.by_ref().take(WRITTEN_AT_ONCE) {
            // A peer that does not read may subscribe to all of them, and so may many.
            writer.referenced(&frame);
        }
        !self.0.as_slice().is_empty()
    }
}

/// The subscriptions of all peers, and the values that are kept.
#[derive(Debug, Default)]
pub(crate) struct Topics {
    state: Mutex<State>,
    /// The number of subscriptions that the manager's own topics can match. While there is none, an
    /// event costs one load.
    watching: AtomicUsize,
    /// Whether what some subscribers learn of the manager's own topics has been restricted.
    is_restricted: AtomicBool,
}

#[derive(Debug, Default)]
struct State {
    subscribers: Subscribers,
    retained: Retained,
}

/// What a peer subscribes to.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Subscription {
    /// The topics that match.
    Pattern(TopicPattern),
    /// All of the manager's own topics: for a client that links with the manager.
    Manager,
}

impl Subscription {
    /// Returns the pattern of topics for which the permission is needed.
    pub(crate) fn needed(&self) -> &str {
        match self {
            Self::Pattern(pattern) => pattern.as_str(),
            Self::Manager => MANAGERS_EVENTS,
        }
    }

    fn matches(&self, topic: &Topic) -> bool {
        match self {
            Self::Pattern(pattern) => pattern.matches(topic),
            Self::Manager => topic.is_managers(),
        }
    }

    fn can_match_managers(&self) -> bool {
        match self {
            Self::Pattern(pattern) => pattern.can_match_managers(),
            Self::Manager => true,
        }
    }
}

impl Topics {
    fn state(&self) -> MutexGuard<'_, State> {
        // No code that can panic runs under this lock, so the state is consistent.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a subscription of the peer with that queue, unless it has it, and queues the kept values
    /// that match it. Returns the [work](crate::work).
    ///
    /// # Errors
    /// The peer has as many subscriptions as it may, or more than its share of all.
    pub(crate) fn subscribe(
        &self,
        peer: PeerId,
        outbox: &Arc<Outbox>,
        subscription: Subscription,
    ) -> Result<usize, Refusal> {
        let mut state = self.state();
        let watches = usize::from(subscription.can_match_managers());
        let matching = subscription.clone();
        let (is_new, mut compared) = state.subscribers.add(peer, outbox, subscription)?;
        if is_new {
            self.watching.fetch_add(watches, Ordering::Relaxed);
        }
        // No value of the manager is kept.
        let Subscription::Pattern(pattern) = matching else {
            return Ok(compared / COMPARED_PER_WORK);
        };
        let (frames, of_kept) = state.retained.matching(&pattern);
        compared += of_kept;
        let bytes = frames.iter().map(Bytes::len).sum();
        let work = compared / COMPARED_PER_WORK + bytes / BYTES_PER_WORK + frames.len();
        let fits_at_once = frames.len() <= WRITTEN_AT_ONCE;
        let mut frames = KeptFrames(frames.into_iter());
        if fits_at_once {
            outbox.push_always(|writer| {
                frames.write(writer);
            });
        } else {
            outbox.push_deferred(bytes, Box::new(frames));
        }
        Ok(work)
    }

    /// Removes a subscription. Returns the [work](crate::work), or `None` if the peer does not have
    /// it.
    pub(crate) fn unsubscribe(&self, peer: PeerId, subscription: &Subscription) -> Option<usize> {
        let compared = self.state().subscribers.remove(peer, subscription)?;
        let watched = usize::from(subscription.can_match_managers());
        self.watching.fetch_sub(watched, Ordering::Relaxed);
        Some(compared / COMPARED_PER_WORK)
    }

    /// Removes all subscriptions of a peer that has left. What it retained stays as long as there is
    /// room.
    pub(crate) fn forget(&self, peer: PeerId) {
        let mut state = self.state();
        state.retained.forget_sender(peer);
        let watched = state.subscribers.forget(peer);
        self.watching.fetch_sub(watched, Ordering::Relaxed);
    }

    /// Returns the subscriptions of a peer.
    pub(crate) fn of(&self, peer: PeerId) -> Vec<Subscription> {
        self.state().subscribers.of(peer)
    }

    /// Restricts what a subscriber learns of the manager's own topics; with `None` not at all.
    pub(crate) fn set_eyes(&self, peer: PeerId, eyes: Option<Eyes>) {
        if eyes.is_some() {
            self.is_restricted.store(true, Ordering::Relaxed);
        }
        self.state().subscribers.set_eyes(peer, eyes);
    }

    /// Returns the number of a peer's subscriptions.
    pub(crate) fn subscriptions_of(&self, peer: PeerId) -> usize {
        self.state().subscribers.count_of(peer)
    }

    /// Returns whether a peer has a subscription that matches the topic.
    pub(crate) fn receives(&self, peer: PeerId, topic: &Topic) -> bool {
        self.state().subscribers.receives(peer, topic)
    }

    /// Returns the topic of peers that has this name, and its receivers, if a value of it was delivered
    /// lately. The name was checked then.
    pub(crate) fn remembered(&self, name: &str) -> Option<(Topic, Receivers)> {
        self.state().subscribers.remembered(name)
    }

    /// Returns the peers that receive a value of that topic, and the [work](crate::work) of finding
    /// them.
    pub(crate) fn receivers(&self, topic: &Topic) -> (Receivers, usize) {
        let (receivers, compared) = self.state().subscribers.receivers(topic);
        (receivers, compared / COMPARED_PER_WORK)
    }

    /// Returns whether a peer has a subscription that the manager's own topics can match.
    pub(crate) fn are_events_watched(&self) -> bool {
        self.watching.load(Ordering::Relaxed) > 0
    }

    /// Keeps a frame of a sender for later subscribers to its topic, or with `None` what is kept no
    /// longer. Returns the [work](crate::work) of removing values that make room.
    ///
    /// # Errors
    /// There is no room for it, or the sender has more than its share.
    pub(crate) fn retain(
        &self,
        topic: &Topic,
        sender: PeerId,
        frame: Option<Bytes>,
    ) -> Result<usize, Refusal> {
        self.state().retained.replace(topic, sender, frame)
    }

    /// Sends a value of one of the manager's own topics, `manager.` and the name of the event, to those
    /// of its subscribers who may learn of its subject at the present, in seconds since 1970. One that does not read loses it: the manager cannot wait for a queue. Returns the
    /// [work](crate::work).
    pub(crate) fn emit(
        &self,
        event: &str,
        (subject, now): (Subject<'_>, i64),
        manager: &str,
        counters: &Counters,
        value: impl FnOnce() -> Value,
    ) -> usize {
        if !self.are_events_watched() {
            return 0;
        }
        let Ok(topic) = Topic::new(&format!("{MANAGERS_TOPICS}.{event}")) else {
            return 0;
        };
        let (receivers, work) = self.receivers(&topic);
        if receivers.is_empty() {
            return work;
        }
        let state = self.is_restricted.load(Ordering::Relaxed).then(|| self.state());
        let sees = |peer| {
            let subscribers = state.as_ref().map(|state| &state.subscribers);
            subscribers.is_none_or(|subscribers| subscribers.sees(peer, subject, now))
        };
        let mut seeing = receivers.iter().filter(|(peer, _)| sees(*peer)).peekable();
        if seeing.peek().is_none() {
            return work + receivers.len() / QUEUES_PER_WORK;
        }
        let frame = topic_frame(&topic, value().to_string().as_bytes(), manager, false);
        let mut queued = 0;
        for (_, outbox) in seeing {
            if outbox.is_filling() {
                Counters::count(&counters.events_left_out);
            } else {
                outbox.push_always(|writer| writer.shared(&frame));
                Counters::count(&counters.deliveries);
                queued += 1;
            }
        }
        1 + work + receivers.len() / QUEUES_PER_WORK + queued * EVENT_WORK
    }

    /// Returns the numbers of subscriptions, of kept values, and of their bytes.
    pub(crate) fn sizes(&self) -> [usize; 3] {
        let state = self.state();
        let [values, bytes] = state.retained.sizes();
        [state.subscribers.count(), values, bytes]
    }
}

#[cfg(test)]
mod tests {
    use labwire_wire::TopicPattern;
    use serde_json::json;

    use super::*;

    const ANY: (Subject<'_>, i64) = (Subject::Peer("a[h:1]"), 0);

    fn topic(name: &str) -> Topic {
        Topic::new(name).unwrap()
    }

    fn pattern(pattern: &str) -> Subscription {
        Subscription::Pattern(TopicPattern::new(pattern).unwrap())
    }

    #[tokio::test]
    async fn a_subscriber_gets_what_is_kept_and_each_value_once() {
        let topics = Topics::default();
        let frame = |value: &str| topic_frame(&topic("lab.oven"), value.as_bytes(), "a[h:1]", true);
        topics
            .retain(&topic("lab.oven"), PeerId::default(), Some(frame("1.10")))
            .unwrap();
        topics
            .retain(&topic("lab.oven"), PeerId::default(), Some(frame("2.20")))
            .unwrap();
        let outbox = Outbox::alone(10_000);
        let peer = PeerId::default();
        topics.subscribe(peer, &outbox, pattern("lab.*")).unwrap();
        topics.subscribe(peer, &outbox, pattern("lab.*")).unwrap();
        assert_eq!(topics.sizes()[0], 1, "it has it");
        // What matches a second subscription is kept for that one, too.
        topics.subscribe(peer, &outbox, pattern(">")).unwrap();
        assert_eq!(topics.receivers(&topic("lab.oven")).0.len(), 1);
        assert_eq!(topics.receivers(&topic("other")).0.len(), 1);
        assert_eq!(topics.unsubscribe(peer, &pattern(">")), Some(0));
        assert_eq!(topics.unsubscribe(peer, &pattern(">")), None);
        assert_eq!(topics.receivers(&topic("other")).0.len(), 0);
        topics
            .retain(&topic("lab.oven"), PeerId::default(), None)
            .unwrap();
        assert_eq!(topics.sizes(), [1, 0, 0]);
        topics.forget(peer);
        assert!(!topics.receives(peer, &topic("lab.oven")));
        assert_eq!(topics.sizes(), [0; 3]);
        assert_eq!(topics.receivers(&topic("lab.oven")).0.len(), 0);
        let expected = concat!(
            r#"{"error":false,"result":[["lab.oven",2.20],{"retained":true,"sender":"a[h:1]"}],"#,
            r#""service":"Manager","uid":"notification"}"#,
            "\r\n"
        );
        assert_eq!(outbox.close_and_read().await, expected.repeat(3));
    }

    #[tokio::test]
    async fn a_kept_value_is_not_copied_for_a_subscriber() {
        let topics = Topics::default();
        let frame = topic_frame(&topic("lab.oven"), b"1", "a[h:1]", true);
        topics
            .retain(&topic("lab.oven"), PeerId::default(), Some(frame.clone()))
            .unwrap();
        let outbox = Outbox::alone(10_000);
        topics
            .subscribe(PeerId::default(), &outbox, pattern(">"))
            .unwrap();
        topics
            .retain(&topic("lab.oven"), PeerId::default(), None)
            .unwrap();
        assert!(!frame.is_unique(), "the queue has it");
        drop(outbox);
        drop(topics);
        assert!(frame.is_unique());
    }

    #[tokio::test]
    async fn a_subscriber_gets_thousands_of_kept_values_in_their_order() {
        let topics = Topics::default();
        let mut expected = String::new();
        for number in 1_000..3_000 {
            let topic = topic(&format!("a.{number}"));
            let frame = topic_frame(&topic, b"1", "a[h:1]", true);
            expected += std::str::from_utf8(&frame).unwrap();
            topics.retain(&topic, PeerId::default(), Some(frame)).unwrap();
        }
        let outbox = Outbox::alone(10_000);
        let work = topics
            .subscribe(PeerId::default(), &outbox, pattern("a.*"))
            .unwrap();
        assert!(work > 2_000, "{work}");
        assert_eq!(outbox.queued(), expected.len());
        outbox.push_always(|writer| writer.copied(b"behind"));
        assert_eq!(outbox.close_and_read().await, expected + "behind");
    }

    #[test]
    fn who_links_with_the_manager_is_compared_with_no_value_of_others() {
        let topics = Topics::default();
        let (peer, outbox) = (PeerId::sample(1), Outbox::alone(10_000));
        for number in 0..1_000 {
            let topic = topic(&format!("a.{number}"));
            let frame = topic_frame(&topic, b"1", "a[h:1]", true);
            topics.retain(&topic, peer, Some(frame)).unwrap();
            topics.receivers(&topic);
        }
        for work in [0, 0] {
            assert_eq!(topics.subscribe(peer, &outbox, Subscription::Manager), Ok(work));
        }
        assert_eq!(topics.unsubscribe(peer, &Subscription::Manager), Some(0));
        let compared = 2_000 / COMPARED_PER_WORK;
        assert_eq!(topics.subscribe(peer, &outbox, pattern("*.b")), Ok(compared));
        let again = topics.subscribe(peer, &outbox, pattern("*.b"));
        assert_eq!(again, Ok(compared / 2), "it has it");
        assert_eq!(topics.unsubscribe(peer, &pattern("*.b")), Some(compared / 2));
        // Of the values that are kept, those are compared that begin as the pattern does.
        for (text, kept) in [("b.*", 0), ("a.99.>", 0), ("a.99", 11)] {
            let subscribed = topics.subscribe(peer, &outbox, pattern(text));
            let matching = usize::from(text == "a.99");
            let expected = (1_000 + kept) / COMPARED_PER_WORK + matching;
            assert_eq!(subscribed, Ok(expected), "{text}");
            topics.unsubscribe(peer, &pattern(text)).unwrap();
        }
    }

    #[tokio::test]
    async fn a_watcher_that_does_not_read_keeps_room_for_others() {
        let (topics, counters) = (Topics::default(), Counters::default());
        let outbox = Outbox::alone(100_000);
        topics
            .subscribe(PeerId::sample(1), &outbox, Subscription::Manager)
            .unwrap();
        for _ in 0..1_000 {
            let work = topics.emit(
                "left",
                ANY,
                "Manager[h:1]",
                &counters,
                || json!({"name": "a[h:1]"}),
            );
            assert!(work > 0);
        }
        assert!(counters.events_left_out.load(Ordering::Relaxed) > 0);
        assert!((10_000..30_000).contains(&outbox.queued()), "{}", outbox.queued());
    }

    #[tokio::test]
    async fn an_event_reaches_those_who_watch_the_manager_and_never_waits() {
        let (topics, counters) = (Topics::default(), Counters::default());
        let emit = |event: &str| {
            let _ = topics.emit(event, ANY, "Manager[h:1]", &counters, || json!({"a": 1}));
        };
        let (watcher, other, slow) = (Outbox::alone(10_000), Outbox::alone(10_000), Outbox::alone(10));
        let peers = [1, 2, 3].map(PeerId::sample);
        emit("joined");
        topics
            .subscribe(peers[0], &watcher, Subscription::Manager)
            .unwrap();
        topics.subscribe(peers[1], &other, pattern("lab.>")).unwrap();
        topics.subscribe(peers[2], &slow, pattern(">")).unwrap();
        emit("left");
        emit("linked");
        topics.forget(peers[0]);
        topics.forget(peers[2]);
        emit("left");
        let received = watcher.close_and_read().await;
        assert_eq!(received.matches("manager.left").count(), 1, "{received}");
        assert!(
            received.contains(r#"[["manager.linked",{"a":1}],{"retained":false,"sender":"Manager[h:1]"}]"#)
        );
        assert_eq!(other.close_and_read().await, "");
        assert_eq!(slow.close_and_read().await.matches("manager").count(), 1);
        assert_eq!(counters.events_left_out.load(Ordering::Relaxed), 1);
    }
}
