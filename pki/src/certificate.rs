//! Certificates: creates self-signed ones, reads chains.

use std::io;
use std::net::IpAddr;
use std::path::Path;
use std::time::Duration;

use aws_lc_rs::digest;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Span, Timestamp};
use labwire_home::{Existing, Readers, hostname, local_addresses, present};
use rcgen::string::Ia5String;
use rcgen::{
    CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, KeyUsagePurpose, SanType,
    SerialNumber,
};
use rustls::pki_types::CertificateDer;
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::error::PkiError;
use crate::files;
use crate::key::{self, PrivateKey};
use crate::kind::{Hash, KeyKind};

/// The default validity of a certificate in years, as in MSL-Network. Clients keep a copy of the
/// certificate, so an expired one stops a laboratory.
pub const DEFAULT_YEARS_VALID: f64 = 100.0;

/// How long before now a certificate's validity starts: one day, so that a peer whose clock is
/// slow, or set to the local time of another time zone, accepts a new certificate.
const CLOCK_TOLERANCE: SignedDuration = SignedDuration::from_hours(24);

/// The days in a year, for a fraction of a year.
const DAYS_OF_A_YEAR: f64 = 365.0;
const SECONDS_OF_A_DAY: f64 = 86_400.0;

/// The longest common name, in characters (RFC 5280, `ub-common-name`).
pub(crate) const LONGEST_COMMON_NAME: usize = 64;

/// The bytes of a serial number, the most that RFC 5280 allows.
const SERIAL_NUMBER_BYTES: usize = 20;

/// The number of random bytes in a serial number. The others are a digest of these and the key (see
/// [`is_own`]).
const RANDOM_BYTES: usize = 10;

/// The last year of a default certificate's validity, since certificates cannot represent dates
/// after 9999.
const LAST_YEAR: i16 = 9_998;

/// The contents of a self-signed certificate.
#[derive(Clone, Debug)]
pub struct CertificateOptions {
    /// The validity from now on, in years. A fraction of a year is that fraction of 365 days.
    pub years_valid: f64,
    /// The hash of the signature; `None` for the key's default. Only RSA keys allow a choice.
    pub hash: Option<Hash>,
    /// The common name of the subject, which is also the issuer.
    pub hostname: String,
    /// The host names for which the certificate is valid.
    pub alternative_names: Vec<String>,
    /// The addresses for which the certificate is valid.
    pub addresses: Vec<IpAddr>,
}

impl CertificateOptions {
    /// Creates options for this computer: its host name, `localhost` and all of its addresses,
    /// valid for [`DEFAULT_YEARS_VALID`].
    pub fn for_this_computer() -> Self {
        let hostname = hostname();
        let years_left = LAST_YEAR - present().to_zoned(TimeZone::UTC).year();
        Self {
            years_valid: DEFAULT_YEARS_VALID.min(f64::from(years_left.max(1))),
            hash: None,
            alternative_names: vec![hostname.clone(), "localhost".to_owned()],
            hostname,
            addresses: local_addresses(),
        }
    }
}

/// A newly created certificate.
#[derive(Clone, Debug)]
pub struct Certificate {
    inner: rcgen::Certificate,
}

impl Certificate {
    pub(crate) fn new(inner: rcgen::Certificate) -> Self {
        Self { inner }
    }

    /// Returns the certificate in PEM form.
    pub fn pem(&self) -> String {
        self.inner.pem()
    }

    /// Returns the certificate in DER form.
    pub fn der(&self) -> &CertificateDer<'static> {
        self.inner.der()
    }

    /// Writes the certificate in PEM form with mode 0644. Replaces only a file with nothing but a
    /// certificate of [`generate_certificate`]. Missing folders are created with mode 0700.
    ///
    /// # Errors
    /// [`PkiError::KeyInTheWay`] if the file contains a private key, [`PkiError::NotOwn`] if it
    /// contains anything else from another source, and [`PkiError::Write`].
    pub fn write_to(&self, path: &Path) -> Result<(), PkiError> {
        match existing(path) {
            Some(Held::Other) => Err(PkiError::NotOwn {
                path: path.to_owned(),
            }),
            _ => self.replace(path),
        }
    }

    /// Writes the certificate in PEM form with mode 0644, unless the file exists.
    ///
    /// # Errors
    /// [`PkiError::FileExists`] and [`PkiError::Write`].
    pub fn write_new(&self, path: &Path) -> Result<(), PkiError> {
        files::write(path, self.pem().as_bytes(), Readers::Everyone, Existing::Keep)
    }

    /// Writes the certificate as [`write_to`](Self::write_to) does, but replaces any file except
    /// one with a private key.
    ///
    /// # Errors
    /// [`PkiError::KeyInTheWay`] if the file contains a private key, and [`PkiError::Write`].
    pub fn replace(&self, path: &Path) -> Result<(), PkiError> {
        if let Some(Held::Key) = existing(path) {
            return Err(PkiError::KeyInTheWay {
                path: path.to_owned(),
            });
        }
        files::write(path, self.pem().as_bytes(), Readers::Everyone, Existing::Replace)
    }
}

