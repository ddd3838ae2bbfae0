//! The names of clients and services: the allowed characters, and names that look alike.

use precis_core::{DerivedPropertyValue, FreeformClass, StringClass};
use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::is_public_assigned;
use unicode_security::skeleton;

use crate::python::quoted;

/// The longest name of a client or service, in bytes.
///
/// Names are part of every request and every list. The longest name in use at MSL is a tenth of
/// this.
pub const MAX_NAME_BYTES: usize = 256;

/// The reserved name of the manager: requests for it never reach a service.
pub const MANAGER_NAME: &str = "Manager";

/// BRAILLE PATTERN BLANK: Unicode classifies it as a symbol, but it looks like a blank.
const BRAILLE_BLANK: char = '\u{2800}';

/// The reason why a text cannot be the name of a client or service.
///
/// Names appear in log lines, lists and requests. Two names that look the same must be the same, so
/// the allowed characters are those of PRECIS (RFC 8264, `FreeformClass`) in the normal form of its
/// profile for opaque strings, without invisible ones.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// The name is empty or too long, or contains control characters.
    #[error(
        "ValueError: a name must have 1 to {MAX_NAME_BYTES} bytes of printable text, without line breaks or other \
         control characters"
    )]
    Unprintable,
    /// The name begins or ends with a blank.
    #[error("ValueError: the name {} begins or ends with a blank, use {}", quoted(.0), quoted(.0.trim()))]
    BlankAtEnd(String),
    /// The name contains a character that is not allowed.
    #[error(
        "ValueError: the name {} holds U+{:04X} (character {position}), {}",
        quoted(name), u32::from(*character), kind.explain(name, *character)
    )]
    Character {
        /// The name.
        name: String,
        /// The first such character.
        character: char,
        /// The position of the character, counted in characters from 1.
        position: usize,
        /// The reason why it is refused.
        kind: RefusedCharacter,
    },
    /// The name is not in Unicode's normal form C.
    #[error(
        "ValueError: the name {} is not in Unicode's normal form C, so another name could look the same; write {} as \
         {} (in Python: unicodedata.normalize('NFC', name))",
        quoted(name),
        code_points(name, normal),
        code_points(normal, name)
    )]
    NotNormal {
        /// The name.
        name: String,
        /// The name in normal form C.
        normal: String,
    },
    /// The name is the manager's own, or looks like it.
    #[error(
        "ValueError: the name {} belongs to the manager, or looks like \"{MANAGER_NAME}\", which does; choose another one",
        quoted(.0)
    )]
    Reserved(String),
}

/// The reason why a character is not allowed in a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RefusedCharacter {
    /// A blank that is not the ordinary space.
    Blank,
    /// A format character, or another invisible one.
    Invisible,
    /// A private-use code point.
    PrivateUse,
    /// A code point that Unicode has not assigned.
    Unassigned,
    /// Another character that PRECIS does not allow.
    Disallowed,
}

impl RefusedCharacter {
    fn explain(self, name: &str, character: char) -> String {
        let without = || quoted(name.replace(character, "").trim());
        match self {
            Self::Blank => format!(
                "a blank that looks like a space, use {}",
                quoted(name.replace(character, " ").trim())
            ),
            Self::Invisible => format!("a character that cannot be seen, use {}", without()),
            Self::PrivateUse => format!(
                "a private-use character, which looks different everywhere, use {}",
                without()
            ),
            Self::Unassigned => format!("which Unicode has not assigned, use {}", without()),
            Self::Disallowed => format!("which RFC 8264 does not allow in names, use {}", without()),
        }
    }

    /// Returns why this character is refused; `None` if it is allowed. Control characters count as
    /// [`Disallowed`](Self::Disallowed).
    fn of(character: char) -> Option<Self> {
        if character == ' ' || character.is_ascii_graphic() {
            return None;
        }
        match FreeformClass::default().get_value_from_char(character) {
            // It looks like a blank, whatever its class.
            _ if character == BRAILLE_BLANK => Some(Self::Blank),
            // The context rules for characters such as the middle dot apply to identifiers only.
            DerivedPropertyValue::PValid
            | DerivedPropertyValue::SpecClassPval
            | DerivedPropertyValue::ContextO => character.is_whitespace().then_some(Self::Blank),
            // Joiners are invisible.
            DerivedPropertyValue::ContextJ => Some(Self::Invisible),
            // The PRECIS registry ends with Unicode 6.3; many symbols were assigned later.
            DerivedPropertyValue::Unassigned if !is_public_assigned(character) => Some(Self::Unassigned),
            DerivedPropertyValue::Unassigned => is_ignorable(character).then_some(Self::Invisible),
            DerivedPropertyValue::SpecClassDis | DerivedPropertyValue::Disallowed => Some(match character {
                '\u{e000}'..='\u{f8ff}' | '\u{f0000}'..='\u{ffffd}' | '\u{100000}'..='\u{10fffd}' => {
                    Self::PrivateUse
                }
                _ if is_ignorable(character) => Self::Invisible,
                _ if !is_public_assigned(character) => Self::Unassigned,
                _ => Self::Disallowed,
            }),
        }
    }
}

