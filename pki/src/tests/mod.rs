//! Tests that need several parts of this module at once: keys of all makes, certificates,
//! handshakes, and damaged files.

mod certificates;
mod handshakes;
mod keys;
mod mutations;

use std::fs;
use std::path::PathBuf;

/// The password of every encrypted key among the fixtures.
const PASSWORD: &str = "correct horse";

/// Where a key or certificate is that MSL-Network or OpenSSL made.
fn fixture(name: &str) -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/fixtures/keys")).join(name)
}

fn read_fixture(name: &str) -> Vec<u8> {
    fs::read(fixture(name)).unwrap()
}
