//! Certificates of every kind, presented by a TLS server that holds nothing else.

use std::path::PathBuf;
use std::sync::Arc;

use labwire_device::{ConnectError, ConnectOptions, FirstUse, Home, Introduction, TrustError, connect};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    date_time_ymd,
};
use rustls::pki_types::PrivateKeyDer;
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

/// A server that shows a certificate to whoever comes, and closes the connection after that.
async fn present(certificate: &rcgen::Certificate, key: &KeyPair) -> u16 {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let key = PrivateKeyDer::try_from(key.serialize_der()).expect("the key was just made");
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("the provider supports the default versions")
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], key)
        .expect("the key fits the certificate");
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
    let port = listener.local_addr().expect("it is bound").port();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.expect("connections are accepted");
            let acceptor = acceptor.clone();
            tokio::spawn(async move { acceptor.accept(stream).await.map(drop) });
        }
    });
    port
}

/// A folder with one certificate file in it.
fn file(pem: &str) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().expect("a folder can be made");
    let path = folder.path().join("trusted.crt");
    std::fs::write(&path, pem).expect("the folder can be written");
    (folder, path)
}

/// What comes of connecting to the server; `None` when it was trusted, and closed the connection as it does.
async fn verdict(port: u16, trusted: &str, check_hostname: bool) -> Option<TrustError> {
    let (_folder, path) = file(trusted);
    let options = ConnectOptions::new()
        .port(port)
        .certificate_file(path)
        .check_hostname(check_hostname);
    match connect(&options, &Introduction::client("Ada"))
        .await
        .expect_err("nobody is let in")
    {
        ConnectError::Trust(error) => Some(error),
        ConnectError::Closed { .. } => None,
        error => panic!("{error}"),
    }
}

fn self_signed(host: &str, change: impl FnOnce(&mut CertificateParams)) -> (rcgen::Certificate, KeyPair) {
    let mut params = CertificateParams::new([host.to_owned()]).expect("it is a host name");
    change(&mut params);
    let key = KeyPair::generate().expect("a key can be made");
    (params.self_signed(&key).expect("it can be signed"), key)
}

#[tokio::test]
async fn the_certificate_itself_is_trusted_whether_it_may_issue_others_or_not() {
    for is_ca in [IsCa::NoCa, IsCa::Ca(BasicConstraints::Unconstrained)] {
        let (certificate, key) = self_signed("localhost", |params| params.is_ca = is_ca);
        let port = present(&certificate, &key).await;
        assert_eq!(verdict(port, &certificate.pem(), true).await, None);
    }
}

#[tokio::test]
async fn the_certificate_must_name_the_host_unless_that_is_not_checked() {
    let (certificate, key) = self_signed("lab-pc", |_| {});
    let port = present(&certificate, &key).await;
    let other = TrustError::OtherHost {
        host: "localhost".to_owned(),
    };
    assert_eq!(verdict(port, &certificate.pem(), true).await, Some(other));
    assert_eq!(verdict(port, &certificate.pem(), false).await, None);
}

#[tokio::test]
async fn a_certificate_is_not_trusted_outside_of_its_time() {
    let (certificate, key) = self_signed("localhost", |params| params.not_after = date_time_ymd(2001, 1, 1));
    let port = present(&certificate, &key).await;
    let error = verdict(port, &certificate.pem(), true).await.unwrap();
    assert!(matches!(error, TrustError::NotValidNow { .. }), "{error}");
    assert!(error.to_string().contains("labwire doctor"), "{error}");
}

#[tokio::test]
async fn what_a_trusted_certificate_has_issued_is_trusted() {
    let mut params = CertificateParams::new([]).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    for (host, check, trusted) in [
        ("localhost", true, true),
        ("lab-pc", true, false),
        ("lab-pc", false, true),
    ] {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new([host.to_owned()]).unwrap();
        let certificate = params.signed_by(&key, &authority).unwrap();
        let port = present(&certificate, &key).await;
        let verdict = verdict(port, &authority.pem(), check).await;
        assert_eq!(verdict.is_none(), trusted, "{host}, {check}: {verdict:?}");
    }
}

