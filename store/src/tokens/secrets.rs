//! The secrets of tokens.

use std::fmt::Write;

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::rand;

use crate::error::StoreError;

/// The beginning of each secret, by which people and programs recognise it.
pub const TOKEN_PREFIX: &str = "lwt_";

/// The number of random bytes in a secret.
const SECRET_BYTES: usize = 32;

/// The hash of a secret.
pub(super) type SecretHash = [u8; 32];

/// Returns whether a text has the form of a token's secret: `lwt_` and 64 hexadecimal digits. Nobody can
/// guess such a secret.
///
/// ```
/// assert!(labwire_store::is_token_secret(&format!("lwt_{}", "0".repeat(64))));
/// assert!(!labwire_store::is_token_secret("lwt_0"));
/// ```
pub fn is_token_secret(text: &str) -> bool {
    text.strip_prefix(TOKEN_PREFIX).is_some_and(|digits| {
        digits.len() == 2 * SECRET_BYTES
            && digits
                .bytes()
                .all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f'))
    })
}

/// Returns the hash of what a peer presents as its password; `None` if it is no token's secret.
pub(super) fn hash_of_secret(password: &str) -> Option<SecretHash> {
    if !is_token_secret(password) {
        return None;
    }
    let mut hash = [0; 32];
    hash.copy_from_slice(digest(&SHA256, password.as_bytes()).as_ref());
    Some(hash)
}

pub(super) fn new_secret() -> Result<String, StoreError> {
    let mut bytes = [0; SECRET_BYTES];
    rand::fill(&mut bytes).map_err(|_| StoreError::RandomUnavailable)?;
    let mut secret = TOKEN_PREFIX.to_owned();
    for byte in bytes {
        // Writing to a text cannot fail.
        let _ = write!(secret, "{byte:02x}");
    }
    Ok(secret)
}
