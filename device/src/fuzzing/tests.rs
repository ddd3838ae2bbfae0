//! Runs the seeds of the fuzz target. The property tests are beside it.

use std::fs;
use std::path::Path;

use super::check_payload;

#[test]
fn the_seeds_of_the_fuzz_target_pass() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/seeds/payload");
    let mut seeds = fs::read_dir(&folder).unwrap().peekable();
    assert!(seeds.peek().is_some(), "there are no seeds");
    for seed in seeds {
        check_payload(&fs::read_to_string(seed.unwrap().path()).unwrap());
    }
}
