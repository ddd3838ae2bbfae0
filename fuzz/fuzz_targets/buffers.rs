#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|rest: &[u8]| labwire_wire::fuzzing::check_buffers(rest));
