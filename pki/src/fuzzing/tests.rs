//! Runs the fuzz checks on random bytes for a short time.

use std::fs;
use std::path::Path;

use proptest::collection::vec;
use proptest::prelude::*;

use super::{check_files, check_key_block};

proptest! {
    #[test]
    fn any_file_is_a_key_a_certificate_or_refused(data in vec(any::<u8>(), 0..400)) {
        check_files(&data);
        check_key_block(&data);
    }
}

type Check = fn(&[u8]);

#[test]
fn the_seeds_of_the_fuzz_targets_pass() {
    let targets: [(&str, Check); 2] = [
        ("../tests/fixtures/keys", check_files),
        ("../fuzz/seeds/key_block", check_key_block),
    ];
    for (folder, check) in targets {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
        let seeds: Vec<_> = fs::read_dir(&folder).unwrap().map(Result::unwrap).collect();
        assert!(!seeds.is_empty(), "{} has no seeds", folder.display());
        for seed in seeds {
            check(&fs::read(seed.path()).unwrap());
        }
    }
}
