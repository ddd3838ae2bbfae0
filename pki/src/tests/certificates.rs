//! Tests the contents of created certificates, and their descriptions.

use std::fs;
use std::net::IpAddr;

use x509_parser::prelude::{FromDer, X509Certificate};

use labwire_home::{fingerprint_sha1, fingerprint_sha256};

use super::{fixture, read_fixture};
use crate::certificate::generate_certificate_at;
use crate::{
    Certificate, CertificateOptions, Curve, DescribeError, Hash, KeyKind, PkiError, PrivateKey, describe,
    generate_certificate, generate_key, load_chain,
};

fn options() -> CertificateOptions {
    CertificateOptions {
        years_valid: 100.0,
        hash: None,
        hostname: "bench-pc".to_owned(),
        alternative_names: vec!["bench-pc".to_owned(), "localhost".to_owned()],
        addresses: vec!["127.0.0.1".parse().unwrap(), "::1".parse().unwrap()],
    }
}

fn made_with(kind: KeyKind, options: &CertificateOptions) -> Result<Certificate, PkiError> {
    generate_certificate(&generate_key(kind).unwrap(), options)
}

fn seconds_valid(certificate: &Certificate) -> i64 {
    let (_, parsed) = X509Certificate::from_der(certificate.der()).unwrap();
    parsed.validity().not_after.timestamp() - parsed.validity().not_before.timestamp()
}

#[test]
fn a_made_certificate_says_who_it_is_for_and_that_it_is_no_authority() {
    let text = describe(made_with(KeyKind::Ed25519, &options()).unwrap().pem().as_bytes()).unwrap();
    for line in [
        "Version: v3",
        "  Common Name: bench-pc",
        "  Encryption: Ed25519",
        "    DNS Name: bench-pc",
        "    DNS Name: localhost",
        "    IP Address: 127.0.0.1",
        "    IP Address: ::1",
        "    Certificate Authority: False",
        "    Usages: Digital Signature",
        "    Usages: TLS Server Authentication",
        "  name: ed25519",
    ] {
        assert!(
            text.lines().any(|found| found == line),
            "{line:?} is not in\n{text}"
        );
    }
}

#[test]
fn serial_numbers_are_positive_of_full_length_and_never_the_same() {
    let serial = || {
        let certificate = made_with(KeyKind::Ed25519, &options()).unwrap();
        let (_, parsed) = X509Certificate::from_der(certificate.der()).unwrap();
        parsed.raw_serial().to_vec()
    };
    let (one, other) = (serial(), serial());
    assert_ne!(one, other);
    for number in [one, other] {
        assert_eq!(number.len(), 20);
        assert!((0x40..0x80).contains(&number[0]));
    }
}

#[test]
fn a_certificate_is_valid_from_yesterday_on_for_the_years_that_were_asked_for() {
    const DAY: i64 = 86_400;
    let quarter = CertificateOptions {
        years_valid: 0.25,
        ..options()
    };
    let seconds = seconds_valid(&made_with(KeyKind::Ed25519, &quarter).unwrap());
    assert_eq!(seconds, DAY + 365 * DAY / 4);
    let century = seconds_valid(&made_with(KeyKind::Ed25519, &options()).unwrap());
    // A century has 24 or 25 leap days.
    assert!(
        (DAY + 36_524 * DAY..=DAY + 36_525 * DAY).contains(&century),
        "{century}"
    );
}

#[test]
fn a_validity_that_is_nothing_or_too_long_is_refused() {
    for years_valid in [0.0, -1.0, 1e-9, 9_000.0, 1e300, f64::NAN, f64::INFINITY] {
        let error = made_with(
            KeyKind::Ed25519,
            &CertificateOptions {
                years_valid,
                ..options()
            },
        )
        .unwrap_err();
        assert!(
            matches!(error, PkiError::ValidityOutOfRange { .. }),
            "{years_valid}: {error}"
        );
    }
}

#[test]
fn rsa_keys_sign_with_the_hash_that_was_asked_for() {
    let key = PrivateKey::load(&fixture("msl-rsa.key"), None).unwrap();
    for (hash, name) in [
        (None, "sha256WithRSAEncryption"),
        (Some(Hash::Sha384), "sha384WithRSAEncryption"),
        (Some(Hash::Sha512), "sha512WithRSAEncryption"),
    ] {
        let certificate = generate_certificate(&key, &CertificateOptions { hash, ..options() }).unwrap();
        let text = describe(certificate.pem().as_bytes()).unwrap();
        assert!(text.contains(&format!("  name: {name}\n")), "{text}");
    }
}

