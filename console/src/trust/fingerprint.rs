//! Fingerprints as people paste them.

use std::str::FromStr;

use labwire_pki::CertificateSummary;

/// A SHA-256 fingerprint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Fingerprint {
    /// 64 digits in lower case.
    digits: String,
}

impl Fingerprint {
    /// Returns whether it is that of a certificate.
    pub(super) fn is_of(&self, certificate: &CertificateSummary) -> bool {
        self.digits == certificate.fingerprint.replace(':', "")
    }
}

impl FromStr for Fingerprint {
    type Err = &'static str;

    /// Accepts the forms of `labwire` and OpenSSL: with or without colons, in any case, and after
    /// `SHA256:` or `sha256 Fingerprint=`.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let text = text.rsplit('=').next().unwrap_or_default();
        let text = text.trim().to_ascii_lowercase();
        let digits = text.strip_prefix("sha256:").unwrap_or(&text);
        let digits: String = digits
            .chars()
            .filter(|digit| *digit != ':' && !digit.is_whitespace())
            .collect();
        let is_hexadecimal = digits.bytes().all(|digit| digit.is_ascii_hexdigit());
        match digits.len() {
            64 if is_hexadecimal => Ok(Self { digits }),
            40 if is_hexadecimal => Err(
                "this is a SHA-1 fingerprint, as the Python package shows it; the SHA-256 fingerprint is needed",
            ),
            _ => Err("the 64 hexadecimal digits of a SHA-256 fingerprint were expected"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fingerprint_is_taken_as_programs_print_it() {
        let digits = "ab".repeat(32);
        let colons = vec!["AB"; 32].join(":");
        for text in [
            digits.clone(),
            colons.clone(),
            format!("SHA256:{colons}"),
            format!("sha256 Fingerprint={colons}"),
            format!(" {digits} "),
        ] {
            let read: Fingerprint = text.parse().unwrap();
            assert_eq!(read.digits, digits, "{text}");
        }
        let sha1 = "ab".repeat(20).parse::<Fingerprint>().unwrap_err();
        assert!(sha1.contains("SHA-1"), "{sha1}");
        for text in ["", "abc", &"xy".repeat(32)] {
            assert!(text.parse::<Fingerprint>().is_err(), "{text}");
        }
    }
}