/// Returns whether a character is invisible where it has no effect.
fn is_ignorable(character: char) -> bool {
    let mut buffer = [0; 4];
    skeleton(character.encode_utf8(&mut buffer)).next().is_none()
}

/// Returns whether a character can be printed unescaped: it is visible and cannot be mistaken for
/// another one.
pub(crate) fn is_printable(character: char) -> bool {
    RefusedCharacter::of(character).is_none()
}

/// Checks the name of a client or service.
pub fn check(name: &str) -> Result<(), NameError> {
    if name.is_empty() || name.len() > MAX_NAME_BYTES {
        return Err(NameError::Unprintable);
    }
    // The two separators are line breaks to programs that print them.
    let is_control = |character: char| character.is_control() || matches!(character, '\u{2028}' | '\u{2029}');
    if name.trim().is_empty() || name.contains(is_control) {
        return Err(NameError::Unprintable);
    }
    if name.trim() != name {
        return Err(NameError::BlankAtEnd(name.to_owned()));
    }
    for (index, character) in name.chars().enumerate() {
        if let Some(kind) = RefusedCharacter::of(character) {
            return Err(NameError::Character {
                name: name.to_owned(),
                character,
                position: index + 1,
                kind,
            });
        }
    }
    if !unicode_normalization::is_nfc(name) {
        return Err(NameError::NotNormal {
            name: name.to_owned(),
            normal: name.nfc().collect(),
        });
    }
    if looks_like_the_manager(name) {
        return Err(NameError::Reserved(name.to_owned()));
    }
    Ok(())
}

/// Returns the appearance of a name (UTS 39, "skeleton"): two names with the same appearance can
/// hardly be distinguished. Only for comparisons.
pub fn appearance(name: &str) -> String {
    skeleton(name).collect()
}

/// Returns whether a name could pass for the manager's. Python peers take any name that begins with
/// `Manager[` and ends in a port for the manager.
fn looks_like_the_manager(name: &str) -> bool {
    let compatible: String = name.nfkc().collect();
    let name = compatible.split('[').next().unwrap_or_default().trim_end();
    // Some letters look like another one in only one of their cases, so each case is mapped.
    let in_any_case = |name: &str| {
        let letters: String = skeleton(name).flat_map(char::to_lowercase).collect();
        appearance(&letters)
    };
    // A name three times as long cannot look like it.
    name.len() <= 3 * 4 * MANAGER_NAME.len() && in_any_case(name) == in_any_case(MANAGER_NAME)
}