#[test]
fn a_curve_signs_with_its_own_hash_and_refuses_others_with_the_reason() {
    let asking = |hash| CertificateOptions { hash, ..options() };
    let kind = KeyKind::Ecc(Curve::Secp384r1);
    for hash in [None, Some(Hash::Sha384)] {
        let text = describe(made_with(kind, &asking(hash)).unwrap().pem().as_bytes()).unwrap();
        assert!(text.contains("  name: ecdsa-with-SHA384\n"), "{text}");
    }
    let message = made_with(kind, &asking(Some(Hash::Sha256)))
        .unwrap_err()
        .to_string();
    assert!(
        message.contains("SHA256 does not fit a secp384r1 key"),
        "{message}"
    );
    assert!(
        message.contains("SHA384") && message.contains("--algorithm"),
        "{message}"
    );
    let message = made_with(KeyKind::Ed25519, &asking(Some(Hash::Sha512)))
        .unwrap_err()
        .to_string();
    assert!(message.contains("does not fit an Ed25519 key"), "{message}");
}

#[test]
fn names_that_no_certificate_can_hold_are_left_out() {
    let odd = CertificateOptions {
        hostname: "ü".repeat(100),
        alternative_names: vec![
            "müller-pc".to_owned(),
            String::new(),
            "10.1.2.3".to_owned(),
            "a".to_owned(),
        ],
        addresses: vec!["10.1.2.3".parse().unwrap()],
        ..options()
    };
    let text = describe(made_with(KeyKind::Ed25519, &odd).unwrap().pem().as_bytes()).unwrap();
    assert!(
        text.contains(&format!("  Common Name: {}\n", "ü".repeat(64))),
        "{text}"
    );
    assert_eq!(text.matches("IP Address: 10.1.2.3").count(), 1);
    assert_eq!(text.matches("DNS Name").count(), 1);
}

#[test]
fn the_options_for_this_computer_name_it_and_its_loopback_addresses() {
    let options = CertificateOptions::for_this_computer();
    assert_eq!(
        options.alternative_names,
        [options.hostname.clone(), "localhost".to_owned()]
    );
    for address in ["127.0.0.1", "::1"] {
        assert!(
            options.addresses.contains(&address.parse::<IpAddr>().unwrap()),
            "{address}"
        );
    }
}

#[test]
fn a_certificate_is_never_written_over_a_private_key() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("localhost.key");
    let contents = read_fixture("msl-ecc.key");
    fs::write(&path, &contents).unwrap();
    let certificate = made_with(KeyKind::Ed25519, &options()).unwrap();
    let error = certificate.write_to(&path).unwrap_err();
    assert!(matches!(error, PkiError::KeyInTheWay { .. }), "{error}");
    assert_eq!(fs::read(&path).unwrap(), contents);
    let path = folder.path().join("certs/localhost.crt");
    certificate.write_to(&path).unwrap();
    certificate.write_to(&path).unwrap();
    assert_eq!(load_chain(&path).unwrap(), [certificate.der().clone()]);
}

#[test]
fn a_certificate_is_written_over_one_that_was_made_here_and_over_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let (path, certificate) = (
        folder.path().join("a.crt"),
        made_with(KeyKind::DEFAULT, &options()).unwrap(),
    );
    let other = made_with(KeyKind::Ed25519, &options()).unwrap();
    let chain = format!("{}{}", certificate.pem(), other.pem());
    for (contents, is_kept) in [
        (certificate.pem().as_bytes(), false),
        (other.pem().as_bytes(), false),
        (b"\n", false),
        (&read_fixture("msl-rsa.crt"), true),
        (&read_fixture("openssl-authority.crt"), true),
        (chain.as_bytes(), true),
        (b"notes", true),
    ] {
        fs::write(&path, contents).unwrap();
        let written = certificate.write_to(&path);
        assert_eq!(matches!(written, Err(PkiError::NotOwn { .. })), is_kept);
        if is_kept {
            assert_eq!(fs::read(&path).unwrap(), contents);
            certificate.replace(&path).unwrap();
        }
        assert_eq!(fs::read(&path).unwrap(), certificate.pem().as_bytes());
    }
}

