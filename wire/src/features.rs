//! Extensions of the wire beyond its first version.

/// The extensions of the wire that a peer supports: the names in the member `features` of its
/// identity.
///
/// A peer receives frames of a feature only if it requested the feature, so that older peers see
/// the first version of the wire, byte for byte. Unknown names are ignored, so a newer peer works
/// with an older manager.
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
    /// `registered`: the peer receives its name on the network once its identity is accepted,
    /// before anything else.
    pub registered: bool,
    /// `unlinked`: the client is notified when a service that it is linked with disconnects.
    pub unlinked: bool,
    /// `origin`: errors of the manager are marked as such, and contain whether the request may have
    /// been [executed](crate::Executed).
    pub origin: bool,
    /// `cut-through`: a long line may reach the peer while it arrives at the manager. A line that
    /// ends with [`frames::BROKEN_OFF`](crate::frames::BROKEN_OFF) must be discarded.
    pub cut_through: bool,
    /// `leases`: the client is notified when its lock on a service has expired or was broken, and
    /// refusals about locks contain the holder, the times and the position in the queue as
    /// members.
    pub leases: bool,
    /// `progress`: a service may send progress and items of the requests that it holds. Every
    /// request of a client that names it asks for them; other clients ask with the member `progress`
    /// of a request.
    pub progress: bool,
    /// `cancel`: the service is asked to stop a request that was cancelled, and learns its deadline.
    pub cancel: bool,
    /// `sessions`: the peer's place is kept for a while after a broken connection, with what was
    /// sent to it: see [`SessionRequest`](crate::SessionRequest).
    pub sessions: bool,
    /// `binary`: frames may be followed by [buffers](crate::buffers), in both directions.
    pub binary: bool,
    /// `caller`: the service learns with each request who sends it: the manager adds the member
    /// `caller`.
    pub caller: bool,
    /// `approval`: the client is told when one of its requests waits for approval, and when it was
    /// approved.
    pub approval: bool,
}

impl Features {
    /// All features of this version.
    pub const ALL: Self = Self {
        registered: true,
        unlinked: true,
        origin: true,
        cut_through: true,
        leases: true,
        progress: true,
        cancel: true,
        sessions: true,
        binary: true,
        caller: true,
        approval: true,
    };

    /// Returns the features with these names. Unknown names are ignored.
    pub fn from_names<'a>(names: impl IntoIterator<Item = &'a str>) -> Self {
        let mut features = Self::default();
        for name in names {
            match name {
                "registered" => features.registered = true,
                "unlinked" => features.unlinked = true,
                "origin" => features.origin = true,
                "cut-through" => features.cut_through = true,
                "leases" => features.leases = true,
                "progress" => features.progress = true,
                "cancel" => features.cancel = true,
                "sessions" => features.sessions = true,
                "binary" => features.binary = true,
                "caller" => features.caller = true,
                "approval" => features.approval = true,
                _ => {}
            }
        }
        features
    }

    /// Returns the names for an identity.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        let Self {
            registered,
            unlinked,
            origin,
            cut_through,
            leases,
            progress,
            cancel,
            sessions,
            binary,
            caller,
            approval,
        } = self;
        [
            (registered, "registered"),
            (unlinked, "unlinked"),
            (origin, "origin"),
            (cut_through, "cut-through"),
            (leases, "leases"),
            (progress, "progress"),
            (cancel, "cancel"),
            (sessions, "sessions"),
            (binary, "binary"),
            (caller, "caller"),
            (approval, "approval"),
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
