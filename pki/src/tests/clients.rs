//! Certificates for clients: whose they are, and which are accepted.

use rcgen::string::{BmpString, Ia5String};
use rcgen::{CertificateParams, DistinguishedName, DnType, DnValue, SanType};
use rustls::CertificateError;
use rustls::pki_types::CertificateDer;

use crate::{
    Authority, ClientAuthorities, ClientCertificate, ClientNameError, ClientTrust, KeyKind, PkiError,
    PrivateKey, generate_key,
};

fn key() -> PrivateKey {
    generate_key(KeyKind::Ed25519).unwrap()
}

/// Returns whose the certificate with these common names is.
fn name_of(names: Vec<DnValue>) -> Result<String, ClientNameError> {
    let mut parameters = CertificateParams::default();
    parameters.distinguished_name = DistinguishedName::new();
    for name in names {
        parameters.distinguished_name.push(DnType::CommonName, name);
    }
    let certificate = parameters
        .self_signed(&key().signing_pair(None).unwrap())
        .unwrap();
    ClientCertificate::of(certificate.der()).unwrap().name
}

/// Returns whose a certificate is, after one value in it was replaced by another of the same length.
///
/// The signature is not that of the certificate any more, which is checked elsewhere.
fn name_after(parameters: &CertificateParams, from: &[u8], to: &[u8]) -> Result<String, ClientNameError> {
    assert_eq!(from.len(), to.len());
    let pair = key().signing_pair(None).unwrap();
    let mut der = parameters.self_signed(&pair).unwrap().der().to_vec();
    let ends = from.len()..=der.len();
    let found: Vec<_> = ends
        .map(|end| end - from.len()..end)
        .filter(|at| der[at.clone()] == *from)
        .collect();
    assert!(!found.is_empty());
    for at in found {
        der[at].copy_from_slice(to);
    }
    ClientCertificate::of(&der.into()).unwrap().name
}

/// Returns a value in DER form, with a tag and less than 128 bytes.
fn value(tag: u8, bytes: &[u8]) -> Vec<u8> {
    [&[tag, u8::try_from(bytes.len()).unwrap()], bytes].concat()
}

#[test]
fn a_common_name_is_of_one_of_the_kinds_that_all_programs_read_in_the_same_way() {
    let (accepted, refused) = (|name: &str| Ok(name.to_owned()), Err(ClientNameError::Encoding));
    for (tag, bytes, expected) in [
        (0x0c, "ada", accepted("ada")),
        (0x0c, "zo\u{eb}", accepted("zo\u{eb}")),
        (0x13, "ada", accepted("ada")),
        (0x16, "ada", accepted("ada")),
        // PrintableString and IA5String are ASCII; some programs read Latin-1 or UTF-8 into them.
        (0x13, "zo\u{eb}", refused.clone()),
        (0x16, "zo\u{eb}", refused.clone()),
        // NumericString, TeletexString, VisibleString, GeneralString and an octet string.
        (0x12, "ada", refused.clone()),
        (0x12, "123", refused.clone()),
        (0x14, "ada", refused.clone()),
        (0x1a, "ada", refused.clone()),
        (0x1b, "ada", refused.clone()),
        (0x04, "ada", refused.clone()),
        // A UTF8String in parts, and one of a class of its own.
        (0x2c, "ada", refused.clone()),
        (0x8c, "ada", refused),
    ] {
        let placeholder = "Q".repeat(bytes.len());
        let mut parameters = CertificateParams::default();
        parameters.distinguished_name = DistinguishedName::new();
        let name = DnValue::Utf8String(placeholder.clone());
        parameters.distinguished_name.push(DnType::CommonName, name);
        let from = value(0x0c, placeholder.as_bytes());
        let name = name_after(&parameters, &from, &value(tag, bytes.as_bytes()));
        assert_eq!(name, expected, "{tag:#x} {bytes}");
    }
}

#[test]
fn an_alternative_name_is_ascii_and_one_that_is_not_is_counted() {
    for tag in [0x81, 0x82] {
        let alternative = |name: &str| {
            let name = Ia5String::try_from(name).unwrap();
            if tag == 0x81 {
                SanType::Rfc822Name(name)
            } else {
                SanType::DnsName(name)
            }
        };
        let mut parameters = CertificateParams::default();
        parameters.distinguished_name = DistinguishedName::new();
        parameters.subject_alt_names = vec![alternative("QQQQ")];
        let name_with = |parameters: &CertificateParams, bytes: &[u8]| {
            name_after(parameters, &value(tag, b"QQQQ"), &value(tag, bytes))
        };
        assert_eq!(name_with(&parameters, b"anna"), Ok("anna".to_owned()));
        for bytes in ["zo\u{eb}".as_bytes(), b"zo\xeb\xeb"] {
            assert_eq!(name_with(&parameters, bytes), Err(ClientNameError::Encoding));
        }
        parameters.subject_alt_names.push(alternative("ada"));
        assert_eq!(
            name_with(&parameters, b"zo\xeb\xeb"),
            Err(ClientNameError::SeveralAlternativeNames)
        );
    }
}

#[test]
fn a_name_with_a_control_character_or_of_an_older_kind_is_that_of_nobody() {
    let utf8 = |name: &str| vec![DnValue::Utf8String(name.to_owned())];
    assert_eq!(name_of(utf8("ada")), Ok("ada".to_owned()));
    for name in ["ada\0.example.org", "\0", "ada\n", "a\u{1b}[31mda", "a\u{85}da"] {
        assert_eq!(
            name_of(utf8(name)),
            Err(ClientNameError::ControlCharacter),
            "{name:?}"
        );
    }
    for name in ["", " ", "\u{3000}"] {
        assert_eq!(name_of(utf8(name)), Err(ClientNameError::Empty), "{name:?}");
    }
    let old = DnValue::BmpString(BmpString::try_from("ada").unwrap());
    assert_eq!(name_of(vec![old]), Err(ClientNameError::Encoding));
    assert_eq!(name_of(Vec::new()), Err(ClientNameError::Missing));
}

