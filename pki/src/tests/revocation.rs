//! Lists of revoked certificates: which of two is the older one, who has signed one, and what one that is missing
//! means.

use std::path::PathBuf;

use rcgen::{
    CertificateRevocationListParams, Issuer, KeyIdMethod, KeyPair, RevokedCertParams, SerialNumber,
    SigningKey,
};
use rustls::CertificateError;
use rustls::pki_types::CertificateDer;
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::{
    Authority, ClientAuthorities, ClientTrust, ClientTrustError, Curve, KeyKind, PrivateKey, generate_key,
};

/// The identifiers of the extensions for the number of a list, and of one that no program knows, in DER form.
const NUMBER: [u8; 5] = [0x06, 0x03, 0x55, 0x1d, 0x14];
const UNKNOWN: [u8; 5] = [0x06, 0x03, 0x55, 0x1d, 0x7f];

/// The length of an Ed25519 signature, with which such a list ends.
const SIGNATURE_BYTES: usize = 64;

/// An authority, and the key with which it signs lists.
struct Issues {
    authority: Authority,
    key: PrivateKey,
}

impl Issues {
    fn named(name: &str) -> Self {
        Self::with_key(name, KeyKind::Ed25519)
    }

    fn with_key(name: &str, kind: KeyKind) -> Self {
        let key = generate_key(kind).unwrap();
        let authority = Authority::create(&key, name, 20.0).unwrap();
        Self { authority, key }
    }

    fn pair(&self) -> KeyPair {
        self.key.signing_pair(None).unwrap()
    }

    fn issue(&self, user: &str) -> [CertificateDer<'static>; 1] {
        let key = generate_key(KeyKind::Ed25519).unwrap();
        [self.authority.issue(&key, user, 1.0).unwrap().der().clone()]
    }