#[tokio::test]
async fn another_certificate_is_refused_even_if_it_looks_the_same() {
    for is_ca in [IsCa::NoCa, IsCa::Ca(BasicConstraints::Unconstrained)] {
        let (trusted, _) = self_signed("localhost", |params| params.is_ca = is_ca);
        let (presented, key) = self_signed("localhost", |params| params.is_ca = is_ca);
        let port = present(&presented, &key).await;
        for check_hostname in [true, false] {
            let error = verdict(port, &trusted.pem(), check_hostname).await.unwrap();
            assert!(matches!(error, TrustError::Changed { .. }), "{error}");
        }
    }
}

#[tokio::test]
async fn a_certificate_that_is_no_authority_has_issued_nothing_not_even_its_own_renewal() {
    let key = KeyPair::generate().unwrap();
    let of = |is_ca: IsCa, usages: Vec<KeyUsagePurpose>| {
        let mut params = CertificateParams::new(["localhost".to_owned()]).unwrap();
        params.is_ca = is_ca;
        params.key_usages = usages;
        params
    };
    let signing = || vec![KeyUsagePurpose::DigitalSignature];
    let unconstrained = || IsCa::Ca(BasicConstraints::Unconstrained);
    for (is_ca, usages) in [
        (IsCa::NoCa, Vec::new()),
        (IsCa::ExplicitNoCa, Vec::new()),
        (IsCa::ExplicitNoCa, signing()),
        (unconstrained(), signing()),
    ] {
        let trusted = of(is_ca, usages);
        let pem = trusted.self_signed(&key).unwrap().pem();
        let mut renewed = of(IsCa::NoCa, Vec::new());
        renewed.not_after = date_time_ymd(2199, 1, 1);
        let renewed = renewed.self_signed(&key).unwrap();
        let error = verdict(present(&renewed, &key).await, &pem, true).await.unwrap();
        assert!(matches!(error, TrustError::Changed { .. }), "{error}");
        // Another certificate that the same key has signed.
        let other = KeyPair::generate().unwrap();
        let signer = Issuer::from_params(&trusted, &key);
        let issued = of(IsCa::NoCa, Vec::new()).signed_by(&other, &signer).unwrap();
        let error = verdict(present(&issued, &other).await, &pem, false)
            .await
            .unwrap();
        assert!(matches!(error, TrustError::Changed { .. }), "{error}");
    }
}

#[tokio::test]
async fn a_file_without_a_certificate_is_told_with_its_path() {
    for text in ["", "no certificate", "-----BEGIN CERTIFICATE-----\nAAAA"] {
        let error = verdict(9, text, true).await.unwrap();
        assert!(matches!(&error, TrustError::File { .. }), "{error}");
        assert!(error.to_string().contains("trusted.crt"), "{error}");
    }
}

#[tokio::test]
async fn a_first_use_neither_saves_nor_asks_about_a_certificate_that_it_would_refuse() {
    let expired = self_signed("localhost", |params| params.not_after = date_time_ymd(2001, 1, 1));
    let of_other_host = self_signed("lab-pc", |_| {});
    for (certificate, key) in [expired, of_other_host] {
        let port = present(&certificate, &key).await;
        let folder = tempfile::tempdir().expect("a folder can be made");
        let decide = |_: &labwire_device::UnknownCertificate| panic!("nobody is asked");
        for first_use in [FirstUse::Save, FirstUse::Decide(Arc::new(decide))] {
            let options = ConnectOptions::new().port(port).home(Home::at(folder.path()));
            let options = options.first_use(first_use);
            let error = connect(&options, &Introduction::client("Ada"))
                .await
                .expect_err("it is refused");
            assert!(
                matches!(
                    error,
                    ConnectError::Trust(TrustError::NotValidNow { .. } | TrustError::OtherHost { .. })
                ),
                "{error}"
            );
            let saved = options
                .trusted_certificate_file()
                .expect("there is a home folder");
            assert!(!saved.exists(), "{}", saved.display());
        }
    }
}
