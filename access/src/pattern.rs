//! Patterns of names.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// The longest pattern, in bytes.
pub const MOST_PATTERN_BYTES: usize = 256;

/// The most `*` of one pattern. Several in a row count as one.
pub const MOST_STARS: usize = 8;

/// The longest name that is compared with patterns, in bytes: that of peers and topics. A longer one, such as
/// that of a service that cannot exist, matches only `*`.
pub const MOST_COMPARED_BYTES: usize = 256;

/// Why a text is not a pattern.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PatternError {
    /// It is empty.
    #[error("a pattern may not be empty, write * for everything")]
    Empty,
    /// It is longer than [`MOST_PATTERN_BYTES`].
    #[error("a pattern may have at most {MOST_PATTERN_BYTES} bytes")]
    TooLong,
    /// It has more than [`MOST_STARS`] `*`.
    #[error("a pattern may have at most {MOST_STARS} *")]
    TooManyStars,
    /// It has a control character.
    #[error("a pattern may not contain control characters")]
    Character,
}

/// The longest text that is searched without preparation, in bytes.
const SHORT: usize = 128;

/// A pattern of names. `*` stands for any number of characters, also none, and `?` for one. Any
/// other character stands for itself; case matters.
///
/// ```
/// use labwire_access::Pattern;
///
/// let pattern: Pattern = "DMM?".parse()?;
/// assert!(pattern.matches("DMM1") && pattern.matches("DMMä"));
/// assert!(!pattern.matches("DMM") && !pattern.matches("dmm1") && !pattern.matches("DMM12"));
/// # Ok::<_, labwire_access::PatternError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Pattern(Arc<str>);

impl Pattern {
    /// Checks a pattern. Several `*` in a row are the same as one.
    ///
    /// # Errors
    /// See [`PatternError`].
    pub fn new(text: &str) -> Result<Self, PatternError> {
        if text.is_empty() {
            return Err(PatternError::Empty);
        }
        if text.len() > MOST_PATTERN_BYTES {
            return Err(PatternError::TooLong);
        }
        if text.contains(char::is_control) {
            return Err(PatternError::Character);
        }
        let mut short = String::with_capacity(text.len());
        for character in text.chars() {
            if character != '*' || !short.ends_with('*') {
                short.push(character);
            }
        }
        if short.bytes().filter(|byte| *byte == b'*').count() > MOST_STARS {
            return Err(PatternError::TooManyStars);
        }
        Ok(Self(short.into()))
    }

    /// Returns the pattern that matches everything.
    pub fn everything() -> Self {
        Self("*".into())
    }

    /// Returns the text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns whether it matches everything.
    pub fn is_everything(&self) -> bool {
        &*self.0 == "*"
    }

    /// Returns whether a name matches. The time is proportional to the length of the name, whatever
    /// the pattern is. A name of more than [`MOST_COMPARED_BYTES`] matches only `*`.
    pub fn matches(&self, name: &str) -> bool {
        self.is_everything() || name.len() <= MOST_COMPARED_BYTES && glob(&self.0, name, |_| false)
    }

    /// Returns whether all topics match that a subscription can receive. In its pattern of topics
    /// `*` stands for one word and `>` for several, so that only a `*` of this pattern stands for
    /// either.
    ///
    /// ```
    /// use labwire_access::Pattern;
    ///
    /// let pattern: Pattern = "lab.*".parse()?;
    /// assert!(pattern.covers("lab.oven") && pattern.covers("lab.*.current") && pattern.covers("lab.>"));
    /// assert!(!pattern.covers("*.oven") && !pattern.covers(">"));
    /// # Ok::<_, labwire_access::PatternError>(())
    /// ```
    pub fn covers(&self, topics: &str) -> bool {
        let is_wild = |character| matches!(character, '*' | '>');
        self.is_everything() || topics.len() <= MOST_COMPARED_BYTES && glob(&self.0, topics, is_wild)
    }
}

