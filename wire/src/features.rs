//! What more of the wire a peer understands than the first version had.

/// What more of the wire a peer understands: the names in the member `features` of its identity.
///
/// A peer gets what belongs to a feature only if it asked for it, so that peers which know none of this see
/// the first version of the wire, byte for byte. Names that are not known here are ignored: a newer peer
/// works with an older manager.
///
/// ```
/// use labwire_wire::Features;
///
/// let features = Features::from_names(["registered", "teleport"]);
/// assert!(features.registered && !features.origin);
/// assert_eq!(features.names().collect::<Vec<_>>(), ["registered"]);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is asked for or not, whatever the others are"
)]
pub struct Features {
    /// `registered`: once its identity is accepted, the peer is told its name on the network, before
    /// anything else.
    pub registered: bool,
    /// `unlinked`: the client is told when a service that it is linked with has left.
    pub unlinked: bool,
    /// `origin`: errors of the manager itself tell the client so, and whether its request may have been
    /// [executed](crate::Executed).
    pub origin: bool,
    /// `cut-through`: a long line may reach the peer while it arrives at the manager. One that ends with
    /// [`frames::BROKEN_OFF`](crate::frames::BROKEN_OFF) is to be forgotten.
    pub cut_through: bool,
}

impl Features {
    /// All features that this version knows.
    pub const ALL: Self = Self {
        registered: true,
        unlinked: true,
        origin: true,
        cut_through: true,
    };

    /// The known ones of these names.
    pub fn from_names<'a>(names: impl IntoIterator<Item = &'a str>) -> Self {
        let mut features = Self::default();
        for name in names {
            match name {
                "registered" => features.registered = true,
                "unlinked" => features.unlinked = true,
                "origin" => features.origin = true,
                "cut-through" => features.cut_through = true,
                _ => {}
            }
        }
        features
    }

    /// The names, as they stand in an identity.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        let Self {
            registered,
            unlinked,
            origin,
            cut_through,
        } = self;
        [
            (registered, "registered"),
            (unlinked, "unlinked"),
            (origin, "origin"),
            (cut_through, "cut-through"),
        ]
        .into_iter()
        .filter_map(|(asked, name)| asked.then_some(name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_feature_is_found_by_its_name() {
        assert_eq!(Features::from_names(Features::ALL.names()), Features::ALL);
        assert_eq!(Features::default().names().count(), 0);
    }

    #[test]
    fn names_that_nobody_knows_ask_for_nothing() {
        assert_eq!(
            Features::from_names(["", "Origin", "teleport"]),
            Features::default()
        );
    }
}