#[test]
fn a_computer_whose_clock_is_not_set_makes_a_certificate_of_1970() {
    for (now, years, valid) in [
        ("1970-01-01T00:00:00Z", 100.0, "1970-01-01 to 2070-01-01"),
        ("1969-12-31T23:00:00Z", 1.0, "1970-01-01 to 1970-12-31"),
        ("1970-01-03T00:00:00Z", 1.0, "1970-01-02 to 1971-01-03"),
    ] {
        let key = generate_key(KeyKind::Ed25519).unwrap();
        let options = CertificateOptions {
            years_valid: years,
            ..options()
        };
        let certificate = generate_certificate_at(&key, &options, now.parse().unwrap()).unwrap();
        let (_, parsed) = X509Certificate::from_der(certificate.der()).unwrap();
        let day = |time: x509_parser::time::ASN1Time| {
            let moment = jiff::Timestamp::from_second(time.timestamp()).unwrap();
            moment.strftime("%Y-%m-%d").to_string()
        };
        let validity = parsed.validity();
        assert_eq!(
            format!("{} to {}", day(validity.not_before), day(validity.not_after)),
            valid
        );
    }
}

#[test]
fn fingerprints_are_those_that_openssl_prints() {
    let chain = load_chain(&fixture("msl-rsa.crt")).unwrap();
    assert_eq!(
        fingerprint_sha1(&chain[0]),
        "3a:af:c3:70:98:f3:ea:b7:6e:fe:b1:6e:40:14:3e:56:69:38:f1:e8"
    );
    assert_eq!(
        fingerprint_sha256(&chain[0]),
        "b0:72:a9:87:bb:68:a8:0a:04:b8:a2:bc:65:7d:99:db:1d:c0:09:22:a5:b9:f9:10:b6:ec:a8:72:64:fe:6b:f8"
    );
}

#[test]
fn certificates_of_msl_network_are_described_in_its_shape() {
    let text = describe(&read_fixture("msl-rsa.crt")).unwrap();
    let titles: Vec<&str> = text.lines().filter(|line| !line.starts_with(' ')).collect();
    assert!(titles[1].starts_with("Serial Number: "));
    assert_eq!(titles[0], "Version: v3");
    assert_eq!(
        titles[2..9],
        [
            "Issuer:",
            "Validity:",
            "Subject:",
            "Subject Public Key Info:",
            "Extensions:",
            "Signature Algorithm:",
            "Fingerprint (SHA1):"
        ]
    );
    assert_eq!(titles[10], "Fingerprint (SHA256):");
    for lines in [
        "Subject:\n  Common Name: vm\n  Country Name: NZ\n  Locality Name: Lower Hutt\n  State or Province Name: ",
        "  Encryption: RSA\n  Exponent: 65537\n  Size: 2048\n  Modulus:\n    ",
        "    oid: 2.5.29.17\n    name: subjectAltName\n    critical: False\n",
        "  oid: 1.2.840.113549.1.1.11\n  name: sha256WithRSAEncryption\n  value:\n    ",
    ] {
        assert!(text.contains(lines), "{lines}\n is not in\n{text}");
    }
}

#[test]
fn curves_and_dsa_are_described_with_their_numbers() {
    let text = describe(&read_fixture("msl-ecc.crt")).unwrap();
    assert!(
        text.contains("  Encryption: Elliptic Curve\n  Curve: secp384r1\n  Size: 384\n  Key:\n    04:"),
        "{text}"
    );
    let text = describe(&read_fixture("msl-dsa.crt")).unwrap();
    assert!(
        text.contains("  Encryption: DSA\n  Size: 2048\n  Y:\n    "),
        "{text}"
    );
    for title in ["  P:\n", "  Q:\n", "  G:\n"] {
        assert!(text.contains(title), "{text}");
    }
    assert!(text.contains("  name: dsa-with-sha256\n"), "{text}");
}

#[test]
fn every_certificate_of_a_chain_is_described() {
    let text = describe(&read_fixture("openssl-chain-and-key.pem")).unwrap();
    assert!(text.starts_with("Certificate 1 of 2\nVersion: v3\n"), "{text}");
    assert!(text.contains("\n\nCertificate 2 of 2\nVersion: v3\n"), "{text}");
    assert!(text.contains("    Certificate Authority: True\n"), "{text}");
}

#[test]
fn what_is_no_certificate_is_not_described() {
    assert_eq!(
        describe(&read_fixture("msl-rsa.key")),
        Err(DescribeError::NoCertificate)
    );
    let damaged = "-----BEGIN CERTIFICATE-----\nMAMCAQA=\n-----END CERTIFICATE-----\n";
    assert_eq!(
        describe(damaged.as_bytes()),
        Err(DescribeError::Damaged { number: 1 })
    );
}
