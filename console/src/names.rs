//! Names in programs: of attributes, and of keyword arguments.

/// Returns whether a text can be a name: letters, digits and `_`, and no digit first.
pub(crate) fn is_name(text: &str) -> bool {
    let is_start = |first: char| first == '_' || first.is_alphabetic();
    let is_rest = |character: char| character == '_' || character.is_alphanumeric();
    text.starts_with(is_start) && text.chars().all(is_rest)
}
