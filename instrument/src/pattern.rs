//! Patterns with `*` and `?`.

/// A text in which `*` stands for any characters and `?` for one. Blanks around the compared text do
/// not count.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Pattern(String);

impl Pattern {
    pub(crate) fn new(text: &str) -> Self {
        Self(text.trim().to_owned())
    }

    pub(crate) fn text(&self) -> &str {
        &self.0
    }

    /// Returns whether it matches every text.
    pub(crate) fn matches_all(&self) -> bool {
        self.0.chars().all(|character| character == '*')
    }

    /// Takes time in proportion to the product of both lengths at most.
    pub(crate) fn matches(&self, text: &str) -> bool {
        let pattern: Vec<char> = self.0.chars().collect();
        let text: Vec<char> = text.trim().chars().collect();
        let (mut at, mut place) = (0, 0);
        // Where to continue if a star has to take one more character.
        let mut star = None;
        while at < text.len() {
            match pattern.get(place) {
                Some('*') => {
                    star = Some((place, at));
                    place += 1;
                }
                Some(expected) if *expected == '?' || *expected == text[at] => {
                    at += 1;
                    place += 1;
                }
                _ => match &mut star {
                    Some((of_star, taken)) => {
                        *taken += 1;
                        at = *taken;
                        place = *of_star + 1;
                    }
                    None => return false,
                },
            }
        }
        pattern[place..].iter().all(|rest| *rest == '*')
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stars_take_any_characters_and_question_marks_one() {
        for (pattern, text, expected) in [
            (
                "Keysight Technologies,34465A,*",
                "Keysight Technologies,34465A,MY1,A.02\r",
                true,
            ),
            (
                "Keysight*,34465A,*",
                "Keysight Technologies,34461A,MY1,A.02",
                false,
            ),
            ("*34465A*", "x34465Ay", true),
            ("+0,*", "+0,\"No error\"", true),
            ("0,*", "+0,\"No error\"", false),
            ("?0*", "+0", true),
            ("a*b*c", "aXbXbc", true),
            ("a*b*c", "aXbXb", false),
            ("", "", true),
            ("", "x", false),
        ] {
            assert_eq!(Pattern::new(pattern).matches(text), expected, "{pattern} {text}");
        }
        assert!(Pattern::new("**").matches_all() && !Pattern::new("*?").matches_all());
    }

    #[test]
    fn many_stars_take_no_exponential_time() {
        let pattern = Pattern::new(&format!("{}b", "a*".repeat(200)));
        assert!(!pattern.matches(&"a".repeat(20_000)));
    }
}
