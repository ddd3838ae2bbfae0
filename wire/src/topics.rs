//! The names of topics, and the patterns of subscriptions.

use std::borrow::Borrow;
use std::fmt;
use std::sync::Arc;

use crate::name::appearance;

/// The longest name of a topic, or pattern, in bytes.
pub const MAX_TOPIC_BYTES: usize = 256;

/// The most words of the name of a topic, or pattern. A subscription is compared word by word.
pub const MAX_TOPIC_WORDS: usize = 16;

/// The first word of the topics that belong to the manager.
pub const MANAGERS_TOPICS: &str = "manager";

/// Why a text is not the name of a topic, or not a pattern.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TopicError {
    /// It is empty, or has an empty word: two dots, or one at an end.
    #[error("a topic is words between dots, such as lab.oven.temperature, and no word may be empty")]
    EmptyWord,
    /// It is longer than [`MAX_TOPIC_BYTES`].
    #[error("a topic may have at most {MAX_TOPIC_BYTES} bytes")]
    TooLong,
    /// It has more than [`MAX_TOPIC_WORDS`].
    #[error("a topic may have at most {MAX_TOPIC_WORDS} words")]
    TooManyWords,
    /// It has white space or a control character.
    #[error("a topic may not contain white space or control characters")]
    Character,
    /// `*` or `>` in the name of a topic.
    #[error("the topic of a value may not contain the wildcards * and >")]
    Wildcard,
    /// `*` or `>` in a pattern as a part of a word, or `>` before the last word.
    #[error("* stands for one whole word of a topic, and > for all the rest, as the last word")]
    Misplaced,
}

/// The name of a topic: words between dots, as in `lab.oven.temperature`.
///
/// ```
/// use labwire_wire::{Topic, TopicError};
///
/// let topic = Topic::new("lab.oven.temperature")?;
/// assert_eq!(topic.as_str(), "lab.oven.temperature");
/// assert!(!topic.is_managers() && !topic.looks_like_managers());
/// assert_eq!(Topic::new("lab..temperature").unwrap_err(), TopicError::EmptyWord);
/// # Ok::<_, TopicError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Topic(Arc<str>);

impl Topic {
    /// Checks the name of a topic.
    ///
    /// # Errors
    /// See [`TopicError`].
    pub fn new(name: &str) -> Result<Self, TopicError> {
        check(name)?;
        if name.contains(['*', '>']) {
            return Err(TopicError::Wildcard);
        }
        Ok(Self(name.into()))
    }

    /// Returns the name.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns whether it is one of the manager's own topics, to which peers cannot publish.
    pub fn is_managers(&self) -> bool {
        self.0.split('.').next() == Some(MANAGERS_TOPICS)
    }

    /// Returns whether it is one of the manager's own topics, or looks as if it were, such as
    /// `Manager.left`, or `manager.left` with a Cyrillic letter.
    pub fn looks_like_managers(&self) -> bool {
        let first = self.0.split('.').next().unwrap_or_default();
        first.eq_ignore_ascii_case(MANAGERS_TOPICS)
            || !first.is_ascii() && appearance(&first.to_lowercase()) == appearance(MANAGERS_TOPICS)
    }
}

impl Borrow<str> for Topic {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Topic {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// A pattern of topics: as a name, but `*` stands for any one word, and `>` as the last word for
/// one or more.
///
/// ```
/// use labwire_wire::{Topic, TopicError, TopicPattern};
///
/// let temperature = Topic::new("lab.oven.temperature")?;
/// for pattern in ["lab.oven.temperature", "lab.*.temperature", "lab.>", ">"] {
///     assert!(TopicPattern::new(pattern)?.matches(&temperature), "{pattern}");
/// }
/// for pattern in ["lab", "lab.*", "lab.oven.temperature.>"] {
///     assert!(!TopicPattern::new(pattern)?.matches(&temperature), "{pattern}");
/// }
/// # Ok::<_, TopicError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TopicPattern(Arc<str>);

impl TopicPattern {
    /// Checks a pattern.
    ///
    /// # Errors
    /// See [`TopicError`].
    pub fn new(pattern: &str) -> Result<Self, TopicError> {
        check(pattern)?;
        let mut words = pattern.split('.').peekable();
        while let Some(word) = words.next() {
            let is_wildcard = word == "*" || word == ">" && words.peek().is_none();
            if word.contains(['*', '>']) && !is_wildcard {
                return Err(TopicError::Misplaced);
            }
        }
        Ok(Self(pattern.into()))
    }

    /// Returns the text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns the part before the first wildcard: all topics that match begin with it.
    ///
    /// ```
    /// # use labwire_wire::{TopicError, TopicPattern};
    /// assert_eq!(TopicPattern::new("lab.oven.*.low")?.prefix(), "lab.oven.");
    /// assert_eq!(TopicPattern::new("lab.oven")?.prefix(), "lab.oven");
    /// # Ok::<_, TopicError>(())
    /// ```
    pub fn prefix(&self) -> &str {
        let end = self.0.find(['*', '>']).unwrap_or(self.0.len());
        &self.0[..end]
    }

