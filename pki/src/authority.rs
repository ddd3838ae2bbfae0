//! An authority of a laboratory: issues certificates to clients, and revokes them.

use std::path::Path;

use jiff::Timestamp;
use labwire_home::{Existing, Readers, present};
use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, DistinguishedName, DnType,
    ExtendedKeyUsagePurpose, IsCa, Issuer, KeyIdMethod, KeyPair, KeyUsagePurpose, RevokedCertParams,
    SerialNumber,
};
use rustls::pki_types::CertificateDer;
use x509_parser::prelude::{CertificateRevocationList, FromDer, X509Certificate};

use crate::certificate::{Certificate, LONGEST_COMMON_NAME, load_chain, set_validity};
use crate::client_certificate::hexadecimal;
use crate::describe::printable;
use crate::error::PkiError;
use crate::files;
use crate::key::PrivateKey;
use crate::revocation_lists::lists_from_pem;
use crate::serve::public_key_bits;

/// The bytes of a random serial number.
const SERIAL_NUMBER_BYTES: usize = 16;

/// An authority that issues certificates to clients: a certificate, and its private key.
pub struct Authority {
    certificate: CertificateDer<'static>,
    issuer: Issuer<'static, KeyPair>,
    /// The end of its validity, in seconds since 1970.
    valid_until: i64,
}

impl Authority {
    /// Creates an authority of this name, which is valid for a number of years from now on. It may
    /// issue certificates to clients, and none to other authorities.
    ///
    /// ```
    /// use labwire_pki::{Authority, KeyKind, generate_key};
    ///
    /// let authority = Authority::create(&generate_key(KeyKind::Ed25519)?, "Laboratory", 20.0)?;
    /// assert!(authority.pem().starts_with("-----BEGIN CERTIFICATE-----"));
    /// # Ok::<(), labwire_pki::PkiError>(())
    /// ```
    ///
    /// # Errors
    /// [`PkiError::ValidityOutOfRange`], [`PkiError::UnsuitableName`] and [`PkiError::Cryptography`].
    pub fn create(key: &PrivateKey, name: &str, years: f64) -> Result<Self, PkiError> {
        let mut parameters = parameters(name, years)?;
        parameters.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        parameters.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let pair = key.signing_pair(None)?;
        let certificate = parameters.self_signed(&pair).map_err(|_| cannot_sign())?;
        Self::of(certificate.der().clone(), pair).ok_or_else(cannot_sign)
    }

    /// Reads the certificate and the private key of an authority.
    ///
    /// # Errors
    /// Those of [`load_chain`] and [`PrivateKey::load`], [`PkiError::DamagedCertificate`],
    /// [`PkiError::NoAuthority`], and [`PkiError::KeyMismatch`].
    pub fn load(certificate_file: &Path, key_file: &Path, password: Option<&str>) -> Result<Self, PkiError> {
        let damaged = || PkiError::DamagedCertificate {
            path: certificate_file.to_owned(),
        };
        let certificate = load_chain(certificate_file)?.swap_remove(0);
        let key = PrivateKey::load(key_file, password)?;
        let (_, parsed) = X509Certificate::from_der(&certificate).map_err(|_| damaged())?;
        if !parsed.is_ca() {
            return Err(PkiError::NoAuthority {
                path: certificate_file.to_owned(),
            });
        }
        let pair = key.signing_pair(None)?;
        if public_key_bits(&certificate).as_deref() != Some(pair.public_key_raw()) {
            return Err(PkiError::KeyMismatch {
                certificate: certificate_file.to_owned(),
                key: key_file.to_owned(),
            });
        }
        Self::of(certificate, pair).ok_or_else(damaged)
    }

    fn of(certificate: CertificateDer<'static>, pair: KeyPair) -> Option<Self> {
        let issuer = Issuer::from_ca_cert_der(&certificate, pair).ok()?;
        let (_, parsed) = X509Certificate::from_der(&certificate).ok()?;
        let valid_until = parsed.validity().not_after.timestamp();
        Some(Self {
            certificate,
            issuer,
            valid_until,
        })
    }

    /// Returns the certificate in PEM form.
    pub fn pem(&self) -> String {
        pem::encode(&pem::Pem::new("CERTIFICATE", self.certificate.to_vec()))
    }