impl Default for Pattern {
    /// Returns the pattern that matches everything.
    fn default() -> Self {
        Self::everything()
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl FromStr for Pattern {
    type Err = PatternError;

    fn from_str(text: &str) -> Result<Self, PatternError> {
        Self::new(text)
    }
}

/// Compares a text with a pattern. Characters of the text that are `wild` match only `*`.
///
/// What comes before the first `*` and behind the last one is compared in place; the parts between
/// them are searched from left to right, each behind the one before.
fn glob(pattern: &str, text: &str, wild: impl Fn(char) -> bool + Copy) -> bool {
    let Some((first, rest)) = pattern.split_once('*') else {
        return begins_with(text, pattern, wild) == Some("");
    };
    let Some(text) = begins_with(text, first, wild) else {
        return false;
    };
    let Some((middle, last)) = rest.rsplit_once('*') else {
        return ends_with(text, rest, wild).is_some();
    };
    let Some(mut text) = ends_with(text, last, wild) else {
        return false;
    };
    for part in middle.split('*') {
        let found = if part.contains('?') {
            search(text, part, wild)
        } else if part.chars().any(wild) {
            None
        } else {
            find(text, part)
        };
        let Some(behind) = found else { return false };
        text = behind;
    }
    true
}

/// Returns what follows the first occurrence of a part of a pattern that has no `?`.
fn find<'a>(text: &'a str, part: &str) -> Option<&'a str> {
    if text.len() > SHORT {
        // Takes linear time.
        return text.split_once(part).map(|(_, behind)| behind);
    }
    // To prepare a search takes longer than a short one.
    let (first, rest) = part.as_bytes().split_first()?;
    let mut left = text.as_bytes();
    while let Some((found, behind)) = left.split_first() {
        if found == first && behind.starts_with(rest) {
            return text.get(text.len() - behind.len() + rest.len()..);
        }
        left = behind;
    }
    None
}

/// Returns whether a character of a pattern, which is not `*`, matches one of a text.
fn is_match(expected: char, character: char, wild: impl Fn(char) -> bool) -> bool {
    (expected == '?' || expected == character) && !wild(character)
}

/// Returns the rest of a text that begins with a part of a pattern.
fn begins_with<'a>(text: &'a str, part: &str, wild: impl Fn(char) -> bool) -> Option<&'a str> {
    // Most differ in the first byte.
    if let (Some(expected), Some(found)) = (part.bytes().next(), text.bytes().next())
        && expected != found
        && expected != b'?'
    {
        return None;
    }
    let mut left = text.chars();
    let mut expected = part.chars();
    expected
        .all(|expected| left.next().is_some_and(|found| is_match(expected, found, &wild)))
        .then_some(left.as_str())
}

/// Returns the beginning of a text that ends with a part of a pattern.
fn ends_with<'a>(text: &'a str, part: &str, wild: impl Fn(char) -> bool) -> Option<&'a str> {
    let mut left = text.chars();
    let mut expected = part.chars().rev();
    expected
        .all(|expected| {
            left.next_back()
                .is_some_and(|found| is_match(expected, found, &wild))
        })
        .then_some(left.as_str())
}

/// A set of places in a part of a pattern.
type Places = [u64; MOST_PATTERN_BYTES / 64];