/// The contents of a file that a certificate is to be written to.
enum Held {
    /// A private key, readable or not.
    Key,
    /// Nothing, or only a certificate of [`generate_certificate`].
    Own,
    /// Anything else, which cannot be created again here.
    Other,
}

/// Returns the contents of a file. Returns `None` if there is no such file, or if it is a pipe or a
/// device.
fn existing(path: &Path) -> Option<Held> {
    if !std::fs::metadata(path).ok()?.is_file() {
        return None;
    }
    let Ok(contents) = files::read(path) else {
        return Some(Held::Other);
    };
    if key::is_in(&contents) {
        return Some(Held::Key);
    }
    let is_replaceable = contents.trim_ascii().is_empty()
        || chain_from_pem(&contents).is_some_and(|chain| chain.len() == 1 && is_own(&chain[0]));
    Some(if is_replaceable { Held::Own } else { Held::Other })
}

/// Returns whether a file contains a private key, readable or not. Returns `false` for unreadable
/// files, pipes and devices.
pub fn holds_private_key(path: &Path) -> bool {
    matches!(existing(path), Some(Held::Key))
}

/// Returns whether a certificate was created by [`generate_certificate`]: the second half of its
/// serial number is a digest of the first half and the public key. Certificates of other programs
/// cannot match this by accident.
pub(crate) fn is_own(certificate: &CertificateDer<'_>) -> bool {
    let Ok((_, certificate)) = X509Certificate::from_der(certificate) else {
        return false;
    };
    let public_key = &certificate.public_key().subject_public_key.data;
    let (serial, length) = (certificate.raw_serial(), SERIAL_NUMBER_BYTES);
    serial.len() == length && serial[RANDOM_BYTES..] == mark(&serial[..RANDOM_BYTES], public_key)
}

/// Returns the second half of a serial number.
fn mark(random: &[u8], public_key: &[u8]) -> [u8; SERIAL_NUMBER_BYTES - RANDOM_BYTES] {
    let mut context = digest::Context::new(&digest::SHA256);
    for part in [b"labwire certificate".as_slice(), random, public_key] {
        context.update(part);
    }
    let mut mark = [0; SERIAL_NUMBER_BYTES - RANDOM_BYTES];
    let digest = context.finish();
    mark.copy_from_slice(&digest.as_ref()[..SERIAL_NUMBER_BYTES - RANDOM_BYTES]);
    mark
}

/// Creates a self-signed certificate.
///
/// It is marked as no certificate authority, so that a client which trusts it trusts only this
/// manager, and so that rustls accepts it as a server's certificate. Names that a certificate
/// cannot contain (they are not ASCII) are omitted.
///
/// # Errors
/// [`PkiError::HashDoesNotFit`], [`PkiError::ValidityOutOfRange`], and [`PkiError::Cryptography`].
pub fn generate_certificate(key: &PrivateKey, options: &CertificateOptions) -> Result<Certificate, PkiError> {
    generate_certificate_at(key, options, present())
}

/// Does the same as [`generate_certificate`], at the given time.
pub(crate) fn generate_certificate_at(
    key: &PrivateKey,
    options: &CertificateOptions,
    now: Timestamp,
) -> Result<Certificate, PkiError> {
    let hash = fitting_hash(key.kind(), options.hash)?;
    let mut parameters = parameters(options, now)?;
    let pair = key.signing_pair(hash)?;
    parameters.serial_number = Some(serial_number(pair.public_key_raw())?);
    let inner = parameters
        .self_signed(&pair)
        .map_err(|_| PkiError::Cryptography {
            action: "sign the certificate",
        })?;
    Ok(Certificate { inner })
}

/// Returns the hash to sign with: the requested one, if it fits the key.
pub(crate) fn fitting_hash(kind: KeyKind, asked: Option<Hash>) -> Result<Option<Hash>, PkiError> {
    let own = kind.signature_hash();
    match (kind, asked) {
        (_, None) => Ok(own),
        (KeyKind::Rsa { .. }, asked) => Ok(asked),
        (_, Some(hash)) if own == Some(hash) => Ok(own),
        (_, Some(hash)) => Err(PkiError::HashDoesNotFit { hash, kind }),
    }
}

fn parameters(options: &CertificateOptions, now: Timestamp) -> Result<CertificateParams, PkiError> {
    let mut parameters = CertificateParams::default();
    set_validity(&mut parameters, options.years_valid, now)?;
    parameters.distinguished_name = DistinguishedName::new();
    let common_name: String = options.hostname.chars().take(LONGEST_COMMON_NAME).collect();
    parameters
        .distinguished_name
        .push(DnType::CommonName, common_name);
    parameters.subject_alt_names = subject_alternative_names(options);
    parameters.is_ca = IsCa::ExplicitNoCa;
    parameters.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    parameters.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    // Distinguishes this certificate from an older one of the same name when a client trusts both.
    parameters.use_authority_key_identifier_extension = true;
    Ok(parameters)
}

