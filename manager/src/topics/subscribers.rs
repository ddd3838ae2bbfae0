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
use crate::registry::PeerId;

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
    /// The receivers of the topics that had values lately.
    remembered: HashMap<Topic, Receivers>,
    /// The number of all these receivers, or more.
    remembered_receivers: usize,
}

#[derive(Debug)]
struct Subscriber {
    outbox: Arc<Outbox>,
    subscriptions: BTreeSet<Subscription>,
}

impl Default for Subscribers {
    fn default() -> Self {
        Self {
            by_peer: HashMap::default(),
            pool: Pool::new(MOST_SUBSCRIPTIONS, FREE_SUBSCRIPTIONS),
            remembered: HashMap::default(),
            remembered_receivers: 0,
        }
    }
}

impl Subscribers {
    /// Adds a subscription. Returns `false` if the peer has it already.
    pub(super) fn add(
        &mut self,
        peer: PeerId,
        outbox: &Arc<Outbox>,
        subscription: Subscription,
    ) -> Result<bool, Refusal> {
        let had = self.by_peer.get(&peer).map_or(0, |own| own.subscriptions.len());
        let has_it = |own: &Subscriber| own.subscriptions.contains(&subscription);
        if self.by_peer.get(&peer).is_some_and(has_it) {
            return Ok(false);
        }
        if had >= MOST_PATTERNS || !self.pool.admits(had, 1) {
            return Err(TopicRefusal::TooManySubscriptions { count: had }.into());
        }
        self.pool.add(had, 1);
        self.forget_receivers(&subscription);
        let own = self.by_peer.entry(peer).or_insert_with(|| Subscriber {
            outbox: Arc::clone(outbox),
            subscriptions: BTreeSet::new(),
        });
        own.subscriptions.insert(subscription);
        Ok(true)
    }

    /// Removes a subscription. Returns `false` if the peer does not have it.
    pub(super) fn remove(&mut self, peer: PeerId, subscription: &Subscription) -> bool {
        let Some(own) = self.by_peer.get_mut(&peer) else {
            return false;
        };
        let had = own.subscriptions.len();
        if !own.subscriptions.remove(subscription) {
            return false;
        }
        if own.subscriptions.is_empty() {
            self.by_peer.remove(&peer);
        }
        self.pool.subtract(had, 1);
        self.forget_receivers(subscription);
        true
    }

    /// Removes a peer. Returns the number of its subscriptions that the manager's own topics can
    /// match.
    pub(super) fn forget(&mut self, peer: PeerId) -> usize {
        let Some(own) = self.by_peer.remove(&peer) else {
            return 0;
        };
        let had = own.subscriptions.len();
        self.pool.subtract(had, had);
        // Comparing each with each of its subscriptions would take longer than finding them again.
        self.forget_all_receivers();
        let watching = own.subscriptions.iter().filter(|own| own.can_match_managers());
        watching.count()
    }

    pub(super) fn contains(&self, peer: PeerId) -> bool {
        self.by_peer.contains_key(&peer)
    }

    /// Returns the number of subscriptions.
    pub(super) fn count(&self) -> usize {
        self.pool.used()
    }

    /// Returns the number of topics whose receivers are remembered.
    pub(super) fn remembered(&self) -> usize {
        self.remembered.len()
    }

    fn forget_all_receivers(&mut self) {
        self.remembered.clear();
        self.remembered_receivers = 0;
    }

    /// Forgets the receivers of the topics that match.
    fn forget_receivers(&mut self, subscription: &Subscription) {
        self.remembered.retain(|topic, _| !subscription.matches(topic));
    }

    /// Returns the receivers of a topic, and the number of subscriptions that were compared.
    pub(super) fn receivers(&mut self, topic: &Topic) -> (Receivers, usize) {
        if let Some(receivers) = self.remembered.get(topic) {
            return (Arc::clone(receivers), 0);
        }
        let matches = |own: &Subscriber| own.subscriptions.iter().any(|own| own.matches(topic));
        let mut receivers: Vec<_> = self
            .by_peer
            .iter()
            .filter(|(_, own)| matches(own))
            .map(|(peer, own)| (*peer, Arc::clone(&own.outbox)))
            .collect();
        receivers.sort_unstable_by_key(|(peer, _)| *peer);
        let receivers: Receivers = receivers.into();
        if self.remembered.len() >= MOST_REMEMBERED
            || self.remembered_receivers + receivers.len() > MOST_REMEMBERED_RECEIVERS
        {
            self.forget_all_receivers();
        }
        self.remembered_receivers += receivers.len();
        self.remembered.insert(topic.clone(), Arc::clone(&receivers));
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
            assert_eq!(subscribers.add(peer, &outbox, all.clone()), Ok(true));
        }
        for number in 0..1_000 {
            let topic = Topic::new(&format!("a.{number}")).unwrap();
            assert_eq!(subscribers.receivers(&topic).0.len(), 100);
            let remembered: usize = subscribers.remembered.values().map(|all| all.len()).sum();
            assert_eq!(remembered, subscribers.remembered_receivers);
            assert!(remembered <= MOST_REMEMBERED_RECEIVERS);
        }
        subscribers.forget(PeerId::sample(0));
        assert_eq!(subscribers.remembered_receivers, 0);
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
