#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| labwire_pki::fuzzing::check_key_block(data));
