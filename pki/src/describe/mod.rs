//! Formats the details of certificates for people, as MSL-Network does.

mod extensions;
mod names;
mod text;

use x509_parser::asn1_rs::{Any, FromDer, Integer, Oid};
use x509_parser::prelude::X509Certificate;
use x509_parser::public_key::PublicKey;
use x509_parser::time::ASN1Time;
use x509_parser::x509::{SubjectPublicKeyInfo, X509Name};

use crate::certificate::chain_from_pem;
use labwire_home::{fingerprint_sha1, fingerprint_sha256, hex_with_colons};
use text::Text;
pub(crate) use text::printable;

/// The reason why a certificate cannot be described.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DescribeError {
    /// There is no complete PEM block with a certificate.
    #[error(
        "there is no complete certificate in PEM form (a block from '-----BEGIN CERTIFICATE-----' to '-----END \
         CERTIFICATE-----'); a certificate in DER form becomes PEM with: openssl x509 -inform der -in CERTIFICATE \
         -out CERTIFICATE.pem"
    )]
    NoCertificate,
    /// A block is labelled as a certificate but does not have the structure of one.
    #[error("certificate {number} is damaged: it does not have the structure of a certificate")]
    Damaged {
        /// The position of the certificate in the file, counted from 1.
        number: usize,
    },
}

/// Describes all certificates of a PEM file completely: version, serial number, issuer, validity,
/// subject, public key, extensions, signature and fingerprints.
///
/// Several certificates are separated by a line `Certificate 1 of 2` and an empty line. Control
/// characters in names are escaped, since a terminal would interpret them.
///
/// # Errors
/// [`DescribeError`] if there is no certificate or one of them is damaged.
pub fn describe(pem: &[u8]) -> Result<String, DescribeError> {
    let chain = chain_from_pem(pem).ok_or(DescribeError::NoCertificate)?;
    let mut text = Text::new();
    for (index, certificate) in chain.iter().enumerate() {
        let number = index + 1;
        if chain.len() > 1 {
            let gap = if index == 0 { "" } else { "\n" };
            text.line(0, &format!("{gap}Certificate {number} of {}", chain.len()));
        }
        text.append(&describe_der(certificate).ok_or(DescribeError::Damaged { number })?);
    }
    Ok(text.into_string())
}

fn describe_der(der: &[u8]) -> Option<Text> {
    let (_, certificate) = X509Certificate::from_der(der).ok()?;
    let mut text = Text::new();
    text.line(
        0,
        &format!("Version: v{}", u64::from(certificate.version().0) + 1),
    );
    text.line(
        0,
        &format!(
            "Serial Number: {}",
            hex_with_colons(unsigned(certificate.raw_serial()))
        ),
    );
    text.line(0, "Issuer:");
    name(&mut text, certificate.issuer());
    text.line(0, "Validity:");
    text.line(
        1,
        &format!("Not Before: {}", date(certificate.validity().not_before)),
    );
    text.line(
        1,
        &format!("Not After : {}", date(certificate.validity().not_after)),
    );
    text.line(0, "Subject:");
    name(&mut text, certificate.subject());
    text.line(0, "Subject Public Key Info:");
    public_key(&mut text, certificate.public_key());
    if !certificate.extensions().is_empty() {
        text.line(0, "Extensions:");
        for extension in certificate.extensions() {
            extensions::write(&mut text, extension);
        }
    }
    let algorithm = certificate.signature_algorithm.algorithm.to_id_string();
    text.line(0, "Signature Algorithm:");
    text.line(1, &format!("oid: {algorithm}"));
    text.line(1, &format!("name: {}", names::signature_algorithm(&algorithm)));
    text.line(1, "value:");
    text.hex(2, &certificate.signature_value.data);
    text.line(0, "Fingerprint (SHA1):");
    text.line(0, &fingerprint_sha1(der));
    text.line(0, "Fingerprint (SHA256):");
    text.line(0, &fingerprint_sha256(der));
    Some(text)
}

fn name(text: &mut Text, name: &X509Name<'_>) {
    let mut parts: Vec<(usize, String)> = name
        .iter_attributes()
        .map(|attribute| {
            let (place, title) = names::attribute(attribute.attr_type());
            (
                place,
                format!("{title}: {}", printable(&value(attribute.attr_value()))),
            )
        })
        .collect();
    parts.sort_by_key(|(place, _)| *place);
    for (_, line) in &parts {
        text.line(1, line);
    }
}

