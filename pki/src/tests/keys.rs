//! Tests keys: those of MSL-Network and OpenSSL are read, written keys are read again, errors name
//! the remedy.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use super::{PASSWORD, fixture};
use crate::{Curve, KeyKind, PkiError, PrivateKey, generate_key, load_or_create_key};

fn load_fixture(name: &str) -> Result<PrivateKey, PkiError> {
    PrivateKey::load(&fixture(name), Some(PASSWORD))
}

#[test]
fn keys_of_msl_network_are_read_plain_and_encrypted() {
    for (name, kind) in [
        ("msl-rsa.key", KeyKind::Rsa { bits: 2048 }),
        ("msl-rsa-encrypted.key", KeyKind::Rsa { bits: 2048 }),
        ("msl-ecc.key", KeyKind::Ecc(Curve::Secp384r1)),
        ("msl-ecc-encrypted.key", KeyKind::Ecc(Curve::Secp521r1)),
    ] {
        assert_eq!(load_fixture(name).unwrap().kind(), kind, "{name}");
    }
    for name in ["msl-rsa.key", "msl-ecc.key"] {
        PrivateKey::load(&fixture(name), None).unwrap();
    }
}

#[test]
fn one_key_of_openssl_is_the_same_key_in_every_wrapping() {
    let plain = load_fixture("openssl-ecparam.key").unwrap();
    assert_eq!(plain.kind(), KeyKind::Ecc(Curve::Secp256r1));
    let public = plain.public_key_bits().unwrap();
    for name in [
        "openssl-ec-aes128.key",
        "openssl-ec-aes192.key",
        "openssl-ec-des3.key",
        "openssl-pkcs8-aes256.key",
        "openssl-pkcs8-des3.key",
        "openssl-pkcs8-scrypt.key",
    ] {
        assert_eq!(
            load_fixture(name).unwrap().public_key_bits().unwrap(),
            public,
            "{name}"
        );
    }
    assert_eq!(
        load_fixture("openssl-ed25519.key").unwrap().kind(),
        KeyKind::Ed25519
    );
}

#[test]
fn the_key_is_found_behind_the_certificates_of_its_file() {
    let key = load_fixture("openssl-chain-and-key.pem").unwrap();
    assert_eq!(key.kind(), KeyKind::Ecc(Curve::Secp256r1));
}

#[test]
fn every_kind_of_key_is_read_as_it_was_written() {
    let kinds = [
        KeyKind::Rsa { bits: 2048 },
        KeyKind::Ecc(Curve::Secp256r1),
        KeyKind::Ecc(Curve::Secp384r1),
        KeyKind::Ecc(Curve::Secp521r1),
        KeyKind::Ed25519,
    ];
    for kind in kinds {
        let key = generate_key(kind).unwrap();
        let plain = key.to_pem(None).unwrap();
        assert!(plain.starts_with("-----BEGIN PRIVATE KEY-----\n"), "{kind}");
        let encrypted = key.to_pem_after(10, Some(PASSWORD)).unwrap();
        assert!(
            encrypted.starts_with("-----BEGIN ENCRYPTED PRIVATE KEY-----\n"),
            "{kind}"
        );
        for (pem, password) in [(&plain, None), (&encrypted, Some(PASSWORD))] {
            let read = PrivateKey::from_pem(pem.as_bytes(), password).unwrap();
            assert_eq!(read.kind(), kind);
            assert_eq!(read.public_key_bits().unwrap(), key.public_key_bits().unwrap());
        }
    }
}

#[test]
fn a_key_with_a_password_is_written_for_its_owner_alone_and_needs_the_password() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keys/localhost.key");
    let key = generate_key(KeyKind::Ed25519).unwrap();
    key.write_to(&path, Some(PASSWORD)).unwrap();
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    PrivateKey::load(&path, Some(PASSWORD)).unwrap();
    let error = PrivateKey::load(&path, None).unwrap_err();
    assert!(matches!(error, PkiError::PasswordNeeded { .. }), "{error}");
    let error = PrivateKey::load(&path, Some("wrong")).unwrap_err();
    assert!(matches!(error, PkiError::WrongPassword { .. }), "{error}");
    assert!(matches!(
        key.write_new(&path, None),
        Err(PkiError::FileExists { .. })
    ));
}

#[test]
fn an_empty_password_is_no_password() {
    let key = generate_key(KeyKind::Ed25519).unwrap();
    assert!(matches!(key.to_pem(Some("")), Err(PkiError::EmptyPassword)));
}

#[test]
fn a_missing_key_is_made_once_and_then_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("localhost.key");
    let (made, created) = load_or_create_key(&path, None).unwrap();
    assert!(created);
    assert_eq!(made.kind(), KeyKind::Rsa { bits: 2048 });
    let (read, created) = load_or_create_key(&path, None).unwrap();
    assert!(!created);
    assert_eq!(read.public_key_bits().unwrap(), made.public_key_bits().unwrap());
}

