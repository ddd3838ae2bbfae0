//! The secrets of sessions.

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::rand;

/// The number of random bytes in a secret.
const BYTES: usize = 24;

/// Characters that need no escape in JSON, in the order of base64url.
const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// The secret by which a peer returns to its session: 192 random bits as text. It is not kept.
pub(crate) struct Secret(String);

/// The hash of a secret, by which the session is found. Whoever reads it cannot return with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct SecretHash([u8; 32]);

impl Secret {
    /// Creates a secret. Returns `None` if the operating system provides no random bytes.
    pub(crate) fn random() -> Option<Self> {
        let mut bytes = [0; BYTES];
        rand::fill(&mut bytes).ok()?;
        let mut text = String::with_capacity(BYTES / 3 * 4);
        for three in bytes.chunks(3) {
            let bits = three
                .iter()
                .fold(0_usize, |bits, byte| bits << 8 | usize::from(*byte));
            text.extend([18, 12, 6, 0].map(|shift| char::from(ALPHABET[bits >> shift & 63])));
        }
        Some(Self(text))
    }

    /// Returns the text, for the peer itself.
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns its hash.
    pub(crate) fn hash(&self) -> SecretHash {
        SecretHash::of(&self.0)
    }
}

impl SecretHash {
    /// Returns the hash of a secret, which a peer presents.
    pub(crate) fn of(secret: &str) -> Self {
        let mut hash = [0; 32];
        hash.copy_from_slice(digest(&SHA256, secret.as_bytes()).as_ref());
        Self(hash)
    }

    /// Returns a hash that was kept.
    pub(crate) fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    pub(crate) fn bytes(self) -> [u8; 32] {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn a_secret_is_text_that_needs_no_escape_and_no_two_are_the_same() {
        let secrets: HashSet<_> = (0..1_000).map(|_| Secret::random().unwrap().0).collect();
        assert_eq!(secrets.len(), 1_000);
        for secret in &secrets {
            assert_eq!(secret.len(), 32);
            assert!(secret.bytes().all(|byte| ALPHABET.contains(&byte)));
        }
        let used: HashSet<_> = secrets.iter().flat_map(|secret| secret.bytes()).collect();
        assert_eq!(used.len(), ALPHABET.len());
    }
}