/// Formats the code points of the characters that the other text does not contain.
fn code_points(text: &str, other: &str) -> String {
    let own = text.chars().filter(|&character| !other.contains(character));
    let points: Vec<_> = own
        .map(|character| format!("U+{:04X}", u32::from(character)))
        .collect();
    points.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(name: &str) -> String {
        check(name).expect_err(name).to_string()
    }

    #[test]
    fn names_that_are_in_use_stay_valid() {
        for name in [
            "é",
            "My Client",
            "Manager2",
            "Site Manager",
            "a[b:1]",
            "DMM (left), 3.5 \u{b0}C / \u{b5}V",
            "\u{c5}ngstr\u{f6}m-Messger\u{e4}t",
            "N\u{b7}m",
            "\u{3a9} meter",
            "\u{41b}\u{430}\u{437}\u{435}\u{440}",
            "\u{6e29}\u{5ea6}\u{8a08}",
            "x\u{b2}",
            // Assigned after the version of Unicode in PRECIS.
            "\u{1f9ea}",
            "two  blanks",
            "\"quoted\" \\ `'",
        ] {
            assert_eq!(check(name), Ok(()), "{name}");
        }
        assert_eq!(check(&"x".repeat(MAX_NAME_BYTES)), Ok(()));
    }

    #[test]
    fn what_cannot_be_printed_in_a_line_is_refused() {
        let long = "x".repeat(MAX_NAME_BYTES + 1);
        for name in [
            "",
            "  ",
            "\u{3000}",
            "a\nb",
            "a\u{85}b",
            "a\0",
            "a\u{2028}b",
            "\u{2029}",
            long.as_str(),
        ] {
            assert_eq!(check(name), Err(NameError::Unprintable), "{name:?}");
        }
    }

    #[test]
    fn what_looks_like_another_name_is_refused_with_that_name() {
        for (name, texts) in [
            (" DMM", ["' DMM' begins or ends with a blank", "use 'DMM'"]),
            ("DMM\u{a0}", ["'DMM\\xa0' begins or ends", "use 'DMM'"]),
            (
                "DMM\u{2800}",
                ["'DMM\\u2800' holds U+2800 (character 4), a blank", "use 'DMM'"],
            ),
            (
                "My\u{a0}DMM",
                ["'My\\xa0DMM' holds U+00A0 (character 3), a blank", "use 'My DMM'"],
            ),
            (
                "D\u{200b}MM",
                [
                    "'D\\u200bMM' holds U+200B (character 2)",
                    "cannot be seen, use 'DMM'",
                ],
            ),
            ("DMM\u{ad}", ["U+00AD", "cannot be seen, use 'DMM'"]),
            ("\u{202e}DMM", ["'\\u202eDMM'", "cannot be seen, use 'DMM'"]),
            ("D\u{feff}MM", ["U+FEFF", "cannot be seen, use 'DMM'"]),
            ("D\u{fe0f}MM", ["U+FE0F", "cannot be seen, use 'DMM'"]),
            ("D\u{200d}MM", ["U+200D", "cannot be seen, use 'DMM'"]),
            ("D\u{3164}MM", ["U+3164", "cannot be seen, use 'DMM'"]),
            (
                "D\u{e0041}MM",
                ["'D\\U000e0041MM' holds U+E0041", "cannot be seen, use 'DMM'"],
            ),
            ("D\u{1bca0}MM", ["U+1BCA0", "cannot be seen, use 'DMM'"]),
            ("DMM\u{e000}", ["U+E000", "a private-use character"]),
            ("DMM\u{10fffd}", ["U+10FFFD", "a private-use character"]),
            ("DMM\u{378}", ["U+0378", "Unicode has not assigned"]),
            ("DMM\u{fdd0}", ["U+FDD0", "Unicode has not assigned"]),
            ("DMM\u{10ffff}", ["U+10FFFF", "Unicode has not assigned"]),
            ("D\u{640}M", ["U+0640", "RFC 8264 does not allow"]),
            ("\u{212b}-meter", ["normal form C", "write U+212B as U+00C5"]),
            (
                "A\u{30a}-meter",
                ["normal form C", "write U+0041 U+030A as U+00C5"],
            ),
        ] {
            let told = error(name);
            assert!(told.starts_with("ValueError: the name "), "{told}");
            for text in texts {
                assert!(told.contains(text), "{text:?} is not said: {told}");
            }
            assert!(told.chars().all(is_printable), "{told:?}");
        }
    }

    #[test]
    fn what_looks_like_the_managers_name_is_refused() {
        for name in [
            "Manager",
            "Manager[x:1]",
            "manager",
            "MANAGER",
            "manager[x:1]",
            "Manager [x:1]",
            "Man\u{430}ger",
            "\u{41c}anager",
            "\u{39c}ANAGER",
            "\u{ff2d}\u{ff41}\u{ff4e}\u{ff41}\u{ff47}\u{ff45}\u{ff52}",
            "\u{ff2d}anager\u{ff3b}x:1]",
            "\u{216f}anager",
            "\u{1d40c}anager",
        ] {
            assert_eq!(check(name), Err(NameError::Reserved(name.to_owned())), "{name}");
        }
        for name in ["Man\u{200b}ager", " Manager", "Manager\u{3000}"] {
            assert!(check(name).is_err(), "{name:?}");
        }
        for name in [
            "Manage",
            "Managers",
            "M\u{e1}n\u{e1}ger",
            "My Manager",
            "Manager-2[x]",
        ] {
            assert_eq!(check(name), Ok(()), "{name}");
        }
    }
}
