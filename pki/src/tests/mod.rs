//! Tests that cover several parts of this crate: keys from all programs, certificates, handshakes,
//! and damaged files.

mod certificates;
mod clients;
mod handshakes;
mod keys;
mod mutations;
mod revocation;

use std::fs;
use std::path::PathBuf;

/// The password of every encrypted key among the fixtures.
const PASSWORD: &str = "correct horse";

/// Returns the path of a key or certificate that was created by MSL-Network or OpenSSL.
fn fixture(name: &str) -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/fixtures/keys")).join(name)
}

fn read_fixture(name: &str) -> Vec<u8> {
    fs::read(fixture(name)).unwrap()
}
