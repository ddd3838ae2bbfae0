//! Fingerprints: what people compare to know that two certificates are one.

use std::fmt::Write;

use aws_lc_rs::digest;

/// The SHA-256 fingerprint of a certificate in DER form, in lower-case hexadecimal with colons.
pub fn fingerprint_sha256(certificate: &[u8]) -> String {
    hex_with_colons(digest::digest(&digest::SHA256, certificate).as_ref())
}

/// The SHA-1 fingerprint of a certificate in DER form, in lower-case hexadecimal with colons.
///
/// It is what MSL-Network shows before a client trusts a certificate; SHA-1 is too weak to rely on where an
/// attacker could have had a hand in making the certificate.
pub fn fingerprint_sha1(certificate: &[u8]) -> String {
    hex_with_colons(digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, certificate).as_ref())
}

/// Bytes in lower-case hexadecimal with colons between them.
pub fn hex_with_colons(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() * 3);
    for (index, byte) in bytes.iter().enumerate() {
        let separator = if index == 0 { "" } else { ":" };
        write!(text, "{separator}{byte:02x}").expect("writing to a string cannot fail");
    }
    text
}
