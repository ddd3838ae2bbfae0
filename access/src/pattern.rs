//! Patterns of names.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// The longest pattern, in bytes.
pub const MOST_PATTERN_BYTES: usize = 256;

/// Why a text is not a pattern.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PatternError {
    /// It is empty.
    #[error("a pattern may not be empty, write * for everything")]
    Empty,
    /// It is longer than [`MOST_PATTERN_BYTES`].
    #[error("a pattern may have at most {MOST_PATTERN_BYTES} bytes")]
    TooLong,
    /// It has a control character.
    #[error("a pattern may not contain control characters")]
    Character,
}

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

    /// Returns whether a name matches. The time is at most proportional to the length of the name:
    /// each of its bytes is compared at most [`MOST_PATTERN_BYTES`] times.
    pub fn matches(&self, name: &str) -> bool {
        glob(self.0.as_bytes(), name.as_bytes(), |_| false)
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
        glob(self.0.as_bytes(), topics.as_bytes(), |byte| {
            matches!(byte, b'*' | b'>')
        })
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

/// Returns the length of the character that begins with this byte.
fn character_length(first: u8) -> usize {
    match first {
        ..0xc0 => 1,
        0xc0..0xe0 => 2,
        0xe0..0xf0 => 3,
        0xf0.. => 4,
    }
}

/// Compares a text with a pattern, both UTF-8. Bytes of the text that are `wild` match only `*`.
///
/// After a mismatch it goes back to the last `*` only, which takes one character more: what an
/// earlier one could take instead, the last one can take too.
fn glob(pattern: &[u8], text: &[u8], wild: impl Fn(u8) -> bool) -> bool {
    let (mut in_pattern, mut in_text) = (0, 0);
    // Behind the last `*`, and where the text that it does not take begins.
    let mut back = None::<(usize, usize)>;
    while let Some(&byte) = text.get(in_text) {
        match pattern.get(in_pattern) {
            Some(b'*') => {
                in_pattern += 1;
                if in_pattern == pattern.len() {
                    return true;
                }
                back = Some((in_pattern, in_text));
                continue;
            }
            Some(b'?') if !wild(byte) => {
                in_pattern += 1;
                in_text += character_length(byte);
                continue;
            }
            Some(&expected) if expected == byte && !wild(byte) => {
                in_pattern += 1;
                in_text += 1;
                continue;
            }
            _ => {}
        }
        let Some((behind, start)) = back else { return false };
        let start = start + character_length(text[start]);
        back = Some((behind, start));
        (in_pattern, in_text) = (behind, start);
    }
    pattern[in_pattern..].iter().all(|byte| *byte == b'*')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::fuzzing::check_pattern;

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn a_name_matches_as_in_the_definition(pattern in "[ab*?ä𝄞>.]{1,8}", name in "[abä𝄞?*>.]{0,10}") {
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
        let pattern = Pattern::new(&"*a".repeat(MOST_PATTERN_BYTES / 2)).unwrap();
        let name = "a".repeat(100_000) + "b";
        assert!(!pattern.matches(&name));
    }

    #[test]
    fn a_text_that_is_no_pattern_is_refused() {
        assert_eq!(Pattern::new(""), Err(PatternError::Empty));
        assert_eq!(Pattern::new("a\nb"), Err(PatternError::Character));
        assert_eq!(Pattern::new(&"a".repeat(257)), Err(PatternError::TooLong));
        assert!(Pattern::new("***").unwrap().is_everything());
    }
}
