//! Fingerprints, with which people compare certificates.

use std::fmt::Write;

use aws_lc_rs::digest;

/// Returns the SHA-256 fingerprint of a certificate in DER form, in lower-case hexadecimal with
/// colons.
///
/// ```
/// use labwire_home::fingerprint_sha256;
///
/// let certificate = b"the bytes of a certificate in DER form";
/// let fingerprint = fingerprint_sha256(certificate);
/// assert!(fingerprint.starts_with("43:fc:64:00"));
/// assert_eq!(fingerprint.split(':').count(), 32);
/// ```
pub fn fingerprint_sha256(certificate: &[u8]) -> String {
    hex_with_colons(digest::digest(&digest::SHA256, certificate).as_ref())
}

/// Returns the SHA-1 fingerprint of a certificate in DER form, in lower-case hexadecimal with
/// colons.
///
/// MSL-Network shows it before a client trusts a certificate. SHA-1 is too weak where an attacker
/// could have influenced the certificate.
///
/// ```
/// use labwire_home::fingerprint_sha1;
///
/// let certificate = b"the bytes of a certificate in DER form";
/// assert_eq!(fingerprint_sha1(certificate), "3b:3e:3e:09:6d:24:09:f9:55:16:ee:d0:21:c0:c6:c1:de:ab:cc:7c");
/// ```
pub fn fingerprint_sha1(certificate: &[u8]) -> String {
    hex_with_colons(digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, certificate).as_ref())
}

/// Formats bytes in lower-case hexadecimal with colons between them.
///
/// ```
/// assert_eq!(labwire_home::hex_with_colons(&[0x0a, 0xff, 0x00]), "0a:ff:00");
/// ```
pub fn hex_with_colons(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() * 3);
    for (index, byte) in bytes.iter().enumerate() {
        let separator = if index == 0 { "" } else { ":" };
        write!(text, "{separator}{byte:02x}").expect("writing to a string cannot fail");
    }
    text
}
