//! Suggestions for misspelt names.

/// Returns the known name that differs least from a name, if it differs in few characters: one, and
/// one more for every four. The case of letters does not count. `None` if no name is similar; the name
/// itself is not returned.
///
/// ```
/// use labwire_home::nearest;
///
/// let known = ["Multimeter", "Thermometer"];
/// assert_eq!(nearest("mutlimeter", known), Some("Multimeter"));
/// assert_eq!(nearest("Spectrograph", known), None);
/// ```
pub fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
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
