//! Decodes a key file to a checked key in PKCS#8, from every format of OpenSSL, Python and
//! MSL-Network.

use aws_lc_rs::rsa::KeyPair as RsaKeyPair;
use aws_lc_rs::signature::{EcdsaKeyPair, Ed25519KeyPair};
use pkcs8::der::asn1::{AnyRef, OctetStringRef, UintRef};
use pkcs8::der::zeroize::Zeroizing;
use pkcs8::der::{self, Decode, Encode, ErrorKind, Reader, TagMode, TagNumber};
use pkcs8::pkcs5::{self, EncryptionScheme, pbes2::Kdf, pbes2::PBES2_OID as PBES2};
use pkcs8::{AlgorithmIdentifierRef, EncryptedPrivateKeyInfoRef, ObjectIdentifier, PrivateKeyInfoRef};

use crate::kind::{Curve, KeyKind};
use crate::{key, traditional};

const RSA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");
const RSA_PSS: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.10");
const DSA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10040.4.1");
const ELLIPTIC_CURVE: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");
const ED25519: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.101.112");
const ED448: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.101.113");

/// The lengths of RSA keys that the cryptographic library accepts for TLS, in bits.
const RSA_BITS: std::ops::RangeInclusive<u32> = 2048..=8192;

/// The most PBKDF2 rounds in a file. OpenSSL writes 2048, Python's cryptography 20,000 and this
/// program 600,000. Ten million take some seconds; more would only occupy the computer.
const MOST_ROUNDS: u32 = 10_000_000;

/// The most memory for scrypt in a file, in bytes. OpenSSL itself writes 16 MiB.
const MOST_MEMORY: u64 = 256 * 1024 * 1024;

const NEW_KEY: &str = "create a new key with: labwire keygen";
const OTHER_CURVE: &str = "the curves that TLS certificates use are secp256r1, secp384r1 and secp521r1; create a new key with: labwire keygen ecc";

/// A private key in PKCS#8 version 1. The cryptographic library has verified it, except for an RSA
/// key, see [`checked`](Self::checked).
pub(crate) struct Decoded {
    pub(crate) kind: KeyKind,
    pub(crate) pkcs8: Zeroizing<Vec<u8>>,
    was_encrypted: bool,
}

impl Decoded {
    fn new(kind: KeyKind, pkcs8: Vec<u8>) -> Self {
        Self {
            kind,
            pkcs8: Zeroizing::new(pkcs8),
            was_encrypted: false,
        }
    }

    fn after_decryption(self) -> Self {
        Self {
            was_encrypted: true,
            ..self
        }
    }

    /// Verifies an RSA key with the cryptographic library, which takes as long as a signature. Not
    /// needed if the key is passed to that library next.
    pub(crate) fn checked(self) -> Result<Self, Failure> {
        let is_rsa = matches!(self.kind, KeyKind::Rsa { .. });
        if is_rsa && RsaKeyPair::from_pkcs8(&self.pkcs8).is_err() {
            return Err(if self.was_encrypted {
                Failure::Damaged.after_decryption()
            } else {
                Failure::Damaged
            });
        }
        Ok(self)
    }
}

