//! Suggestions for misspelt names.

use crate::output::one_line;

/// Returns the known name that differs least from a name, if it differs in few characters: one, and
/// one more for every four. The case of letters does not count.
pub(crate) fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let folded = name.to_lowercase();
    let allowed = 1 + folded.chars().count() / 4;
    known
        .into_iter()
        .filter(|other| *other != name)
        .map(|other| (strsim::osa_distance(&folded, &other.to_lowercase()), other))
        .filter(|(distance, _)| *distance <= allowed && *distance < folded.chars().count())
        .min()
        .map(|(_, other)| other)
}

/// Returns the question whether the known name was meant that differs least from a name; `None` if
/// none is similar.
pub(crate) fn did_you_mean<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<String> {
    nearest(name, known).map(|nearest| format!("did you mean '{}'?", one_line(nearest)))
}

/// Returns the text for a service that is not connected.
pub(crate) fn not_connected(service: &str) -> String {
    format!("no service '{}' is connected", one_line(service))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_that_differs_least_is_suggested_if_it_differs_little() {
        let known = ["Multimeter", "Thermometer", "Echo"];
        for (typed, expected) in [
            ("multimeter", Some("Multimeter")),
            ("Mutlimeter", Some("Multimeter")),
            ("Themometer", Some("Thermometer")),
            ("Eco", Some("Echo")),
            ("Ehco", Some("Echo")),
            ("Spectrograph", None),
            ("E", None),
            ("Echo", None),
        ] {
            assert_eq!(nearest(typed, known), expected, "{typed}");
        }
    }
}
