//! Reads the certificate of a client: for which user it is.

use rustls::pki_types::CertificateDer;
use x509_parser::asn1_rs::{Class, Tag};
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{AttributeTypeAndValue, FromDer, X509Certificate};

/// The tags of e-mail addresses and of host names among alternative names (RFC 5280, section 4.2.1.6).
const RFC822_NAME: Tag = Tag(1);
const DNS_NAME: Tag = Tag(2);

/// The certificate of a client: whose it is, and until when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientCertificate {
    /// The name of the user: the only common name of the subject. Without a common name, the only
    /// alternative name among host names and e-mail addresses.
    pub name: Result<String, ClientNameError>,
    /// The serial number, in lower-case hexadecimal.
    pub serial: String,
    /// The end of its validity, in seconds since 1970.
    pub valid_until: i64,
}

/// Why a certificate is for no user.
///
/// A certificate must mean one name to everybody who reads it. Programs differ in which of several
/// names they take, in where they end a text with a NUL, and in how they decode the older kinds of
/// text, so none of these is interpreted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ClientNameError {
    /// It has neither a common name, nor a host name or an e-mail address.
    #[error(
        "it has neither a common name, nor a host name or an e-mail address as its only alternative name"
    )]
    Missing,
    /// Its subject has several common names.
    #[error("it has several common names")]
    SeveralCommonNames,
    /// It has no common name, and several alternative names.
    #[error("it has no common name, and several alternative names")]
    SeveralAlternativeNames,
    /// The name is neither a `UTF8String`, nor a `PrintableString` or an `IA5String` of ASCII characters.
    /// An alternative name is an `IA5String`.
    #[error("its name is not of the kinds UTF8String, PrintableString and IA5String")]
    Encoding,
    /// The name is empty or blank.
    #[error("its name is empty")]
    Empty,
    /// The name contains a control character, such as NUL or a line break.
    #[error("its name contains a control character")]
    ControlCharacter,
}

impl ClientCertificate {
    /// Parses a certificate in DER form. Returns `None` if it is damaged.
    ///
    /// ```
    /// use labwire_pki::{Authority, ClientCertificate, KeyKind, generate_key};
    ///
    /// let key = generate_key(KeyKind::Ed25519)?;
    /// let authority = Authority::create(&key, "Laboratory", 20.0)?;
    /// let certificate = authority.issue(&generate_key(KeyKind::Ed25519)?, "ada", 1.0)?;
    /// let certificate = ClientCertificate::of(certificate.der()).expect("it was just created");
    /// assert_eq!(certificate.name.as_deref(), Ok("ada"));
    /// # Ok::<(), labwire_pki::PkiError>(())
    /// ```
    pub fn of(certificate: &CertificateDer<'_>) -> Option<Self> {
        let (rest, parsed) = X509Certificate::from_der(certificate).ok()?;
        if !rest.is_empty() {
            return None;
        }
        Some(Self {
            name: name(&parsed).and_then(checked),
            serial: hexadecimal(parsed.raw_serial()),
            valid_until: parsed.validity().not_after.timestamp(),
        })
    }
}

fn name(certificate: &X509Certificate<'_>) -> Result<String, ClientNameError> {
    let mut common_names = certificate.subject().iter_common_name();
    match (common_names.next(), common_names.next()) {
        (Some(name), None) => return text(name),
        (Some(_), Some(_)) => return Err(ClientNameError::SeveralCommonNames),
        (None, _) => {}
    }
    // An extension that occurs twice, or is damaged, names nobody.
    let alternatives = certificate.subject_alternative_name();
    let alternatives = alternatives.map_err(|_| ClientNameError::Missing)?;
    let names = alternatives.iter().flat_map(|names| &names.value.general_names);
    let mut names = names.filter_map(|name| match name {
        // The library decodes them as UTF-8.
        GeneralName::DNSName(name) | GeneralName::RFC822Name(name) if name.is_ascii() => {
            Some(Ok((*name).to_owned()))
        }
        // What is not even UTF-8 counts too, since other programs read a name there.
        GeneralName::DNSName(_)
        | GeneralName::RFC822Name(_)
        | GeneralName::Invalid(RFC822_NAME | DNS_NAME, _) => Some(Err(ClientNameError::Encoding)),
        _ => None,
    });
    match (names.next(), names.next()) {
        (Some(name), None) => name,
        (Some(_), Some(_)) => Err(ClientNameError::SeveralAlternativeNames),
        (None, _) => Err(ClientNameError::Missing),
    }
}

/// Returns the text of a common name. The library would also return the text of a `NumericString`, and decode each
/// kind as UTF-8.
fn text(name: &AttributeTypeAndValue<'_>) -> Result<String, ClientNameError> {
    let value = name.attr_value();
    let text = std::str::from_utf8(value.data).map_err(|_| ClientNameError::Encoding)?;
    let is_of_kind = match value.tag() {
        Tag::Utf8String => true,
        Tag::PrintableString | Tag::Ia5String => text.is_ascii(),
        _ => false,
    };
    // A text in parts is no DER, and the numbers of tags mean something else in other classes.
    let is_whole = value.class() == Class::Universal && value.header.is_primitive();
    (is_of_kind && is_whole)
        .then(|| text.to_owned())
        .ok_or(ClientNameError::Encoding)
}

fn checked(name: String) -> Result<String, ClientNameError> {
    if name.trim().is_empty() {
        Err(ClientNameError::Empty)
    } else if name.contains(char::is_control) {
        Err(ClientNameError::ControlCharacter)
    } else {
        Ok(name)
    }
}

/// Returns a serial number in lower-case hexadecimal, without leading zeros.
pub(crate) fn hexadecimal(serial: &[u8]) -> String {
    let digits = serial.iter().flat_map(|byte| [byte >> 4, byte & 15]);
    let digits: String = digits
        .filter_map(|digit| char::from_digit(digit.into(), 16))
        .collect();
    match digits.trim_start_matches('0') {
        "" => "0".to_owned(),
        digits => digits.to_owned(),
    }
}