/// The reason why there is no key.
#[derive(Debug)]
pub(crate) enum Failure {
    NoKey,
    PasswordNeeded,
    WrongPassword,
    UnsupportedEncryption(String),
    Unsupported { what: String, remedy: &'static str },
    Damaged,
}

impl Failure {
    /// Converts an error after decryption: malformed contents mean a wrong password. One wrong
    /// password in 256 leaves padding that is valid by chance.
    fn after_decryption(self) -> Self {
        match self {
            Self::Damaged => Self::WrongPassword,
            other => other,
        }
    }
}

/// Finds the first private key among the blocks of a PEM file and decodes it.
pub(crate) fn private_key(file: &[u8], password: Option<&[u8]>) -> Result<Decoded, Failure> {
    // Text around the blocks may have any encoding; the blocks themselves are ASCII.
    let text = Zeroizing::new(String::from_utf8_lossy(file).into_owned());
    let blocks = pem::parse_many(text.as_bytes()).map_err(|_| Failure::NoKey)?;
    let block = blocks
        .into_iter()
        .find(|block| block.tag().ends_with("PRIVATE KEY"))
        .ok_or(Failure::NoKey)?;
    let (tag, dek_info) = (
        block.tag().to_owned(),
        block.headers().get("DEK-Info").map(str::to_owned),
    );
    let contents = Zeroizing::new(block.into_contents());
    match tag.as_str() {
        "DSA PRIVATE KEY" => return Err(dsa()),
        "OPENSSH PRIVATE KEY" => {
            return Err(Failure::Unsupported {
                what: "in the form of OpenSSH".to_owned(),
                remedy: NEW_KEY,
            });
        }
        "ENCRYPTED PRIVATE KEY" => {
            let password = password.ok_or(Failure::PasswordNeeded)?;
            let decrypted = decrypt_pkcs8(&contents, password)?;
            return from_pkcs8(&decrypted)
                .map(Decoded::after_decryption)
                .map_err(Failure::after_decryption);
        }
        _ => {}
    }
    let Some(dek_info) = dek_info else {
        return from_labelled(&tag, &contents);
    };
    let password = password.ok_or(Failure::PasswordNeeded)?;
    let decrypted =
        traditional::decrypt(&dek_info, password, &contents).map_err(|failure| match failure {
            traditional::Failure::UnknownCipher(cipher) => Failure::UnsupportedEncryption(cipher),
            traditional::Failure::WrongPassword => Failure::WrongPassword,
            traditional::Failure::Malformed => Failure::Damaged,
        })?;
    from_labelled(&tag, &decrypted)
        .map(Decoded::after_decryption)
        .map_err(Failure::after_decryption)
}

fn from_labelled(tag: &str, contents: &[u8]) -> Result<Decoded, Failure> {
    match tag {
        "PRIVATE KEY" => from_pkcs8(contents),
        "RSA PRIVATE KEY" => from_pkcs1(contents),
        "EC PRIVATE KEY" => from_sec1(contents),
        _ => Err(Failure::Unsupported {
            what: format!("labelled '{tag}'"),
            remedy: NEW_KEY,
        }),
    }
}

fn decrypt_pkcs8(contents: &[u8], password: &[u8]) -> Result<Zeroizing<Vec<u8>>, Failure> {
    let info =
        EncryptedPrivateKeyInfoRef::try_from(contents).map_err(|error| unreadable(contents, &error))?;
    let EncryptionScheme::Pbes2(parameters) = &info.encryption_algorithm else {
        return Err(Failure::UnsupportedEncryption("the outdated PBES1".to_owned()));
    };
    limit_work(&parameters.kdf)?;
    let decrypted = info.decrypt(password).map_err(|error| match error {
        pkcs8::Error::EncryptedPrivateKey(pkcs5::Error::UnsupportedAlgorithm { oid }) => {
            Failure::UnsupportedEncryption(format!("algorithm {oid}"))
        }
        // Contents that are not DER after decryption were decrypted with the wrong password.
        _ => Failure::WrongPassword,
    })?;
    Ok(Zeroizing::new(decrypted.as_bytes().to_vec()))
}

/// Distinguishes an unknown encryption from a malformed structure.
fn unreadable(contents: &[u8], error: &pkcs8::Error) -> Failure {
    let unknown = match (outer_algorithm(contents), error) {
        (Ok(algorithm), _) if algorithm != PBES2 => Some(algorithm),
        (_, pkcs8::Error::Asn1(error)) => match error.kind() {
            ErrorKind::OidUnknown { oid } => Some(oid),
            _ => None,
        },
        _ => None,
    };
    unknown.map_or(Failure::Damaged, |oid| {
        Failure::UnsupportedEncryption(format!("algorithm {oid}"))
    })
}

/// Returns the algorithm in `EncryptedPrivateKeyInfo` (RFC 5958, section 3), with any parameters.
fn outer_algorithm(contents: &[u8]) -> der::Result<ObjectIdentifier> {
    AnyRef::from_der(contents)?.sequence(|reader| {
        let algorithm = AlgorithmIdentifierRef::decode(reader)?;
        let _rest = reader.read_slice(reader.remaining_len())?;
        Ok(algorithm.oid)
    })
}

/// Refuses files whose decryption would take minutes or exhaust the memory.
fn limit_work(kdf: &Kdf) -> Result<(), Failure> {
    let too_much = match kdf {
        Kdf::Pbkdf2(parameters) => parameters.iteration_count > MOST_ROUNDS,
        Kdf::Scrypt(parameters) => {
            let block = 128 * u64::from(parameters.block_size);
            let memory = parameters.cost_parameter.saturating_mul(block);
            // The lanes run one after the other, so they cost time like rounds.
            memory.saturating_mul(u64::from(parameters.parallelization)) > MOST_MEMORY
        }
        _ => false,
    };
    if too_much {
        return Err(Failure::UnsupportedEncryption(
            "far more rounds than any program writes".to_owned(),
        ));
    }
    Ok(())
}

fn from_pkcs8(contents: &[u8]) -> Result<Decoded, Failure> {
    let info = PrivateKeyInfoRef::try_from(contents).map_err(|_| Failure::Damaged)?;
    match info.algorithm.oid {
        RSA => from_pkcs1(info.private_key.as_bytes()),
        ELLIPTIC_CURVE => match any_curve(contents) {
            Some(decoded) => Ok(decoded),
            None => Err(curve_failure(info.algorithm.parameters_oid().ok())),
        },
        ED25519 => {
            let pair = Ed25519KeyPair::from_pkcs8_maybe_unchecked(contents).map_err(|_| Failure::Damaged)?;
            let document = pair.to_pkcs8v1().map_err(|_| Failure::Damaged)?;
            Ok(Decoded::new(KeyKind::Ed25519, document.as_ref().to_vec()))
        }
        DSA => Err(dsa()),
        RSA_PSS => Err(Failure::Unsupported {
            what: "an RSA key restricted to PSS signatures".to_owned(),
            remedy: "create a plain one with: labwire keygen rsa",
        }),
        ED448 => Err(Failure::Unsupported {
            what: "an Ed448 key, which TLS libraries hardly know".to_owned(),
            remedy: "create another with: labwire keygen ed25519",
        }),
        oid => Err(Failure::Unsupported {
            what: format!("of the unknown kind {oid}"),
            remedy: NEW_KEY,
        }),
    }
}

fn from_pkcs1(contents: &[u8]) -> Result<Decoded, Failure> {
    let bits = modulus_bits(contents).map_err(|_| Failure::Damaged)?;
    if !RSA_BITS.contains(&bits) {
        return Err(Failure::Unsupported {
            what: format!(
                "an RSA key of {bits} bits, where TLS takes {} to {}",
                RSA_BITS.start(),
                RSA_BITS.end()
            ),
            remedy: NEW_KEY,
        });
    }
    let pkcs8 = rsa_to_pkcs8(contents).map_err(|_| Failure::Damaged)?;
    Ok(Decoded::new(KeyKind::Rsa { bits }, pkcs8))
}

/// Wraps an `RSAPrivateKey` in PKCS#8, with the parameters of RFC 8017, appendix A.1.
fn rsa_to_pkcs8(contents: &[u8]) -> der::Result<Vec<u8>> {
    let algorithm = AlgorithmIdentifierRef {
        oid: RSA,
        parameters: Some(AnyRef::NULL),
    };
    PrivateKeyInfoRef::new(algorithm, OctetStringRef::new(contents)?).to_der()
}

/// Returns the length of the modulus, the second number of `RSAPrivateKey` (RFC 8017, appendix
/// A.1.2).
fn modulus_bits(contents: &[u8]) -> der::Result<u32> {
    AnyRef::from_der(contents)?.sequence(|reader| {
        let _version = u8::decode(reader)?;
        let modulus = UintRef::decode(reader)?;
        let leading_zeros = modulus.as_bytes().first().map_or(0, |byte| byte.leading_zeros());
        let _rest = reader.read_slice(reader.remaining_len())?;
        Ok((u32::from(modulus.len()) * 8).saturating_sub(leading_zeros))
    })
}

fn from_sec1(contents: &[u8]) -> Result<Decoded, Failure> {
    match any_curve(contents) {
        Some(decoded) => Ok(decoded),
        None => Err(sec1_curve(contents).map_or(Failure::Damaged, |curve| curve_failure(Some(curve)))),
    }
}

/// Returns the curve in `ECPrivateKey` (RFC 5915), which follows the version and the private
/// number.
fn sec1_curve(contents: &[u8]) -> der::Result<ObjectIdentifier> {
    AnyRef::from_der(contents)?.sequence(|reader| {
        let _version = u8::decode(reader)?;
        let _private = <&OctetStringRef>::decode(reader)?;
        let curve = reader.context_specific::<ObjectIdentifier>(TagNumber(0), TagMode::Explicit)?;
        let _rest = reader.read_slice(reader.remaining_len())?;
        curve.ok_or_else(|| ErrorKind::Failed.into())
    })
}

/// Tries the curves one by one, for PKCS#8 and SEC1: a key that names its curve fits only that one,
/// and one that does not (the name is optional in SEC1) fits the first that is large enough.
fn any_curve(contents: &[u8]) -> Option<Decoded> {
    [Curve::Secp256r1, Curve::Secp384r1, Curve::Secp521r1]
        .into_iter()
        .find_map(|curve| {
            let pair = EcdsaKeyPair::from_private_key_der(key::ecdsa_algorithm(curve), contents).ok()?;
            let document = pair.to_pkcs8v1().ok()?;
            Some(Decoded::new(KeyKind::Ecc(curve), document.as_ref().to_vec()))
        })
}

fn curve_failure(curve: Option<ObjectIdentifier>) -> Failure {
    const USABLE: [&str; 3] = ["1.2.840.10045.3.1.7", "1.3.132.0.34", "1.3.132.0.35"];
    match curve.map(|curve| curve.to_string()) {
        Some(curve) if USABLE.contains(&curve.as_str()) => Failure::Damaged,
        Some(curve) => Failure::Unsupported {
            what: format!("on the elliptic curve {curve}"),
            remedy: OTHER_CURVE,
        },
        None => Failure::Unsupported {
            what: "on an elliptic curve that it does not name".to_owned(),
            remedy: OTHER_CURVE,
        },
    }
}

fn dsa() -> Failure {
    Failure::Unsupported {
        what: "a DSA key, and no current TLS library accepts a certificate with one".to_owned(),
        remedy: "create another with: labwire keygen rsa (or ecc, or ed25519)",
    }
}
