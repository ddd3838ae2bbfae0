//! Certificates: making self-signed ones, reading chains.

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

/// How long a certificate is valid when nobody says otherwise, in years: the same as MSL-Network. Clients keep
/// a copy of the certificate, and one that expires stops a laboratory.
pub const DEFAULT_YEARS_VALID: f64 = 100.0;

/// How much earlier than now a certificate's validity starts: a day, so that a peer whose clock is behind, or
/// set to the local time of another time zone, accepts a certificate that was made a minute ago.
const CLOCK_TOLERANCE: SignedDuration = SignedDuration::from_hours(24);

/// The days of a year of which only a part was asked for.
const DAYS_OF_A_YEAR: f64 = 365.0;
const SECONDS_OF_A_DAY: f64 = 86_400.0;

/// The longest common name, in characters (RFC 5280, `ub-common-name`).
const LONGEST_COMMON_NAME: usize = 64;

/// The bytes of a serial number, the most that RFC 5280 allows.
const SERIAL_NUMBER_BYTES: usize = 20;

/// The bytes of a serial number that are random; the others are a digest of these and the key (see [`is_own`]).
const RANDOM_BYTES: usize = 10;

/// Ends the lifetime of a default certificate that is made late in the year 9999 at the latest: certificates cannot say
/// more.
const LAST_YEAR: i16 = 9_998;

/// What a self-signed certificate is to say.
#[derive(Clone, Debug)]
pub struct CertificateOptions {
    /// How long the certificate is valid from now on, in years; a part of a year is that part of 365 days.
    pub years_valid: f64,
    /// The hash of the signature; `None` for the one that fits the key. Only RSA keys leave a choice.
    pub hash: Option<Hash>,
    /// The common name of the subject, which is the issuer as well.
    pub hostname: String,
    /// The host names that the certificate is for.
    pub alternative_names: Vec<String>,
    /// The addresses that the certificate is for.
    pub addresses: Vec<IpAddr>,
}

impl CertificateOptions {
    /// A certificate for this computer: its host name, `localhost` and all of its addresses, valid for
    /// [`DEFAULT_YEARS_VALID`].
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

/// A certificate that was just made.
#[derive(Clone, Debug)]
pub struct Certificate {
    inner: rcgen::Certificate,
}

impl Certificate {
    /// The certificate in PEM form.
    pub fn pem(&self) -> String {
        self.inner.pem()
    }

    /// The certificate in DER form.
    pub fn der(&self) -> &CertificateDer<'static> {
        self.inner.der()
    }

    /// Writes the certificate in PEM form with mode 0644, in place of one that [`generate_certificate`] made and nothing
    /// else; missing folders are made with mode 0700.
    ///
    /// # Errors
    /// [`PkiError::KeyInTheWay`] when the file holds a private key, [`PkiError::NotOwn`] when it holds something else
    /// that was not made here, and [`PkiError::Write`].
    pub fn write_to(&self, path: &Path) -> Result<(), PkiError> {
        match existing(path) {
            Some(Held::Other) => Err(PkiError::NotOwn {
                path: path.to_owned(),
            }),
            _ => self.replace(path),
        }
    }

    /// Writes the certificate as [`write_to`](Self::write_to) does, in place of whatever the file holds but a private
    /// key.
    ///
    /// # Errors
    /// [`PkiError::KeyInTheWay`] when the file holds a private key, and [`PkiError::Write`].
    pub fn replace(&self, path: &Path) -> Result<(), PkiError> {
        if let Some(Held::Key) = existing(path) {
            return Err(PkiError::KeyInTheWay {
                path: path.to_owned(),
            });
        }
        files::write(path, self.pem().as_bytes(), Readers::Everyone, Existing::Replace)
    }
}

/// What a file holds that a certificate is to be written to.
enum Held {
    /// A private key, readable or not.
    Key,
    /// Nothing, or a certificate that [`generate_certificate`] made and nothing else.
    Own,
    /// Something else, which cannot be made again here.
    Other,
}

