//! Suggestions for misspelt names.

use labwire_home::nearest;

use crate::output::one_line;

/// Returns the question whether the known name was meant that differs least from a name; `None` if
/// none is similar.
pub(crate) fn did_you_mean<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<String> {
    nearest(name, known).map(|nearest| format!("did you mean '{}'?", one_line(nearest)))
}

/// Returns the text for a service that is not connected.
pub(crate) fn not_connected(service: &str) -> String {
    format!("no service '{}' is connected", one_line(service))
}

/// Returns the text for a service that a manager does not list, which has others that it does not list
/// either.
pub(crate) fn not_in_sight(service: &str) -> String {
    format!("no service '{}' is connected that you may see", one_line(service))
}
