//! Tests damaged and malicious files: any mutation is accepted or refused without a panic.

use proptest::prelude::*;

use super::{PASSWORD, read_fixture};
use crate::fuzzing::{check_certificates, check_key};
use crate::{PrivateKey, describe};

const CERTIFICATES: [&str; 4] = [
    "msl-rsa.crt",
    "msl-ecc.crt",
    "msl-dsa.crt",
    "openssl-chain-and-key.pem",
];

const KEYS: [&str; 11] = [
    "msl-rsa.key",
    "msl-ecc.key",
    "msl-dsa.key",
    "msl-rsa-encrypted.key",
    "openssl-ecparam.key",
    "openssl-ed25519.key",
    "openssl-ec-aes192.key",
    "openssl-ec-des3.key",
    "openssl-pkcs8-aes256.key",
    "openssl-pkcs8-scrypt.key",
    "openssl-chain-and-key.pem",
];

/// One mutation of some bytes. Positions are fractions of the length, so that they fit any length.
#[derive(Clone, Debug)]
enum Mutation {
    Set(f64, u8),
    Insert(f64, Vec<u8>),
    Remove(f64, usize),
    Truncate(f64),
}

impl Mutation {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_precision_loss,
        clippy::cast_sign_loss,
        reason = "a place in a small file"
    )]
    fn apply(&self, bytes: &mut Vec<u8>) {
        let place = |part: f64| (bytes.len().saturating_sub(1) as f64 * part) as usize;
        match self {
            Self::Set(part, value) => {
                let place = place(*part);
                if let Some(byte) = bytes.get_mut(place) {
                    *byte = *value;
                }
            }
            Self::Insert(part, inserted) => {
                let place = place(*part);
                bytes.splice(place..place, inserted.iter().copied());
            }
            Self::Remove(part, count) => {
                let start = place(*part);
                let end = bytes.len().min(start + count);
                bytes.drain(start..end);
            }
            Self::Truncate(part) => bytes.truncate(place(*part)),
        }
    }
}

fn apply_all(mutations: &[Mutation], bytes: &mut Vec<u8>) {
    for mutation in mutations {
        mutation.apply(bytes);
    }
}

fn mutation() -> impl Strategy<Value = Mutation> {
    let part = 0.0..1.0;
    prop_oneof![
        6 => (part.clone(), any::<u8>()).prop_map(|(part, value)| Mutation::Set(part, value)),
        2 => (part.clone(), proptest::collection::vec(any::<u8>(), 1..5))
            .prop_map(|(part, bytes)| Mutation::Insert(part, bytes)),
        2 => (part.clone(), 1_usize..5).prop_map(|(part, count)| Mutation::Remove(part, count)),
        1 => part.prop_map(Mutation::Truncate),
    ]
}

/// Mutates the text of the file, or the bytes inside its PEM blocks.
fn mutated(name: &str, inside: bool, mutations: &[Mutation]) -> Vec<u8> {
    let mut file = read_fixture(name);
    if !inside {
        apply_all(mutations, &mut file);
        return file;
    }
    let blocks = pem::parse_many(&file).unwrap().into_iter().map(|block| {
        let mut contents = block.contents().to_vec();
        apply_all(mutations, &mut contents);
        let mut changed = pem::Pem::new(block.tag(), contents);
        for (name, value) in block.headers().iter() {
            changed.headers_mut().add(name, value).unwrap();
        }
        changed
    });
    pem::encode_many(&blocks.collect::<Vec<_>>()).into_bytes()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1500, ..ProptestConfig::default() })]

    #[test]
    fn mutated_certificates_are_described_or_refused(
        name in proptest::sample::select(&CERTIFICATES),
        inside in prop::bool::weighted(0.8),
        mutations in proptest::collection::vec(mutation(), 1..4),
    ) {
        let file = mutated(name, inside, &mutations);
        check_certificates(&file);
    }

    #[test]
    fn mutated_keys_are_read_or_refused(
        name in proptest::sample::select(&KEYS),
        inside in prop::bool::weighted(0.8),
        with_password in any::<bool>(),
        mutations in proptest::collection::vec(mutation(), 1..4),
    ) {
        let file = mutated(name, inside, &mutations);
        check_key(&file, with_password.then_some(PASSWORD));
    }

    #[test]
    fn arbitrary_bytes_are_refused(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
        prop_assert!(PrivateKey::from_pem(&bytes, Some(PASSWORD)).is_err());
        prop_assert!(describe(&bytes).is_err());
    }

    #[test]
    fn arbitrary_contents_of_a_block_are_refused(
        label in proptest::sample::select(&["CERTIFICATE", "PRIVATE KEY", "RSA PRIVATE KEY", "EC PRIVATE KEY", "ENCRYPTED PRIVATE KEY"]),
        contents in proptest::collection::vec(any::<u8>(), 0..300),
    ) {
        let file = pem::encode(&pem::Pem::new(label, contents));
        prop_assert!(PrivateKey::from_pem(file.as_bytes(), Some(PASSWORD)).is_err());
        prop_assert!(describe(file.as_bytes()).is_err());
    }
}