    /// Returns the certificate in DER form.
    pub fn der(&self) -> &CertificateDer<'static> {
        &self.certificate
    }

    /// Writes the certificate in PEM form with mode 0644, unless the file exists.
    ///
    /// # Errors
    /// [`PkiError::FileExists`] and [`PkiError::Write`].
    pub fn write_new(&self, path: &Path) -> Result<(), PkiError> {
        files::write(path, self.pem().as_bytes(), Readers::Everyone, Existing::Keep)
    }

    /// Issues a certificate to the user of this name, for TLS clients only. It is valid for a number
    /// of years from now on, and not longer than the authority.
    ///
    /// # Errors
    /// [`PkiError::ValidityOutOfRange`], [`PkiError::OutlivesAuthority`], [`PkiError::UnsuitableName`]
    /// and [`PkiError::Cryptography`].
    pub fn issue(&self, key: &PrivateKey, name: &str, years: f64) -> Result<Certificate, PkiError> {
        let mut parameters = parameters(name, years)?;
        if parameters.not_after.unix_timestamp() > self.valid_until {
            return Err(PkiError::OutlivesAuthority {
                until: day(self.valid_until),
            });
        }
        parameters.is_ca = IsCa::ExplicitNoCa;
        parameters.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        parameters.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        let pair = key.signing_pair(None)?;
        let signed = parameters.signed_by(&pair, &self.issuer);
        signed.map(Certificate::new).map_err(|_| cannot_sign())
    }

    /// Writes the authority's list of revoked certificates to a file, in PEM form with mode 0644, with
    /// these serial numbers added to those of the list that is there. It need not be renewed for a
    /// number of years; with `None`, as long as the authority is valid.
    ///
    /// Returns the number of revoked certificates in the list.
    ///
    /// # Errors
    /// [`PkiError::ListOfAnother`] if the file contains something else than one list of this
    /// authority, [`PkiError::Read`], [`PkiError::Write`], [`PkiError::ValidityOutOfRange`],
    /// [`PkiError::BadSerial`] and [`PkiError::Cryptography`].
    pub fn revoke(&self, list: &Path, serials: &[String], years: Option<f64>) -> Result<usize, PkiError> {
        let now = present();
        let former = self.former(list)?;
        let (mut revoked, number) = former.unwrap_or_default();
        for serial in serials {
            let bytes = serial_bytes(serial)?;
            if revoked.iter().all(|(known, _)| *known != bytes) {
                revoked.push((bytes, now.as_second()));
            }
        }
        let mut dates = CertificateParams::default();
        set_validity(&mut dates, years.unwrap_or(1.0), now)?;
        let (epoch, since) = (rcgen::date_time_ymd(1970, 1, 1), std::time::Duration::from_secs);
        let date = |seconds: i64| epoch + since(u64::try_from(seconds).unwrap_or_default());
        let next_update = if years.is_some() {
            dates.not_after
        } else {
            date(self.valid_until)
        };
        let count = revoked.len();
        let parameters = CertificateRevocationListParams {
            // A manager whose clock is slow takes a new list, too.
            this_update: dates.not_before,
            next_update,
            crl_number: SerialNumber::from(number + 1),
            issuing_distribution_point: None,
            revoked_certs: revoked
                .into_iter()
                .map(|(serial, time)| RevokedCertParams {
                    serial_number: SerialNumber::from_slice(&serial),
                    revocation_time: date(time),
                    reason_code: None,
                    invalidity_date: None,
                })
                .collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        let signed = parameters.signed_by(&self.issuer).and_then(|list| list.pem());
        let text = signed.map_err(|_| cannot_sign())?;
        files::write(list, text.as_bytes(), Readers::Everyone, Existing::Replace)?;
        Ok(count)
    }

    /// Returns the serial numbers in a list of this authority, with the times of their revocation,
    /// and the number of the list. `None` if there is no file.
    fn former(&self, path: &Path) -> Result<Option<(Revoked, u64)>, PkiError> {
        let contents = match files::read(path) {
            Ok(contents) => contents,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(reason) => {
                return Err(PkiError::Read {
                    path: path.to_owned(),
                    reason,
                });
            }
        };
        let other = || PkiError::ListOfAnother {
            path: path.to_owned(),
        };
        let block = only_list(&contents, path)?;
        let (_, list) = CertificateRevocationList::from_der(&block).map_err(|_| other())?;
        let own = X509Certificate::from_der(&self.certificate)
            .map_err(|_| other())?
            .1;
        if list.issuer().as_raw() != own.subject().as_raw() {
            return Err(other());
        }
        let revoked = list.iter_revoked_certificates().map(|revoked| {
            let serial = trimmed(revoked.raw_serial()).to_vec();
            (serial, revoked.revocation_date.timestamp())
        });
        let number = list.crl_number().and_then(|number| u64::try_from(number).ok());
        Ok(Some((revoked.collect(), number.unwrap_or(0))))
    }
}

