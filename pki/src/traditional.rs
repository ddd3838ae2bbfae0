//! Decrypts private keys with OpenSSL's encryption from before PKCS#8: two header lines in the PEM
//! block.
//!
//! `Proc-Type: 4,ENCRYPTED` marks the block as encrypted (RFC 1421), `DEK-Info: CIPHER,IV` names
//! the method. The cipher's key is derived from the password by OpenSSL's `EVP_BytesToKey` with MD5
//! and a single round, salted with the first eight bytes of the IV. This protects weak passwords
//! poorly, but it is what MSL-Network writes.

use aes::cipher::block_padding::Pkcs7;
use aes::cipher::{BlockCipherDecrypt, BlockModeDecrypt, KeyInit, KeyIvInit};
use md5::{Digest, Md5};
use pkcs8::der::zeroize::Zeroizing;

/// The reason why a block could not be decrypted.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// The cipher is not supported.
    UnknownCipher(String),
    /// The padding is not valid.
    WrongPassword,
    /// The header does not have the form `CIPHER,IV`.
    Malformed,
}

/// Decrypts a PEM block's contents by the method in its `DEK-Info` header.
pub(crate) fn decrypt(
    dek_info: &str,
    password: &[u8],
    contents: &[u8],
) -> Result<Zeroizing<Vec<u8>>, Failure> {
    let (cipher, iv) = dek_info.split_once(',').ok_or(Failure::Malformed)?;
    let iv = bytes_from_hex(iv.trim()).ok_or(Failure::Malformed)?;
    match cipher.trim().to_ascii_uppercase().as_str() {
        "AES-128-CBC" => decrypt_cbc::<aes::Aes128>(password, &iv, contents),
        "AES-192-CBC" => decrypt_cbc::<aes::Aes192>(password, &iv, contents),
        "AES-256-CBC" => decrypt_cbc::<aes::Aes256>(password, &iv, contents),
        "DES-EDE3-CBC" => decrypt_cbc::<des::TdesEde3>(password, &iv, contents),
        _ => Err(Failure::UnknownCipher(cipher.trim().to_owned())),
    }
}

fn decrypt_cbc<C: BlockCipherDecrypt + KeyInit>(
    password: &[u8],
    iv: &[u8],
    contents: &[u8],
) -> Result<Zeroizing<Vec<u8>>, Failure> {
    // The salt is eight bytes for every cipher, whatever the length of its IV.
    let salt = iv.get(..8).ok_or(Failure::Malformed)?;
    let key = derive_key(password, salt, C::key_size());
    let decryptor = cbc::Decryptor::<C>::new_from_slices(&key, iv).map_err(|_| Failure::Malformed)?;
    let mut buffer = Zeroizing::new(contents.to_vec());
    let length = decryptor
        .decrypt_padded::<Pkcs7>(&mut buffer)
        .map_err(|_| Failure::WrongPassword)?
        .len();
    buffer.truncate(length);
    Ok(buffer)
}

/// Derives a key by `EVP_BytesToKey` with MD5: concatenated digests of the previous digest, the
/// password and the salt.
fn derive_key(password: &[u8], salt: &[u8], length: usize) -> Zeroizing<Vec<u8>> {
    let mut key = Zeroizing::new(Vec::with_capacity(length + 16));
    let mut previous = Zeroizing::new(Vec::new());
    while key.len() < length {
        let digest = Md5::new()
            .chain_update(&*previous)
            .chain_update(password)
            .chain_update(salt)
            .finalize();
        *previous = digest.to_vec();
        key.extend_from_slice(&digest);
    }
    key.truncate(length);
    key
}

fn bytes_from_hex(text: &str) -> Option<Vec<u8>> {
    if !text.len().is_multiple_of(2) || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    (0..text.len())
        .step_by(2)
        .map(|start| u8::from_str_radix(&text[start..start + 2], 16).ok())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_without_a_usable_iv_is_malformed() {
        for header in [
            "",
            "AES-256-CBC",
            "AES-256-CBC,",
            "AES-256-CBC,zz",
            "AES-256-CBC,0011223344556677",
            "DES-EDE3-CBC,00",
        ] {
            assert_eq!(
                decrypt(header, b"secret", &[0; 16]),
                Err(Failure::Malformed),
                "{header}"
            );
        }
    }

    #[test]
    fn another_cipher_is_named() {
        let failure = decrypt(
            "CAMELLIA-256-CBC,00112233445566778899aabbccddeeff",
            b"secret",
            &[0; 16],
        );
        assert_eq!(
            failure,
            Err(Failure::UnknownCipher("CAMELLIA-256-CBC".to_owned()))
        );
    }

    #[test]
    fn contents_that_are_no_whole_blocks_are_not_decrypted() {
        let failure = decrypt(
            "AES-128-CBC,00112233445566778899aabbccddeeff",
            b"secret",
            &[0; 15],
        );
        assert_eq!(failure, Err(Failure::WrongPassword));
        let failure = decrypt("AES-128-CBC,00112233445566778899aabbccddeeff", b"secret", &[]);
        assert_eq!(failure, Err(Failure::WrongPassword));
    }
}
