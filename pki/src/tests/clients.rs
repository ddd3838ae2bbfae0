//! Certificates for clients: whose they are, and which are accepted.

use rcgen::string::BmpString;
use rcgen::{CertificateParams, DistinguishedName, DnType, DnValue};
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
