#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| labwire_instrument::fuzzing::check_instrument(input));
