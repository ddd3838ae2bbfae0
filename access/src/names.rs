//! The names of roles, groups and sets.

/// The longest name of a role, a group or a set, in bytes.
pub const MOST_NAME_BYTES: usize = 64;

/// Why a text is not the name of a role, a group or a set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// It is empty.
    #[error("a name may not be empty")]
    Empty,
    /// It is longer than [`MOST_NAME_BYTES`].
    #[error("a name may have at most {MOST_NAME_BYTES} bytes")]
    TooLong,
    /// It has a character that is neither a letter, nor a digit, nor one of `-`, `_` and `.`.
    #[error("a name consists of letters, digits, and the characters - _ .")]
    Character,
}

/// Checks the name of a role, a group or a set: letters, digits, and `-`, `_` and `.`.
///
/// # Errors
/// See [`NameError`].
pub fn check_name(name: &str) -> Result<(), NameError> {
    if name.is_empty() {
        return Err(NameError::Empty);
    }
    if name.len() > MOST_NAME_BYTES {
        return Err(NameError::TooLong);
    }
    if name
        .chars()
        .all(|character| character.is_alphanumeric() || "-_.".contains(character))
    {
        Ok(())
    } else {
        Err(NameError::Character)
    }
}
