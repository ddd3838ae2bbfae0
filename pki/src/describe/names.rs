//! The names of object identifiers in certificates.

use x509_parser::asn1_rs::Oid;

/// The parts of a subject's or issuer's name, in the order of the output.
const ATTRIBUTES: &[(&str, &str)] = &[
    ("2.5.4.3", "Common Name"),
    ("2.5.4.6", "Country Name"),
    ("2.5.4.7", "Locality Name"),
    ("2.5.4.8", "State or Province Name"),
    ("2.5.4.9", "Street Address"),
    ("2.5.4.97", "Organization Identifier"),
    ("2.5.4.10", "Organization Name"),
    ("2.5.4.11", "Organizational Unit Name"),
    ("2.5.4.5", "Serial Number"),
    ("2.5.4.4", "Surname"),
    ("2.5.4.42", "Given Name"),
    ("2.5.4.12", "Title"),
    ("2.5.4.43", "Initials"),
    ("2.5.4.44", "Generation Qualifier"),
    ("2.5.4.46", "Dn Qualifier"),
    ("2.5.4.65", "Pseudonym"),
    ("0.9.2342.19200300.100.1.1", "User Id"),
    ("0.9.2342.19200300.100.1.25", "Domain Component"),
    ("1.2.840.113549.1.9.1", "Email Address"),
    ("2.5.4.15", "Business Category"),
    ("2.5.4.16", "Postal Address"),
    ("2.5.4.17", "Postal Code"),
    ("1.2.840.113549.1.9.2", "Unstructured Name"),
];

const SIGNATURE_ALGORITHMS: &[(&str, &str)] = &[
    ("1.2.840.113549.1.1.4", "md5WithRSAEncryption"),
    ("1.2.840.113549.1.1.5", "sha1WithRSAEncryption"),
    ("1.2.840.113549.1.1.14", "sha224WithRSAEncryption"),
    ("1.2.840.113549.1.1.11", "sha256WithRSAEncryption"),
    ("1.2.840.113549.1.1.12", "sha384WithRSAEncryption"),
    ("1.2.840.113549.1.1.13", "sha512WithRSAEncryption"),
    ("1.2.840.113549.1.1.10", "rsassaPss"),
    ("1.2.840.10045.4.1", "ecdsa-with-SHA1"),
    ("1.2.840.10045.4.3.1", "ecdsa-with-SHA224"),
    ("1.2.840.10045.4.3.2", "ecdsa-with-SHA256"),
    ("1.2.840.10045.4.3.3", "ecdsa-with-SHA384"),
    ("1.2.840.10045.4.3.4", "ecdsa-with-SHA512"),
    ("1.2.840.10040.4.3", "dsa-with-sha1"),
    ("2.16.840.1.101.3.4.3.1", "dsa-with-sha224"),
    ("2.16.840.1.101.3.4.3.2", "dsa-with-sha256"),
    ("2.16.840.1.101.3.4.3.3", "dsa-with-sha384"),
    ("2.16.840.1.101.3.4.3.4", "dsa-with-sha512"),
    ("1.3.101.112", "ed25519"),
    ("1.3.101.113", "ed448"),
];