/// What a file holds; `None` if there is no such file, or it is a pipe or a device.
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

/// Whether a file holds a private key, readable or not. Files that cannot be read, pipes and devices hold none.
pub fn holds_private_key(path: &Path) -> bool {
    matches!(existing(path), Some(Held::Key))
}

/// Whether [`generate_certificate`] has made a certificate: the second half of its serial number is a digest of the
/// first half and the public key. No other program's certificates are like that, by accident or as they age.
pub(crate) fn is_own(certificate: &CertificateDer<'_>) -> bool {
    let Ok((_, certificate)) = X509Certificate::from_der(certificate) else {
        return false;
    };
    let public_key = &certificate.public_key().subject_public_key.data;
    let (serial, length) = (certificate.raw_serial(), SERIAL_NUMBER_BYTES);
    serial.len() == length && serial[RANDOM_BYTES..] == mark(&serial[..RANDOM_BYTES], public_key)
}

/// The second half of a serial number.
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

/// Makes a certificate that is signed with its own key.
///
/// It says that it is no certificate authority, so that a client which trusts it trusts this manager and nobody
/// else, and so that rustls accepts it as the certificate of a server. Names that a certificate cannot hold
/// (they are not ASCII) are left out.
///
/// # Errors
/// [`PkiError::HashDoesNotFit`], [`PkiError::ValidityOutOfRange`], and [`PkiError::Cryptography`].
pub fn generate_certificate(key: &PrivateKey, options: &CertificateOptions) -> Result<Certificate, PkiError> {
    generate_certificate_at(key, options, present())
}

/// As [`generate_certificate`], by a clock that says this.
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

/// The hash to sign with: the one that was asked for, if it fits the key.
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
    let out_of_range = || PkiError::ValidityOutOfRange {
        years: options.years_valid,
    };
    // Certificates count whole seconds: a part of one must not decide whether a validity is nothing.
    let now = Timestamp::from_second(now.as_second()).map_err(|_| out_of_range())?;
    // A computer whose clock is not set is in 1970. What comes before that, certificates can say, but few write.
    let starts = now.saturating_sub(CLOCK_TOLERANCE).map_err(|_| out_of_range())?;
    let starts = starts.max(Timestamp::UNIX_EPOCH);
    let ends = expiry(now, options.years_valid).ok_or_else(out_of_range)?;

    let mut parameters = CertificateParams::default();
    // The date type of rcgen comes from a crate that is not among this one's dependencies: dates are reached
    // by counting from 1970.
    let epoch = rcgen::date_time_ymd(1970, 1, 1);
    parameters.not_before = epoch + since_1970(starts).ok_or_else(out_of_range)?;
    parameters.not_after = epoch + since_1970(ends).ok_or_else(out_of_range)?;
    parameters.distinguished_name = DistinguishedName::new();
    let common_name: String = options.hostname.chars().take(LONGEST_COMMON_NAME).collect();
    parameters
        .distinguished_name
        .push(DnType::CommonName, common_name);
    parameters.subject_alt_names = subject_alternative_names(options);
    parameters.is_ca = IsCa::ExplicitNoCa;
    parameters.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    parameters.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    // It tells this certificate from an older one of the same name when a client trusts both.
    parameters.use_authority_key_identifier_extension = true;
    Ok(parameters)
}

/// The end of a validity that starts now; nothing if that is not after now or not before the year 10000.
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

/// A positive number whose first byte is never zero, so that it always has the same length: random bytes and their
/// [`mark`].
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

/// Reads all certificates of a PEM file, in the order of the file: the manager's own first, then those of the
/// authorities that vouch for it.
///
/// # Errors
/// [`PkiError::CertificateFileMissing`], [`PkiError::Read`] or [`PkiError::NoCertificateInFile`]. That the
/// contents are sound certificates is not checked here.
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

/// The certificates among the blocks of a PEM file; nothing if there are none or a block is cut short.
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
