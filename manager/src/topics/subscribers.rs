//! The subscriptions of all peers.

use std::collections::BTreeSet;
use std::sync::Arc;

use foldhash::HashMap;
use labwire_wire::Topic;

use super::Subscription;
use crate::bounds::{MOST_PATTERNS, MOST_SUBSCRIPTIONS};
use crate::budget::Pool;
use crate::outbox::Outbox;
use crate::refusal::{Refusal, TopicRefusal};
use crate::registry::{Eyes, PeerId, Subject};

/// The subscriptions that each peer may have regardless of others.
const FREE_SUBSCRIPTIONS: usize = 16;

/// The most topics whose receivers are remembered.
const MOST_REMEMBERED: usize = 4_096;

/// The most receivers that are remembered, of all these topics together: a megabyte.
const MOST_REMEMBERED_RECEIVERS: usize = 65_536;

/// The peers that receive the values of a topic, each with its queue, in the order in which they
/// joined.
pub(crate) type Receivers = Arc<[(PeerId, Arc<Outbox>)]>;

/// The subscriptions of all peers, by peer.
#[derive(Debug)]
pub(super) struct Subscribers {
    by_peer: HashMap<PeerId, Subscriber>,
    pool: Pool,
    /// The receivers of the topics of peers that had values lately.
    remembered: Remembered,
    /// Those of the manager's own topics.
    events: Remembered,
}

/// The receivers of topics.
#[derive(Debug, Default)]
struct Remembered {
    topics: HashMap<Topic, Receivers>,
    /// The number of all these receivers.
    receivers: usize,
}

impl Remembered {
    /// Remembers the receivers of a topic, if need be in place of all others.
    fn insert(&mut self, topic: &Topic, receivers: &Receivers) {
        if self.topics.len() >= MOST_REMEMBERED
            || self.receivers + receivers.len() > MOST_REMEMBERED_RECEIVERS
        {
            *self = Self::default();
        }
        self.receivers += receivers.len();
        self.topics.insert(topic.clone(), Arc::clone(receivers));
    }

    /// Forgets the topics for which `is_over` returns `true`. Returns the number of topics before.
    fn forget(&mut self, is_over: impl Fn(&Topic, &Receivers) -> bool) -> usize {
        let before = self.topics.len();
        let count = &mut self.receivers;
        self.topics.retain(|topic, receivers| {
            let is_over = is_over(topic, receivers);
            if is_over {
                *count -= receivers.len();
            }
            !is_over
        });
        before
    }
}

#[derive(Debug)]
struct Subscriber {
    outbox: Arc<Outbox>,
    subscriptions: BTreeSet<Subscription>,
    /// What it may learn of the manager's own topics; `None` for everything.
    eyes: Option<Eyes>,
}

impl Subscriber {
    fn receives(&self, topic: &Topic) -> bool {
        self.subscriptions.iter().any(|own| own.matches(topic))
    }
}

impl Default for Subscribers {
    fn default() -> Self {
        Self {
            by_peer: HashMap::default(),
            pool: Pool::new(MOST_SUBSCRIPTIONS, FREE_SUBSCRIPTIONS),
            remembered: Remembered::default(),
            events: Remembered::default(),
        }
    }
}

impl Subscribers {
    /// Adds a subscription. Returns `false` if the peer has it already, and the number of topics that
    /// it was compared with.
    pub(super) fn add(
        &mut self,
        peer: PeerId,
        outbox: &Arc<Outbox>,
        subscription: Subscription,
    ) -> Result<(bool, usize), Refusal> {
        let had = self.count_of(peer);
        let has_it = |own: &Subscriber| own.subscriptions.contains(&subscription);
        if self.by_peer.get(&peer).is_some_and(has_it) {
            return Ok((false, 0));
        }
        if had >= MOST_PATTERNS || !self.pool.admits(had, 1) {
            return Err(TopicRefusal::TooManySubscriptions { count: had }.into());
        }
        self.pool.add(had, 1);
        let compared = self.forget_receivers(&subscription);
        let own = self.by_peer.entry(peer).or_insert_with(|| Subscriber {
            outbox: Arc::clone(outbox),
            subscriptions: BTreeSet::new(),
            eyes: None,
        });
        own.subscriptions.insert(subscription);
        Ok((true, compared))
    }

