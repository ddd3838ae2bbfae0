//! Tests handshakes in memory: a rustls client accepts a manager with a certificate that it trusts.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyUsagePurpose};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{
    ClientConfig, ClientConnection, HandshakeKind, RootCertStore, ServerConfig, ServerConnection,
    SupportedProtocolVersion,
};

use super::{PASSWORD, fixture};
use crate::{
    CertificateOptions, Curve, KeyKind, PkiError, PrivateKey, ReloadableCertificate, generate_certificate,
    generate_key, load_certified_key, load_chain, server_config,
};

const VERSIONS: [&SupportedProtocolVersion; 2] = [&rustls::version::TLS12, &rustls::version::TLS13];

/// Connects a client that trusts one certificate to a server with this name. Returns the
/// certificate that it received.
fn connect(
    server: &Arc<ServerConfig>,
    trusted: &CertificateDer<'static>,
    version: &'static SupportedProtocolVersion,
    name: &str,
) -> Result<CertificateDer<'static>, rustls::Error> {
    let client = shake_hands(server, &client_config(trusted, version), name)?;
    Ok(client.peer_certificates().unwrap()[0].clone().into_owned())
}

fn client_config(
    trusted: &CertificateDer<'static>,
    version: &'static SupportedProtocolVersion,
) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots.add(trusted.clone()).unwrap();
    let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_protocol_versions(&[version])
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    Arc::new(config)
}

fn shake_hands(
    server: &Arc<ServerConfig>,
    client: &Arc<ClientConfig>,
    name: &str,
) -> Result<ClientConnection, rustls::Error> {
    let name = ServerName::try_from(name.to_owned()).unwrap();
    let mut client = ClientConnection::new(Arc::clone(client), name).unwrap();
    let mut server = ServerConnection::new(Arc::clone(server)).unwrap();
    while client.is_handshaking() || server.is_handshaking() {
        let mut bytes = Vec::new();
        while client.wants_write() {
            client.write_tls(&mut bytes).unwrap();
        }
        server.read_tls(&mut bytes.as_slice()).unwrap();
        server.process_new_packets()?;
        let mut bytes = Vec::new();
        while server.wants_write() {
            server.write_tls(&mut bytes).unwrap();
        }
        client.read_tls(&mut bytes.as_slice()).unwrap();
        client.process_new_packets()?;
    }
    Ok(client)
}

fn serving(certificate: &Path, key: Option<&Path>, password: Option<&str>) -> Arc<ServerConfig> {
    let certified = load_certified_key(certificate, key, password).unwrap();
    server_config(Arc::new(ReloadableCertificate::new(certified)))
}

/// Writes a key and a certificate for it into a folder.
fn key_and_certificate(folder: &Path, key: &PrivateKey) -> (PathBuf, PathBuf) {
    let paths = (folder.join("localhost.key"), folder.join("localhost.crt"));
    key.write_to(&paths.0, None).unwrap();
    let certificate = generate_certificate(key, &CertificateOptions::for_this_computer()).unwrap();
    certificate.write_to(&paths.1).unwrap();
    paths
}

#[test]
fn a_client_that_returns_resumes_its_session() {
    let folder = tempfile::tempdir().unwrap();
    let key = generate_key(KeyKind::Ecc(Curve::Secp256r1)).unwrap();
    let (key, certificate) = key_and_certificate(folder.path(), &key);
    let server = serving(&certificate, Some(&key), None);
    let trusted = load_chain(&certificate).unwrap().remove(0);
    for version in VERSIONS {
        // Each client's configuration remembers its own tickets.
        let client = client_config(&trusted, version);
        let kind = || {
            shake_hands(&server, &client, "localhost")
                .unwrap()
                .handshake_kind()
        };
        assert_eq!(kind(), Some(HandshakeKind::Full), "{version:?}");
        // More other clients return meanwhile than a session cache would hold.
        for _ in 0..300 {
            shake_hands(&server, &client_config(&trusted, version), "localhost").unwrap();
        }
        assert_eq!(kind(), Some(HandshakeKind::Resumed), "{version:?}");
    }
}