/// The names of extensions in the standards, and their titles for people.
const EXTENSIONS: &[(&str, &str, &str)] = &[
    (
        "2.5.29.9",
        "subjectDirectoryAttributes",
        "Subject Directory Attributes",
    ),
    ("2.5.29.14", "subjectKeyIdentifier", "Subject Key Identifier"),
    ("2.5.29.15", "keyUsage", "Key Usage"),
    ("2.5.29.16", "privateKeyUsagePeriod", "Private Key Usage Period"),
    ("2.5.29.17", "subjectAltName", "Subject Alternative Name"),
    ("2.5.29.18", "issuerAltName", "Issuer Alternative Name"),
    ("2.5.29.19", "basicConstraints", "Basic Constraints"),
    ("2.5.29.30", "nameConstraints", "Name Constraints"),
    (
        "2.5.29.31",
        "cRLDistributionPoints",
        "Revocation List Distribution Points",
    ),
    ("2.5.29.32", "certificatePolicies", "Certificate Policies"),
    ("2.5.29.33", "policyMappings", "Policy Mappings"),
    ("2.5.29.35", "authorityKeyIdentifier", "Authority Key Identifier"),
    ("2.5.29.36", "policyConstraints", "Policy Constraints"),
    ("2.5.29.37", "extendedKeyUsage", "Extended Key Usage"),
    ("2.5.29.46", "freshestCRL", "Freshest Revocation List"),
    ("2.5.29.54", "inhibitAnyPolicy", "Inhibit Any Policy"),
    (
        "1.3.6.1.5.5.7.1.1",
        "authorityInfoAccess",
        "Authority Information Access",
    ),
    (
        "1.3.6.1.5.5.7.1.11",
        "subjectInfoAccess",
        "Subject Information Access",
    ),
    ("1.3.6.1.5.5.7.1.24", "TLSFeature", "TLS Feature"),
    (
        "1.3.6.1.4.1.11129.2.4.2",
        "signedCertificateTimestampList",
        "Signed Certificate Timestamps",
    ),
    ("2.16.840.1.113730.1.1", "nsCertType", "Netscape Certificate Type"),
    ("2.16.840.1.113730.1.13", "nsComment", "Netscape Comment"),
];

/// Curves with their lengths in bits.
const CURVES: &[(&str, &str, usize)] = &[
    ("1.2.840.10045.3.1.1", "secp192r1", 192),
    ("1.3.132.0.33", "secp224r1", 224),
    ("1.3.132.0.10", "secp256k1", 256),
    ("1.2.840.10045.3.1.7", "secp256r1", 256),
    ("1.3.132.0.34", "secp384r1", 384),
    ("1.3.132.0.35", "secp521r1", 521),
    ("1.3.36.3.3.2.8.1.1.7", "brainpoolP256r1", 256),
    ("1.3.36.3.3.2.8.1.1.11", "brainpoolP384r1", 384),
    ("1.3.36.3.3.2.8.1.1.13", "brainpoolP512r1", 512),
];

/// Keys that need no parameters, with their lengths in bits.
const EDWARDS_KEYS: &[(&str, &str, usize)] = &[
    ("1.3.101.110", "X25519", 256),
    ("1.3.101.111", "X448", 448),
    ("1.3.101.112", "Ed25519", 256),
    ("1.3.101.113", "Ed448", 456),
];

/// Returns the position of a name's part in the list, and its title. Unknown parts come last, with
/// their identifier.
pub(super) fn attribute(identifier: &Oid<'_>) -> (usize, String) {
    let identifier = identifier.to_id_string();
    match ATTRIBUTES.iter().position(|(known, _)| *known == identifier) {
        Some(place) => (place, ATTRIBUTES[place].1.to_owned()),
        None => (ATTRIBUTES.len(), identifier),
    }
}

/// Returns the name of a signature algorithm.
pub(super) fn signature_algorithm(identifier: &str) -> &'static str {
    SIGNATURE_ALGORITHMS
        .iter()
        .find(|(known, _)| *known == identifier)
        .map_or("unknown", |(_, name)| name)
}

/// Returns the short name of an extension and its title.
pub(super) fn extension(identifier: &str) -> (&'static str, &'static str) {
    let found = EXTENSIONS.iter().find(|(known, _, _)| *known == identifier);
    found.map_or(("unknown", "Unknown Extension"), |(_, name, title)| (name, title))
}

/// Returns a curve's name and its length in bits.
pub(super) fn curve(identifier: &str) -> Option<(&'static str, usize)> {
    CURVES
        .iter()
        .find(|(known, _, _)| *known == identifier)
        .map(|(_, name, bits)| (*name, *bits))
}

/// Returns the name and the length in bits of a key that needs no parameters.
pub(super) fn edwards_key(identifier: &str) -> Option<(&'static str, usize)> {
    EDWARDS_KEYS
        .iter()
        .find(|(known, _, _)| *known == identifier)
        .map(|(_, name, bits)| (*name, *bits))
}