    /// Removes a subscription. Returns the number of topics that it was compared with, or `None` if
    /// the peer does not have it.
    pub(super) fn remove(&mut self, peer: PeerId, subscription: &Subscription) -> Option<usize> {
        let own = self.by_peer.get_mut(&peer)?;
        let had = own.subscriptions.len();
        if !own.subscriptions.remove(subscription) {
            return None;
        }
        own.outbox.recall();
        if own.subscriptions.is_empty() {
            self.by_peer.remove(&peer);
        }
        self.pool.subtract(had, 1);
        Some(self.forget_receivers(subscription))
    }

    /// Removes a peer. Returns the number of its subscriptions that the manager's own topics can
    /// match.
    pub(super) fn forget(&mut self, peer: PeerId) -> usize {
        let Some(own) = self.by_peer.remove(&peer) else {
            return 0;
        };
        let had = own.subscriptions.len();
        self.pool.subtract(had, had);
        let receives =
            |receivers: &Receivers| receivers.binary_search_by_key(&peer, |(peer, _)| *peer).is_ok();
        for remembered in [&mut self.remembered, &mut self.events] {
            remembered.forget(|_, receivers| receives(receivers));
        }
        let watching = own.subscriptions.iter().filter(|own| own.can_match_managers());
        watching.count()
    }

    /// Returns whether a peer receives the values of a topic.
    pub(super) fn receives(&self, peer: PeerId, topic: &Topic) -> bool {
        let own = self.by_peer.get(&peer);
        own.is_some_and(|own| own.receives(topic))
    }

    /// Returns the subscriptions of a peer.
    pub(super) fn of(&self, peer: PeerId) -> Vec<Subscription> {
        let own = self.by_peer.get(&peer);
        own.map_or_else(Vec::new, |own| own.subscriptions.iter().cloned().collect())
    }

    /// Restricts what a subscriber learns of the manager's own topics. Does nothing for a peer without
    /// a subscription.
    pub(super) fn set_eyes(&mut self, peer: PeerId, eyes: Option<Eyes>) {
        if let Some(own) = self.by_peer.get_mut(&peer) {
            own.eyes = eyes;
        }
    }

    /// Returns whether a subscriber may learn of an event. `now` is in seconds since 1970.
    pub(super) fn sees(&self, peer: PeerId, subject: Subject<'_>, now: i64) -> bool {
        let eyes = self.by_peer.get(&peer).and_then(|own| own.eyes.as_ref());
        eyes.is_none_or(|eyes| eyes.see(subject, now))
    }

    /// Returns the number of subscriptions of a peer.
    pub(super) fn count_of(&self, peer: PeerId) -> usize {
        self.by_peer.get(&peer).map_or(0, |own| own.subscriptions.len())
    }

    /// Returns the number of subscriptions.
    pub(super) fn count(&self) -> usize {
        self.pool.used()
    }

    /// Forgets the receivers of the topics that match. Returns the number of topics that were
    /// compared.
    fn forget_receivers(&mut self, subscription: &Subscription) -> usize {
        let mut compared = 0;
        if subscription.can_match_managers() {
            compared += self.events.forget(|topic, _| subscription.matches(topic));
        }
        if *subscription != Subscription::Manager {
            compared += self.remembered.forget(|topic, _| subscription.matches(topic));
        }
        compared
    }

    /// Returns the topic of that name, and its receivers, if they are remembered and it does not belong
    /// to the manager.
    pub(super) fn remembered(&self, name: &str) -> Option<(Topic, Receivers)> {
        let (topic, receivers) = self.remembered.topics.get_key_value(name)?;
        Some((topic.clone(), Arc::clone(receivers)))
    }