/// Sets a validity of some years from now on, which starts a little earlier.
pub(crate) fn set_validity(
    parameters: &mut CertificateParams,
    years: f64,
    now: Timestamp,
) -> Result<(), PkiError> {
    let out_of_range = || PkiError::ValidityOutOfRange { years };
    // Certificates count whole seconds: a fraction must not decide whether the validity is empty.
    let now = Timestamp::from_second(now.as_second()).map_err(|_| out_of_range())?;
    // A computer whose clock is not set is in 1970. Certificates support earlier dates, but hardly
    // any program writes them.
    let starts = now.saturating_sub(CLOCK_TOLERANCE).map_err(|_| out_of_range())?;
    let starts = starts.max(Timestamp::UNIX_EPOCH);
    let ends = expiry(now, years).ok_or_else(out_of_range)?;
    // The date type of rcgen comes from a crate that is not a dependency of this one, so dates are
    // computed from 1970.
    let epoch = rcgen::date_time_ymd(1970, 1, 1);
    parameters.not_before = epoch + since_1970(starts).ok_or_else(out_of_range)?;
    parameters.not_after = epoch + since_1970(ends).ok_or_else(out_of_range)?;
    Ok(())
}

/// Returns the end of a validity that starts now. Returns `None` if it is not after now or not
/// before the year 10000.
fn expiry(now: Timestamp, years: f64) -> Option<Timestamp> {
    if !(years > 0.0 && years < 10_000.0) {
        return None;
    }
    #[expect(clippy::cast_possible_truncation, reason = "a whole number below 10,000")]
    let whole_years = years.trunc() as i64;
    let part = SignedDuration::try_from_secs_f64(years.fract() * DAYS_OF_A_YEAR * SECONDS_OF_A_DAY).ok()?;
    let span = Span::new().try_years(whole_years).ok()?;
    let ends = now
        .to_zoned(TimeZone::UTC)
        .checked_add(span)
        .ok()?
        .checked_add(part)
        .ok()?
        .timestamp();
    (ends.as_second() > now.as_second()).then_some(ends)
}

fn since_1970(moment: Timestamp) -> Option<Duration> {
    u64::try_from(moment.as_second()).ok().map(Duration::from_secs)
}

/// Returns a positive number of constant length (its first byte is never zero): random bytes and
/// their [`mark`].
fn serial_number(public_key: &[u8]) -> Result<SerialNumber, PkiError> {
    let mut bytes = [0; SERIAL_NUMBER_BYTES];
    let (random, rest) = bytes.split_at_mut(RANDOM_BYTES);
    aws_lc_rs::rand::fill(random).map_err(|_| PkiError::Cryptography {
        action: "choose a serial number",
    })?;
    random[0] = (random[0] & 0x7f) | 0x40;
    rest.copy_from_slice(&mark(random, public_key));
    Ok(SerialNumber::from_slice(&bytes))
}

fn subject_alternative_names(options: &CertificateOptions) -> Vec<SanType> {
    let mut names: Vec<SanType> = Vec::new();
    let hosts = options
        .alternative_names
        .iter()
        .filter_map(|name| match name.parse::<IpAddr>() {
            Ok(address) => Some(SanType::IpAddress(address)),
            Err(_) if name.is_empty() => None,
            Err(_) => Ia5String::try_from(name.as_str()).ok().map(SanType::DnsName),
        });
    for name in hosts.chain(options.addresses.iter().copied().map(SanType::IpAddress)) {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    names
}

/// Reads all certificates of a PEM file, in order: the manager's own first, then those of its
/// authorities.
///
/// # Errors
/// [`PkiError::CertificateFileMissing`], [`PkiError::Read`] or [`PkiError::NoCertificateInFile`].
/// The structure of the certificates is not checked.
pub fn load_chain(path: &Path) -> Result<Vec<CertificateDer<'static>>, PkiError> {
    let contents = files::read(path).map_err(|reason| match reason.kind() {
        io::ErrorKind::NotFound => PkiError::CertificateFileMissing {
            path: path.to_owned(),
        },
        _ => PkiError::Read {
            path: path.to_owned(),
            reason,
        },
    })?;
    chain_from_pem(&contents).ok_or_else(|| PkiError::NoCertificateInFile {
        path: path.to_owned(),
    })
}

/// Returns the certificates among the blocks of a PEM file. Returns `None` if there are none or a
/// block is incomplete.
pub(crate) fn chain_from_pem(contents: &[u8]) -> Option<Vec<CertificateDer<'static>>> {
    let text = String::from_utf8_lossy(contents);
    let blocks = pem::parse_many(text.as_bytes()).ok()?;
    let chain: Vec<_> = blocks
        .into_iter()
        .filter(|block| matches!(block.tag(), "CERTIFICATE" | "X509 CERTIFICATE"))
        .map(|block| CertificateDer::from(block.into_contents()))
        .collect();
    (!chain.is_empty()).then_some(chain)
}
