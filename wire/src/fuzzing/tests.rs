//! Runs the seeds of the fuzz targets. The property tests are beside each check.

use std::fs;
use std::path::Path;

use super::{check_buffers, check_envelope, check_lines, check_salvage, check_terminal};

type Check = fn(&[u8]);

#[test]
fn the_seeds_of_the_fuzz_targets_pass() {
    let typed: Check = |data| check_terminal(std::str::from_utf8(data).unwrap());
    let checks: [Check; 5] = [check_lines, check_envelope, check_salvage, typed, check_buffers];
    for (target, check) in ["lines", "envelope", "salvage", "terminal", "buffers"]
        .into_iter()
        .zip(checks)
    {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("../fuzz/seeds")
            .join(target);
        let mut seeds = fs::read_dir(&folder).unwrap().peekable();
        assert!(seeds.peek().is_some(), "{target} has no seeds");
        for seed in seeds {
            check(&fs::read(seed.unwrap().path()).unwrap());
        }
    }
}
