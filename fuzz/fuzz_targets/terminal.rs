#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|line: &str| labwire_wire::fuzzing::check_terminal(line));