/// Serial numbers without leading zeros, and the times of their revocation in seconds since 1970.
type Revoked = Vec<(Vec<u8>, i64)>;

fn cannot_sign() -> PkiError {
    PkiError::Cryptography {
        action: "sign with the key of the authority",
    }
}

/// Returns the parameters that certificates of authorities and of clients have in common.
fn parameters(name: &str, years: f64) -> Result<CertificateParams, PkiError> {
    let is_unsuitable = name.trim() != name
        || name.is_empty()
        || name.contains(char::is_control)
        || name.chars().count() > LONGEST_COMMON_NAME;
    if is_unsuitable {
        return Err(PkiError::UnsuitableName {
            name: printable(name),
        });
    }
    let mut parameters = CertificateParams::default();
    set_validity(&mut parameters, years, present())?;
    parameters.distinguished_name = DistinguishedName::new();
    parameters.distinguished_name.push(DnType::CommonName, name);
    parameters.serial_number = Some(random_serial_number()?);
    parameters.use_authority_key_identifier_extension = true;
    Ok(parameters)
}

/// Returns 128 random bits, the first eight of which are not all zero.
fn random_serial_number() -> Result<SerialNumber, PkiError> {
    let mut bytes = [0; SERIAL_NUMBER_BYTES];
    while bytes[0] == 0 {
        aws_lc_rs::rand::fill(&mut bytes).map_err(|_| PkiError::Cryptography {
            action: "choose a serial number",
        })?;
    }
    Ok(SerialNumber::from_slice(&bytes))
}

/// Returns the bytes of a serial number in hexadecimal, with or without colons.
fn serial_bytes(text: &str) -> Result<Vec<u8>, PkiError> {
    let bad = || PkiError::BadSerial {
        text: printable(text),
    };
    let digits: String = text.chars().filter(|character| *character != ':').collect();
    if digits.is_empty() || digits.len() > 40 || !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err(bad());
    }
    let digits = format!("{:0>width$}", digits, width = digits.len().next_multiple_of(2));
    let pairs = (0..digits.len()).step_by(2);
    let bytes: Result<Vec<u8>, _> = pairs
        .map(|at| u8::from_str_radix(&digits[at..at + 2], 16))
        .collect();
    Ok(trimmed(&bytes.map_err(|_| bad())?).to_vec())
}

/// Removes leading zeros, all but the last byte.
fn trimmed(serial: &[u8]) -> &[u8] {
    let zeros = serial.iter().take_while(|byte| **byte == 0).count();
    &serial[zeros.min(serial.len().saturating_sub(1))..]
}

/// Returns the serial numbers in a list of revoked certificates, in lower-case hexadecimal. The signature of the
/// list is not checked.
///
/// # Errors
/// [`PkiError::Read`] if the file cannot be read, and [`PkiError::ListOfAnother`] if it is not one list.
pub fn revoked_serials(path: &Path) -> Result<Vec<String>, PkiError> {
    let contents = files::read(path).map_err(|reason| PkiError::Read {
        path: path.to_owned(),
        reason,
    })?;
    let block = only_list(&contents, path)?;
    let (_, list) = CertificateRevocationList::from_der(&block).map_err(|_| PkiError::ListOfAnother {
        path: path.to_owned(),
    })?;
    let revoked = list.iter_revoked_certificates();
    Ok(revoked.map(|revoked| hexadecimal(revoked.raw_serial())).collect())
}

/// Returns the list in a file that contains one, as DER.
fn only_list(contents: &[u8], path: &Path) -> Result<Vec<u8>, PkiError> {
    let [block] = lists_from_pem(contents)
        .and_then(|blocks| <[_; 1]>::try_from(blocks).ok())
        .ok_or_else(|| PkiError::ListOfAnother {
            path: path.to_owned(),
        })?;
    Ok(block)
}

fn day(seconds: i64) -> String {
    let moment = Timestamp::from_second(seconds).unwrap_or(Timestamp::MAX);
    moment.strftime("%Y-%m-%d").to_string()
}
