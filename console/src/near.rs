//! Suggestions for misspelt names.

/// The least similarity of a suggestion, from 0 (nothing in common) to 1 (the same).
const SIMILAR: f64 = 0.75;

/// Returns the known name that is most similar to a name, if one is similar enough. The case of
/// letters does not count.
pub(crate) fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let folded = name.to_lowercase();
    let similarity = |other: &str| strsim::jaro_winkler(&folded, &other.to_lowercase());
    known
        .into_iter()
        .filter(|other| *other != name)
        .map(|other| (similarity(other), other))
        .filter(|(similarity, _)| *similarity >= SIMILAR)
        .max_by(|(first, _), (second, _)| first.total_cmp(second))
        .map(|(_, other)| other)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_similar_name_is_suggested_and_none_that_is_not_similar() {
        let known = ["Multimeter", "Thermometer", "Echo"];
        for (typed, expected) in [
            ("multimeter", Some("Multimeter")),
            ("Mutlimeter", Some("Multimeter")),
            ("Themometer", Some("Thermometer")),
            ("Eco", Some("Echo")),
            ("Spectrograph", None),
            ("Echo", None),
        ] {
            assert_eq!(nearest(typed, known), expected, "{typed}");
        }
    }
}
