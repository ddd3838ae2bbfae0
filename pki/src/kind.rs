//! The kinds of keys, the curves and the hashes that current TLS peers accept.

use std::fmt;
use std::str::FromStr;

use crate::error::PkiError;

/// The kind of a private key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyKind {
    /// RSA.
    Rsa {
        /// The length of the modulus in bits.
        bits: u32,
    },
    /// An elliptic curve of NIST, for ECDSA.
    Ecc(Curve),
    /// Edwards curve 25519.
    Ed25519,
}

impl KeyKind {
    /// The default kind of a new key: RSA with 2048 bits, which every peer accepts.
    pub const DEFAULT: Self = Self::Rsa { bits: 2048 };

    /// Returns the default hash of this key's certificate signatures; `None` if the hash is part of
    /// the signature scheme.
    pub fn signature_hash(self) -> Option<Hash> {
        match self {
            Self::Rsa { .. } | Self::Ecc(Curve::Secp256r1) => Some(Hash::Sha256),
            Self::Ecc(Curve::Secp384r1) => Some(Hash::Sha384),
            Self::Ecc(Curve::Secp521r1) => Some(Hash::Sha512),
            Self::Ed25519 => None,
        }
    }
}

impl fmt::Display for KeyKind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rsa { bits } => write!(formatter, "RSA {bits}-bit"),
            Self::Ecc(curve) => write!(formatter, "{curve}"),
            Self::Ed25519 => formatter.write_str("Ed25519"),
        }
    }
}

/// The elliptic curves of TLS 1.3's ECDSA signatures (RFC 8446, section 4.2.3).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Curve {
    /// 256 bits; also called prime256v1, P-256 and NIST P-256.
    Secp256r1,
    /// 384 bits; also called P-384 and NIST P-384.
    #[default]
    Secp384r1,
    /// 521 bits; also called P-521 and NIST P-521.
    Secp521r1,
}

impl fmt::Display for Curve {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Secp256r1 => "secp256r1",
            Self::Secp384r1 => "secp384r1",
            Self::Secp521r1 => "secp521r1",
        })
    }
}

impl FromStr for Curve {
    type Err = PkiError;

    /// Accepts the names of SEC, X9.62 and NIST, in any case.
    fn from_str(name: &str) -> Result<Self, PkiError> {
        match name.trim().to_ascii_lowercase().as_str() {
            "secp256r1" | "prime256v1" | "p-256" | "p256" | "nistp256" => Ok(Self::Secp256r1),
            "secp384r1" | "ansip384r1" | "p-384" | "p384" | "nistp384" => Ok(Self::Secp384r1),
            "secp521r1" | "ansip521r1" | "p-521" | "p521" | "nistp521" => Ok(Self::Secp521r1),
            _ => Err(PkiError::UnknownCurve {
                name: name.to_owned(),
            }),
        }
    }
}

/// The hashes that current TLS peers accept in a certificate's signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hash {
    /// SHA-2 with 256 bits.
    Sha256,
    /// SHA-2 with 384 bits.
    Sha384,
    /// SHA-2 with 512 bits.
    Sha512,
}

impl fmt::Display for Hash {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Sha256 => "SHA256",
            Self::Sha384 => "SHA384",
            Self::Sha512 => "SHA512",
        })
    }
}

impl FromStr for Hash {
    type Err = PkiError;

    /// Accepts both `SHA256` and `SHA-256`, in any case.
    fn from_str(name: &str) -> Result<Self, PkiError> {
        match name.trim().to_ascii_uppercase().as_str() {
            "SHA256" | "SHA-256" => Ok(Self::Sha256),
            "SHA384" | "SHA-384" => Ok(Self::Sha384),
            "SHA512" | "SHA-512" => Ok(Self::Sha512),
            "MD5" | "SHA1" | "SHA-1" => Err(PkiError::UnknownHash {
                name: name.to_owned(),
                reason: "it is broken, signatures with it can be forged, and TLS libraries refuse it",
            }),
            _ => Err(PkiError::UnknownHash {
                name: name.to_owned(),
                reason: "TLS has no certificate signatures with it",
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn curves_go_by_any_of_their_names_in_any_case() {
        for name in ["SECP256R1", "prime256v1", "P-256"] {
            assert_eq!(name.parse::<Curve>().unwrap(), Curve::Secp256r1);
        }
        assert_eq!("SECP384R1".parse::<Curve>().unwrap(), Curve::Secp384r1);
        assert_eq!("p-521".parse::<Curve>().unwrap(), Curve::Secp521r1);
    }

    #[test]
    fn a_curve_that_tls_does_not_take_is_refused_with_those_it_takes() {
        let message = "SECP256K1".parse::<Curve>().unwrap_err().to_string();
        assert!(message.contains("'SECP256K1'"), "{message}");
        assert!(
            message.contains("secp256r1, secp384r1 and secp521r1"),
            "{message}"
        );
    }

    #[test]
    fn broken_hashes_are_refused_with_the_reason() {
        assert_eq!("sha-384".parse::<Hash>().unwrap(), Hash::Sha384);
        for name in ["SHA1", "md5"] {
            let message = name.parse::<Hash>().unwrap_err().to_string();
            assert!(
                message.contains("broken") && message.contains("SHA256"),
                "{message}"
            );
        }
        let message = "BLAKE2B".parse::<Hash>().unwrap_err().to_string();
        assert!(message.contains("TLS has no certificate signatures"), "{message}");
    }
}