    /// Returns a list that was made on a day of January 2026, with one revoked certificate or none.
    fn list(&self, number: Option<u64>, day: u8, revoked: Option<&CertificateDer<'_>>) -> String {
        let revoked = revoked.map(|der| RevokedCertParams {
            serial_number: SerialNumber::from_slice(&serial(der)),
            revocation_time: rcgen::date_time_ymd(2026, 1, 1),
            reason_code: None,
            invalidity_date: None,
        });
        let parameters = CertificateRevocationListParams {
            this_update: rcgen::date_time_ymd(2026, 1, day),
            next_update: rcgen::date_time_ymd(2400, 1, 1),
            crl_number: SerialNumber::from(number.unwrap_or_default()),
            issuing_distribution_point: None,
            revoked_certs: revoked.into_iter().collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        let issuer = Issuer::from_ca_cert_der(self.authority.der(), self.pair()).unwrap();
        let mut der = parameters.signed_by(&issuer).unwrap().der().to_vec();
        if number.is_none() {
            self.remove_number(&mut der);
        }
        pem::encode(&pem::Pem::new("X509 CRL", der))
    }

    /// Makes the number an extension that no program knows, since rcgen gives each list a number.
    fn remove_number(&self, list: &mut [u8]) {
        let at = list.windows(NUMBER.len()).position(|bytes| bytes == NUMBER);
        let at = at.unwrap();
        list[at..at + UNKNOWN.len()].copy_from_slice(&UNKNOWN);
        let (_, parsed) = x509_parser::parse_x509_crl(list).unwrap();
        let signature = self.pair().sign(parsed.tbs_cert_list.as_ref()).unwrap();
        let start = list.len() - SIGNATURE_BYTES;
        list[start..].copy_from_slice(&signature);
    }
}

/// Returns the bytes of the serial number of a certificate.
fn serial(certificate: &CertificateDer<'_>) -> Vec<u8> {
    let (_, parsed) = X509Certificate::from_der(certificate).unwrap();
    parsed.raw_serial().to_vec()
}

/// The files of a manager.
struct Files(tempfile::TempDir);

impl Files {
    fn of(authorities: &[&Issues]) -> Self {
        let files = Self(tempfile::tempdir().unwrap());
        let certificates: String = authorities.iter().map(|issues| issues.authority.pem()).collect();
        std::fs::write(files.path("ca.crt"), certificates).unwrap();
        files
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn load(&self, lists: &[&str]) -> Result<ClientAuthorities, ClientTrustError> {
        std::fs::write(self.path("ca.crl"), lists.concat()).unwrap();
        ClientAuthorities::load(&self.path("ca.crt"), Some(&self.path("ca.crl")))
    }

    fn trust(&self, lists: &[&str]) -> ClientTrust {
        ClientTrust::new(self.load(lists).unwrap())
    }
}

fn expect_older(result: &Result<(), ClientTrustError>, case: &str) {
    assert!(
        matches!(result, Err(ClientTrustError::OlderList { .. })),
        "{case}: {result:?}"
    );
}

#[test]
fn a_list_that_is_older_than_one_before_the_last_is_not_taken() {
    let (first, second) = (Issues::named("First"), Issues::named("Second"));
    let files = Files::of(&[&first, &second]);
    let ada = first.issue("ada");
    let [old, new] = [(4, 20, None), (5, 21, Some(&ada[0]))]
        .map(|(number, day, revoked)| first.list(Some(number), day, revoked));
    let other = second.list(Some(1), 20, None);
    let trust = files.trust(&[&new, &other]);
    // In between there is no list of the first authority.
    trust.replace(files.load(&[&other]).unwrap()).unwrap();
    expect_older(&trust.replace(files.load(&[&old, &other]).unwrap()), "old");
    assert!(trust.verify(&ada).is_err());
    trust.replace(files.load(&[&new, &other]).unwrap()).unwrap();
    assert_eq!(trust.verify(&ada), Err(CertificateError::Revoked));
    // One that was not taken, because of another in the same file, is not in the way.
    let far = first.list(Some(9), 22, None);
    let before = second.list(Some(0), 19, None);
    expect_older(&trust.replace(files.load(&[&far, &before]).unwrap()), "before");
    let next = first.list(Some(6), 22, None);
    trust.replace(files.load(&[&next, &other]).unwrap()).unwrap();
}

#[test]
fn of_lists_with_the_same_number_or_none_the_one_with_the_earlier_date_is_older() {
    let issues = Issues::named("Laboratory");
    let files = Files::of(&[&issues]);
    let ada = issues.issue("ada");
    for (known, new, is_older) in [
        ((Some(7), 20), (Some(7), 19), true),
        ((Some(7), 20), (Some(7), 20), false),
        ((Some(7), 20), (Some(7), 21), false),
        ((None, 20), (None, 19), true),
        ((None, 20), (None, 20), false),
        ((None, 20), (None, 21), false),
        // The number counts first.
        ((Some(300), 20), (Some(255), 21), true),
        ((Some(255), 20), (Some(300), 19), false),
        // With the number of one of them only, an authority has begun to number its lists, and never ends.
        ((Some(5), 20), (None, 21), true),
        ((None, 20), (Some(5), 19), true),
        ((None, 20), (Some(5), 20), false),
    ] {
        let case = format!("{known:?}, then {new:?}");
        let trust = files.trust(&[&issues.list(known.0, known.1, Some(&ada[0]))]);
        let authorities = files.load(&[&issues.list(new.0, new.1, None)]).unwrap();
        let replaced = trust.replace(authorities);
        if is_older {
            expect_older(&replaced, &case);
            assert_eq!(trust.verify(&ada), Err(CertificateError::Revoked), "{case}");
        } else {
            assert!(replaced.is_ok(), "{case}: {replaced:?}");
            assert_eq!(trust.verify(&ada), Ok(()), "{case}");
        }
    }
}

#[test]
fn without_a_list_of_their_authority_new_connections_are_refused_and_others_stay() {
    let (first, second) = (Issues::named("First"), Issues::named("Second"));
    let files = Files::of(&[&first, &second]);
    let ada = first.issue("ada");
    let [list, other] = [&first, &second].map(|issues| issues.list(Some(1), 20, None));
    let trust = files.trust(&[&list, &other]);
    trust.replace(files.load(&[&other]).unwrap()).unwrap();
    assert_eq!(trust.verify(&ada), Err(CertificateError::UnknownRevocationStatus));
    assert_eq!(trust.check(&ada), Ok(()));
    // Those that a list revokes do not.
    let revoked = first.list(Some(2), 21, Some(&ada[0]));
    trust.replace(files.load(&[&revoked]).unwrap()).unwrap();
    assert_eq!(trust.check(&ada), Err(CertificateError::Revoked));
}

#[test]
fn a_list_that_its_authority_has_not_signed_is_refused() {
    let (own, other) = (Issues::named("Laboratory"), Issues::named("Laboratory"));
    let files = Files::of(&[&own]);
    let forged = other.list(Some(9), 22, None);
    let error = files.load(&[&forged]).unwrap_err().to_string();
    assert!(
        error.contains("the list 1 of")
            && error.contains("no authority in")
            && error.contains("has signed it"),
        "{error}"
    );
    // A single bit of the contents, here of its date, counts as well.
    let list = own.list(Some(9), 22, None);
    let mut der = pem::parse(&list).unwrap().into_contents();
    let at = der.windows(6).position(|bytes| bytes == b"260122").unwrap();
    der[at + 5] ^= 1;
    let changed = pem::encode(&pem::Pem::new("X509 CRL", der));
    let error = files.load(&[&changed]).unwrap_err();
    assert!(
        matches!(error, ClientTrustError::UnusableList { number: 1, .. }),
        "{error}"
    );
    files.load(&[&list]).unwrap();
    // The list of an authority that is not in the file may be that of one between.
    let between = Issues::named("Between").list(Some(1), 20, None);
    files.load(&[&list, &between]).unwrap();
}

#[test]
fn of_two_authorities_of_one_name_the_one_that_has_not_signed_the_list_is_told() {
    let (own, other) = (Issues::named("Laboratory"), Issues::named("Laboratory"));
    let files = Files::of(&[&own, &other]);
    let authorities = files.load(&[&own.list(Some(1), 20, None)]).unwrap();
    let [doubt] = authorities.doubts() else {
        panic!("{:?}", authorities.doubts());
    };
    assert!(
        doubt.contains("signed with the key of another authority"),
        "{doubt}"
    );
    let trust = ClientTrust::new(authorities);
    assert_eq!(trust.verify(&own.issue("ada")), Ok(()));
    assert!(trust.verify(&other.issue("ada")).is_err());
}

#[test]
fn lists_are_signed_with_keys_of_every_kind() {
    for kind in [
        KeyKind::Rsa { bits: 2048 },
        KeyKind::Ecc(Curve::Secp256r1),
        KeyKind::Ecc(Curve::Secp384r1),
        KeyKind::Ecc(Curve::Secp521r1),
        KeyKind::Ed25519,
    ] {
        let issues = Issues::with_key("Laboratory", kind);
        let files = Files::of(&[&issues]);
        let trust = files.trust(&[&issues.list(Some(1), 20, None)]);
        assert_eq!(trust.verify(&issues.issue("ada")), Ok(()), "{kind}");
        let forged = Issues::with_key("Laboratory", kind).list(Some(1), 20, None);
        let error = files.load(&[&forged]).unwrap_err();
        assert!(
            matches!(error, ClientTrustError::UnusableList { number: 1, .. }),
            "{kind}: {error}"
        );
    }
}