/// Searches a part of a pattern that has a `?`, all places of it at once. Returns what follows its
/// first occurrence.
fn search<'a>(text: &'a str, part: &str, wild: impl Fn(char) -> bool) -> Option<&'a str> {
    // For each character of the part the places that it matches; `any` are those of the `?`.
    let mut places: Vec<(char, Places)> = Vec::new();
    let mut any = Places::default();
    let mut length = 0;
    for expected in part.chars() {
        let (word, bit) = (length / 64, 1 << (length % 64));
        if expected == '?' {
            any[word] |= bit;
        } else {
            match places.binary_search_by_key(&expected, |(character, _)| *character) {
                Ok(known) => places[known].1[word] |= bit,
                Err(at) => {
                    let mut own = Places::default();
                    own[word] = bit;
                    places.insert(at, (expected, own));
                }
            }
        }
        length += 1;
    }
    let (last, last_bit) = ((length - 1) / 64, 1 << ((length - 1) % 64));
    // The places up to which the text so far matches.
    let mut reached = Places::default();
    let mut left = text.chars();
    while let Some(character) = left.next() {
        if wild(character) {
            reached = Places::default();
            continue;
        }
        let own = places.binary_search_by_key(&character, |(character, _)| *character);
        let own = own.map_or_else(|_| Places::default(), |known| places[known].1);
        let mut carried = 1;
        for ((reached, own), any) in reached.iter_mut().zip(own).zip(any) {
            let next = *reached << 1 | carried;
            carried = *reached >> 63;
            *reached = next & (own | any);
        }
        if reached[last] & last_bit != 0 {
            return Some(left.as_str());
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use proptest::prelude::*;

    use super::*;
    use crate::fuzzing::check_pattern;

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn a_name_matches_as_in_the_definition(pattern in "[ab*?ä𝄞>.]{1,10}", name in "[abä𝄞?*>.]{0,10}") {
            check_pattern(&pattern, &name);
        }

        #[test]
        fn any_text_is_compared_as_in_the_definition(pattern in any::<String>(), name in any::<String>()) {
            check_pattern(&pattern, &name);
        }

        /// Whoever may make a subscription may receive all that it delivers.
        #[test]
        fn what_a_covered_subscription_receives_matches(
            pattern in "[ab.*?]{1,6}",
            topics in "(a|b|\\*)(\\.(a|b|\\*)){0,3}(\\.>)?",
            fill in "[ab]{1,3}(\\.[ab]{1,2}){0,2}",
        ) {
            let pattern = Pattern::new(&pattern).unwrap();
            let word = fill.split('.').next().unwrap();
            let topic = topics.replace('*', word).replace('>', &fill);
            if pattern.covers(&topics) {
                prop_assert!(pattern.matches(&topic), "{} {} {}", pattern, topics, topic);
            }
        }
    }

    #[test]
    fn a_pattern_that_is_made_to_be_slow_is_not() {
        let half = "a".repeat(100);
        let name = "a".repeat(MOST_COMPARED_BYTES - 1) + "b";
        let begun = Instant::now();
        for pattern in [
            format!("*{half}?{half}*c"),
            format!("*{half}c{half}*"),
            format!("*?{half}c*"),
        ] {
            let pattern = Pattern::new(&pattern).unwrap();
            for _ in 0..100 {
                assert!(!pattern.matches(&name) && !pattern.covers(&name));
            }
        }
        println!("600 comparisons with {} bytes: {:?}", name.len(), begun.elapsed());
    }

    #[test]
    fn a_name_that_is_too_long_matches_only_everything() {
        let name = "a".repeat(MOST_COMPARED_BYTES + 1);
        assert!(!Pattern::new("a*").unwrap().matches(&name) && Pattern::everything().matches(&name));
        assert!(Pattern::new("a*").unwrap().matches(&name[1..]));
    }

    #[test]
    fn a_part_of_more_than_a_word_is_found() {
        for length in [63, 64, 65, 127, 128, 129, 200] {
            let pattern = Pattern::new(&format!("*?{}b*", "a".repeat(length))).unwrap();
            assert!(
                pattern.matches(&format!("xx{}bx", "a".repeat(length))),
                "{length}"
            );
            assert!(
                pattern.matches(&format!("{}b", "a".repeat(length + 1))),
                "{length}"
            );
            assert!(!pattern.matches(&format!("{}b", "a".repeat(length))), "{length}");
        }
    }

    #[test]
    fn a_text_that_is_no_pattern_is_refused() {
        assert_eq!(Pattern::new(""), Err(PatternError::Empty));
        assert_eq!(Pattern::new("a\nb"), Err(PatternError::Character));
        assert_eq!(Pattern::new(&"a".repeat(257)), Err(PatternError::TooLong));
        assert_eq!(Pattern::new(&"*a".repeat(9)), Err(PatternError::TooManyStars));
        assert!(Pattern::new(&"**a".repeat(MOST_STARS)).is_ok());
        assert!(Pattern::new("***").unwrap().is_everything());
    }
}