    /// Returns whether a topic matches it.
    pub fn matches(&self, topic: &Topic) -> bool {
        // Byte by byte: it is compared with thousands of topics at once, and splitting both takes ten times as long.
        let (mut expected, mut words) = (self.0.as_bytes(), topic.0.as_bytes());
        loop {
            match expected {
                [b'>', ..] => return true,
                [b'*', rest @ ..] => {
                    let end = words.iter().position(|byte| *byte == b'.');
                    (expected, words) = (rest, &words[end.unwrap_or(words.len())..]);
                }
                _ => {}
            }
            // Up to the next word, which may be a wildcard.
            loop {
                match (expected, words) {
                    ([], []) => return true,
                    ([b'.', after @ ..], [b'.', next @ ..]) => {
                        (expected, words) = (after, next);
                        break;
                    }
                    ([one, after @ ..], [other, next @ ..]) if one == other => {
                        (expected, words) = (after, next);
                    }
                    _ => return false,
                }
            }
        }
    }

    /// Returns whether one of the manager's own topics can match it.
    pub fn can_match_managers(&self) -> bool {
        matches!(self.0.split('.').next(), Some("*" | ">" | MANAGERS_TOPICS))
    }
}

impl fmt::Display for TopicPattern {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// Checks what names and patterns have in common.
fn check(text: &str) -> Result<(), TopicError> {
    if text.len() > MAX_TOPIC_BYTES {
        return Err(TopicError::TooLong);
    }
    if text.split('.').any(str::is_empty) {
        return Err(TopicError::EmptyWord);
    }
    if text.split('.').count() > MAX_TOPIC_WORDS {
        return Err(TopicError::TooManyWords);
    }
    if text.contains(|character: char| character.is_whitespace() || character.is_control()) {
        return Err(TopicError::Character);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_patterns_that_mean_nothing_are_refused() {
        for (text, name, pattern) in [
            ("", Some(TopicError::EmptyWord), Some(TopicError::EmptyWord)),
            (".", Some(TopicError::EmptyWord), Some(TopicError::EmptyWord)),
            ("a.", Some(TopicError::EmptyWord), Some(TopicError::EmptyWord)),
            ("a b", Some(TopicError::Character), Some(TopicError::Character)),
            ("a\u{7}", Some(TopicError::Character), Some(TopicError::Character)),
            ("é.1", None, None),
            ("*", Some(TopicError::Wildcard), None),
            ("a.*.>", Some(TopicError::Wildcard), None),
            ("a.>.b", Some(TopicError::Wildcard), Some(TopicError::Misplaced)),
            ("a.b*", Some(TopicError::Wildcard), Some(TopicError::Misplaced)),
        ] {
            assert_eq!(Topic::new(text).err(), name, "{text:?}");
            assert_eq!(TopicPattern::new(text).err(), pattern, "{text:?}");
        }
        let long = "a".repeat(MAX_TOPIC_BYTES);
        assert!(Topic::new(&long).is_ok());
        assert_eq!(Topic::new(&(long + "a")), Err(TopicError::TooLong));
        let words = ["a"; MAX_TOPIC_WORDS].join(".");
        assert!(Topic::new(&words).is_ok());
        assert_eq!(Topic::new(&(words + ".a")), Err(TopicError::TooManyWords));
    }

    /// Matches word by word, by recursion.
    fn is_match(pattern: &[&str], topic: &[&str]) -> bool {
        match (pattern, topic) {
            ([], []) | ([">"], [_, ..]) => true,
            ([first, pattern @ ..], [word, topic @ ..]) => {
                (*first == "*" || first == word) && is_match(pattern, topic)
            }
            _ => false,
        }
    }

    proptest::proptest! {
        #[test]
        fn a_pattern_matches_word_by_word(
            topic in "[ab]{1,2}(\\.[abé]{1,2}){0,4}",
            pattern in "([ab]{1,2}|\\*)(\\.([abé]{1,2}|\\*)){0,4}(\\.>)?",
        ) {
            let expected = is_match(
                &pattern.split('.').collect::<Vec<_>>(),
                &topic.split('.').collect::<Vec<_>>(),
            );
            let (topic, pattern) = (Topic::new(&topic).unwrap(), TopicPattern::new(&pattern).unwrap());
            proptest::prop_assert_eq!(pattern.matches(&topic), expected);
            proptest::prop_assert!(!expected || topic.as_str().starts_with(pattern.prefix()));
        }
    }

    #[test]
    fn every_short_pattern_matches_what_its_words_say() {
        let texts = |words: &[&str]| {
            let mut texts: Vec<Vec<String>> = vec![Vec::new()];
            for _ in 0..3 {
                let longer = texts.iter().flat_map(|text| {
                    words.iter().map(|word| {
                        let mut text = text.clone();
                        text.push((*word).to_owned());
                        text
                    })
                });
                texts = longer.chain(texts.clone()).collect();
            }
            texts.retain(|text| !text.is_empty());
            texts
        };
        for pattern in texts(&["a", "b", "*", ">"]) {
            let Ok(parsed) = TopicPattern::new(&pattern.join(".")) else {
                continue;
            };
            for topic in texts(&["a", "b", "manager"]) {
                let pattern: Vec<&str> = pattern.iter().map(String::as_str).collect();
                let words: Vec<&str> = topic.iter().map(String::as_str).collect();
                let topic = Topic::new(&topic.join(".")).unwrap();
                let expected = is_match(&pattern, &words);
                assert_eq!(parsed.matches(&topic), expected, "{parsed} {topic}");
                assert!(!(expected && topic.is_managers()) || parsed.can_match_managers());
            }
        }
    }
}
