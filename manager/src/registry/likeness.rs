//! Services whose names look alike.

use std::sync::Arc;

use foldhash::HashMap;
use labwire_wire::appearance;

/// The names of the connected services, by appearance.
#[derive(Debug, Default)]
pub(super) struct Likenesses(HashMap<String, Vec<Arc<str>>>);

impl Likenesses {
    /// Returns a connected service whose name looks like this one, such as `ECHO` in Latin and in
    /// Cyrillic letters. Two ASCII names such as `O2` and `02` count as different.
    pub(super) fn of(&self, name: &str) -> Option<&Arc<str>> {
        let is_clash = |other: &&Arc<str>| !(name.is_ascii() && other.is_ascii());
        self.0.get(&appearance(name))?.iter().find(is_clash)
    }

    pub(super) fn insert(&mut self, name: Arc<str>) {
        self.0.entry(appearance(&name)).or_default().push(name);
    }

    pub(super) fn remove(&mut self, name: &str) {
        let appearance = appearance(name);
        if let Some(names) = self.0.get_mut(&appearance) {
            names.retain(|other| **other != *name);
            if names.is_empty() {
                self.0.remove(&appearance);
            }
        }
    }

    /// Returns the number of names.
    #[cfg(any(test, feature = "fuzzing"))]
    pub(super) fn len(&self) -> usize {
        self.0.values().map(Vec::len).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_look_alike_are_found_until_they_are_gone() {
        let mut names = Likenesses::default();
        for name in ["ECHO", "Camera 1", "\u{b5}-meter"] {
            names.insert(name.into());
        }
        for (name, like) in [
            ("\u{415}\u{421}\u{41d}\u{41e}", Some("ECHO")),
            ("\u{3bc}-meter", Some("\u{b5}-meter")),
            // These count as different.
            ("Camera l", None),
            ("echo", None),
            ("\u{c9}CHO", None),
        ] {
            assert_eq!(names.of(name).map(|name| &**name), like, "{name}");
        }
        names.insert("Camera l".into());
        names.remove("Camera 1");
        names.remove("ECHO");
        assert_eq!(names.of("\u{415}\u{421}\u{41d}\u{41e}"), None);
        assert_eq!(names.len(), 2);
    }
}