#[test]
fn encrypted_keys_say_whether_the_password_is_missing_or_wrong() {
    for name in [
        "msl-rsa-encrypted.key",
        "msl-ecc-encrypted.key",
        "openssl-pkcs8-aes256.key",
    ] {
        let error = PrivateKey::load(&fixture(name), None).unwrap_err();
        assert!(
            matches!(error, PkiError::PasswordNeeded { .. }),
            "{name}: {error}"
        );
        assert!(error.to_string().contains("--key-file-password"), "{error}");
    }
    // In CBC mode with 16-byte blocks, some of this many wrong passwords leave padding that is
    // valid.
    for attempt in 0..600 {
        let password = format!("wrong {attempt}");
        let error = PrivateKey::load(&fixture("msl-ecc-encrypted.key"), Some(&password)).unwrap_err();
        assert!(
            matches!(error, PkiError::WrongPassword { .. }),
            "{password}: {error}"
        );
        assert!(!error.to_string().contains(&password), "{error}");
    }
}

#[test]
fn keys_that_tls_cannot_use_are_refused_with_the_reason_and_the_remedy() {
    for (name, reason) in [
        ("msl-dsa.key", "DSA"),
        ("openssl-secp256k1.key", "1.3.132.0.10"),
        ("openssl-rsa-1024.key", "1024 bits"),
    ] {
        let error = load_fixture(name).unwrap_err();
        assert!(
            matches!(error, PkiError::UnsupportedKey { .. }),
            "{name}: {error}"
        );
        let message = error.to_string();
        assert!(message.contains(name) && message.contains(reason), "{message}");
        assert!(message.contains("labwire keygen"), "{message}");
    }
}

#[test]
fn encryption_that_is_not_read_is_named_with_the_command_that_converts_it() {
    for (name, cipher) in [
        ("openssl-ec-camellia256.key", "CAMELLIA-256-CBC"),
        ("openssl-pkcs8-pbes1.key", "1.2.840.113549.1.12.1.3"),
    ] {
        let error = load_fixture(name).unwrap_err();
        assert!(
            matches!(error, PkiError::UnsupportedEncryption { .. }),
            "{name}: {error}"
        );
        let message = error.to_string();
        assert!(
            message.contains(cipher) && message.contains("openssl pkcs8 -topk8"),
            "{message}"
        );
    }
}

#[test]
fn missing_files_foreign_files_and_halves_of_files_are_told_apart() {
    let folder = tempfile::tempdir().unwrap();
    let missing = folder.path().join("missing.key");
    assert!(matches!(
        PrivateKey::load(&missing, None),
        Err(PkiError::KeyFileMissing { .. })
    ));
    assert!(matches!(
        PrivateKey::load(folder.path(), None),
        Err(PkiError::Read { .. })
    ));
    let whole = super::read_fixture("msl-rsa.key");
    for contents in [
        &b""[..],
        b"hello",
        &whole[..whole.len() / 2],
        &super::read_fixture("msl-rsa.crt"),
    ] {
        let path = folder.path().join("some.key");
        fs::write(&path, contents).unwrap();
        let error = PrivateKey::load(&path, None).unwrap_err();
        assert!(matches!(error, PkiError::NoKeyInFile { .. }), "{error}");
    }
    let path = folder.path().join("damaged.key");
    fs::write(
        &path,
        "-----BEGIN RSA PRIVATE KEY-----\nMAMCAQA=\n-----END RSA PRIVATE KEY-----\n",
    )
    .unwrap();
    assert!(matches!(
        PrivateKey::load(&path, None),
        Err(PkiError::DamagedKey { .. })
    ));
}

#[test]
fn windows_line_ends_and_text_around_the_key_do_no_harm() {
    let pem = String::from_utf8(super::read_fixture("msl-rsa-encrypted.key")).unwrap();
    let mut contents = b"Schl\xfcssel des Labors\r\n".to_vec();
    contents.extend_from_slice(pem.replace('\n', "\r\n").as_bytes());
    PrivateKey::from_pem(&contents, Some(PASSWORD)).unwrap();
}

#[test]
fn rsa_keys_come_in_three_sizes() {
    for bits in [1, 1024, 2047, 8192] {
        let message = generate_key(KeyKind::Rsa { bits }).unwrap_err().to_string();
        assert!(message.contains("2048, 3072 or 4096"), "{message}");
    }
}

#[test]
fn a_key_never_shows_itself_when_it_is_printed_for_debugging() {
    let key = load_fixture("msl-ecc.key").unwrap();
    assert_eq!(format!("{key:?}"), "PrivateKey { kind: Ecc(Secp384r1), .. }");
}
