#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| labwire_device::fuzzing::check_payload(text));
