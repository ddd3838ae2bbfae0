//! What people compare of a certificate.

use std::collections::HashSet;
use std::net::IpAddr;

use jiff::Timestamp;
use labwire_home::fingerprint_sha256;
use rustls::pki_types::CertificateDer;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Certificate};
use x509_parser::time::ASN1Time;
use x509_parser::x509::X509Name;

use crate::certificate::CertificateOptions;
use crate::describe::printable;
use crate::health::CertificateHealth;

/// The maximum number of names of [`CertificateSummary::further_names`].
const FURTHER_NAMES: usize = 12;

/// Returns whether a text has only characters of names and addresses of computers, and does not begin
/// like an option.
///
/// ```
/// use labwire_pki::is_name_or_address;
///
/// assert!(is_name_or_address("*.example.org") && is_name_or_address("fe80::1"));
/// assert!(!is_name_or_address("a b") && !is_name_or_address("-x") && !is_name_or_address("$(x)"));
/// ```
pub fn is_name_or_address(text: &str) -> bool {
    let is_fitting = |character: char| character.is_ascii_alphanumeric() || "._-:*".contains(character);
    !text.is_empty() && text.len() <= 253 && !text.starts_with('-') && text.chars().all(is_fitting)
}

/// The parts of a certificate that people compare.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateSummary {
    /// The common name of the subject, or its whole name if it has none.
    pub subject: String,
    /// The common name of the issuer, or its whole name if it has none.
    pub issuer: String,
    /// The host names and addresses that it is for, each once.
    pub names: Vec<String>,
    /// The start of its validity.
    pub valid_from: Timestamp,
    /// The end of its validity.
    pub valid_until: Timestamp,
    /// The SHA-256 fingerprint, in lower-case hexadecimal with colons.
    pub fingerprint: String,
    /// Whether its subject issued it.
    pub is_self_signed: bool,
    certificate: CertificateDer<'static>,
}

impl CertificateSummary {
    /// Parses a certificate in DER form. Returns `None` if it is damaged. Control characters in names
    /// are escaped.
    ///
    /// ```
    /// use labwire_pki::{
    ///     CertificateOptions, CertificateSummary, KeyKind, generate_certificate, generate_key,
    /// };
    ///
    /// let options = CertificateOptions {
    ///     hostname: "bench".to_owned(),
    ///     alternative_names: vec!["bench.example.org".to_owned()],
    ///     addresses: vec!["192.0.2.7".parse().unwrap()],
    ///     ..CertificateOptions::for_this_computer()
    /// };
    /// let certificate = generate_certificate(&generate_key(KeyKind::Ed25519)?, &options)?;
    /// let summary = CertificateSummary::of(certificate.der()).expect("it was just created");
    /// assert_eq!(summary.subject, "bench");
    /// assert_eq!(summary.names, ["bench.example.org", "192.0.2.7"]);
    /// assert!(summary.is_self_signed && summary.valid_from < summary.valid_until);
    /// # Ok::<(), labwire_pki::PkiError>(())
    /// ```
    pub fn of(der: &[u8]) -> Option<Self> {
        let (_, certificate) = X509Certificate::from_der(der).ok()?;
        let alternatives = certificate.subject_alternative_name().ok().flatten();
        let mut names: Vec<String> = Vec::new();
        // A certificate may have thousands of names.
        let mut known = HashSet::new();
        for name in alternatives.iter().flat_map(|names| &names.value.general_names) {
            names.extend(host(name).filter(|name| known.insert(name.clone())));
        }
        let validity = certificate.validity();
        Some(Self {
            subject: common_name(certificate.subject()),
            issuer: common_name(certificate.issuer()),
            names,
            valid_from: moment(validity.not_before),
            valid_until: moment(validity.not_after),
            fingerprint: fingerprint_sha256(der),
            is_self_signed: certificate.subject() == certificate.issuer(),
            certificate: CertificateDer::from(der.to_vec()),
        })
    }