/// An authority and its list of revoked certificates, in files.
struct Files {
    folder: tempfile::TempDir,
    authority: Authority,
}

impl Files {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let authority = Authority::create(&key(), "Laboratory", 20.0).unwrap();
        authority.write_new(&folder.path().join("ca.crt")).unwrap();
        let files = Self { folder, authority };
        files.revoke(&[]);
        files
    }

    fn revoke(&self, serials: &[String]) -> usize {
        let list = self.folder.path().join("ca.crl");
        self.authority.revoke(&list, serials, None).unwrap()
    }

    fn load(&self) -> ClientAuthorities {
        let path = |name| self.folder.path().join(name);
        ClientAuthorities::load(&path("ca.crt"), Some(&path("ca.crl"))).unwrap()
    }

    fn issue(&self, user: &str) -> Vec<CertificateDer<'static>> {
        vec![self.authority.issue(&key(), user, 1.0).unwrap().der().clone()]
    }
}

#[test]
fn a_certificate_is_accepted_until_a_new_list_revokes_it() {
    let files = Files::new();
    let (ada, bob) = (files.issue("ada"), files.issue("bob"));
    let trust = ClientTrust::new(files.load());
    assert_eq!((trust.check(&ada), trust.verify(&ada)), (Ok(()), Ok(())));
    let before = trust.version();
    let serial = ClientCertificate::of(&ada[0]).unwrap().serial;
    assert_eq!(files.revoke(std::slice::from_ref(&serial)), 1);
    trust.replace(files.load()).unwrap();
    assert!(trust.version() > before);
    for verdict in [trust.check(&ada), trust.verify(&ada)] {
        assert_eq!(verdict, Err(CertificateError::Revoked));
    }
    assert_eq!(trust.check(&bob), Ok(()));
    // Once more, with colons and leading zeros, is no second entry.
    assert_eq!(files.revoke(&[format!("0:0{serial}").to_uppercase()]), 1);
    assert_eq!(files.load().revoked(), Some(1));
}

#[test]
fn an_authority_of_the_same_name_is_another_one() {
    let (files, other) = (Files::new(), Files::new());
    let trust = ClientTrust::new(files.load());
    let forged = other.issue("ada");
    assert!(trust.verify(&forged).is_err() && trust.check(&forged).is_err());
    assert_eq!(trust.verify(&files.issue("ada")), Ok(()));
}

#[test]
fn an_overdue_list_refuses_new_connections_and_ends_only_those_that_it_revokes() {
    let files = Files::new();
    let (ada, bob) = (files.issue("ada"), files.issue("bob"));
    let list = files.folder.path().join("ca.crl");
    let serial = ClientCertificate::of(&bob[0]).unwrap().serial;
    // The shortest validity is a second.
    files
        .authority
        .revoke(&list, &[serial], Some(1.0 / 365.0 / 86_400.0))
        .unwrap();
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(30);
    let trust = ClientTrust::new(files.load());
    while !matches!(
        trust.verify(&ada),
        Err(CertificateError::ExpiredRevocationListContext { .. })
    ) {
        assert!(std::time::Instant::now() < deadline, "{:?}", trust.verify(&ada));
        std::thread::yield_now();
    }
    assert_eq!(trust.check(&ada), Ok(()));
    assert_eq!(trust.check(&bob), Err(CertificateError::Revoked));
    let doubts = files.load().doubts().to_vec();
    assert!(
        doubts.iter().any(|doubt| doubt.contains("is overdue")),
        "{doubts:?}"
    );
}

#[test]
fn with_lists_an_authority_without_one_is_refused_and_told() {
    let (files, other) = (Files::new(), tempfile::tempdir().unwrap());
    let second = Authority::create(&key(), "Workshop", 20.0).unwrap();
    let both = other.path().join("both.crt");
    std::fs::write(&both, files.authority.pem() + &second.pem()).unwrap();
    let list = files.folder.path().join("ca.crl");
    let authorities = ClientAuthorities::load(&both, Some(&list)).unwrap();
    assert_eq!(authorities.authorities(), ["CN=Laboratory", "CN=Workshop"]);
    let doubts = authorities.doubts().to_vec();
    assert!(
        doubts[0].contains("no list of revoked certificates of 'CN=Workshop'"),
        "{doubts:?}"
    );
    let trust = ClientTrust::new(authorities);
    let issued = [second.issue(&key(), "ada", 1.0).unwrap().der().clone()];
    assert_eq!(
        trust.verify(&issued),
        Err(CertificateError::UnknownRevocationStatus)
    );
    assert_eq!(trust.verify(&files.issue("ada")), Ok(()));
}

#[test]
fn a_name_that_no_certificate_can_have_and_a_validity_beyond_the_authority_are_refused() {
    let files = Files::new();
    for name in ["", " ada", "a\0da", &"a".repeat(65)] {
        let error = files.authority.issue(&key(), name, 1.0).unwrap_err();
        assert!(matches!(error, PkiError::UnsuitableName { .. }), "{error}");
    }
    let error = files.authority.issue(&key(), "ada", 21.0).unwrap_err();
    assert!(matches!(error, PkiError::OutlivesAuthority { .. }), "{error}");
}
