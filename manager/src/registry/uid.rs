//! The uids of requests in flight.

use std::fmt;

/// The longest uid that needs no allocation: those of Python peers have 36 bytes. With it, the
/// record of a request fills one cache line.
const SHORT: usize = 38;

/// The bytes of a [`labwire_wire::Uid`].
#[derive(Clone, PartialEq, Eq)]
pub(super) enum Uid {
    /// The length and the bytes; those after the length are zero.
    Short(u8, [u8; SHORT]),
    Long(Box<[u8]>),
}

impl Uid {
    #[inline]
    pub(super) fn as_bytes(&self) -> &[u8] {
        match self {
            Self::Short(length, bytes) => &bytes[..SHORT.min(usize::from(*length))],
            Self::Long(bytes) => bytes,
        }
    }

    /// Returns the uid as its client chose it.
    pub(super) fn get(&self) -> labwire_wire::Uid<'_> {
        labwire_wire::Uid::from_bytes(self.as_bytes())
    }
}

impl From<&[u8]> for Uid {
    #[inline]
    fn from(uid: &[u8]) -> Self {
        let mut bytes = [0; SHORT];
        match (bytes.get_mut(..uid.len()), u8::try_from(uid.len())) {
            (Some(place), Ok(length)) => {
                place.copy_from_slice(uid);
                Self::Short(length, bytes)
            }
            _ => Self::Long(uid.into()),
        }
    }
}

impl fmt::Debug for Uid {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.get().fmt(formatter)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_uid_of_any_length_stays_what_it_is() {
        for length in 0..=300 {
            let text = "u".repeat(length);
            let uid = Uid::from(text.as_bytes());
            assert_eq!(uid.get().as_str(), text);
            assert_eq!(matches!(uid, Uid::Short(..)), length <= SHORT);
            assert_ne!(uid, Uid::from(format!("{text}\0").as_bytes()));
        }
    }
}
