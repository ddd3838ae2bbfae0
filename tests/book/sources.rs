//! The sources of the crates that people use.

use std::fs;
use std::path::PathBuf;

use super::page::repository;

/// The crates with texts for people.
const CRATES: [&str; 14] = [
    "access",
    "client-sdk",
    "console",
    "device",
    "home",
    "instrument",
    "labwire",
    "manager",
    "pki",
    "record",
    "service-sdk",
    "store",
    "tcp",
    "wire",
];

/// Folders and files with tests only.
const TESTS: [&str; 6] = [
    "tests",
    "tests.rs",
    "simulation",
    "fuzzing",
    "fuzzing.rs",
    "benchmarks.rs",
];

/// Returns the paths of all files, sorted.
pub(super) fn all() -> Vec<PathBuf> {
    let mut folders: Vec<PathBuf> = CRATES.iter().map(|name| repository(name).join("src")).collect();
    let mut files = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path
                .file_name()
                .expect("an entry has a name")
                .to_str()
                .unwrap()
                .to_owned();
            if TESTS.contains(&name.as_str()) {
                continue;
            }
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                files.push(path);
            }
        }
    }
    files.sort();
    files
}
