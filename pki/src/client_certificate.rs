//! Reads the certificate of a client: for which user it is.

use rustls::pki_types::CertificateDer;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Certificate};

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
    /// The name is neither UTF-8 nor ASCII text.
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
        (Some(name), None) => {
            let name = name.as_str().map_err(|_| ClientNameError::Encoding)?;
            return Ok(name.to_owned());
        }
        (Some(_), Some(_)) => return Err(ClientNameError::SeveralCommonNames),
        (None, _) => {}
    }
    // An extension that occurs twice, or is damaged, names nobody.
    let alternatives = certificate.subject_alternative_name();
    let alternatives = alternatives.map_err(|_| ClientNameError::Missing)?;
    let names = alternatives.iter().flat_map(|names| &names.value.general_names);
    let mut names = names.filter_map(|name| match name {
        GeneralName::DNSName(name) | GeneralName::RFC822Name(name) => Some((*name).to_owned()),
        _ => None,
    });
    match (names.next(), names.next()) {
        (Some(name), None) => Ok(name),
        (Some(_), Some(_)) => Err(ClientNameError::SeveralAlternativeNames),
        (None, _) => Err(ClientNameError::Missing),
    }
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
