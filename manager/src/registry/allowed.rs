//! What a client may call of the service that it called last, so that most requests are not decided anew.

use super::peers::PeerId;

/// The most attributes that are kept; a client that calls more of them in turn has the others decided anew.
const MOST_ATTRIBUTES: usize = 4;

/// The longest attribute that is kept, in bytes.
const LONGEST: usize = 31;

/// Calls of one service that are allowed without an end and without approval, as of one version of the
/// rules.
#[derive(Debug, Default)]
pub(super) struct AllowedCalls {
    /// Initially an id that no service has.
    service: PeerId,
    everything: bool,
    attributes: [Name; MOST_ATTRIBUTES],
    /// How many attributes were kept since the service was first called; each replaces the oldest.
    kept: usize,
}

/// An attribute, stored in place: a client that calls several services in turn keeps one each time, which
/// must not cost an allocation.
#[derive(Clone, Copy, Debug, Default)]
struct Name {
    length: u8,
    bytes: [u8; LONGEST],
}

impl Name {
    fn new(name: &[u8]) -> Option<Self> {
        let mut own = Self {
            length: u8::try_from(name.len()).ok()?,
            bytes: [0; LONGEST],
        };
        own.bytes.get_mut(..name.len())?.copy_from_slice(name);
        Some(own)
    }

    #[inline]
    fn is(&self, name: &[u8]) -> bool {
        self.bytes.get(..usize::from(self.length)) == Some(name)
    }
}

impl AllowedCalls {
    /// Returns whether an attribute of a service is known to be allowed; `false` does not say that it is
    /// refused.
    #[inline]
    pub(super) fn includes(&self, service: PeerId, attribute: &[u8]) -> bool {
        let known = || {
            let known = &self.attributes[..self.kept.min(MOST_ATTRIBUTES)];
            known.iter().any(|known| known.is(attribute))
        };
        self.service == service && (self.everything || known())
    }

    /// Keeps that every attribute of a service is allowed.
    pub(super) fn keep_everything(&mut self, service: PeerId) {
        self.begin(service);
        self.everything = true;
    }

    /// Keeps that an attribute of a service is allowed, unless it is too long.
    pub(super) fn keep(&mut self, service: PeerId, attribute: &[u8]) {
        let Some(name) = Name::new(attribute) else {
            return;
        };
        if self.service != service {
            self.begin(service);
        }
        self.attributes[self.kept % MOST_ATTRIBUTES] = name;
        self.kept += 1;
    }

    fn begin(&mut self, service: PeerId) {
        (self.service, self.everything, self.kept) = (service, false, 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_latest_attributes_of_one_service_are_known() {
        let (one, other) = (PeerId::sample(1), PeerId::sample(2));
        let mut calls = AllowedCalls::default();
        assert!(!calls.includes(one, b""));
        calls.keep(one, b"");
        assert!(calls.includes(one, b"") && !calls.includes(one, b"\0") && !calls.includes(other, b""));
        for name in ["a", "b", "c", "d"] {
            calls.keep(one, name.as_bytes());
        }
        assert!(calls.includes(one, b"a") && calls.includes(one, b"d") && !calls.includes(one, b""));
        calls.keep(other, b"e");
        assert!(calls.includes(other, b"e") && !calls.includes(other, b"a") && !calls.includes(one, b"a"));
    }

    #[test]
    fn an_attribute_that_is_too_long_is_not_taken_for_its_beginning() {
        let service = PeerId::sample(1);
        let mut calls = AllowedCalls::default();
        let longest = [b'x'; LONGEST];
        calls.keep(service, &longest);
        assert!(calls.includes(service, &longest));
        for length in [LONGEST + 1, 256 + LONGEST] {
            let name = vec![b'x'; length];
            calls.keep(service, &name);
            assert!(!calls.includes(service, &name), "{length}");
        }
    }

    #[test]
    fn everything_of_a_service_ends_with_the_next_service() {
        let (one, other) = (PeerId::sample(1), PeerId::sample(2));
        let mut calls = AllowedCalls::default();
        calls.keep_everything(one);
        assert!(calls.includes(one, b"any") && !calls.includes(other, b"any"));
        calls.keep(other, b"a");
        assert!(
            calls.includes(other, b"a") && !calls.includes(other, b"any") && !calls.includes(one, b"any")
        );
    }
}