#[test]
fn a_client_accepts_certificates_of_every_kind_of_key_by_name_and_by_address() {
    let rsa = PrivateKey::load(&fixture("msl-rsa-encrypted.key"), Some(PASSWORD)).unwrap();
    let others = [
        KeyKind::Ecc(Curve::Secp256r1),
        KeyKind::Ecc(Curve::Secp384r1),
        KeyKind::Ecc(Curve::Secp521r1),
        KeyKind::Ed25519,
    ];
    for key in others
        .map(|kind| generate_key(kind).unwrap())
        .into_iter()
        .chain([rsa])
    {
        let folder = tempfile::tempdir().unwrap();
        let (key_file, certificate_file) = key_and_certificate(folder.path(), &key);
        let server = serving(&certificate_file, Some(&key_file), None);
        let trusted = load_chain(&certificate_file).unwrap().remove(0);
        for version in VERSIONS {
            for name in ["localhost", "127.0.0.1", "::1"] {
                let seen = connect(&server, &trusted, version, name).unwrap();
                assert_eq!(seen, trusted, "{}", key.kind());
            }
            connect(&server, &trusted, version, "elsewhere.example").unwrap_err();
        }
    }
}

#[test]
fn a_chain_of_an_authority_and_the_key_in_one_file_serve_too() {
    let folder = tempfile::tempdir().unwrap();
    let mut authority = CertificateParams::new(Vec::new()).unwrap();
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    authority.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    let authority_key = rcgen::KeyPair::generate().unwrap();
    let root = authority.self_signed(&authority_key).unwrap();
    let server_key = rcgen::KeyPair::generate().unwrap();
    let server = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    let server = server
        .signed_by(&server_key, &Issuer::new(authority, authority_key))
        .unwrap();
    let file = folder.path().join("all.pem");
    fs::write(
        &file,
        [server.pem(), root.pem(), server_key.serialize_pem()].concat(),
    )
    .unwrap();

    let config = serving(&file, None, None);
    for version in VERSIONS {
        assert_eq!(
            &connect(&config, root.der(), version, "localhost").unwrap(),
            server.der()
        );
    }
}

#[test]
fn files_of_msl_network_and_openssl_serve_as_they_are() {
    for (certificate, key) in [("msl-rsa.crt", "msl-rsa.key"), ("msl-ecc.crt", "msl-ecc.key")] {
        load_certified_key(&fixture(certificate), Some(&fixture(key)), None).unwrap();
    }
    let certified = load_certified_key(&fixture("openssl-chain-and-key.pem"), None, None).unwrap();
    assert_eq!(certified.cert.len(), 2);
}

#[test]
fn a_certificate_of_another_key_is_refused_with_both_files_and_the_remedy() {
    let error = load_certified_key(&fixture("msl-rsa.crt"), Some(&fixture("msl-ecc.key")), None).unwrap_err();
    assert!(matches!(error, PkiError::KeyMismatch { .. }), "{error}");
    let message = error.to_string();
    for part in ["msl-rsa.crt", "msl-ecc.key", "labwire certgen --key-file"] {
        assert!(message.contains(part), "{message}");
    }
}

#[test]
fn files_that_lack_what_was_looked_for_are_named() {
    let missing = fixture("no-such.crt");
    let error = load_certified_key(&missing, Some(&fixture("msl-rsa.key")), None).unwrap_err();
    assert!(
        matches!(error, PkiError::CertificateFileMissing { .. }),
        "{error}"
    );
    let error = load_certified_key(&fixture("msl-rsa.key"), None, None).unwrap_err();
    assert!(matches!(error, PkiError::NoCertificateInFile { .. }), "{error}");
    let error = load_certified_key(&fixture("msl-rsa.crt"), None, None).unwrap_err();
    assert!(matches!(error, PkiError::NoKeyInFile { .. }), "{error}");
}

#[test]
fn a_replaced_certificate_is_served_from_the_next_handshake_on() {
    let folders = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let certified = folders.each_ref().map(|folder| {
        let (key, certificate) = key_and_certificate(folder.path(), &generate_key(KeyKind::Ed25519).unwrap());
        load_certified_key(&certificate, Some(&key), None).unwrap()
    });
    let [old, new] = [&certified[0].cert[0], &certified[1].cert[0]];
    let reloadable = Arc::new(ReloadableCertificate::new(Arc::clone(&certified[0])));
    let server = server_config(Arc::clone(&reloadable) as _);
    assert_eq!(&connect(&server, old, VERSIONS[1], "localhost").unwrap(), old);
    reloadable.replace(Arc::clone(&certified[1]));
    assert_eq!(&connect(&server, new, VERSIONS[1], "localhost").unwrap(), new);
    connect(&server, old, VERSIONS[1], "localhost").unwrap_err();
}
