#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|texts: (&str, &str)| labwire_access::fuzzing::check_pattern(texts.0, texts.1));