    /// Returns the receivers of a topic, and the number of subscriptions that were compared.
    pub(super) fn receivers(&mut self, topic: &Topic) -> (Receivers, usize) {
        let remembered = if topic.is_managers() {
            &mut self.events
        } else {
            &mut self.remembered
        };
        if let Some(receivers) = remembered.topics.get(topic) {
            return (Arc::clone(receivers), 0);
        }
        let mut receivers: Vec<_> = self
            .by_peer
            .iter()
            .filter(|(_, own)| own.receives(topic))
            .map(|(peer, own)| (*peer, Arc::clone(&own.outbox)))
            .collect();
        receivers.sort_unstable_by_key(|(peer, _)| *peer);
        let receivers: Receivers = receivers.into();
        remembered.insert(topic, &receivers);
        (receivers, self.count())
    }
}

#[cfg(test)]
mod tests {
    use labwire_wire::TopicPattern;

    use super::*;

    #[test]
    fn the_receivers_that_are_remembered_are_few() {
        let mut subscribers = Subscribers::default();
        let outbox = Outbox::alone(1);
        let all = Subscription::Pattern(TopicPattern::new(">").unwrap());
        for peer in 0..100 {
            let peer = PeerId::sample(peer);
            assert_eq!(subscribers.add(peer, &outbox, all.clone()), Ok((true, 0)));
        }
        for number in 0..1_000 {
            let topic = Topic::new(&format!("a.{number}")).unwrap();
            assert_eq!(subscribers.receivers(&topic).0.len(), 100);
            let remembered: usize = subscribers.remembered.topics.values().map(|all| all.len()).sum();
            assert_eq!(remembered, subscribers.remembered.receivers);
            assert!(remembered <= MOST_REMEMBERED_RECEIVERS);
        }
        subscribers.forget(PeerId::sample(0));
        assert_eq!(subscribers.remembered.receivers, 0);
    }

    #[test]
    fn a_topic_is_found_by_its_name_until_its_receivers_change() {
        let mut subscribers = Subscribers::default();
        let outbox = Outbox::alone(1);
        let (topic, events) = (Topic::new("a.b").unwrap(), Topic::new("manager.left").unwrap());
        assert!(subscribers.remembered("a.b").is_none());
        for topic in [&topic, &events] {
            subscribers.receivers(topic);
        }
        let (found, receivers) = subscribers.remembered("a.b").unwrap();
        assert_eq!((found, receivers.len()), (topic, 0));
        assert!(
            subscribers.remembered("manager.left").is_none(),
            "peers do not publish it"
        );
        let pattern = Subscription::Pattern(TopicPattern::new("a.*").unwrap());
        subscribers.add(PeerId::sample(1), &outbox, pattern).unwrap();
        assert!(subscribers.remembered("a.b").is_none());
    }

    #[test]
    fn who_leaves_is_forgotten_where_it_received_something() {
        let mut subscribers = Subscribers::default();
        let outbox = Outbox::alone(1);
        let topics = ["a", "b"].map(|topic| Topic::new(topic).unwrap());
        for (number, topic) in topics.iter().enumerate() {
            let pattern = Subscription::Pattern(TopicPattern::new(topic.as_str()).unwrap());
            subscribers
                .add(PeerId::sample(number as u64), &outbox, pattern)
                .unwrap();
            assert_eq!(subscribers.receivers(topic).0.len(), 1);
        }
        subscribers.forget(PeerId::sample(0));
        assert_eq!(subscribers.receivers(&topics[1]).1, 0, "it is remembered");
        let (receivers, compared) = subscribers.receivers(&topics[0]);
        assert_eq!((receivers.len(), compared), (0, 1));
    }

    #[test]
    fn a_peer_has_its_share_of_subscriptions_and_others_theirs() {
        let mut subscribers = Subscribers::default();
        let outbox = Outbox::alone(1);
        let mut add = |peer: u64, number: usize| {
            let pattern = TopicPattern::new(&format!("a.{number}")).unwrap();
            subscribers
                .add(PeerId::sample(peer), &outbox, Subscription::Pattern(pattern))
                .is_ok()
        };
        assert_eq!((0..1_000).filter(|number| add(0, *number)).count(), MOST_PATTERNS);
        for peer in 1..100 {
            for number in 0..MOST_PATTERNS {
                add(peer, number);
            }
        }
        // Whoever comes last has what everybody may have.
        assert!((0..FREE_SUBSCRIPTIONS).all(|number| add(1_000, number)));
    }
}