/// Returns a part of a name as text. Obsolete encodings are shown as far as they are UTF-8.
fn value(value: &Any<'_>) -> String {
    const BMP_STRING: u32 = 30;
    if value.tag().0 == BMP_STRING {
        let units: Vec<u16> = value
            .data
            .chunks_exact(2)
            .map(|pair| u16::from_be_bytes([pair[0], pair[1]]))
            .collect();
        return String::from_utf16_lossy(&units);
    }
    String::from_utf8_lossy(value.data).into_owned()
}

fn date(moment: ASN1Time) -> String {
    match jiff::Timestamp::from_second(moment.timestamp()) {
        Ok(moment) => moment.strftime("%d %B %Y %H:%M:%S GMT").to_string(),
        Err(_) => "outside of the calendar".to_owned(),
    }
}

fn public_key(text: &mut Text, info: &SubjectPublicKeyInfo<'_>) {
    let identifier = info.algorithm.algorithm.to_id_string();
    match info.parsed() {
        Ok(PublicKey::RSA(key)) => {
            let modulus = unsigned(key.modulus);
            text.line(1, "Encryption: RSA");
            text.line(1, &format!("Exponent: {}", exponent(unsigned(key.exponent))));
            text.line(1, &format!("Size: {}", bits(modulus)));
            text.line(1, "Modulus:");
            text.hex(2, modulus);
        }
        Ok(PublicKey::EC(point)) => elliptic_curve_key(text, info, point.data(), point.key_size()),
        Ok(PublicKey::DSA(y)) => dsa_key(text, info, unsigned(y)),
        _ => {
            let known = names::edwards_key(&identifier);
            text.line(
                1,
                &format!(
                    "Encryption: {}",
                    known.map_or(identifier.as_str(), |(name, _)| name)
                ),
            );
            if let Some((_, bits)) = known {
                text.line(1, &format!("Size: {bits}"));
            }
            text.line(1, "Key:");
            text.hex(2, &info.subject_public_key.data);
        }
    }
}

fn elliptic_curve_key(text: &mut Text, info: &SubjectPublicKeyInfo<'_>, point: &[u8], size: usize) {
    let parameters = info.algorithm.parameters.clone();
    let curve = parameters
        .and_then(|parameters| Oid::try_from(parameters).ok())
        .map(|oid| oid.to_id_string());
    let known = curve.as_deref().and_then(names::curve);
    let curve = curve.as_deref().unwrap_or("not named");
    text.line(1, "Encryption: Elliptic Curve");
    text.line(1, &format!("Curve: {}", known.map_or(curve, |(name, _)| name)));
    text.line(1, &format!("Size: {}", known.map_or(size, |(_, bits)| bits)));
    text.line(1, "Key:");
    text.hex(2, point);
}

fn dsa_key(text: &mut Text, info: &SubjectPublicKeyInfo<'_>, y: &[u8]) {
    let parameters = info.algorithm.parameters.as_ref().and_then(dsa_parameters);
    text.line(1, "Encryption: DSA");
    if let Some([p, ..]) = &parameters {
        text.line(1, &format!("Size: {}", bits(p)));
    }
    text.line(1, "Y:");
    text.hex(2, y);
    for (title, number) in ["P", "Q", "G"].iter().zip(parameters.iter().flatten()) {
        text.line(1, &format!("{title}:"));
        text.hex(2, number);
    }
}

/// Returns the numbers p, q and g of a DSA key (RFC 3279, section 2.3.2).
fn dsa_parameters(parameters: &Any<'_>) -> Option<[Vec<u8>; 3]> {
    let (rest, p) = Integer::from_der(parameters.data).ok()?;
    let (rest, q) = Integer::from_der(rest).ok()?;
    let (_, g) = Integer::from_der(rest).ok()?;
    Some([&p, &q, &g].map(|number| unsigned(number.as_ref()).to_vec()))
}

/// Removes leading zeros, which only keep a number positive.
fn unsigned(number: &[u8]) -> &[u8] {
    let zeros = number.iter().take_while(|byte| **byte == 0).count();
    &number[zeros.min(number.len().saturating_sub(1))..]
}

fn bits(number: &[u8]) -> usize {
    let leading_zeros = number.first().map_or(0, |byte| byte.leading_zeros() as usize);
    (number.len() * 8).saturating_sub(leading_zeros)
}

/// Formats an RSA exponent in decimal as usual, or in hexadecimal if it is unusually large.
fn exponent(number: &[u8]) -> String {
    if number.len() > 8 {
        return hex_with_colons(number);
    }
    number
        .iter()
        .fold(0_u64, |value, byte| value << 8 | u64::from(*byte))
        .to_string()
}
