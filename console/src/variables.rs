//! Environment variables.

/// Whether an environment variable is set. An empty one counts as not set.
pub(crate) fn is_set(variable: &str) -> bool {
    std::env::var_os(variable).is_some_and(|value| !value.is_empty())
}
