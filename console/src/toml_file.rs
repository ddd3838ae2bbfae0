//! Files in TOML that people write.

use toml_edit::TableLike;

use crate::near::did_you_mean;
use crate::output::one_line;

/// Checks that a table has known keys only. `place` is what the table is for people.
///
/// # Errors
/// For an unknown key, a text with the most similar known one, or with all of them.
pub(crate) fn check_keys(place: &str, table: &dyn TableLike, known: &[&str]) -> Result<(), String> {
    let Some((unknown, _)) = table.iter().find(|(key, _)| !known.contains(key)) else {
        return Ok(());
    };
    let hint = match did_you_mean(unknown, known.iter().copied()) {
        Some(hint) => hint,
        None => format!("its keys are: {}", known.join(", ")),
    };
    Err(format!(
        "{place} has an unknown key '{}'\n{hint}",
        one_line(unknown)
    ))
}
