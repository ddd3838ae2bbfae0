//! The key with which secrets are encrypted: a private file beside the database.
//!
//! A key that was derived from the password would make the second factor fall with the password:
//! whoever has a copy of the database and guesses a password would have the secret, too.

use std::ffi::OsString;
use std::fmt::Write;
use std::io::{self, ErrorKind, Read};
use std::path::{Path, PathBuf};

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::hmac::{self, HMAC_SHA256};
use aws_lc_rs::rand;
use labwire_home::{Existing, Readers, give_to_owner_of, open_to_read, write_whole_file};

use crate::error::StoreError;

const KEY_BYTES: usize = 32;

/// What follows the name of the database in that of the key.
const SUFFIX: &str = ".totp-key";

/// What is encrypted, so that nothing else is taken for it.
const PURPOSE: &[u8] = b"labwire totp secret";

/// Returns the file with the key with which the secrets of second factors in a database are encrypted. It
/// is there once somebody has had a second factor.
///
/// ```
/// use std::path::Path;
/// use labwire_store::totp_key_file;
///
/// let key = totp_key_file(Path::new("/lab/manager.sqlite3"));
/// assert_eq!(key, Path::new("/lab/manager.sqlite3.totp-key"));
/// ```
pub fn totp_key_file(database: &Path) -> PathBuf {
    let mut name = OsString::from(database);
    name.push(SUFFIX);
    name.into()
}

/// The key of a database.
pub(super) struct TotpKey {
    encryption: LessSafeKey,
    hashing: hmac::Key,
}

impl TotpKey {
    /// Reads the key of the database at this path.
    pub(super) fn read(database: &Path) -> io::Result<Self> {
        let mut text = String::new();
        // No more of a wrong file than a key is long.
        let longest = 2 * KEY_BYTES as u64 + 8;
        open_to_read(&totp_key_file(database))?
            .take(longest)
            .read_to_string(&mut text)?;
        let wrong = || io::Error::new(ErrorKind::InvalidData, "it is no key of 64 hexadecimal digits");
        let bytes = from_hex(text.trim()).ok_or_else(wrong)?;
        Self::of(&bytes).ok_or_else(wrong)
    }

    /// Creates the key of a database. It belongs to the owner of the database: root may run this for the
    /// user of the manager.
    pub(super) fn create(database: &Path) -> Result<Self, StoreError> {
        let mut bytes = [0; KEY_BYTES];
        rand::fill(&mut bytes).map_err(|_| StoreError::RandomUnavailable)?;
        let mut text = String::new();
        for byte in bytes {
            // Writing to a text cannot fail.
            let _ = write!(text, "{byte:02x}");
        }
        text.push('\n');
        let path = totp_key_file(database);
        let written = write_whole_file(&path, text.as_bytes(), Readers::Owner, Existing::Keep);
        written.map_err(|reason| super::TotpError::key(&reason))?;
        give_to_owner_of(&path, database);
        Self::of(&bytes).ok_or(StoreError::RandomUnavailable)
    }

    /// Returns a key that opens nothing, for work that must take the usual time.
    pub(super) fn decoy() -> Option<Self> {
        Self::of(&[0; KEY_BYTES])
    }

    fn of(bytes: &[u8; KEY_BYTES]) -> Option<Self> {
        let derive = |purpose: &[u8]| hmac::sign(&hmac::Key::new(HMAC_SHA256, bytes), purpose);
        let encryption = UnboundKey::new(&AES_256_GCM, derive(b"encryption").as_ref()).ok()?;
        Some(Self {
            encryption: LessSafeKey::new(encryption),
            hashing: hmac::Key::new(HMAC_SHA256, derive(b"recovery codes").as_ref()),
        })
    }

    /// Encrypts a secret: a nonce, and the ciphertext with its tag.
    pub(super) fn seal(&self, secret: &[u8]) -> Result<Vec<u8>, StoreError> {
        let mut nonce = [0; NONCE_LEN];
        rand::fill(&mut nonce).map_err(|_| StoreError::RandomUnavailable)?;
        let mut sealed = secret.to_vec();
        let sealing = Nonce::assume_unique_for_key(nonce);
        self.encryption
            .seal_in_place_append_tag(sealing, Aad::from(PURPOSE), &mut sealed)
            .map_err(|_| StoreError::RandomUnavailable)?;
        Ok([nonce.as_slice(), &sealed].concat())
    }

    /// Decrypts a secret; `None` if it was encrypted with another key, or was changed.
    pub(super) fn open(&self, sealed: &[u8]) -> Option<Vec<u8>> {
        let (nonce, sealed) = sealed.split_first_chunk::<NONCE_LEN>()?;
        let mut opened = sealed.to_vec();
        let nonce = Nonce::assume_unique_for_key(*nonce);
        let secret = self
            .encryption
            .open_in_place(nonce, Aad::from(PURPOSE), &mut opened)
            .ok()?;
        Some(secret.to_vec())
    }

    /// Returns the hash of a recovery code. Without the key, codes cannot be tried against it.
    pub(super) fn hash(&self, code: &str) -> [u8; 32] {
        let mut hash = [0; 32];
        hash.copy_from_slice(hmac::sign(&self.hashing, code.as_bytes()).as_ref());
        hash
    }
}

fn from_hex(text: &str) -> Option<[u8; KEY_BYTES]> {
    let mut bytes = [0; KEY_BYTES];
    if text.len() != 2 * KEY_BYTES || !text.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        return None;
    }
    for (place, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(text.get(2 * place..2 * place + 2)?, 16).ok()?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn the_key_is_a_private_file_that_is_written_once_and_opens_what_it_has_sealed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("manager.sqlite3");
        std::fs::write(&path, "").unwrap();
        assert_eq!(TotpKey::read(&path).err().unwrap().kind(), ErrorKind::NotFound);
        let key = TotpKey::create(&path).unwrap();
        let mode = totp_key_file(&path).metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert!(TotpKey::create(&path).is_err());
        let sealed = key.seal(b"secret").unwrap();
        assert_ne!(sealed, key.seal(b"secret").unwrap());
        let again = TotpKey::read(&path).unwrap();
        assert_eq!(again.open(&sealed).unwrap(), b"secret");
        assert_eq!(again.hash("abcdefghjk"), key.hash("abcdefghjk"));
        for place in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[place] ^= 1;
            assert_eq!(key.open(&changed), None, "{place}");
        }
        assert_eq!(key.open(&sealed[..11]), None);
        assert_eq!(TotpKey::decoy().unwrap().open(&sealed), None);
    }

    #[test]
    fn a_file_that_is_no_key_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("manager.sqlite3");
        for text in [
            "",
            "00",
            &"0".repeat(63),
            &"g".repeat(64),
            &"0".repeat(100_000),
            "ä",
        ] {
            std::fs::write(totp_key_file(&path), text).unwrap();
            assert!(TotpKey::read(&path).is_err(), "{text}");
        }
    }
}