    /// Returns whether a client that connects to this host name or address accepts the certificate
    /// for it.
    ///
    /// ```
    /// use labwire_pki::{
    ///     CertificateOptions, CertificateSummary, KeyKind, generate_certificate, generate_key,
    /// };
    ///
    /// let options = CertificateOptions::for_this_computer();
    /// let certificate = generate_certificate(&generate_key(KeyKind::Ed25519)?, &options)?;
    /// let summary = CertificateSummary::of(certificate.der()).expect("it was just created");
    /// assert!(summary.is_for("localhost") && !summary.is_for("elsewhere.example.org"));
    /// # Ok::<(), labwire_pki::PkiError>(())
    /// ```
    pub fn is_for(&self, host: &str) -> bool {
        CertificateHealth::of(&self.certificate).is_some_and(|health| health.is_for(host))
    }

    /// Returns the names and addresses that a certificate for this computer lacks, as one that
    /// replaces this certificate must be given. Returns a few at most, and none with a character that
    /// neither a name nor an address contains.
    ///
    /// ```
    /// use labwire_pki::{
    ///     CertificateOptions, CertificateSummary, KeyKind, generate_certificate, generate_key,
    /// };
    ///
    /// let mut options = CertificateOptions::for_this_computer();
    /// options.alternative_names.push("bench.example.org".to_owned());
    /// let certificate = generate_certificate(&generate_key(KeyKind::Ed25519)?, &options)?;
    /// let summary = CertificateSummary::of(certificate.der()).expect("it was just created");
    /// assert_eq!(summary.further_names(), ["bench.example.org"]);
    /// # Ok::<(), labwire_pki::PkiError>(())
    /// ```
    pub fn further_names(&self) -> Vec<&str> {
        let usual = CertificateOptions::for_this_computer();
        let is_usual = |name: &str| {
            if let Ok(address) = name.parse::<IpAddr>() {
                return usual.addresses.contains(&address);
            }
            let mut names = usual.alternative_names.iter();
            names.any(|usual| usual.eq_ignore_ascii_case(name))
        };
        let names = self.names.iter().map(String::as_str);
        names
            .filter(|name| is_name_or_address(name) && !is_usual(name))
            .take(FURTHER_NAMES)
            .collect()
    }

    /// Returns a description of a problem with its dates, now or within 30 days.
    ///
    /// ```
    /// use labwire_pki::{
    ///     CertificateOptions, CertificateSummary, KeyKind, generate_certificate, generate_key,
    /// };
    ///
    /// let options = CertificateOptions {
    ///     years_valid: 0.05,
    ///     ..CertificateOptions::for_this_computer()
    /// };
    /// let certificate = generate_certificate(&generate_key(KeyKind::Ed25519)?, &options)?;
    /// let summary = CertificateSummary::of(certificate.der()).expect("it was just created");
    /// assert!(summary.trouble().expect("it expires soon").contains("expires on"));
    /// # Ok::<(), labwire_pki::PkiError>(())
    /// ```
    pub fn trouble(&self) -> Option<String> {
        CertificateHealth::of(&self.certificate)?.trouble()
    }
}

fn common_name(name: &X509Name<'_>) -> String {
    let common = name.iter_common_name().next();
    let common = common.and_then(|common| common.as_str().ok());
    common.map_or_else(|| printable(&name.to_string()), printable)
}

/// Returns a host name or an address; `None` for names of other kinds.
fn host(name: &GeneralName<'_>) -> Option<String> {
    match name {
        GeneralName::DNSName(name) => Some(printable(name)),
        GeneralName::IPAddress(bytes) => address(bytes).map(|address| address.to_string()),
        _ => None,
    }
}

fn address(bytes: &[u8]) -> Option<IpAddr> {
    let v4 = <[u8; 4]>::try_from(bytes).map(IpAddr::from);
    v4.or_else(|_| <[u8; 16]>::try_from(bytes).map(IpAddr::from)).ok()
}

/// Returns a date. One beyond the calendar counts as its limit.
fn moment(time: ASN1Time) -> Timestamp {
    let seconds = time.timestamp();
    let limit = if seconds < 0 {
        Timestamp::MIN
    } else {
        Timestamp::MAX
    };
    Timestamp::from_second(seconds).unwrap_or(limit)
}
