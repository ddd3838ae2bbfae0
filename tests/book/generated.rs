//! Pages that the tests write.

use std::fs;

use super::page::repository;

/// Tells the tests to write the generated pages anew.
const UPDATE: &str = "UPDATE_EXPECT";

/// Fails if a page of the book is not this text, or writes it if `UPDATE_EXPECT` is set.
pub(super) fn expect_page(name: &str, text: &str) {
    let path = repository("docs/src").join(name);
    if std::env::var_os(UPDATE).is_some() {
        fs::write(&path, text).unwrap();
        return;
    }
    let is = fs::read_to_string(&path).unwrap_or_default();
    let differs = is.lines().zip(text.lines()).find(|(is, wanted)| is != wanted);
    assert!(
        is == text,
        "docs/src/{name} is not up to date; write it with: {UPDATE}=1 cargo test --locked -p labwire --test blackbox \
         book::\nfirst difference: {differs:?}"
    );
}
