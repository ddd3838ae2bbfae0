//! What the fuzz targets call.

use crate::action::Action;
use crate::pattern::{MOST_COMPARED_BYTES, Pattern};
use crate::permission::{Effect, Permission};

/// Compares a text with a pattern by its definition, without any shortcut: the table of all
/// beginnings of both. Characters of the text that are in `wild` match only `*`.
fn matches_by_definition(pattern: &str, text: &str, wild: &[char]) -> bool {
    let text: Vec<char> = text.chars().collect();
    // Whether the pattern so far matches the first characters of the text, by their number.
    let mut so_far = vec![false; text.len() + 1];
    so_far[0] = true;
    for expected in pattern.chars() {
        let mut longer = vec![false; text.len() + 1];
        if expected == '*' {
            let mut is_reached = false;
            for (longer, before) in longer.iter_mut().zip(&so_far) {
                is_reached |= before;
                *longer = is_reached;
            }
        } else {
            for (index, character) in text.iter().enumerate() {
                let is_same = expected == '?' || expected == *character;
                longer[index + 1] = so_far[index] && is_same && !wild.contains(character);
            }
        }
        so_far = longer;
    }
    so_far[text.len()]
}

/// Checks that a pattern matches what its definition says, and that permissions are written as they
/// are read.
///
/// # Panics
/// If they differ.
pub fn check_pattern(pattern: &str, name: &str) {
    if let Ok(compiled) = Pattern::new(pattern)
        && name.len() <= MOST_COMPARED_BYTES
    {
        assert_eq!(
            compiled.matches(name),
            matches_by_definition(pattern, name, &[]),
            "{pattern:?} {name:?}"
        );
        assert_eq!(
            compiled.covers(name),
            matches_by_definition(pattern, name, &['*', '>']),
            "{pattern:?} {name:?}"
        );
    }
    for text in [pattern.to_owned(), format!("ask {pattern}")] {
        let Ok(permission) = text.parse::<Permission>() else {
            continue;
        };
        let written = permission.to_string();
        assert_eq!(
            written.parse::<Permission>().as_ref(),
            Ok(&permission),
            "{written:?}"
        );
        assert!(permission.effect == Effect::Allow || permission.action == Action::Call);
    }
}
