//! A property of any file of keys or certificates: it is accepted or refused without a panic. The
//! fuzz targets and the tests share these checks.

#[cfg(test)]
mod tests;

use labwire_home::hex_with_colons;
use pem::Pem;

use crate::certificate::chain_from_pem;
use crate::describe::describe;
use crate::key::PrivateKey;
use crate::serve::public_key_bits;

/// The password of the encrypted keys among the fixtures.
const PASSWORD: &str = "correct horse";

/// Reads a file as a private key. Checks that an accepted key can be used.
pub(crate) fn check_key(file: &[u8], password: Option<&str>) {
    if let Ok(key) = PrivateKey::from_pem(file, password) {
        key.public_key_bits()
            .expect("a key that was accepted has a public half");
    }
}

/// Reads a file as certificates. Checks that their description is safe for a terminal.
pub(crate) fn check_certificates(file: &[u8]) {
    if let Ok(text) = describe(file) {
        let unsafe_character = |character: char| character.is_control() && character != '\n';
        assert!(!text.contains(unsafe_character), "{text:?}");
    }
    for certificate in chain_from_pem(file).unwrap_or_default() {
        let _ = public_key_bits(&certificate);
    }
}

/// Reads any bytes as a file with a key or certificates, with and without a password.
///
/// # Panics
///
/// If an accepted key is unusable, or a description is not safe for a terminal.
pub fn check_files(data: &[u8]) {
    check_key(data, None);
    check_key(data, Some(PASSWORD));
    check_certificates(data);
}

/// Reads any bytes as the contents of a PEM block, which mutations of the file's text hardly reach.
/// The first byte determines the block's label and its traditional OpenSSL encryption, if any.
///
/// # Panics
///
/// As [`check_files`].
pub fn check_key_block(data: &[u8]) {
    const LABELS: [&str; 6] = [
        "CERTIFICATE",
        "PRIVATE KEY",
        "RSA PRIVATE KEY",
        "EC PRIVATE KEY",
        "DSA PRIVATE KEY",
        "ENCRYPTED PRIVATE KEY",
    ];
    const CIPHERS: [&str; 5] = ["AES-128-CBC", "AES-192-CBC", "AES-256-CBC", "DES-EDE3-CBC", "RC4"];
    let Some((&head, contents)) = data.split_first() else {
        return;
    };
    let (label, cipher) = (head % 6, usize::from(head / 6));
    let mut block = Pem::new(LABELS[usize::from(label)], contents);
    if let Some(cipher) = CIPHERS.get(cipher) {
        // The first bytes are the initialisation vector too, so that its length varies.
        let vector = hex_with_colons(&contents[..contents.len().min(16)]).replace(':', "");
        let headers = [
            ("Proc-Type", "4,ENCRYPTED".to_owned()),
            ("DEK-Info", format!("{cipher},{vector}")),
        ];
        for (name, value) in headers {
            block
                .headers_mut()
                .add(name, &value)
                .expect("a header's value is one line");
        }
    }
    check_files(pem::encode(&block).as_bytes());
}
