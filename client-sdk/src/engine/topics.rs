//! The table of subscriptions to topics.

use std::collections::{BTreeMap, VecDeque};

use labwire_wire::TopicPattern;

use crate::notification::Notification;
use crate::notification_queue::NotificationSender;
use crate::topic_value::TopicValue;

/// A reader of the topics that match a pattern.
#[derive(Debug)]
struct Reader {
    pattern: TopicPattern,
    queue: NotificationSender,
    /// Whether the manager has confirmed its subscription.
    is_confirmed: bool,
}

/// The readers of topics, each by the uid of its first request.
#[derive(Debug, Default)]
pub(super) struct Topics {
    readers: BTreeMap<u64, Reader>,
    /// The readers whose request has no answer yet, in the order of the requests. The manager
    /// answers in that order, and sends retained values just before each answer.
    asked: VecDeque<u64>,
}

impl Topics {
    /// Adds a reader whose subscription is requested now.
    pub(super) fn add(&mut self, number: u64, pattern: TopicPattern, queue: NotificationSender) {
        let reader = Reader {
            pattern,
            queue,
            is_confirmed: false,
        };
        self.readers.insert(number, reader);
        self.asked.push_back(number);
    }

    /// Removes a reader. Returns the pattern if the manager is to end its subscription.
    pub(super) fn remove(&mut self, number: u64) -> Option<TopicPattern> {
        let reader = self.readers.remove(&number)?;
        // Otherwise its answer is still to come: see `answered`.
        (reader.is_confirmed && !self.is_wanted(&reader.pattern)).then_some(reader.pattern)
    }

    /// Returns whether a reader has this pattern.
    pub(super) fn is_wanted(&self, pattern: &TopicPattern) -> bool {
        self.readers.values().any(|reader| reader.pattern == *pattern)
    }

    /// Notes the answer to a request for this pattern. Returns whether the manager is to end the
    /// subscription, because its readers have gone meanwhile.
    pub(super) fn answered(&mut self, number: u64, pattern: &TopicPattern) -> bool {
        self.asked.retain(|asked| *asked != number);
        match self.readers.get_mut(&number) {
            Some(reader) => {
                reader.is_confirmed = true;
                false
            }
            None => !self.is_wanted(pattern),
        }
    }

    /// Notes that a request was refused: its reader ends.
    pub(super) fn refused(&mut self, number: u64) {
        self.asked.retain(|asked| *asked != number);
        self.readers.remove(&number);
    }

    /// Passes a value on: a retained one to the reader whose request the manager answers next, any
    /// other to all that match.
    pub(super) fn deliver(&self, value: &TopicValue, notification: &Notification) {
        if value.is_retained() {
            let reader = self.asked.front().and_then(|number| self.readers.get(number));
            if let Some(reader) = reader {
                reader.queue.push(notification.clone());
            }
            return;
        }
        for reader in self.readers.values() {
            if reader.is_confirmed && reader.pattern.matches(value.name()) {
                reader.queue.push(notification.clone());
            }
        }
    }

    /// Notes that values may be lost, an unknown number.
    pub(super) fn mark_gap(&self) {
        for reader in self.readers.values().filter(|reader| reader.is_confirmed) {
            reader.queue.mark_gap();
        }
    }

    /// Notes that the connection is lost, and all subscriptions with it.
    pub(super) fn cut(&mut self) {
        self.asked.clear();
        for reader in self.readers.values_mut() {
            reader.is_confirmed = false;
        }
    }

    /// Returns the readers that are to subscribe again on a new connection, oldest first.
    pub(super) fn ask_again(&mut self) -> Vec<(u64, TopicPattern)> {
        self.asked = self.readers.keys().copied().collect();
        let readers = self.readers.iter();
        readers
            .map(|(number, reader)| (*number, reader.pattern.clone()))
            .collect()
    }

    /// Ends all readers.
    pub(super) fn clear(&mut self) {
        self.readers.clear();
        self.asked.clear();
    }

    /// Returns the number of different patterns.
    #[cfg(test)]
    pub(super) fn patterns(&self) -> usize {
        let patterns = self.readers.values().map(|reader| &reader.pattern);
        patterns.collect::<std::collections::BTreeSet<_>>().len()
    }

    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.readers.is_empty() && self.asked.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use std::task::{Context, Poll, Waker};

    use bytes::Bytes;

    use super::*;
    use crate::notification_queue::{NotificationReceiver, notification_queue};

    fn deliver(topics: &Topics, topic: &str, value: u64, retained: bool) {
        let result = format!(r#"[["{topic}",{value}],{{"retained":{retained},"sender":"a[h:1]"}}]"#);
        let notification = Notification::new("Manager".into(), &Bytes::from(result).into()).unwrap();
        topics.deliver(&TopicValue::new(&notification).unwrap(), &notification);
    }

    fn received(receiver: &NotificationReceiver) -> Vec<u64> {
        let context = Context::from_waker(Waker::noop());
        let mut values = Vec::new();
        while let Poll::Ready(Some(notification)) = receiver.poll_next(&context) {
            let value = TopicValue::new(&notification).unwrap();
            values.push(value.decode().unwrap());
        }
        values
    }

    #[test]
    fn retained_values_reach_the_reader_that_asked_and_others_all_that_match() {
        let mut topics = Topics::default();
        let pattern = |text: &str| TopicPattern::new(text).unwrap();
        let add = |topics: &mut Topics, number, text: &str| {
            let (sender, receiver) = notification_queue(10);
            topics.add(number, pattern(text), sender);
            receiver
        };
        let first = add(&mut topics, 1, "a.*");
        let second = add(&mut topics, 2, ">");
        let third = add(&mut topics, 3, "a.*");
        deliver(&topics, "a.b", 1, true);
        assert!(!topics.answered(1, &pattern("a.*")));
        deliver(&topics, "a.b", 2, true);
        deliver(&topics, "a.b", 3, false);
        assert!(!topics.answered(2, &pattern(">")));
        deliver(&topics, "b", 4, false);
        // The third has gone before its answer; the first still has its pattern.
        assert_eq!(topics.remove(3), None);
        deliver(&topics, "a.b", 5, true);
        assert!(!topics.answered(3, &pattern("a.*")));
        assert_eq!((received(&first), received(&second)), (vec![1, 3], vec![2, 4]));
        assert_eq!(received(&third), Vec::<u64>::new());
        assert_eq!(topics.remove(1), Some(pattern("a.*")));
        topics.cut();
        assert_eq!(topics.ask_again(), [(2, pattern(">"))]);
        deliver(&topics, "a.b", 6, false);
        topics.refused(2);
        assert!(topics.is_empty());
        assert_eq!(received(&second), Vec::<u64>::new());
    }

    #[test]
    fn a_reader_that_goes_before_its_answer_ends_its_subscription_after_it() {
        let mut topics = Topics::default();
        let pattern = TopicPattern::new("a").unwrap();
        let (sender, _receiver) = notification_queue(1);
        topics.add(1, pattern.clone(), sender);
        assert_eq!(topics.remove(1), None);
        assert!(topics.answered(1, &pattern));
        assert!(topics.is_empty());
    }
}
