#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| labwire_manager::fuzzing::check_cut_through(data));
